"""The release: built for this machine, unpacked elsewhere, installed from its own wheels, started before a database."""

import configparser
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.release.build import ON_THE_INSTANCE, PACKAGES, ReleaseNotBuiltError, build, version
from lab.postgres import Postgres
from tests.app.instance import ROOT, Shop

pytestmark = pytest.mark.deploy
ARCH = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
SCRIPTS = [name for name in ON_THE_INSTANCE if name.endswith(".sh")]
UNIT = ROOT / "app" / "release" / "relight-app.service"


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application as it is now, as the only commit of a repository that nobody else writes to."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in PACKAGES.values():
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "app.txt", root / "requirements")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "all")
    return root


@pytest.fixture(scope="module")
def archive(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release for the machine of the test."""
    return build(ARCH, tmp_path_factory.mktemp("build") / "release.tar.gz", checkout)


@pytest.fixture(scope="module")
def release(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which it was unpacked, as the user data unpacks it."""
    folder = tmp_path_factory.mktemp("instance") / "releases" / "1"
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xz", "--no-same-owner", "-C", folder, "-f", archive], check=True)
    return folder


@pytest.mark.linux
def test_an_instance_serves_from_nothing_but_its_release(release: Path, primary: Postgres, tmp_path: Path) -> None:
    nothing = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    made = subprocess.run(
        [release / "venv.sh", sys.executable, release / "venv"],
        env=nothing,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")
    python = str(release / "venv" / "bin" / "python")
    where = subprocess.run(
        [python, "-c", "import app, django, relight_lease as l, sys; print(django, app, l, sys.path)"],
        cwd=release,
        env=nothing,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(ROOT) not in where

    shop = Shop(primary, "eu-west-1", tmp_path / "shop.log", python=python, cwd=release)
    try:
        shop.until(shop.lives)
        ready = shop.ask("GET", "/health/ready")
        assert (ready.status, ready.json) == (200, {"status": "ready", "region": "eu-west-1"})
        assert shop.order("from-a-release").status == 201
    finally:
        shop.stop()
    unleased = Shop(
        primary,
        "eu-west-1",
        tmp_path / "leased.log",
        python=python,
        cwd=release,
        PEER_REGION="eu-central-1",
        HOME_REGION="eu-west-1",
        LEDGER_TABLE="relight-shop",
        RELIGHT_LEASE_TERM_SECONDS="2",
        RELIGHT_LONGEST_TRANSACTION_SECONDS="1",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )
    try:
        unleased.until(unleased.lives)
        assert unleased.order("without-a-lease").status == 503
        assert unleased.ask("GET", "/orders/from-a-release").status == 200
    finally:
        unleased.stop()
    gate = subprocess.run([python, "-m", "app.boot_gate"], cwd=release, env=nothing, capture_output=True, check=False)
    assert gate.returncode == 1
    assert b"lacks AWS_REGION" in gate.stderr


def test_the_same_sources_make_the_same_bytes(archive: Path, checkout: Path, tmp_path: Path) -> None:
    again = build(ARCH, tmp_path / "again.tar.gz", checkout)
    assert again.read_bytes() == archive.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.tar.gz"]


def test_it_carries_what_an_instance_needs_and_says_what_it_is(archive: Path, release: Path, checkout: Path) -> None:
    with tarfile.open(archive) as packed:
        entries = {entry.name: entry for entry in packed.getmembers()}
    assert all(name in entries for name in ON_THE_INSTANCE)
    assert all(entries[name].mode == 0o755 for name in SCRIPTS)
    assert {"app/boot_gate.py", "app/serve.py", "app/shop/templates/shop/page.html"} <= entries.keys()
    assert {
        "relight_lease/apps.py",
        "relight_lease/postgresql/base.py",
        "app/database/leased/base.py",
    } <= entries.keys()
    assert not [name for name in entries if "__pycache__" in name or name.startswith("app/release")]
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
    assert (release / "VERSION").read_text() == f"{version(checkout)} {ARCH}\n"
    assert re.fullmatch("[0-9a-f]{40}", version(checkout))
    wheels = [name for name in entries if name.endswith(".whl")]
    for package in ("boto3", "django", "gunicorn", "pip", "psycopg", "psycopg_binary"):
        assert [name for name in wheels if name.startswith(f"wheels/{package}-")]
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[ARCH]
    assert all(name.endswith(("none-any.whl", f"{machine}.whl")) for name in wheels)


def test_it_has_the_versions_that_the_tests_run() -> None:
    def pinned(name: str) -> set[str]:
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        return {line.split(" ")[0] for line in lines if "==" in line}

    outside = {line for line in pinned("app") - pinned("dev") if not line.startswith(("pip==", "tzdata=="))}
    assert outside == set()


def test_a_commit_that_was_changed_says_so(tmp_path: Path) -> None:
    assert version(tmp_path) == "unknown"
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").touch()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    clean = version(tmp_path)
    assert len(clean) == 40
    (tmp_path / "elsewhere").touch()
    assert version(tmp_path) == clean
    (tmp_path / "lease" / "relight_lease").mkdir(parents=True)
    lease = tmp_path / "lease" / "relight_lease" / "new.py"
    lease.touch()
    assert version(tmp_path) == f"{clean}-changed"
    lease.unlink()
    assert version(tmp_path) == clean
    (tmp_path / "app" / "new.py").touch()
    assert version(tmp_path) == f"{clean}-changed"


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in PACKAGES.values():
        (root / folder).mkdir(parents=True)
    (root / "app" / "release").symlink_to(ROOT / "app" / "release")
    (root / "requirements").mkdir()
    (root / "requirements" / "app.txt").write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ReleaseNotBuiltError, match=f"the wheels for {ARCH} could not be had"):
        build(ARCH, tmp_path / "release.tar.gz", root)
    assert not (tmp_path / "release.tar.gz").exists()


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_parses_and_stops_at_its_first_error(name: str) -> None:
    path = ROOT / "app" / "release" / name
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    text = path.read_text()
    assert text.startswith("#!/bin/bash\n")
    assert "\nset -euo pipefail\n" in text


class Machine:
    """A disk and tools that only write down how they were called; install.sh runs on it for real."""

    def __init__(self, folder: Path, *, log_agent: bool) -> None:
        self.folder = folder
        self.release = folder / "opt/relight/releases/1"
        self.calls = folder / "calls"
        for place in ("bin", "etc/systemd/system", "etc/logrotate.d", "var/log", "opt/relight/releases/1"):
            (folder / place).mkdir(parents=True)
        for name in ON_THE_INSTANCE:
            text = (ROOT / "app" / "release" / name).read_text()
            text = re.sub(r"(?<![\w.-])/(?=(etc|var|opt)/)", f"{folder}/", text)
            (self.release / name).write_text(text)
            (self.release / name).chmod(0o755)
        self._tool(self.release / "venv.sh", "exit 0")
        for name in ("python3.13", "useradd", "systemctl"):
            self._tool(folder / "bin" / name, "exit 0")
        self._tool(folder / "bin" / "id", "exit 1")
        self._tool(folder / "bin" / "install", 'exec /usr/bin/install "${@/#relight/root}"')
        self._tool(folder / "bin" / "dnf", f"exit {0 if log_agent else 1}")
        agent = folder / "opt/aws/amazon-cloudwatch-agent"
        if log_agent:
            (agent / "bin").mkdir(parents=True)
            (agent / "etc").mkdir()
            self._tool(agent / "bin/amazon-cloudwatch-agent-ctl", "exit 0")
        self.agent_configuration = agent / "etc/relight.json"

    def _tool(self, path: Path, body: str) -> None:
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >>"{self.calls}"\n{body}\n')
        path.chmod(0o755)

    def install(self) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "LOG_GROUP": "/relight/shop/dr/application"}
        return subprocess.run(
            [self.release / "install.sh"], env=environment, capture_output=True, text=True, check=False
        )

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.mark.linux
def test_the_installation_starts_the_shop_and_then_sends_its_log(tmp_path: Path) -> None:
    machine = Machine(tmp_path, log_agent=True)
    for _ in range(2):  # as often as one likes
        machine.calls.unlink(missing_ok=True)
        ended = machine.install()
        assert (ended.returncode, ended.stderr) == (0, "")
        assert (tmp_path / "opt/relight/current").resolve() == machine.release
        names = [call.split(" ")[0] for call in machine.called]
        assert names.index("venv.sh") < names.index("systemctl") < names.index("amazon-cloudwatch-agent-ctl")
        assert "systemctl restart --no-block relight-app.service" in machine.called
        assert not [call for call in machine.called if call.startswith("dnf")]  # all is there
    configuration: Any = json.loads(machine.agent_configuration.read_text())
    (file,) = configuration["logs"]["logs_collected"]["files"]["collect_list"]
    assert file["log_group_name"] == "/relight/shop/dr/application"
    assert f"append:{file['file_path']}" in (tmp_path / "etc/systemd/system/relight-app.service").read_text()


@pytest.mark.linux
def test_the_log_is_there_before_systemd_would_make_it_as_roots_own(tmp_path: Path) -> None:
    """logrotate reads and cuts it as `relight`; the next release's installation keeps what it holds."""
    machine = Machine(tmp_path, log_agent=True)
    log = tmp_path / "var/log/relight/app.log"
    assert machine.install().returncode == 0
    (made,) = [call for call in machine.called if call.endswith(f" {log}")]
    assert made == f"install -m 0640 -o relight -g relight /dev/null {log}"
    assert machine.called.index(made) < machine.called.index("systemctl restart --no-block relight-app.service")
    assert "su relight relight" in (tmp_path / "etc/logrotate.d/relight-app").read_text()
    log.write_text("said before\n")
    assert machine.install().returncode == 0
    assert log.read_text() == "said before\n"


@pytest.mark.linux
def test_a_log_agent_that_cannot_be_had_keeps_nothing_from_serving(tmp_path: Path) -> None:
    machine = Machine(tmp_path, log_agent=False)
    ended = machine.install()
    assert ended.returncode == 0
    assert "the logs stay on this instance" in ended.stderr
    assert "systemctl restart --no-block relight-app.service" in machine.called
    assert "dnf install --assumeyes --quiet amazon-cloudwatch-agent" in machine.called


def test_the_unit_runs_the_gate_first_as_nobody_in_particular_and_comes_again() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert service["ExecStartPre"].endswith("/venv/bin/python -m app.boot_gate")
    assert service["ExecStart"].endswith("/venv/bin/python -m app.serve")
    assert (service["Restart"], service["RestartSec"]) == ("always", "10")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["User"] == "relight"
    assert (service["NoNewPrivileges"], service["ProtectSystem"], service["CapabilityBoundingSet"]) == (
        "yes",
        "strict",
        "",
    )
