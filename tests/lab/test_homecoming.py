"""What a way home has come to, from a log that is written by hand."""

from dataclasses import replace
from typing import Any

import pytest

from lab.attempts import Attempt, Failure, Kind
from lab.home_ending import exchanged, gone_round, switched_over
from lab.homecoming import Half, Journey, Passage, amended, reconciled, switchovers
from lab.region import Side
from lab.report import Result, Status, Switchover
from lab.score import Facts, acknowledgements, score

HOME, DR = "eu-west-1", "eu-central-1"


def write(order: str, got: float, region: str | None) -> Attempt:
    return Attempt(Kind.WRITE, order, 0, got - 0.01, got, status=201, region=region)


def bad(got: float) -> Attempt:
    return Attempt(Kind.WRITE, "b", 0, got - 0.01, got, error=Failure.TIMEOUT)


# Lost at 10, DR active from 20, home back at 30, a person starts at 40, home promoted at 52 and seen to write at 53.
LOG = (
    write("kept", 8.0, HOME),
    write("lost-1", 9.0, HOME),
    write("lost-2", 9.5, HOME),
    bad(11.0),
    write("there-1", 21.0, DR),
    write("there-2", 48.0, DR),
    bad(49.0),
    bad(53.5),
    write("home-1", 55.0, HOME),
)
ALL = frozenset({"kept", "there-1", "there-2", "home-1"})
PHASES: dict[str, float | None] = {"t2": 45.0, "t4": 52.0, "t6": 53.0}


def half() -> Half:
    seen = [attempt for attempt in LOG if attempt.got < 30]
    return Half(30.0, score(seen, Facts(lost_at=10.0, active_ids=frozenset({"kept", "there-1"}))))


def result(**changes: Any) -> Result:
    """As the failover left it."""
    made = Result(
        status=Status.SUCCEEDED,
        expected=Status.SUCCEEDED,
        fault="primary-lost",
        lost="refused",
        timings="lab",
        started=0.0,
        ended=70.0,
        circle=True,
        phases={"t4": 19.0},
        writes_on_both_sides=0,
        writes_on_both_sides_ids=(),
    )
    return replace(made, **changes)


def journey(**changes: Any) -> Journey:
    made = Journey(
        half=half(),
        status=Status.SUCCEEDED,
        passages=(Passage(Side.PRIMARY, 40.0, PHASES),),
        home_promoted=51.5,
        reconciled=("lost-2", "lost-1"),
        drift=(),
        home_ids=ALL,
    )
    return replace(made, **changes)


def test_a_circle_that_is_closed() -> None:
    said = amended(result(), journey(), LOG)
    assert said.missing_writes == said.lost_in_failover == ("lost-1", "lost-2")
    assert said.read_only_seconds == 5.0, "from DR's last write to the verified one at home"
    assert said.home_outage_seconds == 7.0, "clients came home later"
    assert (said.acknowledged_writes, said.attempts) == (6, 9)
    assert said.home_started_at == 40.0
    assert said.home_phases == PHASES
    assert said.writes_on_both_sides == 0
    assert tuple(gone_round(said)) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reconciled": None}, "no reconciliation report"),
        (
            {"reconciled": ("lost-1",)},
            "1 acknowledged writes are lost, and not named by the reconciliation report: lost-2",
        ),
        ({"reconciled": ("lost-1", "lost-2", "kept")}, "named by the reconciliation report, and not lost"),
        ({"home_ids": ALL - {"there-1"}}, "missing, and not lost by the failover: there-1"),
        ({"home_ids": ALL | {"lost-1"}}, "lost by the failover, and there all the same: lost-1"),
        ({"drift": None}, "nobody looked whether"),
        ({"drift": ("HOLD is 1, it was 0",)}, "did not end where it began: HOLD is 1, it was 0"),
        ({"passages": ()}, "home was not promoted"),
    ],
)
def test_a_circle_that_is_not(changes: dict[str, Any], sentence: str) -> None:
    found = tuple(gone_round(amended(result(), journey(**changes), LOG)))
    assert len(found) == 1
    assert sentence in found[0]


