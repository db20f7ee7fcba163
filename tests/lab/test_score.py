"""Figures from logs that are written by hand, so that each figure can be worked out on paper."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.attempts import Attempt, Failure, Kind, Tally, per_second
from lab.score import (
    Facts,
    Floor,
    Streamed,
    acknowledged_by_old_side,
    acknowledgements,
    answered_before,
    by_streaming,
    dns_answered,
    handover,
    led_back,
    longest_outage,
    missing,
    old_side_answers,
    old_side_wrote_seconds,
    out_of_order,
    outage_seconds,
    outages,
    record_rto_seconds,
    rpo_seconds,
    rto_seconds,
    score,
)

OLD, DR = "eu-west-1", "eu-central-1"


def write(order: str, got: float, *, region: str | None = OLD, sent: float | None = None) -> Attempt:
    """An acknowledged write."""
    return Attempt(Kind.WRITE, order, 0, got - 0.01 if sent is None else sent, got, status=201, region=region)


def bad(sent: float, got: float | None = None, *, kind: Kind = Kind.WRITE, order: str = "x") -> Attempt:
    """An attempt without an answer."""
    return Attempt(kind, order, 0, sent, sent + 0.01 if got is None else got, error=Failure.REFUSED)


def read(got: float, *, region: str = OLD, status: int = 200, address: str | None = None) -> Attempt:
    """A read."""
    return Attempt(Kind.READ, "a", 0, got - 0.01, got, status=status, region=region, address=address)


def test_rto_is_from_the_first_bad_sample_to_the_first_acknowledged_write() -> None:
    log = [write("a", 99.9), bad(100.1), bad(100.5), bad(105.0), write("b", 110.1, region=DR), write("c", 110.2)]
    outage = longest_outage(log, 100.0)
    assert rto_seconds(outage) == pytest.approx(10.0)
    assert outage_seconds(outage) == pytest.approx(10.2)


def test_a_sample_that_got_no_answer_was_bad_from_when_it_was_sent() -> None:
    log = [write("a", 99.9), bad(100.1, 101.6), write("b", 110.1)]
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(10.0)


def test_a_sample_sent_before_the_loss_is_not_bad_before_it() -> None:
    log = [write("a", 99.0), bad(99.5, 101.0), write("b", 110.0)]
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(10.0)


def test_what_went_wrong_before_the_loss_does_not_count() -> None:
    log = [write("a", 10.0), bad(20.0), write("b", 60.0), bad(100.5), write("c", 101.0)]
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(0.5)
    assert rto_seconds(longest_outage(log)) == pytest.approx(40.0)


def test_a_read_that_succeeds_does_not_end_an_outage() -> None:
    log = [write("a", 99.9), bad(100.0), read(104.0, region=DR), write("b", 110.0, region=DR)]
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(10.0)


def test_a_read_that_fails_begins_an_outage() -> None:
    log = [write("a", 99.9), bad(100.0, kind=Kind.PAGE), bad(103.0), write("b", 110.0, region=DR)]
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(10.0)


def test_a_short_recovery_parts_two_outages_and_the_longer_one_counts() -> None:
    log = [write("a", 99.0), bad(100.0), write("b", 103.0), bad(104.0), write("c", 109.0)]
    assert [span.seconds for span in outages(log, 100.0)] == pytest.approx([3.0, 5.0])
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(5.0)


def test_one_client_of_two_that_fails_is_no_outage_worth_the_name() -> None:
    good = [write(f"a{n}", 100 + n / 10) for n in range(100)]
    failing = [bad(100.05 + n / 10) for n in range(100)]
    outage = longest_outage(good + failing, 100.0)
    assert outage is not None
    assert outage.seconds < 0.2


def test_an_outage_without_an_end_has_no_rto_even_after_a_longer_ago_recovery() -> None:
    log = [write("a", 99.0), bad(100.0), write("b", 101.0), bad(102.0), bad(150.0)]
    outage = longest_outage(log, 100.0)
    assert outage is not None
    assert outage.first_good is None
    assert rto_seconds(outage) is None
    assert outage_seconds(outage) is None


def test_a_201_of_which_the_rest_did_not_come_is_acknowledged_and_no_good_answer() -> None:
    half = Attempt(Kind.WRITE, "b", 0, 100.0, 100.5, status=201, region=OLD, error=Failure.RESET)
    log = [write("a", 99.0), half, write("c", 110.0)]
    assert set(acknowledgements(log)) == {"a", "b", "c"}
    assert rto_seconds(longest_outage(log, 100.0)) == pytest.approx(10.0)


def test_an_acknowledged_write_that_is_not_there_is_missing_by_id() -> None:
    acknowledged = acknowledgements([write("a", 1), write("b", 2), bad(3, order="c"), write("b", 4)])
    assert acknowledged == {"a": 1, "b": 2}
    assert missing(acknowledged, {"a", "never acknowledged"}) == ("b",)
    assert missing(acknowledged, None) is None


def test_a_missing_write_whose_commit_the_replica_had_is_streamed() -> None:
    sorted_out = by_streaming(["before", "at", "after", "nowhere"], {"before": 9, "at": 10, "after": 11}, 10)
    assert sorted_out == Streamed(("before", "at"), ("after",), ("nowhere",))
    assert by_streaming(["a"], {"a": 9}, None).unplaced == ("a",)


def test_rpo_is_from_the_oldest_missing_acknowledgement_to_the_loss() -> None:
    acknowledged = {"a": 97.0, "b": 98.5, "c": 99.0}
    assert rpo_seconds(acknowledged, ["b", "c"], 100.0) == pytest.approx(1.5)
    assert rpo_seconds(acknowledged, [], 100.0) == 0.0
    assert rpo_seconds(acknowledged, None, 100.0) is None
    assert rpo_seconds({"d": 101.0, "e": 104.0}, ["d", "e"], 100.0) == pytest.approx(3.0)


def test_an_acknowledgement_by_the_old_primary_after_the_promotion_is_a_double_write() -> None:
    log = [write("a", 99), write("b", 111), write("b", 112), write("c", 113, region=DR), write("d", 114, region=None)]
    assert acknowledged_by_old_side(log, OLD, 1, 110.0) == {"b": 112, "d": 114}
    assert acknowledged_by_old_side(log, OLD, 0, None) == {}
    assert acknowledged_by_old_side(log, OLD, 1, None) is None


def test_an_acknowledgement_that_was_on_its_way_is_no_double_write() -> None:
    log = [write("committed before", 150, sent=99), write("committed late", 151, sent=99)]
    found = acknowledged_by_old_side(log, OLD, 1, 110.0, frozenset({"committed before"}))
    assert found == {"committed late": 151}


def test_how_long_the_old_side_went_on_after_its_return() -> None:
    assert old_side_wrote_seconds({"a": 120.0, "b": 152.5, "c": 151.0}, 150.0) == pytest.approx(2.5)
    assert old_side_wrote_seconds({"a": 120.0}, 150.0) == 0.0
    assert old_side_wrote_seconds({}, 150.0) == 0.0
    assert old_side_wrote_seconds(None, 150.0) is None
    assert old_side_wrote_seconds({"a": 120.0}, None) is None


def test_who_reached_the_old_side_after_its_return_and_whom_dns_led_there() -> None:
    log = [read(140), read(151), read(152, status=503), read(153, region=DR), bad(154)]
    assert old_side_answers(log, OLD, 150.0) == 2
    assert old_side_answers(log, OLD, None) is None
    resolved = [
        Attempt(Kind.PAGE, "", 0, sent, sent + 1, answer=(address,))
        for sent, address in ((149, "127.0.1.10"), (151, "127.0.2.10"), (152, "127.0.1.10"))
    ]
    assert led_back(resolved, {"127.0.1.10"}, 150.0) == 1
    assert led_back(log, {"127.0.1.10"}, 150.0) == 0
    assert led_back(log, {"127.0.1.10"}, None) is None


def test_any_answer_by_dr_before_the_promotion_is_found() -> None:
    by_header, by_address = read(105, region=DR, status=503), read(106, region="", address="127.0.2.10")
    log = [read(104), by_header, by_address, read(111, region=DR), bad(105)]
    assert answered_before(log, DR, 110.0, {"127.0.2.10"}) == (by_header, by_address)
    assert len(answered_before(log, DR, None)) == 2


def test_when_dns_answered_dr() -> None:
    def asked(sent: float, address: str) -> Attempt:
        return Attempt(Kind.PAGE, "", 0, sent, sent + 1, answer=(address,))

    log = [asked(90, "127.0.2.10"), asked(101, "127.0.1.10"), asked(108, "127.0.2.10"), asked(107, "127.0.2.10")]
    assert dns_answered(log, {"127.0.2.10"}, 100.0) == 107
    assert dns_answered(log, {"127.0.3.10"}) is None


def test_phases_in_order_and_out_of_it() -> None:
    good: dict[str, float | None] = {"t0": 0, "t1": 1, "t2": 1, "t3": 9, "t4": 5, "t5": 6, "t6": 8, "t7": 6, "t8": 7}
    assert out_of_order(good) == ()
    assert out_of_order(good | {"t7": None}) == ()
    assert out_of_order(good | {"t5": 4}) == ("t5 is 1.000 s before t4",)
    assert out_of_order(good | {"t1": None, "t0": 3}) == ("t2 is 2.000 s before t0",)
    assert out_of_order(good | {"t8": 5.5}) == ("t8 is 0.500 s before t7",)
    assert out_of_order({}) == ()


def test_the_records_own_rto() -> None:
    assert record_rto_seconds({"t0": 10.0, "t8": 25.5}) == 15.5
    assert record_rto_seconds({"t0": 10.0, "t8": None}) is None
    assert record_rto_seconds({}) is None


def test_the_floor_adds_up_configured_values() -> None:
    floor = Floor(interval=1.0, threshold=3, hold_down=4.0, fence_bound=2.0, promotion=7.0, boot=3.0, ttl=3.0)
    assert floor.seconds == 3 + 4 + 2 + 7 + 3
    slow_boot = Floor(interval=10, threshold=3, hold_down=60, fence_bound=15, promotion=220, boot=240, ttl=60)
    assert slow_boot.seconds == 30 + 60 + 15 + 240 + 60


def test_a_whole_rehearsal() -> None:
    log = [
        write("a", 98.0),
        write("b", 99.0),
        write("c", 99.9),
        bad(100.1, order="d"),
        bad(100.2, order="e"),
        write("d", 112.0, region=DR),
    ]
    figures = score(
        log,
        Facts(
            lost_at=100.0,
            old_region=OLD,
            active_ids=frozenset({"a", "d"}),
            commit_lsns={"b": 500, "c": 501},
            received_lsn=500,
            promotions=1,
            promoted_at=109.0,
        ),
    )
    assert figures.fields() == {
        "rto_seconds": pytest.approx(11.9),
        "outage_seconds": pytest.approx(12.1),
        "rpo_seconds": pytest.approx(1.0),
        "outages": figures.outages,
        "attempts": 6,
        "acknowledged_writes": 4,
        "unacknowledged_writes": 1,
        "missing_writes": ("b", "c"),
        "missing_streamed_writes": 1,
        "writes_on_both_sides": 0,
        "writes_on_both_sides_ids": (),
        "old_side_commits": None,
        "old_side_wrote_seconds": None,
        "old_side_answers": None,
        "led_back": None,
    }
    assert (figures.t_first_bad, figures.t_first_good_after) == (100.1, 112.0)


def test_without_a_log_nothing_is_known_and_nothing_breaks() -> None:
    figures = score([], Facts())
    assert figures.rto_seconds is None
    assert figures.outage_seconds == 0.0
    assert figures.rpo_seconds is None
    assert figures.missing_writes is None
    assert figures.missing_streamed_writes is None
    assert figures.both_sides == {}
    assert score([], Facts(active_ids=frozenset())).rpo_seconds == 0.0


def test_a_missing_write_that_cannot_be_placed_makes_the_count_unknown() -> None:
    figures = score([write("a", 1)], Facts(active_ids=frozenset()))
    assert figures.missing_writes == ("a",)
    assert figures.missing_streamed_writes is None


times = st.floats(min_value=0, max_value=1000)
attempts = st.builds(
    Attempt,
    kind=st.sampled_from(Kind),
    id=st.sampled_from("abc"),
    client=st.just(0),
    sent=times,
    got=times,
    status=st.sampled_from([None, 200, 201, 503]),
    error=st.sampled_from([None, Failure.TIMEOUT]),
    region=st.sampled_from([None, OLD, DR]),
)


@given(
    st.lists(attempts),
    st.none() | times,
    st.none() | st.frozensets(st.sampled_from("abc")),
    st.none() | times,
    st.none() | times,
)
def test_no_log_however_odd_breaks_the_score(
    log: list[Attempt],
    lost_at: float | None,
    active: frozenset[str] | None,
    promoted_at: float | None,
    returned_at: float | None,
) -> None:
    figures = score(
        log,
        Facts(
            lost_at=lost_at,
            old_region=OLD,
            returned_at=returned_at,
            active_ids=active,
            commit_lsns={"a": 1},
            received_lsn=1,
            promotions=1,
            promoted_at=promoted_at,
        ),
    )
    durations = (figures.rto_seconds, figures.outage_seconds, figures.rpo_seconds, figures.old_side_wrote_seconds)
    for value in durations:
        assert value is None or (value >= 0 and math.isfinite(value))
    assert len(figures.missing_writes or ()) <= figures.acknowledged_writes
    if figures.rto_seconds is not None and figures.outage_seconds is not None:
        assert figures.rto_seconds <= figures.outage_seconds


@given(st.lists(attempts), times)
def test_no_good_write_lies_within_an_outage(log: list[Attempt], lost_at: float) -> None:
    good = [attempt.got for attempt in log if attempt.acknowledged and attempt.good]
    for span in outages(log, lost_at):
        assert span.first_bad >= lost_at
        assert not any(span.first_bad < moment < span.seen_until for moment in good)


def test_tallies_per_second() -> None:
    log = [write("a", 9.5), write("b", 9.9), bad(9.0, 9.4), write("c", 8.2), write("d", 10.5), write("e", 6.9)]
    assert per_second(log, 10.0, 3) == (Tally(), Tally(1, 0), Tally(2, 1))
    assert per_second([], 10.0, 2) == (Tally(), Tally())


def test_read_only_lasts_from_the_last_write_there_to_the_first_here() -> None:
    log = [write("a", 9.0, region=DR), write("b", 10.0, region=DR), write("c", 14.5), write("d", 12.0, region=None)]
    assert handover(log, DR, OLD, since=5.0).read_only_seconds == 4.5
    assert handover(log, DR, OLD, since=5.0, verified=13.0).read_only_seconds == 3.0
    assert handover(log[:2], DR, OLD, since=5.0).read_only_seconds is None
    assert handover(log, DR, OLD, since=11.0).last_old is None
    assert handover([*log, write("e", 15.0, region=DR)], DR, OLD, since=5.0).read_only_seconds == -0.5
