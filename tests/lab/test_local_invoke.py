"""`make local-invoke` without a container: what it refuses, what it makes of an answer, and the lock that it lends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from moto import mock_aws

from lab import engine, sam_local
from lab.engine import EngineMissing
from lab.environment_file import UnknownRegion, region_of
from lab.errors import OptionRefused
from lab.kept import Kept
from lab.lent_lock import LockHeld, lent
from lab.local_invoke import InvocationFailed, answered, is_error
from lab.options import DrillKind, Fault, LambdaMode, Options
from lab.sam_functions import ROOT

RUN = {"run": {"id": "one", "owner": "arn:one", "epoch": 7, "started_at": 1.0}, "intent": "go"}
KEPT = Kept("http://127.0.0.1:1", "shop", ("eu-central-1", "eu-west-1"), "", "", 1, 1.0)


@pytest.mark.parametrize(
    ("function", "event", "more", "sentence"),
    [
        ("nothing", "events/assess.json", {}, "there is no function 'nothing'"),
        ("assess", "events/alarm-primary-dwn.json", {}, "such as events/alarm-primary-down.json"),
        ("assess", "events/assess.json", {}, "run in another terminal: make rehearse ARGS=--keep"),
    ],
)
def test_it_says_in_one_line_what_to_do(
    tmp_path: Path, function: str, event: str, more: dict[str, str], sentence: str
) -> None:
    """With nothing on standard output, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.local_invoke", function, event],
        cwd=ROOT,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path)} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_an_engine_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where docker is not installed, and where it does not run."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineMissing, match="start Docker"):
        engine.require_engine()


def test_the_answer_is_the_last_json_that_sam_writes() -> None:
    """An error is told by its shape, since SAM exits 0."""
    assert answered('START RequestId: 1\n{"status": "DONE"}\n') == {"status": "DONE"}
    assert is_error({"errorType": "X", "errorMessage": "y"})
    assert not is_error({"status": "DONE"})
    assert not is_error(["errorType"])
    with pytest.raises(InvocationFailed):
        answered("nothing\n")


def test_a_region_is_named_by_its_role_too() -> None:
    """Without a name it is the one that stands by."""
    assert [region_of(KEPT, name) for name in (None, "dr", "primary", "eu-west-1")] == [
        "eu-central-1",
        "eu-central-1",
        "eu-west-1",
        "eu-west-1",
    ]
    with pytest.raises(UnknownRegion, match="eu-central-1, eu-west-1"):
        region_of(KEPT, "us-east-1")


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def test_the_lock_is_lent_and_nothing_is_left_of_it(aws: None) -> None:
    """The run has the ledger's own epoch meanwhile; whoever works there keeps the lock."""
    client = boto3.client("dynamodb", "eu-central-1")
    key = [{"AttributeName": name, "KeyType": kind} for name, kind in (("pk", "HASH"), ("sk", "RANGE"))]
    types = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
    client.create_table(
        TableName="t",
        KeySchema=key,  # type: ignore[arg-type]
        AttributeDefinitions=types,  # type: ignore[arg-type]
        BillingMode="PAY_PER_REQUEST",
    )
    head = {"pk": {"S": "region"}, "sk": {"S": "head"}}
    client.put_item(TableName="t", Item={**head, "epoch": {"N": "3"}})
    with lent(RUN, client, "t") as given:
        assert (given["run"]["epoch"], given["intent"]) == (3, "go")
        assert client.get_item(TableName="t", Key=head)["Item"]["owner"]["S"] == "arn:one"
        client.put_item(TableName="t", Item={"pk": {"S": "run#one"}, "sk": {"S": "step#go"}})
        with pytest.raises(LockHeld), lent(RUN, client, "t"):
            pass
    assert client.scan(TableName="t")["Items"] == [{**head, "epoch": {"N": "3"}}]
    with lent({"check": "state"}, client, "t") as given:
        assert given == {"check": "state"}


def test_networks_of_labs_that_were_killed_are_taken_away() -> None:
    """With their containers; those of a lab that lives stay."""
    me = engine.owner(psutil.Process())
    said: list[tuple[str, ...]] = []

    def docker(*words: str) -> str:
        said.append(words)
        match words[:2]:
            case ("network", "ls"):
                return f"relight-dead 1-1.00\nrelight-alive {me}\n" if "--format" in words else "id\n"
            case ("ps", "--all"):
                return "" if ("rm", "--force", "--volumes", "one") in said else "one\n"
            case ("network", "inspect"):
                return json.dumps([{"IPAM": {"Config": [{"Gateway": "172.30.0.1", "Subnet": "172.30.0.0/16"}]}}])
        return ""

    with engine.bridge(docker) as bridge:
        assert (bridge.address, bridge.admits("172.30.4.5"), bridge.admits("10.0.0.1")) == ("172.30.0.1", True, False)
    assert ("network", "rm", "relight-dead") in said
    assert ("network", "rm", "relight-alive") not in said
    assert ("network", "rm", bridge.name) in said


def test_what_sam_runs_together_is_heard_once_each() -> None:
    """Documents without a line's end between them, and those that come twice."""
    heard: list[str] = []
    said = sam_local.Said(heard.append)
    for line in ('{"a": 1}{"b": 2} {"a": 1}', "START", '{"a": 1}', '{"c"'):
        said.hear(line)
    assert heard == ['{"a": 1}', '{"b": 2}', "START"]


@pytest.mark.parametrize(
    ("body", "failed", "expected"),
    [
        (b'{"status": "DONE"}', False, ({"status": "DONE"}, None)),
        (b'{"errorType": "X", "errorMessage": "y"}', True, ({"errorType": "X", "errorMessage": "y"}, "Unhandled")),
        (b"2026 abc Task timed out after 3.00 seconds", False, TimeoutError),
        (b'{"errorType": "Runtime.ExitError", "errorMessage": "gone"}', True, EOFError),
        (b"", False, EOFError),
    ],
)
def test_an_answer_of_sam_is_one_of_invoke(body: bytes, failed: bool, expected: object) -> None:
    """With the errors that a sandbox has."""
    if isinstance(expected, type) and issubclass(expected, Exception):
        with pytest.raises(expected):
            sam_local.read_answer(body, failed=failed)
    else:
        assert sam_local.read_answer(body, failed=failed) == expected


@pytest.mark.parametrize(
    "given", [{"circle": True}, {"drill": (DrillKind.PLAN,), "fault": Fault.NONE}, {"template": Path("other.yaml")}]
)
def test_what_no_container_reaches_is_refused(given: dict[str, object]) -> None:
    """Before anything is started."""
    with pytest.raises(OptionRefused, match="--lambda"):
        Options(lambda_mode=LambdaMode.SAM, **given)  # type: ignore[arg-type]
