"""The one-way door: who may open it, how often, and when the replica counts as promoted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from relight.errors import EngineNotSupported, NotAReplicaOfThePeer, ReplicaNotFound, RunSuperseded
from relight.ledger import Ledger, Promotion, State
from relight.run import Mode, Run
from relight.settings import PromoteSettings
from relight.step import Outcome, perform
from relight.steps.promote import CALL_AGAIN_SECONDS, Promote, replicates

from tests.unit.conftest import Clients
from tests.unit.rds import PEER, REPLICA, SOURCE, Dbcheck, Rds, error, make_rds
from tests.unit.standby import HERE, HOME, Clock, head_item, take_lock

SETTINGS = PromoteSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    replica_id=REPLICA,
    peer_database_id=PEER,
    backup_retention_days=7,
    dbcheck_function="relight-shop-dbcheck",
    look_again_seconds=10.0,
    lease_term_seconds=0.0,
    longest_transaction_seconds=10.0,
)
LEASED = replace(SETTINGS, lease_term_seconds=30.0)  # 42 s, with 2 s for the clocks' drift
type Look = Callable[..., Outcome]


@pytest.fixture
def rds(clients: Clients) -> Rds:
    return make_rds(clients)


@pytest.fixture
def dbcheck() -> Dbcheck:
    return Dbcheck()


@pytest.fixture
def promote(rds: Rds, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock) -> Promote:
    """The step, once the run has said that it activates this Region."""
    ledger.set_state(run, State.PROMOTING)
    return Promote(SETTINGS, ledger, rds, dbcheck, clock)  # type: ignore[arg-type]


@pytest.fixture
def look(promote: Promote, run: Run) -> Look:
    """`look()`: one look of the step, for the run that holds the lock or for another."""
    return lambda as_run=run: promote.ensure(as_run)


def waits(outcome: Outcome, sentence: str, seconds: int = 10) -> None:
    assert (outcome.status, outcome.look_again_seconds) == ("WAIT", seconds)
    assert sentence in outcome.sentence


def test_from_replica_to_done_through_every_phase(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    called = clock()
    waits(look(), "shop-dr is being promoted")
    assert rds.promotions == [{"DBInstanceIdentifier": REPLICA, "BackupRetentionPeriod": 7}]
    assert ledger.head().promotion == Promotion(REPLICA, run.id, 1, called)
    assert ledger.head().door_opened

    # RDS goes on saying `available` for a while, and must not be asked again in it.
    for _ in range(3):
        clock.advance(10)
        waits(look(), "RDS has accepted the promotion of shop-dr and has not begun it yet")
    for status in ("modifying", "rebooting"):
        rds.status[REPLICA] = status
        waits(look(), f"shop-dr is {status}")
    del rds.source[REPLICA]
    waits(look(), "shop-dr is no replica any more and is rebooting")
    rds.status[REPLICA] = "available"
    waits(look(), "shop-dr is available, and does not take writes: it is a replica", 2)
    assert (ledger.head().active, ledger.timeline(run.id)[0]) == (HOME, {})

    dbcheck.in_recovery = False
    clock.advance(2)
    outcome = look()
    assert (outcome.status, outcome.sentence) == ("DONE", "shop-dr is promoted and took a write")
    assert dbcheck.writes == 1
    assert ledger.head().active == HERE
    assert ledger.timeline(run.id)[0] == {"t4": clock()}
    assert len(rds.promotions) == 1


def test_the_first_backup_of_the_promoted_instance_is_not_waited_for(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger
) -> None:
    look()
    rds.status[REPLICA] = "backing-up"
    waits(look(), "RDS promotes only what is available")  # a replica still
    rds.end()
    rds.status[REPLICA] = "backing-up"
    waits(look(), "shop-dr is backing-up, and does not take writes", 2)
    assert ledger.head().active == HOME
    dbcheck.in_recovery = False
    assert look().status == "DONE"
    assert ledger.head().active == HERE


def test_a_replica_already_promoted_is_done_and_stays_so(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    look()
    rds.end()
    dbcheck.in_recovery = False
    first = clock()
    for _ in range(2):
        assert look().status == "DONE"
        clock.advance(30)
    # The run that goes on where one died finds the same.
    second = take_lock(ledger, "run-2", clock())
    assert look(second).status == "DONE"
    assert len(rds.promotions) == 1
    assert ledger.timeline(run.id)[0] == {"t4": first}
    assert ledger.timeline("run-2")[0] == {"t4": clock()}


def test_in_an_active_region_the_promoted_instance_is_done(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    rds.end()
    dbcheck.in_recovery = False
    assert look().status == "DONE"
    assert rds.promotions == []


@pytest.mark.parametrize("status", ["backing-up", "modifying", "rebooting", "storage-optimization"])
def test_a_replica_that_rds_is_working_on_is_waited_for(look: Look, rds: Rds, ledger: Ledger, status: str) -> None:
    rds.status[REPLICA] = status
    waits(look(), f"shop-dr is {status}: RDS promotes only what is available")
    assert rds.promotions == []
    assert ledger.head().promotion is None
    rds.status[REPLICA] = "available"
    waits(look(), "shop-dr is being promoted")


def test_a_backup_that_began_between_look_and_call_is_waited_for(look: Look, rds: Rds) -> None:
    rds.refusal = error("InvalidDBInstanceState", "DB instance shop-dr is backing up.", "PromoteReadReplica")
    waits(look(), "RDS will not promote shop-dr just now: DB instance shop-dr is backing up.")
    rds.refusal = None
    waits(look(), "shop-dr is being promoted")
    assert len(rds.promotions) == 1


def test_a_call_that_rds_has_forgotten_is_made_again_after_a_while(look: Look, rds: Rds, clock: Clock) -> None:
    look()
    clock.advance(CALL_AGAIN_SECONDS - 1)
    look()
    assert len(rds.promotions) == 1
    clock.advance(1)
    look()
    assert len(rds.promotions) == 2


def test_a_run_that_takes_over_while_rds_is_pending_does_not_call_again(
    look: Look, rds: Rds, ledger: Ledger, clock: Clock
) -> None:
    look()
    clock.advance(30)
    waits(look(take_lock(ledger, "run-2", clock())), "RDS has accepted the promotion")
    assert len(rds.promotions) == 1


def test_a_run_that_died_between_note_and_call_is_gone_on_with(
    look: Look, rds: Rds, ledger: Ledger, run: Run, clock: Clock
) -> None:
    ledger.open_door(run, REPLICA, None)
    waits(look(take_lock(ledger, "run-2", clock())), "shop-dr is being promoted")
    assert len(rds.promotions) == 1


def test_an_identifier_that_does_not_exist_is_refused(look: Look, rds: Rds) -> None:
    rds.status.clear()
    with pytest.raises(ReplicaNotFound, match="no database instance is called shop-dr in eu-central-1"):
        look()


@pytest.mark.parametrize(
    "source",
    [
        f"arn:aws:rds:{HOME}:123456789012:db:another",
        f"arn:aws:rds:us-east-1:123456789012:db:{PEER}",
        PEER,
        f"arn:aws:rds:{HOME}:123456789012:cluster:{PEER}",
    ],
)
def test_a_replica_of_somebody_else_is_refused(look: Look, rds: Rds, ledger: Ledger, source: str) -> None:
    rds.source[REPLICA] = source
    with pytest.raises(NotAReplicaOfThePeer, match=f"not from {PEER} in {HOME}"):
        look()
    assert (rds.promotions, ledger.head().promotion) == ([], None)


def test_an_instance_that_was_never_a_replica_is_refused(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger
) -> None:
    rds.end()
    dbcheck.in_recovery = False
    with pytest.raises(NotAReplicaOfThePeer, match="shop-dr is no replica, and Relight has not promoted it"):
        look()
    assert (dbcheck.writes, ledger.head().active) == (0, HOME)


def test_a_promotion_of_another_instance_does_not_vouch_for_this_one(
    look: Look, rds: Rds, ledger: Ledger, run: Run
) -> None:
    ledger.open_door(run, "shop-old", 1.0)
    rds.end()
    with pytest.raises(NotAReplicaOfThePeer):
        look()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reached": False}, "does not take writes: unreachable: it is not there"),
        ({"in_recovery": False, "read_only": True}, "does not take writes"),
        ({"failure": "Sandbox.Timedout"}, "could not be asked to write: relight-shop-dbcheck failed: Sandbox.Timedout"),
    ],
)
def test_available_is_not_promoted(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger, run: Run, changed: dict[str, Any], sentence: str
) -> None:
    look()
    rds.end()
    for name, value in changed.items():
        setattr(dbcheck, name, value)
    waits(look(), sentence, 2)
    assert (ledger.head().active, ledger.timeline(run.id)[0]) == (HOME, {})


@pytest.mark.parametrize(
    "refusal",
    [error("TooManyRequestsException", "Rate Exceeded.", "Invoke"), ReadTimeoutError(endpoint_url="https://lambda")],
)
def test_behind_the_door_a_database_that_cannot_be_asked_is_asked_again(
    look: Look, rds: Rds, dbcheck: Dbcheck, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def invoke(**_: Any) -> None:
        raise refusal

    look()
    rds.end()
    monkeypatch.setattr(dbcheck, "invoke", invoke)
    waits(look(), "could not be asked to write", 2)


def test_an_api_that_does_not_answer_is_asked_again(look: Look, rds: Rds) -> None:
    rds.reached = False
    waits(look(), "RDS of this Region does not answer")


def test_a_refusal_for_any_other_reason_is_raised_and_opens_no_door(
    look: Look, rds: Rds, ledger: Ledger, run: Run
) -> None:
    rds.refusal = error("AccessDenied", "not authorized to perform rds:PromoteReadReplica", "PromoteReadReplica")
    with pytest.raises(ClientError, match="not authorized"):
        look()
    assert not ledger.head().door_opened, "nothing was promoted, so everything can still be undone"


def test_an_error_of_rds_itself_leaves_the_door_open(look: Look, rds: Rds, ledger: Ledger, run: Run) -> None:
    """It may have begun, so it must not be undone."""
    rds.refusal = error("InternalFailure", "try again", "PromoteReadReplica", 500)
    with pytest.raises(ClientError):
        look()
    assert ledger.head().door_opened


def test_a_refusal_does_not_close_a_door_that_an_earlier_call_has_opened(
    look: Look, rds: Rds, ledger: Ledger, run: Run, clock: Clock
) -> None:
    look()
    clock.advance(CALL_AGAIN_SECONDS)
    rds.refusal = error("AccessDenied", "no", "PromoteReadReplica")
    with pytest.raises(ClientError):
        look()
    assert ledger.head().door_opened


def test_a_handler_that_was_under_way_does_not_open_a_door_that_was_barred(
    look: Look, rds: Rds, ledger: Ledger, run: Run
) -> None:
    """The state machine says `steady` before it undoes a run; the run still holds its lock then."""
    ledger.set_state(run, State.STEADY)
    with pytest.raises(RunSuperseded):
        look()
    assert (rds.promotions, ledger.head().promotion) == ([], None)


@pytest.mark.parametrize("phase", ["replica", "promoted"])
def test_a_late_handler_of_a_superseded_run_changes_nothing(
    promote: Promote, rds: Rds, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock, phase: str
) -> None:
    """It was let through, and lost its lock only then."""
    if phase == "promoted":
        promote.ensure(run)
        rds.end()
        dbcheck.in_recovery = False
    calls = len(rds.promotions)
    take_lock(ledger, "run-2", clock())
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        promote.ensure(run)
    assert (len(rds.promotions), head_item(ledger), ledger.timeline(run.id)[0]) == (calls, before, {})


def test_a_late_handler_is_not_even_let_through(
    promote: Promote, rds: Rds, ledger: Ledger, run: Run, clock: Clock
) -> None:
    take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded):
        perform("promote", run, ledger, clock, lambda: promote.ensure(run))
    assert rds.promotions == []


def test_the_backup_retention_is_the_configured_one(promote: Promote, rds: Rds, run: Run) -> None:
    replace(promote, settings=replace(SETTINGS, backup_retention_days=35)).ensure(run)
    assert rds.promotions[0]["BackupRetentionPeriod"] == 35


@pytest.mark.parametrize(
    ("source", "is_it"),
    [(SOURCE, True), (SOURCE.replace("arn:aws:", "arn:aws-cn:"), True), (SOURCE + "-2", False), ("", False)],
)
def test_the_source_is_known_by_its_arn(source: str, is_it: bool) -> None:
    assert replicates(source, HOME, PEER) is is_it


def test_a_replica_of_another_engine_is_refused(look: Look, rds: Rds, ledger: Ledger) -> None:
    rds.engine = "mysql"
    with pytest.raises(EngineNotSupported, match="shop-dr is of the engine mysql; Relight promotes postgres only"):
        look()
    assert (rds.promotions, ledger.head().promotion) == ([], None)


# The write lease


@pytest.fixture
def leased(promote: Promote) -> Promote:
    return replace(promote, settings=LEASED)


def test_the_old_sides_lease_is_waited_for(leased: Promote, rds: Rds, ledger: Ledger, run: Run, clock: Clock) -> None:
    waits(leased.ensure(run), "this Region still grants the old side its write lease")
    ledger.stop_granting(run, clock())
    waits(leased.ensure(run), "the old side may write until its lease runs out, in 42 s")
    clock.advance(38.5)
    waits(leased.ensure(run), "in 4 s", 4)
    ledger.stop_granting(run, clock())  # a run that goes on where one died does not begin to wait again
    clock.advance(3.4)
    waits(leased.ensure(run), "in 1 s", 1)
    assert (rds.promotions, ledger.head().promotion) == ([], None)
    clock.advance(0.2)
    waits(leased.ensure(run), "shop-dr is being promoted")
    assert len(rds.promotions) == 1


def test_without_a_lease_nothing_is_waited_for(promote: Promote, rds: Rds, run: Run) -> None:
    promote.ensure(run)
    assert len(rds.promotions) == 1


def test_a_planned_run_whose_peer_is_known_to_be_stopped_waits_for_no_lease(
    leased: Promote, rds: Rds, ledger: Ledger, run: Run, clock: Clock
) -> None:
    planned = replace(run, mode=Mode.PLANNED)
    ledger.stop_granting(run, clock())
    ledger.begin_quiesce(run, clock())
    waits(leased.ensure(planned), "until its lease runs out")  # not confirmed is not stopped
    ledger.note_quiesced(run, "0/3000060")
    assert rds.promotions == []
    waits(leased.ensure(planned), "shop-dr is being promoted")


def test_what_an_earlier_planned_run_has_noted_spares_an_emergency_nothing(
    leased: Promote, rds: Rds, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """Writes may have been let in again since, by the peer's guard, which says nothing here."""
    ledger.begin_quiesce(run, clock())
    ledger.note_quiesced(run, "0/3000060")
    ledger.stop_granting(run, clock())
    waits(leased.ensure(run), "until its lease runs out")
    assert rds.promotions == []


