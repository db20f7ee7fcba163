"""A profile that asks for the code of a second factor, as the break-glass principal's: once, and in peace."""

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from relight_cli.exit_code import Exit
from relight_cli.sight import PATIENCE_SECONDS

from tests.cli.on_call import PATIENCE
from tests.cli.test_watch import until
from tests.unit.standby import HERE

ROOT = Path(__file__).parents[2]
DEVICE = "arn:aws:iam::123456789012:mfa/relight/ann"
PROMPT = re.escape(f"Enter MFA code for {DEVICE}:")
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


@contextmanager
def signing_in(home: Path, *words: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command in a terminal, in a process of its own; with the terminal's other end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = own | {"HOME": str(home), "AWS_PROFILE": "operator", "TERM": "dumb"} | more
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tests.cli.onlookers", "0", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        try:
            yield process, master
        finally:
            process.kill()
            os.close(master)


def called(home: Path, *words: str, code: str | None = None) -> str:
    """What the command says in a terminal; with a code, which somebody types who is slower than any Region may be."""
    with signing_in(home, *words) as (process, terminal):
        said = ""
        if code is not None:
            said = until(terminal, PROMPT)
            time.sleep(PATIENCE_SECONDS + 1)
            os.write(terminal, f"{code}\n".encode())
        said += until(terminal, None)
        assert process.wait(PATIENCE) == 0, said
    return said


def refused(home: Path, typed: bytes, **more: str) -> str:
    """What the command says in its one line, after this was typed where it asks for the code."""
    with signing_in(home, "status", **more) as (process, terminal):
        until(terminal, PROMPT)
        os.write(terminal, typed)
        said = until(terminal, None)
        assert process.wait(PATIENCE) == Exit.NO_CREDENTIALS, said
    (line,) = (one for one in said.splitlines() if one.strip() and one.strip() != typed.decode().strip())
    return line


@contextmanager
def sts(status: int, code: str, message: str) -> Iterator[tuple[str, list[str]]]:
    """Where STS answers each call with this error, and the calls it had."""
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", calls
        server.shutdown()


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


def test_signs_in_where_nothing_can_be_kept(home: Path) -> None:
    """A full disk, or somebody else's laptop."""
    (home / ".aws" / "cli").write_text("not a directory")
    assert "is active and steady" in called(home, "status", code="123456")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code."),
        (400, "ValidationError", "Value 'abcdef' at 'tokenCode' failed to satisfy constraint"),
    ],
)
def test_a_code_that_aws_refuses_is_asked_for_once_and_told_in_one_line(
    home: Path, status: int, code: str, message: str
) -> None:
    """The threads that look at the Regions do not ask for it each anew."""
    with sts(status, code, message) as (at, calls):
        line = refused(home, b"abcdef\n", AWS_ENDPOINT_URL_STS=at)
    assert "AWS does not accept the code" in line
    assert message in line
    assert "next code" in line
    (call,) = calls
    assert "TokenCode=abcdef" in call


def test_a_code_that_is_too_short_is_told_in_one_line(home: Path) -> None:
    """Before AWS is asked."""
    assert "AWS does not accept the code" in refused(home, b"12345\n")


def test_nobody_to_type_the_code_is_told_in_one_line(home: Path) -> None:
    """As in a script."""
    line = refused(home, b"\x04")
    assert "there is nobody to type the code" in line
    assert "call it in a terminal once" in line
