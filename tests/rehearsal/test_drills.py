"""Drills beside clients that order: nobody notices, nothing is left, and a Region lost meanwhile is failed over.

Both kinds in one pair of Regions, one after the other: the deployment is what takes the time. These Regions were just
created, so they are also the ones that score 100 in readiness.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.rehearsal.conftest import ROOT, Rehearsed

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill, pytest.mark.readiness]
Rehearse = Callable[..., Rehearsed]
_SLOW = "the run's record of the RTO differs"  # a matter of speed, which benchmarks/ looks at


def _nothing_left(done: Rehearsed) -> None:
    assert done.document["left_over"] == [], done.said
    assert done.document["pids_left"] == []
    assert list(done.folder.iterdir()) == []


def test_drills_touch_neither_clients_nor_the_standing_replica_and_leave_nothing(rehearse: Rehearse) -> None:
    done = rehearse("--drill", "promote,restore", "--seed-orders", "50", "--clients", "6")
    document = done.document
    assert document["problems"] == [], done.said
    assert (done.code, document["status"]) == (0, "SUCCEEDED"), done.said
    assert document["client_failures"] == 0
    assert document["acknowledged_writes"] > 0
    assert document["missing_writes"] == []
    assert document["standby_streaming_always"] is True
    assert document["promotions"] == 0, "the standing replica is one still"
    promoted, restored = document["drills"]
    assert document["promote_seconds"] == promoted["promote_seconds"] > 0
    assert document["restore_seconds"] == restored["restore_seconds"] > 0
    for one in (promoted, restored):
        assert one["instances"] > 0
        assert (one["marked"], one["reached_standing"], one["ways_out"]) == (True, False, [])
    assert {each["answer"] for each in document["answers"] if each["code"] == 0} == {"approve"}
    _ready(document)
    _recorded(document)
    _nothing_left(done)


def _ready(document: dict[str, Any]) -> None:
    """Regions that were just created are ready by their functions' own word, and so is the standby after the drills."""
    for name in ("readiness_active", "readiness", "readiness_after"):
        assert (document[name]["not_passed"], document[name]["score"]) == ([], 100), name
    for name in ("readiness", "readiness_after"):
        assert document[name]["checks"] > 30
        assert 30 < document[name]["calls"] < 60


def _recorded(document: dict[str, Any]) -> None:
    """What each drill has recorded of itself is kept, and tells no other kind's time."""
    kept = {one["kind"]: ROOT / "build/rehearsal" / one["run"] for one in document["drills"]}
    assert document["reports"] == [f"build/rehearsal/{folder.name}/report.html" for folder in kept.values()]
    for kind, other in (("promote", "restore"), ("restore", "promote")):
        record = json.loads((kept[kind] / "run.json").read_text())
        assert (record["kind"], record["drill"]["kind"], record["status"]) == ("drill", kind, "SUCCEEDED")
        assert record["drill"][f"{kind}_seconds"] == document[f"{kind}_seconds"]
        assert record["drill"][f"{other}_seconds"] is None
        assert record["drill"]["left_over"] == []
        assert "<svg" in (kept[kind] / "report.html").read_text()
        assert set(json.loads((kept[kind] / "manifest.json").read_text())["files"]) == {"run.json", "report.html"}


@pytest.mark.long
def test_a_primary_that_is_lost_in_the_middle_of_a_drill_is_failed_over(rehearse: Rehearse) -> None:
    done = rehearse("--during-drill", "restore", "--seed-orders", "50", "--clients", "3")
    document = done.document
    slow = [problem for problem in document["problems"] if problem.startswith(_SLOW)]
    assert document["problems"] == slow, done.said
    assert (done.code, document["status"]) == (1 if slow else 0, "SUCCEEDED"), done.said
    assert document["promotions"] == 1
    assert document["rto_seconds"] is not None
    assert document["finding"] == "region_lost"
    assert document["missing_streamed_writes"] == 0
    assert "drill" in {each["machine"] for each in document["executions"]}
    _nothing_left(done)
