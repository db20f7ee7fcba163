"""A profile that asks for the code of a second factor, as the break-glass principal's: once, and in peace."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from relight_cli.sight import PATIENCE_SECONDS

from tests.cli.on_call import PATIENCE
from tests.cli.test_watch import until
from tests.unit.standby import HERE

ROOT = Path(__file__).parents[2]
DEVICE = "arn:aws:iam::123456789012:mfa/relight/ann"
CONFIG = f"""
[profile ann]
region = {HERE}

[profile operator]
role_arn = arn:aws:iam::123456789012:role/relight-shop-operator-{HERE}
source_profile = ann
mfa_serial = {DEVICE}
region = {HERE}
"""
KEYS = """
[ann]
aws_access_key_id = AKIAEXAMPLEEXAMPLE00
aws_secret_access_key = secret
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose profile `operator` has to be assumed with a code."""
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "config").write_text(CONFIG)
    (aws / "credentials").write_text(KEYS)
    return tmp_path


def called(home: Path, *words: str, code: str | None = None) -> str:
    """What the command says in a terminal; with a code, which somebody types who is slower than any Region may be."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = own | {"HOME": str(home), "AWS_PROFILE": "operator", "TERM": "dumb"}
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tests.cli.onlookers", "0", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        said = ""
        if code is not None:
            said = until(master, re.escape(f"Enter MFA code for {DEVICE}:"))
            time.sleep(PATIENCE_SECONDS + 1)
            os.write(master, f"{code}\n".encode())
        said += until(master, None)
        assert process.wait(PATIENCE) == 0, said
    os.close(master)
    return said


def test_a_code_may_take_its_time_and_is_asked_for_once(home: Path) -> None:
    """What it was good for is kept where the AWS CLI keeps such things, and by nobody else to be read."""
    first = called(home, "status", code="123456")
    assert "is active and steady" in first
    assert "could NOT be seen" not in first
    (kept,) = (home / ".aws" / "cli" / "cache").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    again = called(home, "status")
    assert "is active and steady" in again
    assert "MFA" not in again
