"""What the facts tell by themselves: who holds the lock, what is under way, and when it began."""

from dataclasses import replace

import pytest
from relight.head import State
from relight.signal import Seen, Signal, View

from tests.unit.situation import OTHER_RUN, STEADY, facts, signal, signals
from tests.unit.standby import NOW


@pytest.mark.parametrize(
    ("owner", "asked_by", "expires_in", "locked"),
    [
        (None, None, 100, False),
        (None, "mine", 100, False),
        ("mine", "mine", 100, False),
        (OTHER_RUN, None, 100, True),
        (OTHER_RUN, "mine", 1, True),
        (OTHER_RUN, "mine", 0, False),
        (OTHER_RUN, "mine", -1, False),
    ],
)
def test_another_run_holds_the_lock_until_it_expires(
    owner: str | None, asked_by: str | None, expires_in: float, locked: bool
) -> None:
    head = replace(STEADY, owner=owner, expires_at=NOW + expires_in)
    assert facts(head=head, asked_by=asked_by).locked_by_another is locked


@pytest.mark.parametrize("state", State)
def test_the_ledger_says_whether_this_region_is_being_activated(state: State) -> None:
    assert facts(head=replace(STEADY, state=state)).activating is (state is State.PROMOTING)


def test_the_first_bad_sample_is_that_of_the_view_that_has_been_down_longest() -> None:
    ages = signals(stream=signal(View.STREAM, Seen.DOWN, 100), outside=signal(View.OUTSIDE, Seen.DOWN, 50))
    assert facts(signals=ages).first_bad == NOW - 100


def test_this_regions_own_connectivity_is_no_bad_sample_of_the_primary() -> None:
    up = {view: signal(view, Seen.UP) for view in View}
    isolated = up | {View.CONTROL: signal(View.CONTROL, Seen.DOWN, 500)}
    assert facts(signals=isolated).first_bad is None
    assert facts(signals=isolated | {View.STREAM: Signal.unknown(View.STREAM)}).first_bad is None
