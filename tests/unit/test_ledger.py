"""The ledger on DynamoDB: who may write, what stays, and what an empty table says."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relight.errors import RunSuperseded
from relight.health import HealthEvent
from relight.ledger import Capacity, DatabaseProperties, Head, Kept, Ledger, Promotion, Quiesce, State
from relight.question import Answer, Question, Reply, Urgency
from relight.retired import Retired
from relight.run import Run
from relight.signal import Seen, Signal, View

from lab.dynamodb import AtomicItems
from tests.unit.situation import keep_signals
from tests.unit.standby import HERE, HOME, NOW, Clock, claims, execution, head_item, release_lock, take_lock

type Change = Callable[[Ledger, Run], None]
BEFORE = {"web": Capacity(0, 0, 4)}
CHANGES: dict[str, Change] = {
    "set_state": lambda ledger, run: ledger.set_state(run, State.PROMOTING),
    "begin_promoting": lambda ledger, run: ledger.begin_promoting(run, HERE, withhold_go=False),
    "begin_promoting, GO withheld": lambda ledger, run: ledger.begin_promoting(run, HERE, withhold_go=True),
    "give_go": lambda ledger, run: ledger.give_go(run, HERE),
    "open_door": lambda ledger, run: ledger.open_door(run, "shop-dr", None),
    "close_door": lambda ledger, run: ledger.close_door(run),
    "activate": lambda ledger, run: ledger.activate(run, HERE),
    "remember_capacity": lambda ledger, run: ledger.remember_capacity(run, BEFORE),
    "forget_capacity": lambda ledger, run: ledger.forget_capacity(run),
    "finish": lambda ledger, run: ledger.finish(run, succeeded=True, now=NOW),
    "finish, not succeeded": lambda ledger, run: ledger.finish(run, succeeded=False, now=NOW),
    "stop_granting": lambda ledger, run: ledger.stop_granting(run, NOW),
    "begin_quiesce": lambda ledger, run: ledger.begin_quiesce(run, NOW),
    "note_quiesced": lambda ledger, run: ledger.note_quiesced(run, "0/5000"),
    "end_quiesce": lambda ledger, run: ledger.end_quiesce(run),
    "refuse": lambda ledger, run: ledger.refuse(run, "kim", "we know why", NOW),
    "begin_promoting, held": lambda ledger, run: ledger.begin_promoting(run, HERE, withhold_go=False, hold=True),
    "hold": lambda ledger, run: ledger.hold(run),
    "release_hold": lambda ledger, run: ledger.release_hold(run),
    "concede": lambda ledger, run: ledger.concede(run, claims(9, HOME)),
    "make_home": lambda ledger, run: ledger.make_home(run, HOME),
    "keep_progress": lambda ledger, run: ledger.keep_progress(run, "reprotect", {"gib": 20}),
}
QUESTION = Question(
    asked=1,
    token="a-task-token",
    asked_at=NOW - 5,
    expires_at=NOW + 295.5,
    finding="policy_approve",
    sentence="the primary is lost",
    mode="emergency",
    urgency=Urgency.FIRST,
)
OUTAGE = HealthEvent("2026-09-21T12:00:00Z", "arn:1", "RDS", "AWS_RDS_OPERATIONAL_ISSUE", "issue", HOME, "down")


def test_an_empty_table_says_that_home_is_active(ledger: Ledger) -> None:
    assert ledger.head() == Head(False, 0, HOME, State.STEADY)
    assert not ledger.head().door_opened
    assert ledger.capacity("web") is None
    assert ledger.timeline("none") == ({}, [])
    assert {view: signal.seen for view, signal in ledger.signals().items()} == dict.fromkeys(View, Seen.UNKNOWN)


def test_a_run_that_has_the_lock_is_let_through_again_and_again(ledger: Ledger, run: Run) -> None:
    for _ in range(2):
        head = ledger.require(run)
        assert (head.owner, head.epoch, head.written) == (run.owner, 1, True)
        assert head.expires_at > NOW


def test_a_run_is_told_who_has_its_lock(ledger: Ledger, run: Run, clock: Clock) -> None:
    take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded) as caught:
        ledger.require(run)
    assert str(caught.value) == f"run run-1 lost its lock (epoch 1; now 2, {execution('run-2')} holds it)"
    release_lock(ledger)
    with pytest.raises(RunSuperseded, match="now 2, nobody holds it"):
        ledger.require(run)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("loss", ["owner", "epoch", "released"])
def test_a_late_write_is_refused_and_changes_nothing(
    ledger: Ledger, run: Run, clock: Clock, change: Change, loss: str
) -> None:
    match loss:
        case "owner":
            take_lock(ledger, "run-2", clock())
        case "epoch":  # the same execution, somehow at a later epoch
            take_lock(ledger, "run-1", clock())
        case "released":
            release_lock(ledger)
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        change(ledger, run)
    assert head_item(ledger) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_nobody_writes_into_an_empty_table_without_the_lock(ledger: Ledger, change: Change) -> None:
    with pytest.raises(RunSuperseded):
        change(ledger, Run("run-1", execution("run-1"), 1, NOW))
    assert not head_item(ledger)


def test_an_error_that_is_no_refusal_is_not_taken_for_one(ledger: Ledger, run: Run) -> None:
    with pytest.raises(ClientError, match="ResourceNotFound"):
        replace(ledger, table="another").set_state(run, State.STEADY)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        replace(ledger, table="another").mirror(claims(1, HERE, State.STEADY), 0)


def test_what_a_failover_writes_is_in_the_head_and_its_end_closes_the_door(ledger: Ledger, run: Run) -> None:
    ledger.remember_capacity(run, BEFORE)
    ledger.set_state(run, State.PROMOTING)
    assert not ledger.head().door_opened
    ledger.open_door(run, "shop-dr", None)
    assert ledger.head().promotion == Promotion("shop-dr", run.id, 1, None)
    assert ledger.head().door_opened
    ledger.open_door(run, "shop-dr", NOW + 0.125)
    ledger.activate(run, HERE)
    head = ledger.head()
    assert (head.active, head.state, head.capacity_before) == (HERE, State.PROMOTING, BEFORE)
    assert head.promotion == Promotion("shop-dr", run.id, 1, NOW + 0.125)

    ledger.finish(run, succeeded=True, now=NOW + 60.5)
    head = ledger.head()
    assert (head.active, head.state, head.ended_at) == (HERE, State.STEADY, NOW + 60.5)
    assert (head.promotion, head.capacity_before, head.door_opened) == (None, None, False)
    assert head.owner == run.owner, "the state machine releases the lock, and nobody else"


def test_go_is_withheld_from_the_beginning_of_a_promotion_until_it_is_given(ledger: Ledger, run: Run) -> None:
    for _ in range(2):
        ledger.begin_promoting(run, HERE, withhold_go=True)
        assert (ledger.head().state, ledger.head().go_withheld) == (State.PROMOTING, True)
    with pytest.raises(RunSuperseded):
        ledger.give_go(run, HERE)
    assert ledger.head().go_withheld, "the database does not take writes here yet, so none can have been proven"
    ledger.activate(run, HERE)
    for _ in range(2):
        ledger.give_go(run, HERE)
        assert not ledger.head().go_withheld


@pytest.mark.parametrize("ended", [False, True])
def test_a_go_that_was_given_is_not_taken_back_by_a_late_or_a_second_beginning(
    ledger: Ledger, run: Run, clock: Clock, ended: bool
) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=True)
    ledger.activate(run, HERE)
    ledger.give_go(run, HERE)
    if ended:
        ledger.finish(run, succeeded=True, now=NOW)
    ledger.begin_promoting(run, HERE, withhold_go=True)
    assert not ledger.head().go_withheld
    ledger.begin_promoting(take_lock(ledger, "run-2", clock()), HERE, withhold_go=True)
    assert not ledger.head().go_withheld


def test_a_run_that_goes_on_where_another_died_still_withholds_go(ledger: Ledger, run: Run, clock: Clock) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=True)
    ledger.activate(run, HERE)
    second = take_lock(ledger, "run-2", clock())
    ledger.begin_promoting(second, HERE, withhold_go=True)
    assert ledger.head().go_withheld
    with pytest.raises(RunSuperseded):
        ledger.give_go(run, HERE)
    ledger.give_go(second, HERE)
    assert not ledger.head().go_withheld


def test_by_the_decision_nothing_is_withheld_nor_stays_so(ledger: Ledger, run: Run) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=False)
    assert "go_withheld" not in head_item(ledger)
    ledger.set_state(run, State.STEADY)
    ledger.begin_promoting(run, HERE, withhold_go=True)
    ledger.begin_promoting(run, HERE, withhold_go=False)  # the parameter was changed meanwhile
    assert not ledger.head().go_withheld


@pytest.mark.parametrize("end", ["stood down", "finished", "cleared"])
def test_at_the_end_nothing_is_left_that_would_withhold_the_next_go(ledger: Ledger, run: Run, end: str) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=True)
    if end == "finished":
        ledger.activate(run, HERE)
        ledger.finish(run, succeeded=True, now=NOW)
    elif end == "stood down":
        ledger.finish(run, succeeded=False, now=NOW)
    else:
        ledger.set_state(run, State.STEADY)
    assert "go_withheld" not in head_item(ledger)


def test_the_door_opens_only_in_a_region_that_is_being_activated(ledger: Ledger, run: Run) -> None:
    for state in (None, State.STEADY):
        if state is not None:
            ledger.set_state(run, state)
        before = head_item(ledger)
        with pytest.raises(RunSuperseded):
            ledger.open_door(run, "shop-dr", None)
        assert head_item(ledger) == before


def test_a_run_that_did_not_succeed_ends_steady_and_without_a_cooldown(ledger: Ledger, run: Run) -> None:
    ledger.set_state(run, State.PROMOTING)
    ledger.finish(run, succeeded=False, now=NOW)
    head = ledger.head()
    assert (head.active, head.state, head.ended_at) == (HOME, State.STEADY, None)


def test_the_first_capacity_of_before_stays_until_it_is_forgotten(ledger: Ledger, run: Run, clock: Clock) -> None:
    ledger.remember_capacity(run, BEFORE)
    ledger.remember_capacity(run, {"web": Capacity(2, 2, 4)})
    assert ledger.head().capacity_before == BEFORE
    # Also for the run that takes over from one that died.
    second = take_lock(ledger, "run-2", clock())
    ledger.remember_capacity(second, {"web": Capacity(3, 3, 4), "mail": Capacity(1, 1, 1)})
    assert ledger.head().capacity_before == BEFORE
    ledger.forget_capacity(second)
    assert ledger.head().capacity_before is None


@pytest.mark.parametrize(
    ("known", "told", "epoch", "active"),
    [(None, 3, 3, HERE), (2, 3, 3, HERE), (3, 3, 3, HOME), (4, 3, 4, HOME)],
)
def test_a_mirrored_epoch_never_goes_back(
    ledger: Ledger, known: int | None, told: int, epoch: int, active: str
) -> None:
    if known is not None:
        ledger.mirror(claims(known, HOME, State.STEADY), 0)
    ledger.mirror(claims(told, HERE, State.PROMOTING), 0)
    head = ledger.head()
    assert (head.epoch, head.active) == (epoch, active)
    assert head.state is (State.PROMOTING if active == HERE else State.STEADY)
    assert head.written


def test_a_mirror_does_not_reach_into_a_run(ledger: Ledger, run: Run) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=False)
    ledger.open_door(run, "shop-dr", NOW)
    ledger.mirror(claims(9, HOME), 0)
    head = ledger.head()
    assert (head.state, head.active, head.active_epoch, head.owner) == (State.PROMOTING, HOME, 0, run.owner)
    assert head.door_opened


def test_a_mirror_lets_leases_be_granted_again_once_all_is_steady(ledger: Ledger, run: Run) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=False)
    ledger.stop_granting(run, NOW)
    release_lock(ledger)
    ledger.mirror(claims(9, HOME), 0)
    assert ledger.head().granting_stopped_at is None


def test_who_is_active_is_known_since_the_epoch_that_made_it_so(ledger: Ledger, run: Run, clock: Clock) -> None:
    ledger.activate(run, HERE)
    release_lock(ledger)
    take_lock(ledger, "run-2", clock())
    head = ledger.head()
    assert (head.active, head.active_epoch, head.epoch) == (HERE, 1, 2)


# What a planned run and a write lease need to remember.


def test_granting_has_stopped_when_it_first_did_and_goes_on_with_a_steady_state(ledger: Ledger, run: Run) -> None:
    with pytest.raises(RunSuperseded):
        ledger.stop_granting(run, NOW)  # before the ledger says that this Region is being activated it means nothing
    ledger.begin_promoting(run, HERE, withhold_go=False)
    ledger.stop_granting(run, NOW + 1.5)
    ledger.stop_granting(run, NOW + 60)
    assert ledger.head().granting_stopped_at == NOW + 1.5
    ledger.set_state(run, State.STEADY)
    assert ledger.head().granting_stopped_at is None


def test_a_stop_of_the_peers_writes_is_noted_before_it_is_tried_and_confirmed_anew(ledger: Ledger, run: Run) -> None:
    with pytest.raises(RunSuperseded):
        ledger.begin_quiesce(run, NOW)
    ledger.begin_promoting(run, HERE, withhold_go=False)
    with pytest.raises(RunSuperseded):
        ledger.note_quiesced(run, "0/5000")
    ledger.begin_quiesce(run, NOW)
    assert ledger.head().quiesce == Quiesce(NOW, None)
    ledger.note_quiesced(run, "0/5000")
    assert ledger.head().quiesce == Quiesce(NOW, "0/5000")
    ledger.begin_quiesce(run, NOW + 60)
    assert ledger.head().quiesce == Quiesce(NOW + 60, None)


@pytest.mark.parametrize("how", ["let in again", "succeeded"])
def test_the_stop_is_forgotten_when_writes_are_let_in_again_or_the_run_has_succeeded(
    ledger: Ledger, run: Run, how: str
) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=False)
    ledger.begin_quiesce(run, NOW)
    ledger.set_state(run, State.STEADY)
    assert ledger.head().quiesce is not None, "a steady state alone lets nobody write again"
    if how == "succeeded":
        ledger.finish(run, succeeded=True, now=NOW)
    else:
        ledger.end_quiesce(run)
    assert ledger.head().quiesce is None


# What an operator says, and what people are asked.


def test_what_an_operator_has_frozen_is_in_the_head(ledger: Ledger) -> None:
    ledger.freeze(NOW - 10, NOW + 100.5, "upgrade", "kim")
    head = ledger.head()
    assert (head.frozen_from, head.frozen_until, head.frozen_because, head.frozen_by) == (
        NOW - 10,
        NOW + 100.5,
        "upgrade",
        "kim",
    )
    assert not head.written, "a freeze says nothing of which Region is active"


def test_a_freeze_replaces_another_and_can_be_taken_back_twice(ledger: Ledger, run: Run) -> None:
    ledger.freeze(NOW, NOW + 100, "upgrade", "kim")
    ledger.freeze(NOW + 50, NOW + 60, "reboot", "lee")
    assert (ledger.head().frozen_from, ledger.head().frozen_by) == (NOW + 50, "lee")
    before = replace(ledger.head(), frozen_from=None, frozen_until=None, frozen_because=None, frozen_by=None)
    for _ in range(2):
        ledger.unfreeze()
        assert ledger.head() == before
    assert ledger.require(run).owner == run.owner, "it belongs to no run, and touches none"


def test_only_the_newest_question_of_a_run_is_kept(ledger: Ledger, run: Run) -> None:
    assert ledger.question(run.id) is None
    ledger.keep_question(run, QUESTION)
    assert ledger.question(run.id) == QUESTION
    second = replace(QUESTION, asked=2, token="another", urgency=Urgency.REPEATED)
    ledger.keep_question(run, second)
    assert ledger.question(run.id) == second
    assert ledger.question("run-2") is None


@pytest.mark.parametrize("reply", Reply)
def test_who_answered_what_is_kept(ledger: Ledger, run: Run, reply: Reply) -> None:
    assert ledger.answer(run.id) is None
    answer = Answer(reply, "kim", "the primary burns", NOW + 0.25, "policy_approve")
    ledger.keep_answer(run, answer)
    assert ledger.answer(run.id) == answer
    assert ledger.timeline(run.id) == ({}, []), "it is beside the timeline, not in it"


def test_the_last_refusal_is_remembered_until_a_run_has_succeeded(ledger: Ledger, run: Run) -> None:
    ledger.refuse(run, "kim", "we know why", NOW)
    ledger.refuse(run, "nobody", "nobody answered", NOW + 5)
    assert ledger.head().refused_at == NOW + 5
    ledger.finish(run, succeeded=False, now=NOW + 6)
    assert ledger.head().refused_at == NOW + 5
    ledger.finish(run, succeeded=True, now=NOW + 7)
    assert ledger.head().refused_at is None


# What AWS says about itself, and what the primary's database is like.


def test_the_events_of_a_time_come_oldest_first(ledger: Ledger) -> None:
    later = replace(OUTAGE, time="2026-09-21T13:00:00Z", description="still")
    for event in (later, OUTAGE, replace(OUTAGE, time="2026-09-21T10:59:59Z")):
        ledger.keep_health(event)
    noon = 1789992000.0
    assert ledger.health(noon - 3600, noon + 3600) == [OUTAGE, later]
    assert ledger.health(noon, noon) == [OUTAGE]
    assert ledger.health(noon + 3601, noon + 9999) == []


def test_the_same_event_again_replaces_itself_and_all_of_them_go_by_themselves(ledger: Ledger) -> None:
    ledger.keep_health(OUTAGE)
    ledger.keep_health(replace(OUTAGE, description="worse"))
    ledger.keep_health(replace(OUTAGE, arn="arn:2"))
    found = ledger.health(0, 2e9)
    assert [(event.arn, event.description) for event in found] == [("arn:1", "worse"), ("arn:2", "down")]
    items = ledger.dynamodb.scan(TableName=ledger.table)["Items"]
    assert {item["expires"]["N"] for item in items} == {str(1789992000 + 90 * 86400)}


def test_what_keeps_the_primarys_database_safe_is_remembered(ledger: Ledger) -> None:
    assert ledger.database("shop-primary") is None
    ledger.keep_database("shop-primary", DatabaseProperties(False, 1, False), NOW)
    ledger.keep_database("shop-primary", DatabaseProperties(True, 14, True), NOW + 60)
    assert ledger.database("shop-primary") == DatabaseProperties(True, 14, True)
    assert ledger.database("another") is None


def test_signals_come_back_as_they_were_kept(ledger: Ledger) -> None:
    kept = [
        Signal(View.OUTSIDE, Seen.DOWN, NOW - 61.25, NOW + 1 / 3, 'it says "down"'),
        Signal(View.FROM_DR, Seen.DOWN, NOW, NOW, "503", answered=True),
        Signal(View.STREAM, Seen.UNKNOWN, 0.0, NOW, "nothing"),
    ]
    keep_signals(ledger, kept)
    assert ledger.signals() == {
        **{signal.view: signal for signal in kept},
        View.CONTROL: Signal.unknown(View.CONTROL),
    }
    keep_signals(ledger, [replace(kept[0], seen=Seen.UP)])
    assert ledger.signals()[View.OUTSIDE].seen is Seen.UP
    assert ledger.signals()[View.FROM_DR] == kept[1]


def test_a_signal_is_moved_on_only_from_what_was_read_of_it(ledger: Ledger) -> None:
    """Two who looked at once: the one that writes last must not undo what the other has seen."""
    nothing = ledger.signals()[View.OUTSIDE]
    down = Signal(View.OUTSIDE, Seen.DOWN, NOW - 60, NOW - 5, "down", mute_since=NOW - 60)
    assert ledger.move_signal(down, nothing)
    assert not ledger.move_signal(replace(down, last_seen=NOW), nothing)
    up = Signal(View.OUTSIDE, Seen.UP, NOW, NOW, "up", mute_since=NOW)
    assert ledger.move_signal(up, down)
    assert not ledger.move_signal(replace(down, last_seen=NOW + 1), down)
    assert ledger.signals()[View.OUTSIDE] == up


def test_a_signal_of_which_it_is_not_known_since_when_nothing_answered_counts_from_its_beginning(
    ledger: Ledger,
) -> None:
    """As an earlier version has kept it."""
    keep_signals(ledger, [Signal(View.FROM_DR, Seen.DOWN, NOW - 60, NOW - 5, "down", mute_since=NOW - 60)])
    key = {"pk": {"S": "signal"}, "sk": {"S": "from_dr"}}
    ledger.dynamodb.update_item(TableName=ledger.table, Key=key, UpdateExpression="REMOVE mute_since")
    assert ledger.signals()[View.FROM_DR].mute_since == NOW - 60


def test_the_newest_capacity_of_each_group_of_the_primary_is_kept(ledger: Ledger) -> None:
    ledger.keep_capacity("web", Capacity(1, 2, 4), NOW)
    ledger.keep_capacity("web", Capacity(2, 3, 6), NOW + 0.5)
    ledger.keep_capacity("mail", Capacity(0, 1, 1), NOW)
    assert (ledger.capacity("web"), ledger.capacity("mail")) == (Capacity(2, 3, 6), Capacity(0, 1, 1))


def test_all_that_is_kept_of_the_primary_comes_in_one_answer(ledger: Ledger) -> None:
    assert ledger.kept(["web", "mail"], "shop-primary") == Kept({"web": None, "mail": None}, None, None)
    ledger.keep_capacity("web", Capacity(1, 2, 4), NOW)
    ledger.keep_database("shop-primary", DatabaseProperties(True, 14, True), NOW)
    ledger.keep_release("releases/current.tar.gz", "one", NOW)
    assert ledger.kept(["web", "mail", "web"], "shop-primary") == Kept(
        {"web": Capacity(1, 2, 4), "mail": None}, ledger.database("shop-primary"), ledger.release()
    )


def test_of_what_dynamodb_gives_in_part_nothing_counts(ledger: Ledger) -> None:
    class Busy:
        def batch_get_item(self, **asked: Any) -> dict[str, Any]:
            return {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}

    busy: Any = Busy()
    with pytest.raises(TimeoutError, match="a part only"):
        Ledger(busy, ledger.table, ledger.home_region).kept(["web"], "shop-primary")


def test_the_first_mark_of_a_kind_stays(ledger: Ledger, run: Run) -> None:
    ledger.mark(run, "t4", NOW + 0.1)
    ledger.mark(run, "t4", NOW + 9)
    ledger.mark(run, "t0", NOW - 70)
    assert ledger.timeline(run.id)[0] == {"t0": NOW - 70, "t4": NOW + 0.1}


def test_steps_come_in_the_order_in_which_they_began(ledger: Ledger, run: Run) -> None:
    for at, name in [(3, "verify"), (1, "scale (warm)"), (2, "promote"), (2, "fence")]:
        ledger.step_began(run, name, NOW + at)
    ledger.step_began(run, "verify", NOW + 9)
    ledger.step_says(run, "promote", NOW + 4, "waiting", done=False, facts={"b": [1, None], "a": 1.5})
    ledger.step_says(run, "fence", NOW + 5, "fenced", done=True)
    steps = ledger.timeline(run.id)[1]
    assert [step.name for step in steps] == ["scale (warm)", "fence", "promote", "verify"]
    assert [step.started - NOW for step in steps] == [1, 2, 2, 3]
    assert [step.ended for step in steps] == [None, NOW + 5, None, None]
    assert steps[2].facts == {"b": [1, None], "a": 1.5}
    assert steps[0].sentence == "it began, and nothing more is known"


def test_each_run_has_a_timeline_of_its_own(ledger: Ledger, run: Run, clock: Clock) -> None:
    ledger.mark(run, "t0", NOW)
    other = take_lock(ledger, "run-10", clock())
    ledger.mark(other, "t0", NOW + 1)
    assert ledger.timeline("run-1")[0] == {"t0": NOW}
    assert ledger.timeline("run-10")[0] == {"t0": NOW + 1}


# The way home.


@pytest.fixture
def atomic(aws: None) -> Iterator[None]:
    """A condition and its write are one, which they are not in moto."""
    items = AtomicItems()
    items.install()
    yield
    items.uninstall()


GUEST = f"arn:aws:states:{HOME}:123456789012:execution:relight-shop-failback:run-7"
RETIRED = Retired("shop-dr-retired-4", "shop-dr", 4, "run-7", NOW, "shop-dr-retired-4")


@pytest.mark.parametrize("withhold", [True, False])
def test_hold_is_part_of_the_decision_and_is_let_go_of_by_itself(ledger: Ledger, run: Run, withhold: bool) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=withhold, hold=True)
    assert ledger.head().held
    assert ledger.head().go_withheld is withhold
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=NOW)
    assert ledger.head().held, "the end of a run does not lead clients away"
    ledger.release_hold(run)
    assert not ledger.head().held
    ledger.hold(run)
    assert ledger.head().held


def test_a_failover_holds_nothing(ledger: Ledger, run: Run) -> None:
    ledger.begin_promoting(run, HERE, withhold_go=False)
    assert not ledger.head().held


def test_who_is_active_is_conceded_under_the_lock(ledger: Ledger, run: Run) -> None:
    ledger.activate(run, HERE)
    ledger.begin_promoting(run, HERE, withhold_go=True, hold=True)
    ledger.stop_granting(run, NOW)
    ledger.begin_quiesce(run, NOW)
    ledger.open_door(run, "shop-dr", NOW)
    ledger.concede(run, claims(9, HOME))
    head = ledger.head()
    assert (head.active, head.active_epoch, head.state, head.epoch) == (HOME, 9, State.STEADY, run.epoch)
    assert head.owner == run.owner
    assert (head.promotion, head.quiesce, head.granting_stopped_at) == (None, None, None)
    assert not (head.go_withheld or head.held or head.door_opened)


def test_home_is_where_a_person_has_decided_to_stay(ledger: Ledger, run: Run) -> None:
    assert ledger.head().home_or(HOME) == HOME
    ledger.make_home(run, HERE)
    assert ledger.head().home_or(HOME) == HERE


def test_a_guest_takes_a_free_lock_and_no_epoch_grows(ledger: Ledger) -> None:
    ledger.mirror(claims(4, HERE), NOW)
    assert ledger.lock_as_guest(GUEST, NOW, 900)
    head = ledger.head()
    assert (head.owner, head.expires_at, head.epoch, head.active_epoch) == (GUEST, NOW + 900, 4, 4)
    assert ledger.lock_as_guest(GUEST, NOW + 600, 900), "it may keep it for longer"
    assert ledger.head().expires_at == NOW + 1500


def test_a_guest_takes_no_lock_from_who_is_at_work(ledger: Ledger, run: Run) -> None:
    before = head_item(ledger)
    assert not ledger.lock_as_guest(GUEST, NOW, 900)
    assert not ledger.lock_as_guest(GUEST, NOW, 900, instead_of=execution("another"))
    assert not ledger.make_home_as_guest(GUEST, HERE)
    ledger.unlock_as_guest(GUEST)
    assert head_item(ledger) == before
    assert ledger.require(run)


def test_a_guest_takes_the_lock_of_a_dead_run_and_one_past_its_expiry(ledger: Ledger, run: Run) -> None:
    assert ledger.lock_as_guest(GUEST, NOW, 900, instead_of=run.owner)
    assert not ledger.lock_as_guest("another guest", NOW + 900, 900)
    assert ledger.lock_as_guest("another guest", NOW + 901, 900)
    with pytest.raises(RunSuperseded):
        ledger.require(run)


@pytest.mark.usefixtures("atomic")
def test_of_two_guests_at_once_one_has_the_lock(ledger: Ledger) -> None:
    took = at_once(*(lambda name=name: ledger.lock_as_guest(name, NOW, 900) for name in ("a", "b", "c")))
    assert sorted(took) == [False, False, True]
    assert ledger.head().owner == "abc"[took.index(True)]


def test_a_guest_gives_back_what_is_still_its_own(ledger: Ledger, clock: Clock) -> None:
    ledger.lock_as_guest(GUEST, NOW, 900)
    assert ledger.make_home_as_guest(GUEST, HERE)
    ledger.unlock_as_guest(GUEST)
    head = ledger.head()
    assert (head.owner, head.expires_at, head.home) == (None, 0.0, HERE)
    own = take_lock(ledger, "run-8", clock())
    ledger.unlock_as_guest(GUEST)
    assert ledger.require(own)


def test_what_is_mirrored_takes_no_run_and_no_guest_its_lock(ledger: Ledger, run: Run) -> None:
    ledger.mirror(claims(9, HOME), NOW)
    assert ledger.require(run).epoch == run.epoch
    release_lock(ledger)
    ledger.lock_as_guest(GUEST, NOW, 900)
    ledger.mirror(claims(9, HOME), NOW)
    assert (ledger.head().epoch, ledger.head().active_epoch) == (run.epoch, 0)
    ledger.mirror(claims(9, HOME), NOW + 901)  # a lock that has expired is nobody's
    assert (ledger.head().epoch, ledger.head().active_epoch) == (9, 9)


def test_since_when_a_region_is_well_is_the_first_time(ledger: Ledger) -> None:
    ledger.note_well(NOW)
    ledger.note_well(NOW + 60)
    assert ledger.head().well_since == NOW
    ledger.note_well(None)
    assert ledger.head().well_since is None
    ledger.note_well(NOW + 120)
    assert ledger.head().well_since == NOW + 120


def test_the_way_home_is_offered_once_for_each_activation(ledger: Ledger) -> None:
    assert [ledger.note_offered(epoch) for epoch in (4, 4, 3, 6)] == [True, False, False, True]
    assert ledger.head().offered_epoch == 6


@pytest.mark.usefixtures("atomic")
def test_of_two_offers_at_once_one_is_made(ledger: Ledger) -> None:
    assert at_once(*[lambda: ledger.note_offered(4)] * 3).count(True) == 1


def test_progress_is_kept_for_a_run_and_by_name(ledger: Ledger, run: Run) -> None:
    assert ledger.progress(run.id, "compare") is None
    ledger.keep_progress(run, "compare", {"table": "shop_order", "at": [1, "x"], "share": 0.25})
    ledger.keep_progress(run, "objects", {})
    ledger.keep_progress(run, "compare", {"table": "shop_payment"})
    assert ledger.progress(run.id, "compare") == {"table": "shop_payment"}
    assert ledger.progress(run.id, "objects") == {}
    assert ledger.progress("another", "compare") is None
    assert ledger.timeline(run.id) == ({}, []), "it is no part of the story"


def test_progress_of_300_kb_is_kept(ledger: Ledger, run: Run) -> None:
    much = {"names": ["x" * 90] * 3000}
    ledger.keep_progress(run, "compare", much)
    ledger.step_began(run, "compare", NOW)
    assert ledger.progress(run.id, "compare") == much
    assert [step.name for step in ledger.timeline(run.id)[1]] == ["compare"]


def test_a_late_handler_keeps_no_progress(ledger: Ledger, run: Run, clock: Clock) -> None:
    ledger.keep_progress(run, "compare", {"at": 7})
    take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded):
        ledger.keep_progress(run, "compare", {"at": 3})
    assert ledger.progress(run.id, "compare") == {"at": 7}


def test_what_a_database_was_like_first_stays_until_it_is_forgotten(ledger: Ledger) -> None:
    assert ledger.shape("shop-dr") is None
    ledger.keep_shape("shop-dr", {"MultiAZ": False, "Iops": 3000}, NOW)
    ledger.keep_shape("shop-dr", {"MultiAZ": True}, NOW + 1)
    assert ledger.shape("shop-dr") == {"MultiAZ": False, "Iops": 3000}
    assert ledger.shape("shop-primary") is None
    ledger.forget_shape("shop-dr")
    assert ledger.shape("shop-dr") is None


def test_what_was_retired_is_listed_oldest_first_until_it_is_forgotten(ledger: Ledger) -> None:
    older = replace(RETIRED, instance="shop-dr-retired-2", epoch=2, retired_at=NOW - 1, snapshot=None)
    for retired in (RETIRED, older, replace(RETIRED, retired_at=NOW + 99, run="another")):
        ledger.keep_retired(retired)
    assert ledger.retired() == [older, RETIRED], "the first time stays"
    ledger.forget_retired(older.instance)
    ledger.forget_retired("unheard of")
    assert ledger.retired() == [RETIRED]


def at_once(*acts: Callable[[], bool]) -> list[bool]:
    """What each came to, all of them begun at the same instant."""
    line = Barrier(len(acts), timeout=30)

    def act(number: int) -> bool:
        line.wait()
        return acts[number]()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, range(len(acts))))