def test_a_failover_that_lost_nothing_shows_nothing() -> None:
    nothing = replace(half().figures, missing_writes=())
    ids = ALL | {"lost-1", "lost-2"}
    said = amended(result(), journey(half=Half(30.0, nothing), reconciled=(), home_ids=ids), LOG)
    assert [problem[:33] for problem in gone_round(said)] == ["the failover lost no acknowledged"]


def test_what_a_region_that_came_back_takes_before_its_promotion_was_taken_on_both_sides() -> None:
    late = (*LOG, write("late", 33.0, HOME))
    said = amended(result(), journey(home_ids=ALL | {"late"}), late)
    assert (said.writes_on_both_sides, said.writes_on_both_sides_ids) == (1, ("late",))


def test_where_the_parts_are_exchanged_hold_stays() -> None:
    said = amended(result(circle=False), journey(passages=(), held=True, home_ids=ALL - {"there-2"}), LOG)
    assert tuple(exchanged(said)) == (), "what the second loss costs is no problem of the first"
    assert "HOLD is not 1" in next(exchanged(amended(result(), journey(held=False), LOG)))


def test_of_a_report_the_orders_count_that_only_the_old_database_has() -> None:
    rows = [
        {"key": {"id": "lost-1"}, "active": None},
        {"key": {"id": "sent-again"}, "active": {"region": DR}},
        {"key": {"id": "lost-2"}, "active": None},
    ]
    other = {"name": "django_session", "rows": [{"key": {"session_key": "x"}, "active": None}]}
    assert reconciled({"tables": [other, {"name": "shop_order", "rows": rows}]}) == ("lost-1", "lost-2")
    assert reconciled({"tables": []}) == ()


def test_each_switchover_has_its_writes_and_its_read_only_time() -> None:
    there = Passage(Side.DR, 100.0, {"t2": 101.0, "t4": 102.0, "t6": None})
    back = Passage(Side.PRIMARY, 110.0, {"t2": 111.5, "t4": 112.5, "t6": None})
    nowhere = Passage(Side.DR, 120.0, {})
    log = [
        write("a", 99.0, HOME),
        write("b", 101.0, HOME),
        write("c", 103.5, DR),
        write("d", 111.0, DR),
        write("e", 113.0, HOME),
        write("f", 119.0, HOME),
    ]
    rows = switchovers((there, back, nowhere), log, acknowledgements(log), {"a", "b", "c", "e", "f"})
    assert [(row.number, row.active, row.read_only_seconds, row.promotion_seconds) for row in rows] == [
        (1, DR, 2.5, 1.0),
        (2, HOME, 2.0, 1.0),
    ]
    assert [(row.acknowledged_writes, row.missing_writes, row.seconds) for row in rows] == [
        (2, (), 10.0),
        (3, ("d",), 10.0),
    ]


def test_a_series_of_switchovers_that_is_not_as_it_should_be() -> None:
    row = Switchover(1, DR, 100.0, 2.5, 3.0, 1.0, 10.0, 2, ())
    good = result(circle=False, switchovers_asked=2, switchovers=(row, row), promotions=2, missing_writes=())
    assert tuple(switched_over(good)) == ()
    for changes, sentence in (
        ({"switchovers": (row,)}, "1 of 2 switchovers were made"),
        ({"promotions": 3}, "promoted 3 times; 2 is right"),
        ({"missing_writes": ("d",)}, "switchovers lose none"),
        (
            {"switchovers": (row, replace(row, number=2, read_only_seconds=5.0))},
            "switchover 2 was read-only for 5.00 s",
        ),
        ({"switchovers": (row, replace(row, number=2, read_only_seconds=-0.5))}, "both Regions acknowledged writes"),
        ({"switchovers": (row, replace(row, number=2, read_only_seconds=None))}, "is not known"),
    ):
        found = tuple(switched_over(replace(good, **changes)))
        assert len(found) == 1, changes
        assert sentence in found[0]
