"""Every command in trouble: with `--json` one document on stdout and nothing else, without it one line on stderr."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import relight_cli.aws
from botocore.config import Config
from moto.moto_api._internal import moto_api_backend
from relight_cli.command import app, run
from relight_cli.exit_code import Exit
from syrupy.assertion import SnapshotAssertion
from typer.main import get_command

from lab import network
from lab.cloud import Cloud
from lab.network import Network
from lab.region import Side, Vantage
from tests.cli.onlookers import well
from tests.cli.refusing import Refusing
from tests.cli.told import told
from tests.unit.announcements import ending
from tests.unit.standby import HERE, HOME, NOW, claims, make_ledger

ROOT = Path(__file__).parents[2]
ONE = ("--app", "shop", "--region", HERE)
BOTH = (*ONE, "--peer-region", HOME)
WHY = ("--reason", "a test")
PROD = ("--env", "prod")
COMMANDS: dict[str, tuple[str, ...]] = {
    "deploy --plan": ("deploy", *PROD, "--plan"),
    "deploy": ("deploy", *PROD, "--yes", "--skip-build"),
    "destroy": ("destroy", *PROD, "--yes"),
    "may-deploy": ("may-deploy", *PROD),
    "cut-over": ("cut-over", *PROD, "--plan"),
    "cost": ("cost", *PROD),
    "approve": ("approve", "run-1", *WHY, *ONE),
    "decline": ("decline", "run-1", *WHY, *ONE),
    "stay": ("stay", "run-1", *WHY, *ONE),
    "failback": ("failback", *WHY, *PROD),
    "failback --plan": ("failback", "--plan", *PROD),
    "reconcile": ("reconcile", "run-1", *ONE),
    "retired": ("retired", *BOTH),
    "retired --delete": ("retired", "--delete", "shop-1", *WHY, *BOTH),
    "readiness": ("readiness", *BOTH),
    "readiness --last": ("readiness", "--last", *BOTH),
    "drill": ("drill", *BOTH, "--no-follow"),
    "drill --plan": ("drill", "--plan", *BOTH),
    "report": ("report", "run-1", *BOTH),
    "history": ("history", *BOTH),
    "freeze": ("freeze", "--until", "2h", *WHY, *BOTH),
    "unfreeze": ("unfreeze", *WHY, *BOTH),
    "explain": ("explain",),
    "status": ("status", *BOTH),
    "watch --run": ("watch", "--run", "failover-1", *BOTH),
    "failover": ("failover", *WHY, *BOTH, "--no-follow"),
    "failover --plan": ("failover", "--plan", *BOTH),
    "cancel": ("cancel", "run-1", *WHY, *ONE),
    "redrive": ("redrive", "run-1", *ONE),
}
TRIED_ELSEWHERE = {
    "rehearse": "calls no AWS, and its --json is the name of a file: test_main.py",
    "doctor": "each of these troubles is a row of its answer, never its end: test_doctor.py",
}
OFFLINE = {"deploy --plan", "cost", "explain"}
"""What has an answer without AWS, even if it is shorter."""
# What a command says of what was lost may be in its document, whose own code is 2 for "it cannot be known".
UNKNOWN = {"may-deploy"}
TROUBLES = {
    "no credentials": {Exit.NO_CREDENTIALS},
    "denied": {Exit.DENIED, Exit.AWS},
    "throttled": {Exit.AWS},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's templates and environments, and something that is called sam."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("template.yaml", "stacks", "functions", "layers", "statemachine"):
        (folder / name).symlink_to(ROOT / name)
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", "123456789012")
    (folder / "samconfig.toml").write_text(text)
    sam = folder / ".tools/sam/bin/sam"
    sam.parent.mkdir(parents=True)
    sam.touch()
    release = folder / "build/release-arm64.tar.gz"
    release.parent.mkdir()
    release.touch()
    return folder


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    with Refusing() as made:
        yield made


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """One for all: most of a test's time would go into reading the models of the services anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        made = boto3.session.Session()
        made.get_credentials()
        yield made


