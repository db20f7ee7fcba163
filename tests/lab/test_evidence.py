"""How a rehearsal ended, from the executions that there were and the records that the runs have left."""

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from lab.evidence import Evidence
from lab.region import Side
from lab.report import Status
from lab.workflow import ExecutionRecord
from lab.world import World


def execution(name: str, status: str, output: dict[str, str] | None = None) -> ExecutionRecord:
    text = None if output is None else json.dumps(output)
    return ExecutionRecord(name, "relight-shop-failover", name, status, datetime.now(UTC), None, text, None, None)


class Records:
    """The evidence bucket: what each run has recorded."""

    def __init__(self, records: dict[str, str]) -> None:
        self.records = records

    def get_object(self, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        run = Key.split("/")[1]
        if run not in self.records:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": run}}, "GetObject")
        return {"Body": io.BytesIO(json.dumps({"status": self.records[run]}).encode())}


def ended(executions: list[ExecutionRecord], records: dict[str, str] | None = None) -> Status:
    world = SimpleNamespace(
        workflows=SimpleNamespace(executions=lambda _: executions),
        cloud=SimpleNamespace(client=lambda *_: Records(records or {})),
        stacks_made={Side.DR: SimpleNamespace(outputs={"EvidenceBucket": "evidence"})},
    )
    return Evidence(cast("World", world)).status()


DONE = execution("done", "SUCCEEDED", {"status": "SUCCEEDED"})
STOOD_DOWN = execution("stood-down", "SUCCEEDED", {"status": "STOOD_DOWN"})
QUIET = execution("quiet", "SUCCEEDED", {"status": "ALREADY_IN_PROGRESS"})
STOPPED = execution("stopped", "ABORTED")
RED = execution("red", "FAILED")


@pytest.mark.parametrize(
    ("executions", "records", "status"),
    [
        ([], {}, Status.NO_RUN),
        ([DONE], {}, Status.SUCCEEDED),
        ([DONE, QUIET], {}, Status.SUCCEEDED),
        ([STOOD_DOWN, DONE], {}, Status.SUCCEEDED),
        ([DONE, STOOD_DOWN], {}, Status.SUCCEEDED),
        ([STOPPED], {}, Status.UNFINISHED),
        ([STOPPED, DONE], {}, Status.SUCCEEDED),
        ([STOPPED, STOOD_DOWN], {"stopped": "SUCCEEDED"}, Status.SUCCEEDED),
        ([STOPPED, STOOD_DOWN], {}, Status.STOOD_DOWN),
        ([DONE, RED], {}, Status.FAILED),
        ([RED, STOOD_DOWN], {}, Status.STOOD_DOWN),
    ],
)
def test_the_end_of_a_rehearsal(executions: list[ExecutionRecord], records: dict[str, str], status: Status) -> None:
    assert ended(executions, records) is status


class Old:
    """The old primary's server, with orders that it had before the other side took over, and since."""

    def __init__(self, *, running: bool) -> None:
        self._running = running

    def is_running(self) -> bool:
        return self._running

    def sql(self, _: str, params: tuple[float], **__: Any) -> list[tuple[str, bool]]:
        return [(name, at <= params[0]) for name, at in (("early", 100.0), ("just then", 110.0), ("late", 120.0))]


@pytest.mark.parametrize(
    ("running", "moment", "commits"),
    [
        (True, 110.0, ({"early", "just then"}, {"late"})),
        (True, None, (None, None)),
        (False, 110.0, (None, None)),
    ],
)
def test_what_the_old_side_committed_before_and_since(*, running: bool, moment: float | None, commits: Any) -> None:
    old = SimpleNamespace(server=Old(running=running))
    world = SimpleNamespace(databases=SimpleNamespace(database=lambda *_: old), database_id=lambda _: "shop-primary")
    assert Evidence(cast("World", world))._old_commits(moment) == commits