def test_behind_the_door_no_lease_is_waited_for(leased: Promote, rds: Rds, ledger: Ledger, run: Run) -> None:
    ledger.open_door(run, REPLICA, None)
    waits(leased.ensure(run), "shop-dr is being promoted")


# Writes that were stopped on the old side are stopped here too, by replication


def test_writes_that_were_stopped_on_the_old_side_are_let_in_here(
    look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger
) -> None:
    look()
    rds.end()
    dbcheck.stopped_at = "1"
    waits(look(), "does not take writes: it is a replica", 2)
    dbcheck.in_recovery = False
    assert look().status == "DONE"
    assert (dbcheck.writable, dbcheck.writes, ledger.head().active) == (True, 1, HERE)


def test_what_cannot_be_let_in_is_asked_again(look: Look, rds: Rds, dbcheck: Dbcheck, ledger: Ledger) -> None:
    look()
    rds.end()
    dbcheck.in_recovery, dbcheck.stopped_at = False, "1"

    def refuse(check: str) -> None:
        dbcheck.failure = "Sandbox.Timedout" if check == "allow" else None

    dbcheck.before = refuse
    waits(look(), "could not be asked to write: relight-shop-dbcheck failed: Sandbox.Timedout", 2)
    assert ledger.head().active == HOME
    dbcheck.before = lambda check: None
    dbcheck.failure = None
    assert look().status == "DONE"
