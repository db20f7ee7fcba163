"""The orchestrator alone, beside a workload with two Auto Scaling groups that was made elsewhere; GO after verify."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from lab.region import Side
from tests.rehearsal.conftest import ROOT

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.deploy,
]
WORKLOAD = {"Network", "Storage", "Database", "Compute"}


@pytest.fixture(scope="module")
def brought() -> dict[str, Any]:
    """One rehearsal, and what was seen in it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.rehearsal.brought"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_it_is_failed_over_as_one_that_these_templates_have_made(brought: dict[str, Any]) -> None:
    slow = "the run's record of the RTO differs"  # a matter of speed, which benchmarks/ looks at
    assert [problem for problem in brought["problems"] if not problem.startswith(slow)] == []
    assert brought["status"] == "SUCCEEDED"


def test_nothing_of_the_workload_is_made(brought: dict[str, Any]) -> None:
    for side in Side:
        made = set(brought["stacks"][side])
        assert not made & WORKLOAD
        assert {"Ledger", "Watch", "Failover", "Observability"} <= made


def test_each_group_has_what_its_counterpart_had(brought: dict[str, Any]) -> None:
    assert brought["primary"] == {"shop-primary": 2, "workers-primary": 1}
    assert brought["dr"] == {"shop-dr": 2, "workers-dr": 1}
    assert "workers-dr: 1 of 1 instances are healthy" in dict(brought["steps"])["scale (serve)"]


def test_go_came_after_the_proven_write(brought: dict[str, Any]) -> None:
    names = [name for name, _ in brought["steps"]]
    steps = dict(brought["steps"])
    assert steps["switch"].endswith("GO waits for verify: STOP 1, GO 0")
    assert steps["switch (go)"] == "traffic may come: STOP 1, GO 1"
    # On a slow machine a run may stand down first, because one view is behind the other; the next one promotes.
    after = names[names.index("promote") :]
    assert after.index("verify") < after.index("switch (go)") < after.index("record")


def test_it_is_asked_for_under_the_names_that_were_given(brought: dict[str, Any]) -> None:
    given = brought["environments"]
    assert given["promote"]["REPLICA_ID"] == "shop-dr"
    assert given["probe"]["PEER_GROUP_NAMES"] == "shop-primary,workers-primary"
    assert given["guard"]["APP_CIDRS"] == "10.20.16.0/20,10.20.32.0/20"
    assert given["fence"]["PEER_APP_CIDRS"] == "10.10.16.0/20,10.10.32.0/20"
    assert given["verify"]["TRANSACTION_PATH"] == "/orders"
