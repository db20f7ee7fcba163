"""Drills beside clients that order: nobody notices, nothing is left, and a Region lost meanwhile is failed over.

Both kinds in one pair of Regions, one after the other: the deployment is what takes the time.
"""

from collections.abc import Callable

import pytest

from tests.rehearsal.conftest import Rehearsed

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill, pytest.mark.readiness]
Rehearse = Callable[..., Rehearsed]
_SLOW = "the run's record of the RTO differs"  # a matter of speed, which benchmarks/ looks at


def _nothing_left(done: Rehearsed) -> None:
    assert done.document["left_over"] == [], done.said
    assert done.document["pids_left"] == []
    assert list(done.folder.iterdir()) == []


def test_drills_touch_neither_clients_nor_the_standing_replica_and_leave_nothing(rehearse: Rehearse) -> None:
    done = rehearse("--drill", "promote,restore")
    document = done.document
    assert document["problems"] == [], done.said
    assert (done.code, document["status"]) == (0, "SUCCEEDED"), done.said
    assert document["client_failures"] == 0
    assert document["acknowledged_writes"] > 0
    assert document["missing_writes"] == []
    assert document["standby_streaming_always"] is True
    # Regions that were just created are ready, by the function's own word, and so they are after the drills.
    for readiness in (document["readiness"], document["readiness_after"]):
        assert (readiness["not_passed"], readiness["score"]) == ([], 100)
        assert 30 < readiness["calls"] < 60
        assert readiness["seconds"] < 10
    assert document["promotions"] == 0, "the standing replica is one still"
    promoted, restored = document["drills"]
    assert document["promote_seconds"] == promoted["promote_seconds"] > 0
    assert document["restore_seconds"] == restored["restore_seconds"] > 0
    for one in (promoted, restored):
        assert one["instances"] > 0
        assert (one["marked"], one["reached_standing"], one["ways_out"]) == (True, False, [])
    assert {each["answer"] for each in document["answers"] if each["code"] == 0} == {"approve"}
    _nothing_left(done)


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
