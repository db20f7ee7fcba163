"""The way home: nothing lost beyond what the failover lost, nothing hidden, and all as it was in the end."""

from collections.abc import Callable

import pytest

from tests.rehearsal.conftest import Rehearsed

pytestmark = [pytest.mark.rehearsal, pytest.mark.failback, pytest.mark.timeout(420)]
Rehearse = Callable[..., Rehearsed]
_SLOW = "the run's record of the RTO differs"  # a matter of speed, which benchmarks/ looks at


def _as_it_should_be(done: Rehearsed) -> None:
    document = done.document
    slow = [problem for problem in document["problems"] if problem.startswith(_SLOW)]
    assert document["problems"] == slow, done.said
    assert (done.code, document["status"]) == (1 if slow else 0, "SUCCEEDED"), done.said
    assert document["promotions"] == 2
    assert document["writes_on_both_sides"] == 0
    assert document["pids_left"] == []
    assert list(done.folder.iterdir()) == []


def test_a_circle_ends_where_it_began_though_its_orchestrator_is_stopped_three_times(rehearse: Rehearse) -> None:
    done = rehearse("--circle", "--kill-orchestrator-at", "reprotect,compare,switchover", "--clients", "3")
    _as_it_should_be(done)
    document = done.document
    assert document["circle_drift"] == []
    assert len(document["lost_in_failover"]) >= 10, "they were on the primary alone when it was lost"
    assert sorted(document["reconciled"]) == sorted(document["lost_in_failover"])
    assert sorted(document["missing_writes"]) == sorted(document["lost_in_failover"])
    assert 0 < document["read_only_seconds"] <= document["home_outage_seconds"]
    home = [each for each in document["executions"] if each["region"] == "eu-west-1" and each["machine"] == "failback"]
    assert [each["status"] for each in home].count("ABORTED") == 3
    assert home[-1]["status"] == "SUCCEEDED"


@pytest.mark.long
def test_a_dr_region_that_is_lost_while_active_is_failed_over_to_home(rehearse: Rehearse) -> None:
    done = rehearse("--fault", "dr-lost-while-active", "--seed-orders", "50", "--clients", "3")
    _as_it_should_be(done)
    document = done.document
    assert document["held"] is True
    assert document["finding"] == "region_lost"
    assert document["rto_seconds"] is not None
    assert document["missing_streamed_writes"] == 0
