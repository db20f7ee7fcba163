"""The table of all faults: which rehearsals there are, what a row says, and what is made of a bad end."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.options import STEPS_HOME, Fault
from lab.rehearsals import CASES, DRILLS, SWITCHOVERS, Rehearsed, chosen, kept, main, page, table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MACHINE = {"cpu": "A model", "cores": 2, "memory_mib": 8192, "platform": "Linux-6", "python": "3.13.0"}


def document(**changes: Any) -> dict[str, Any]:
    """The parts of a result document that the table reads."""
    return {
        "status": "SUCCEEDED",
        "expected": "SUCCEEDED",
        "problems": [],
        "finding": "region_lost",
        "timings": "lab",
        "rto_seconds": 17.9,
        "rto_floor_seconds": 20.0,
        "rpo_seconds": 0.0,
        "missing_writes": [],
        "acknowledged_writes": 208,
        "writes_on_both_sides": 0,
        "old_side_wrote_seconds": None,
        "promotions": 1,
        "started": NOW.timestamp(),
        "ended": NOW.timestamp() + 38.2,
        "machine": MACHINE,
    } | changes


def test_every_fault_is_rehearsed_once_and_each_way_home() -> None:
    assert [name for name, words in CASES.items() if words == ("--fault", name)] == [fault.value for fault in Fault]
    assert [name for name, words in CASES.items() if "--lease" in words] == ["revived-primary-leased"]
    assert [name for name, words in CASES.items() if "--circle" in words] == ["circle", "circle-stopped"]
    stopped = CASES["circle-stopped"][-1].split(",")
    assert set(stopped) == STEPS_HOME, "each step of the way home is stopped once"
    assert CASES[SWITCHOVERS][:4] == ("--fault", "none", "--switchovers", "20")
    assert CASES[DRILLS] == ("--drill", "promote,restore")
    assert CASES["lost-during-drill"] == ("--during-drill", "restore")


def test_some_can_be_chosen() -> None:
    assert chosen(None) == tuple(CASES)
    assert chosen("dr-isolated, app-lost,dr-isolated") == ("dr-isolated", "app-lost")
    for wrong in ("flood", "app-lost,flood", "", ","):
        with pytest.raises(ValueError, match="choose from primary-lost"):
            chosen(wrong)


def test_bad_input_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "flood"])
    assert ended.value.code == 2
    assert "--only: unknown flood" in capfd.readouterr().err


def test_a_row_says_what_was_seen() -> None:
    rows = list(
        table(
            [
                Rehearsed("primary-lost", 0, document()),
                Rehearsed("none", 0, document(status="NO_RUN", expected="NO_RUN", finding=None, promotions=0)),
                Rehearsed(
                    "revived-primary",
                    0,
                    document(writes_on_both_sides=3, old_side_wrote_seconds=3.21, missing_writes=["a", "b", "c"]),
                ),
                Rehearsed("false-alarm", 1, document(missing_writes=None, problems=["it failed over"])),
                Rehearsed("dr-isolated", 2, {}, "relight: no PostgreSQL\n"),
            ]
        )
    )
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2] == (
        "| `primary-lost` | SUCCEEDED | SUCCEEDED | region_lost | 17.90 s | 20.0 s | 0 of 208 | 0.00 s | 0 | 38 s |"
    )
    assert rows[3].startswith("| `none` | NO_RUN | NO_RUN |  |  |  | 0 of 208 |")
    assert "| 3 of 208 |" in rows[4]
    assert "| 3, the last 3.2 s after its return |" in rows[4]
    assert "| SUCCEEDED (!) |" in rows[5]
    assert "| unknown |" in rows[5]
    assert "| no result |" in rows[6]


def test_the_page_says_when_and_on_what_and_what_was_wrong() -> None:
    good = page([Rehearsed("primary-lost", 0, document())], NOW)
    assert "2026-11-23, timings `lab`. A model, 2 cores, 8.0 GiB, Linux-6, Python 3.13.0." in good
    assert "Each ended as it should." in good
    bad = page(
        [Rehearsed("none", 1, document(problems=["a run was started"])), Rehearsed("app-lost", 2, {}, "x\n\n")], NOW
    )
    assert "- `none`: a run was started" in bad
    assert "- `app-lost`: exit code 2: x" in bad
    assert "Each ended" not in bad
    assert "No rehearsal came to a result." in page([Rehearsed("app-lost", 2)], NOW)


def test_the_ways_home_have_tables_of_their_own() -> None:
    circle = document(
        lost_in_failover=["a", "b"],
        reconciled=["a", "b"],
        missing_writes=["a", "b"],
        read_only_seconds=11.25,
        home_outage_seconds=14.0,
        circle_drift=[],
    )
    row = {
        "number": 1,
        "active": "eu-central-1",
        "started": 1.0,
        "read_only_seconds": 3.456,
        "outage_seconds": 6.0,
        "promotion_seconds": 1.2,
        "seconds": 20.0,
        "acknowledged_writes": 2000,
        "missing_writes": [],
    }
    series = document(switchovers_asked=2, switchovers=[row, row | {"number": 2, "active": "eu-west-1"}])
    text = page([Rehearsed("circle", 0, circle), Rehearsed(SWITCHOVERS, 0, series)], NOW)
    assert "| `circle` | 2 | 2 | 2 | 11.25 s | 14.00 s | 0 |" in text
    assert "| 1 | eu-central-1 | 3.46 s | 6.00 s | 1.20 s | 2000 | 100 | 0 |" in text
    assert "| 2 | eu-west-1 |" in text


def test_drills_have_a_table_of_their_own() -> None:
    ready = {"score": 100, "seconds": 1.54, "calls": 57, "checks": 42, "not_passed": []}
    row = {
        "kind": "promote",
        "status": "SUCCEEDED",
        "promote_seconds": 7.25,
        "restore_seconds": None,
        "instances": 2,
        "started": 10.0,
        "ended": 40.0,
    }
    drills = document(
        drills_asked=["promote", "restore"],
        drills=[row, row | {"kind": "restore", "promote_seconds": None, "restore_seconds": 2.5}],
        clients=24,
        client_failures=0,
        left_over=[],
        standby_streaming_always=True,
        readiness=ready,
        readiness_after=ready | {"score": 97},
        rto_seconds=None,
        promotions=0,
    )
    text = page([Rehearsed(DRILLS, 0, drills)], NOW)
    assert "it, was 100 of 100 (57 API calls, 1.5 s) before them and 97 of 100" in text
    assert "streamed all the while." in text
    assert "| promote | SUCCEEDED | 7.25 s |  | 2 | 30 s |" in text
    assert "| restore | SUCCEEDED |  | 2.50 s | 2 | 30 s |" in text
    unseen = drills | {"readiness": None, "standby_streaming_always": None}
    text = page([Rehearsed(DRILLS, 1, unseen)], NOW)
    assert "was unknown before them" in text
    assert "streamed not always" in text


def test_what_was_rehearsed_before_has_its_row_and_its_day(tmp_path: Path) -> None:
    yesterday = NOW.timestamp() - 24 * 3600
    (tmp_path / "none.json").write_text(json.dumps(document(problems=["it failed over"], started=yesterday)))
    (tmp_path / "app-lost.json").write_text(json.dumps(document()))
    (tmp_path / "something-else.json").write_text("{}")
    before = kept(tmp_path, ["app-lost"])
    assert {name: (one.code, one.problems) for name, one in before.items()} == {"none": (1, ("it failed over",))}
    assert "2026-11-22 to 2026-11-23, timings" in page([*before.values(), Rehearsed("app-lost", 0, document())], NOW)
