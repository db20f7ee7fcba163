"""The head as it is read back, and what it says by itself."""

from dataclasses import replace

import pytest
from relight.head import Capacity, Head, Promotion, Quiesce, State, head_of, item, values_of

from tests.unit.standby import HERE, HOME, NOW

STEADY = Head(True, 3, HOME, State.STEADY)
PROMOTION = Promotion("shop-dr", "failover-4-1", 4, NOW - 50)


@pytest.mark.parametrize("written", [None, {}])
def test_a_ledger_that_nobody_has_written_says_that_home_is_active(written: None) -> None:
    assert head_of(written, HOME) == Head(False, 0, HOME, State.STEADY)


def test_a_lock_or_a_freeze_alone_say_nothing_of_which_region_is_active() -> None:
    assert not head_of(item({"frozen_until": NOW}), HOME).written
    assert head_of(item({"epoch": 1}), HOME).written


def test_everything_that_is_written_is_read_back() -> None:
    written = {
        "epoch": 4,
        "active": HERE,
        "state": "promoting",
        "owner": "arn:run",
        "expires_at": NOW + 0.5,
        "promotion": {"instance": "shop-dr", "run": "failover-4-1", "epoch": 4, "called_at": NOW - 50},
        "go_withheld": True,
        "capacity_before": {"shop-dr": {"minimum": 0, "desired": 0, "maximum": 2}},
        "ended_at": NOW - 9000,
        "frozen_from": NOW - 20,
        "frozen_until": NOW + 20,
        "frozen_because": "upgrade",
        "frozen_by": "kim",
        "granting_stopped_at": NOW - 40.25,
        "quiesce": {"began": NOW - 45, "lsn": "0/5000"},
        "refused_at": NOW - 1000,
    }
    assert head_of(item(written), HOME) == Head(
        written=True,
        epoch=4,
        active=HERE,
        state=State.PROMOTING,
        owner="arn:run",
        expires_at=NOW + 0.5,
        promotion=PROMOTION,
        go_withheld=True,
        capacity_before={"shop-dr": Capacity(0, 0, 2)},
        ended_at=NOW - 9000,
        frozen_until=NOW + 20,
        frozen_because="upgrade",
        frozen_from=NOW - 20,
        frozen_by="kim",
        granting_stopped_at=NOW - 40.25,
        quiesce=Quiesce(NOW - 45, "0/5000"),
        refused_at=NOW - 1000,
    )


def test_what_has_begun_and_is_not_confirmed_is_read_back_as_that() -> None:
    head = head_of(
        item(
            {
                "epoch": 1,
                "promotion": {"instance": "i", "run": "r", "epoch": 1, "called_at": None},
                "quiesce": {"began": NOW, "lsn": None},
            }
        ),
        HOME,
    )
    assert head.promotion == Promotion("i", "r", 1, None)
    assert head.quiesce == Quiesce(NOW, None)


def test_values_survive_dynamodb_exactly() -> None:
    values = {"at": 1790000000.123456, "whole": 7, "nested": {"at": 0.1}, "said": "word", "on": True, "none": None}
    back = values_of(item(values))
    assert (float(back["at"]), int(back["whole"]), float(back["nested"]["at"])) == (1790000000.123456, 7, 0.1)
    assert (back["said"], back["on"], back["none"]) == ("word", True, None)


@pytest.mark.parametrize(
    ("promotion", "state", "opened"),
    [
        (PROMOTION, State.PROMOTING, True),
        (PROMOTION, State.STEADY, False),
        (None, State.PROMOTING, False),
        (None, State.STEADY, False),
    ],
)
def test_the_door_is_open_while_a_promotion_has_begun_and_not_ended(
    promotion: Promotion | None, state: State, opened: bool
) -> None:
    assert replace(STEADY, promotion=promotion, state=state).door_opened is opened


@pytest.mark.parametrize(
    ("begins", "until", "frozen"),
    [
        (None, None, False),
        (None, NOW + 1, True),
        (None, NOW, False),
        (NOW, NOW + 1, True),
        (NOW - 100, NOW - 1, False),
        # A maintenance window that is still to come.
        (NOW + 1, NOW + 100, False),
        (NOW - 1, None, False),
    ],
)
def test_a_freeze_lasts_from_its_beginning_until_its_end(
    begins: float | None, until: float | None, frozen: bool
) -> None:
    assert replace(STEADY, frozen_from=begins, frozen_until=until).frozen_at(NOW) is frozen
