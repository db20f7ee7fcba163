"""The decision over time: flapping views, samples that come late, twice or in another order, silence, a running clock.

The truth is kept apart: all looks that were taken and when each arrived, gone through backwards. The product keeps one
signal for each view, and moves it on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import event, example, find, given, settings
from hypothesis import strategies as st
from relight.decision import Action, Verdict
from relight.facts import Facts
from relight.rules import decide
from relight.signal import Sample, Seen, Signal, View, observe

from tests.unit.situation import LOST, POLICY
from tests.unit.standby import NOW

pytestmark = pytest.mark.decision

QUORUM = (View.OUTSIDE, View.FROM_DR, View.STREAM)
FRESH = POLICY.fresh_seconds


@dataclass(frozen=True)
class Spell:
    """For a while a view says something else than that the primary is lost."""

    view: View
    begins: float
    lasts: float
    seen: Seen
    answered: bool = False


@dataclass(frozen=True)
class Look:
    """Every view at one moment; it arrives `late` seconds after that, and perhaps `again` as much later."""

    at: float
    late: float = 0.0
    again: bool = False


@dataclass(frozen=True)
class Story:
    """A primary that is lost from the beginning, but for some spells; seconds count from there."""

    looks: tuple[Look, ...]
    spells: tuple[Spell, ...] = ()
    judged_after: float = 0.0  # how long after each arrival the decision comes

    def sample(self, view: View, at: float) -> Sample:
        """What a view really says at a moment; of two spells the later one in the list counts."""
        said = Sample(at, Seen.UP if view is View.CONTROL else Seen.DOWN, "as it was")
        for spell in self.spells:
            if spell.view is view and spell.begins <= at < spell.begins + spell.lasts:
                said = replace(said, seen=spell.seen, answered=spell.answered)
        return said

    def arrivals(self) -> list[tuple[float, float]]:
        """When a look arrives, and when it was taken, in the order in which they arrive."""
        first = [(look.at + look.late, look.at) for look in self.looks]
        return sorted(first + [(look.at + 2 * look.late, look.at) for look in self.looks if look.again])

    def verdicts(self) -> Iterator[tuple["Told", Facts, Verdict]]:
        """What the product decides after each arrival, from the signals as it keeps them."""
        signals: dict[View, Signal] = {view: Signal.unknown(view) for view in View}
        for number, (arrives, taken) in enumerate(self.arrivals(), start=1):
            signals = {
                view: observe(signals[view], view, replace(self.sample(view, taken), at=NOW + taken), FRESH)
                for view in View
            }
            now = arrives + self.judged_after
            here = replace(signals[View.FROM_DR], ever_up=True)
            facts = replace(LOST, now=NOW + now, signals={**signals, View.FROM_DR: here}, last_replayed_at=NOW)
            yield Told(self, number, now), facts, decide(facts, POLICY)


@dataclass(frozen=True)
class Told:
    """A story as far as so many arrivals have told it by now."""

    story: Story
    arrived: int
    now: float

    def heard(self, view: View) -> list[Sample]:
        """All looks that have arrived, in the order in which they were taken."""
        taken = sorted(at for _, at in self.story.arrivals()[: self.arrived])
        return [self.story.sample(view, at) for at in taken]

    def answered_within(self, seconds: float) -> bool:
        """Whether the application has answered one of the looks of late."""
        return any(sample.answered for sample in self.heard(View.FROM_DR) if sample.at > self.now - seconds)

    def down_for(self, view: View) -> float:
        """For how long a view has really been heard to be DOWN, without a break and without a silence; -1 if not."""
        began, later = None, self.now
        for sample in reversed(self.heard(view)):
            if sample.seen is not Seen.DOWN or later - sample.at > FRESH:
                break
            began = later = sample.at
        return -1.0 if began is None else self.now - began

    def says(self, view: View) -> Seen:
        """What a view says, freshly."""
        heard = self.heard(view)
        return heard[-1].seen if heard and self.now - heard[-1].at <= FRESH else Seen.UNKNOWN


GAPS = [10.0] * 6 + [5.0, 30.0, 60.0, 90.0, 90.5, 200.0]
LATENESS = [0.0] * 8 + [4.0, 25.0, 70.0, 130.0]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    at, looks = 0.0, []
    for gap in draw(st.lists(st.sampled_from(GAPS), min_size=4, max_size=45)):
        looks.append(Look(at, draw(st.sampled_from(LATENESS)), draw(st.integers(0, 9)) == 0))
        at += gap
    spell = st.builds(
        Spell,
        st.sampled_from(View),
        st.floats(0, max(at, 1), allow_nan=False),
        st.sampled_from([1.0, 15.0, 60.0, 300.0]),
        st.sampled_from(Seen),
        st.booleans(),
    )
    return Story(tuple(looks), tuple(draw(st.lists(spell, max_size=4))), draw(st.sampled_from([0.0, 0.0, 9.0, 89.0])))


def regular(count: int, every: float = 10.0) -> tuple[Look, ...]:
    return tuple(Look(number * every) for number in range(count))


LOST_ALL_ALONG = Story(regular(12))


@settings(max_examples=400, deadline=None)
@given(stories())
@example(LOST_ALL_ALONG)
@example(Story(regular(12), (Spell(View.OUTSIDE, 45, 10, Seen.UP),)))
@example(Story(regular(12), (Spell(View.STREAM, 45, 10, Seen.UNKNOWN),)))
@example(Story((Look(0), Look(10), Look(101), Look(111))))
@example(Story(regular(45), (Spell(View.FROM_DR, 0, 500, Seen.DOWN, answered=True),)))
@example(Story((*regular(7), Look(61, late=200), Look(70)), (Spell(View.OUTSIDE, 61, 1, Seen.UP),)))
@example(Story((*regular(5), Look(45, late=10), *regular(12)[5:]), (Spell(View.OUTSIDE, 44, 2, Seen.UP),)))
@example(Story(regular(20), (Spell(View.FROM_DR, 0, 95, Seen.DOWN, answered=True),)))
def test_nothing_is_promoted_by_itself_unless_the_quorum_was_really_unbroken(story: Story) -> None:
    for told, _, verdict in story.verdicts():
        if verdict.action is not Action.PROCEED:
            continue
        event("proceeds")
        answers = told.answered_within(POLICY.hold_down_seconds)
        needed = POLICY.database_hold_down_seconds if answers else POLICY.hold_down_seconds
        for view in QUORUM:
            assert told.down_for(view) >= needed, (view, told.now)
        assert told.says(View.CONTROL) is Seen.UP
        assert told.says(View.OUTSIDE) is Seen.DOWN


@settings(max_examples=200, deadline=None)
@given(stories())
def test_nobody_is_asked_for_what_is_not_really_down_from_here(story: Story) -> None:
    for told, _, verdict in story.verdicts():
        if verdict.action is Action.ASK:
            event("asks")
            assert told.down_for(View.FROM_DR) >= POLICY.hold_down_seconds
            assert told.says(View.OUTSIDE) is not Seen.UP
            assert told.says(View.CONTROL) is Seen.UP


@settings(max_examples=200, deadline=None)
@given(stories())
def test_as_soon_as_it_is_really_unbroken_it_goes_on(story: Story) -> None:
    """The contrary: the product is not more careful than it says, where nothing comes late."""
    story = replace(story, looks=tuple(replace(look, late=0.0) for look in story.looks))
    for told, _, verdict in story.verdicts():
        long = POLICY.database_hold_down_seconds
        unbroken = all(told.down_for(view) >= long for view in QUORUM)
        if unbroken and told.says(View.CONTROL) is Seen.UP:
            assert verdict.action in {Action.PROCEED, Action.ASK}, verdict


def first_promotion(story: Story) -> float | None:
    return next((told.now for told, _, verdict in story.verdicts() if verdict.action is Action.PROCEED), None)


def test_a_loss_that_is_looked_at_regularly_is_promoted_when_the_hold_down_has_passed() -> None:
    assert first_promotion(LOST_ALL_ALONG) == 60
    database = Story(regular(40), (Spell(View.FROM_DR, 0, 500, Seen.DOWN, answered=True),))
    assert first_promotion(database) == 300


@pytest.mark.parametrize("seen", [Seen.UP, Seen.UNKNOWN])
@pytest.mark.parametrize("view", QUORUM)
def test_one_look_that_says_otherwise_begins_the_hold_down_anew(view: View, seen: Seen) -> None:
    assert first_promotion(Story(regular(20), (Spell(view, 50, 5, seen),))) == 120


def test_an_up_that_arrives_late_begins_the_hold_down_anew() -> None:
    looks = (*regular(5), Look(45, late=10), *regular(30)[5:])
    assert first_promotion(Story(looks, (Spell(View.OUTSIDE, 44, 2, Seen.UP),))) == 110


def test_an_application_that_answers_now_and_then_makes_it_a_lost_database() -> None:
    now_and_then = tuple(Spell(View.FROM_DR, at, 5, Seen.DOWN, answered=True) for at in range(0, 600, 50))
    assert first_promotion(Story(regular(60), now_and_then)) == 300


def test_a_view_that_flaps_for_ever_never_comes_to_it() -> None:
    flaps = tuple(Spell(View.OUTSIDE, at, 10, Seen.UP) for at in range(0, 3000, 50))
    assert first_promotion(Story(regular(300), flaps)) is None


def test_a_probe_that_was_silent_begins_anew() -> None:
    silent = Story((Look(0), Look(10), Look(20), *(Look(at) for at in range(115, 200, 10))))
    assert first_promotion(silent) == 175


def test_samples_that_come_twice_or_late_hasten_nothing() -> None:
    twice = Story(tuple(replace(look, late=3, again=True) for look in regular(12)))
    assert first_promotion(twice) == 63
    one_look = Story((Look(0, late=100, again=True),), judged_after=30)
    assert first_promotion(one_look) is None


def test_the_stories_that_are_told_do_come_to_promotions() -> None:
    """Else the tests above would say nothing."""
    found = find(stories(), lambda story: bool(story.spells) and first_promotion(story) is not None)
    assert first_promotion(found) is not None
