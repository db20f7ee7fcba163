"""A view's signal over time: what flaps, comes late, comes twice or falls silent."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from relight.signal import Sample, Seen, Signal, View, observe

FRESH = 90.0


def look(at: float, seen: Seen) -> Sample:
    return Sample(at, seen, f"{seen.value} at {at:g}")


def after(samples: Sequence[Sample]) -> list[Signal]:
    """The signal after each sample, in the order in which they arrive."""
    story: list[Signal] = []
    for sample in samples:
        story.append(observe(story[-1] if story else None, View.OUTSIDE, sample, FRESH))
    return story


SAMPLES = st.lists(
    st.builds(look, st.one_of(st.integers(0, 400).map(float), st.floats(0, 400)), st.sampled_from(Seen)),
    min_size=1,
    max_size=30,
)


@given(SAMPLES)
def test_since_never_passes_last_seen_and_neither_moves_back(samples: list[Sample]) -> None:
    before: Signal | None = None
    for now in after(samples):
        assert now.since <= now.last_seen
        if before is not None:
            assert now.last_seen >= before.last_seen
            assert now.since >= before.since
        before = now


@given(SAMPLES)
def test_from_since_on_nothing_says_otherwise_in_whatever_order_it_came(samples: list[Sample]) -> None:
    last = after(samples)[-1]
    assert last.last_seen == max(sample.at for sample in samples)
    assert {sample.seen for sample in samples if sample.at > last.since} <= {last.seen}


@given(SAMPLES)
def test_down_since_then_means_a_down_sample_then_and_nothing_else_and_no_silence_after_it(
    samples: list[Sample],
) -> None:
    """Told without `observe`, of samples that came in their order."""
    counted = sorted(samples, key=lambda sample: sample.at)
    last = after(counted)[-1]
    assert (last.seen, last.last_seen) == (counted[-1].seen, counted[-1].at)
    begin = len(counted) - 1
    while (
        begin > 0
        and counted[begin - 1].seen is last.seen
        # UNKNOWN says nothing, so it cannot fall silent either.
        and (last.seen is Seen.UNKNOWN or counted[begin].at - counted[begin - 1].at <= FRESH)
    ):
        begin -= 1
    assert last.since == counted[begin].at


@given(SAMPLES, st.floats(0, 1000))
def test_what_is_unknown_or_silent_counts_as_unknown_and_nothing_else_does(samples: list[Sample], later: float) -> None:
    last = after(samples)[-1]
    now = last.last_seen + later
    counts = last.at(now, FRESH).seen
    assert counts is (Seen.UNKNOWN if now - last.last_seen > FRESH else last.seen)


@given(SAMPLES)
def test_a_sample_that_comes_twice_changes_nothing(samples: list[Sample]) -> None:
    twice = [sample for sample in samples for _ in range(2)]
    assert after(twice)[-1] == after(samples)[-1]


def test_flapping_begins_anew_each_time() -> None:
    samples = [look(10, Seen.DOWN), look(20, Seen.DOWN), look(30, Seen.UP), look(40, Seen.DOWN)]
    assert [s.since for s in after(samples)] == [10, 10, 30, 40]


def test_one_unknown_sample_breaks_what_was_down() -> None:
    assert after([look(10, Seen.DOWN), look(20, Seen.UNKNOWN), look(30, Seen.DOWN)])[-1].since == 30


def test_a_late_sample_does_not_move_the_signal_back_but_what_it_saw_otherwise_broke_it() -> None:
    down = [look(10, Seen.DOWN), look(30, Seen.DOWN)]
    late = after([*down, look(20, Seen.UP)])[-1]
    assert (late.seen, late.since, late.last_seen, late.sentence) == (Seen.DOWN, 30, 30, "DOWN at 30")
    assert late.ever_up
    assert after([*down, look(20, Seen.DOWN)])[-1].since == 10
    assert after([*down, look(20, Seen.UNKNOWN)])[-1].since == 30
    assert after([look(0, Seen.UP), *down, look(5, Seen.UP)])[-1].since == 10, "it had not begun yet"


def spoke(at: float) -> Sample:
    return Sample(at, Seen.DOWN, "not ready", answered=True)


def test_it_is_known_since_when_nothing_has_answered() -> None:
    story = after([spoke(10), spoke(20), look(30, Seen.DOWN), look(40, Seen.DOWN), spoke(50), look(60, Seen.DOWN)])
    assert [s.mute_since for s in story] == [10, 20, 30, 30, 50, 60]
    assert {s.since for s in story} == {10}, "it was down all the while"
    assert after([look(10, Seen.DOWN), look(30, Seen.DOWN), spoke(20)])[-1].mute_since == 30
    assert after([look(10, Seen.DOWN), look(200, Seen.DOWN)])[-1].mute_since == 200, "nobody knows what was in between"


def test_silence_breaks_what_was_down() -> None:
    assert after([look(10, Seen.DOWN), look(100, Seen.DOWN)])[-1].since == 10
    assert after([look(10, Seen.DOWN), look(100.5, Seen.DOWN)])[-1].since == 100.5


def test_the_first_sample_begins_the_story() -> None:
    nothing = Signal.unknown(View.STREAM)
    assert observe(nothing, View.STREAM, look(50, Seen.DOWN), FRESH).since == 50
    assert nothing.at(1e9, FRESH) == nothing


def test_what_has_fallen_silent_says_for_how_long() -> None:
    signal = Signal(View.OUTSIDE, Seen.DOWN, 10, 20, "no answer")
    assert signal.at(120, FRESH).sentence == "silent for 100 s (no answer)"
    assert signal.at(110, FRESH) == signal


def test_what_was_up_once_stays_known_as_such() -> None:
    assert [s.ever_up for s in after([look(10, Seen.DOWN), look(20, Seen.UP), look(30, Seen.DOWN)])] == [
        False,
        True,
        True,
    ]