@pytest.fixture(autouse=True)
def nowhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the project, without credentials, and asking once: how often AWS is asked is not what is tested."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "RELIGHT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.chdir(project)
    once = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 1, "mode": "standard"})
    monkeypatch.setattr(relight_cli.aws, "_CONFIG", once)


@pytest.fixture
def arranged(request: pytest.FixtureRequest, refusing: Refusing, session: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The trouble by its name."""
    name = str(request.param)
    if name != "no credentials":
        refusing.code = {"denied": "AccessDenied", "throttled": "Throttling"}[name]
        monkeypatch.setenv("AWS_ENDPOINT_URL", refusing.url)
        monkeypatch.setattr(relight_cli.aws, "_signed_in", lambda: session)
    return name


def only_document(out: str) -> Any:
    """The one document on stdout: JSON does not parse with anything beside it."""
    return json.loads(out)


def agreed(document: Any, code: int) -> None:
    """The document says how the command has ended."""
    error = document.get("error") if isinstance(document, dict) else None
    if code not in {Exit.DONE, Exit.OTHERWISE}:
        assert error is not None, "an end that is no answer is told"
    if error is not None:
        assert (error["exit_code"], error["exit"]) == (code, Exit(code).name)
        assert error["sentence"].startswith(error["what"])
        assert "\n" not in error["sentence"]


ASKED = [name for name in COMMANDS if name not in OFFLINE]


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told breaks its lines there, however wide the terminal of who tests."""
    monkeypatch.setenv("COLUMNS", "120")


TRIED = [(name, trouble) for trouble in TROUBLES for name in (COMMANDS if trouble == "no credentials" else ASKED)]


@pytest.mark.parametrize(("name", "arranged"), TRIED, indirect=["arranged"])
def test_in_trouble_there_is_one_document_or_one_line(
    arranged: str, name: str, capfd: pytest.CaptureFixture[str], snapshot: SnapshotAssertion
) -> None:
    words = list(COMMANDS[name])
    code = run([*words, "--json"])
    out, _ = capfd.readouterr()
    agreed(only_document(out), code)
    expected = {Exit.DONE} if name in OFFLINE else {Exit.BAD_INPUT} if name in UNKNOWN else TROUBLES[arranged]
    assert code in expected
    if name in OFFLINE:
        return
    document = out
    assert run(words) == code
    out, complaint = capfd.readouterr()
    assert told(words, code, out + document, complaint) == snapshot
    assert out == ""
    assert re.fullmatch(r"relight: [^\n]+\n", complaint), complaint


@dataclass(frozen=True)
class Estate:
    """Both Regions' APIs, and who asks them."""

    cloud: Cloud
    wires: Network
    session: Any

    def on_the_first_day(self) -> None:
        """A ledger in each Region, in which nobody has written."""
        moto_api_backend.reset()
        self.wires.restore(Side.PRIMARY)
        for region in (HERE, HOME):
            make_ledger(self.cloud.client("dynamodb", region))

    def with_its_primary_lost(self) -> None:
        """And the other Region active."""
        moto_api_backend.reset()
        self.wires.restore(Side.PRIMARY)
        for region in (HERE, HOME):
            make_ledger(self.cloud.client("dynamodb", region)).mirror(claims(4, HERE), NOW)
        self.wires.lose(Side.PRIMARY, network.Path.REFUSED)

    def on_most_days(self) -> None:
        """Both Regions well, and state machines that can be started. Each Region's evidence holds a run that ended."""
        moto_api_backend.reset()
        self.wires.restore(Side.PRIMARY)
        well(time.time())
        for region in (HERE, HOME):
            for machine in ("failover", "failback", "drill"):
                self.cloud.client("stepfunctions", region).create_state_machine(
                    name=f"relight-shop-{machine}",
                    definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
                    roleArn="arn:aws:iam::123456789012:role/relight-shop",
                )
            s3, bucket = self.cloud.client("s3", region), f"relight-evidence-shop-123456789012-{region}"
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
            ended = ending()
            body = ended | {"run": {**ended["run"], "id": f"failover-4-{region}", "ended": NOW}}
            s3.put_object(Bucket=bucket, Key=f"runs/failover-4-{region}/run.json", Body=json.dumps(body).encode())


@pytest.fixture(scope="module")
def built() -> Iterator[Estate]:
    moto_api_backend.reset()
    wires = Network()
    cloud = Cloud(wires)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in cloud.environment(Vantage.OUTSIDE).items():
            patch.setenv(key, value)
        session = boto3.session.Session()
        session.get_credentials()
    yield Estate(cloud, wires, session)
    cloud.stop()


@pytest.fixture
def estate(built: Estate, monkeypatch: pytest.MonkeyPatch) -> Estate:
    for key, value in built.cloud.environment(Vantage.OUTSIDE).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(relight_cli.aws, "_signed_in", lambda: built.session)
    return built


@pytest.mark.parametrize("name", ASKED)
def test_with_one_region_dead_there_is_one_document_too(
    estate: Estate, name: str, capfd: pytest.CaptureFixture[str], snapshot: SnapshotAssertion
) -> None:
    estate.with_its_primary_lost()
    code = run([*COMMANDS[name], "--json"])
    document = capfd.readouterr().out
    agreed(only_document(document), code)
    assert run(list(COMMANDS[name])) == code
    out, complaint = capfd.readouterr()
    assert told(COMMANDS[name], code, out + document, complaint) == snapshot
    assert "Traceback" not in complaint
    if code not in {Exit.DONE, Exit.OTHERWISE}:
        assert re.fullmatch(r"relight: [^\n]+\n", complaint.splitlines(keepends=True)[-1])


@pytest.mark.parametrize("day", [Estate.on_the_first_day, Estate.on_most_days], ids=lambda day: day.__name__)
@pytest.mark.parametrize("name", ASKED)
def test_with_both_regions_there_each_command_tells_what_it_did_or_why_it_did_not(
    estate: Estate,
    name: str,
    day: Callable[[Estate], None],
    capfd: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
) -> None:
    """An empty ledger, a run that nobody knows; and what works on most days."""
    shown = []
    for more in ((), ("--json",)):
        day(estate)
        words = (*COMMANDS[name], *more)
        code = run(list(words))
        shown.append(told(words, code, *capfd.readouterr()))
    assert "Traceback" not in str(shown)
    assert "\n\n".join(shown) == snapshot


def test_each_command_is_tried() -> None:
    """But for those with a reason; neither list names what is no command."""
    names = set(get_command(app).commands)  # type: ignore[attr-defined]
    tried = {words[0] for words in COMMANDS.values()}
    assert names - tried == TRIED_ELSEWHERE.keys()
    assert tried <= names
    lacking = [
        one.name
        for one in app.registered_commands
        if one.callback is not None and one.callback.__code__.co_varnames.count("json") == 0
    ]
    assert lacking == [], "each command takes --json"


@pytest.mark.parametrize("words", [["drill", "--kind", "fire"], ["history", "--newest", "x"], ["freeze"], ["drll"]])
def test_a_wrong_command_line_is_a_document_too(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    code = run([*words, "--json"])
    assert code == Exit.BAD_INPUT
    agreed(only_document(capfd.readouterr().out), code)


# A reader that goes away, and a shell that asks.


def relight(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command as a process."""
    program = [sys.executable, "-m", "relight_cli.main", *words]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, env=os.environ | more, check=False)


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "relight_cli.main", "explain", "--json"]
    with os.fdopen(writing, "wb") as closed:
        ended = subprocess.run(program, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str) -> None:
    shown = relight("--show-completion", shell)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"complete_{shell}" in shown.stdout


def test_a_closed_vocabulary_completes() -> None:
    asked = {"_RELIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "relight drill --kind p", "COMP_CWORD": "3"}
    assert relight(**asked).stdout.split() == ["plan", "promote"]
