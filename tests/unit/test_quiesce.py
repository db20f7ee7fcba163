"""Stopping the peer's writes: what is not confirmed is not stopped, and what was begun is let in again."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from relight.errors import PeerUnreachable, RunSuperseded
from relight.ledger import Ledger, State
from relight.lsn import position
from relight.run import Run
from relight.settings import QuiesceSettings
from relight.step import Outcome
from relight.steps.quiesce import Intent, Quiescing

from tests.unit.rds import REPLICA, Dbcheck, error
from tests.unit.standby import HERE, HOME, Clock, head_item, take_lock

SETTINGS = QuiesceSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    peer_connect_seconds=2,
    peer_read_seconds=5,
    dbcheck_function="relight-shop-dbcheck",
    peer_dbcheck_function="relight-shop-dbcheck",
    look_again_seconds=10.0,
)
NO_ANSWER = ConnectTimeoutError(endpoint_url="https://lambda.eu-west-1.amazonaws.com/")
DENIED = error("AccessDeniedException", "not authorized to perform lambda:InvokeFunction", "Invoke", 403)
type Look = Callable[..., Outcome]


@pytest.fixture
def primary() -> Dbcheck:
    """The peer's database, which takes writes."""
    return Dbcheck(in_recovery=False, lsn="1/1000")


@pytest.fixture
def replica() -> Dbcheck:
    return Dbcheck(replayed_lsn="0/F0000000")


@pytest.fixture
def quiescing(primary: Dbcheck, replica: Dbcheck, ledger: Ledger, run: Run, clock: Clock) -> Quiescing:
    """The step, once the run has said that it activates this Region."""
    ledger.set_state(run, State.PROMOTING)
    return Quiescing(SETTINGS, ledger, replica, primary, clock)  # type: ignore[arg-type]


@pytest.fixture
def look(quiescing: Quiescing, run: Run) -> Look:
    return lambda intent, lsn=None: quiescing.ensure(run, Intent(intent), lsn)


@pytest.mark.parametrize(
    ("one", "other"), [("0/0", "0/1"), ("0/FFFFFFFF", "1/0"), ("9/0", "10/0"), ("A/0", "10/0"), ("0/9", "0/10")]
)
def test_positions_are_compared_as_numbers(one: str, other: str) -> None:
    assert position(one) < position(other)
    assert position(one) == position(one.lower())


@pytest.mark.parametrize("text", ["", "12", "x/1", "/"])
def test_what_is_no_position_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError):
        position(text)


def test_writes_are_stopped_confirmed_and_the_position_is_noted(
    look: Look, primary: Dbcheck, ledger: Ledger, clock: Clock
) -> None:
    began = clock()
    outcome = look("stop")
    assert (outcome.status, outcome.facts) == ("DONE", {"lsn": "1/1000"})
    assert outcome.sentence == "the peer's writes are stopped; the last lies before 1/1000"
    assert primary.stopped_at is not None
    quiesce = ledger.head().quiesce
    assert quiesce is not None
    assert (quiesce.began, quiesce.lsn) == (began, "1/1000")
    clock.advance(10)
    primary.lsn = "1/2000"
    assert look("stop").facts == {"lsn": "1/2000"}
    quiesce = ledger.head().quiesce
    assert quiesce is not None
    assert (quiesce.began, quiesce.lsn) == (clock(), "1/2000")


def test_sessions_that_are_left_are_waited_for(look: Look, primary: Dbcheck, ledger: Ledger) -> None:
    primary.sessions_left = 2
    outcome = look("stop")
    assert (outcome.status, outcome.look_again_seconds, outcome.facts) == ("WAIT", 10, {"sessions_left": 2})
    assert outcome.sentence == "the peer's writes are not stopped yet: sessions have not ended: 2"
    quiesce = ledger.head().quiesce
    assert quiesce is not None
    assert quiesce.lsn is None
    assert look("replayed").status == "WAIT"
    primary.sessions_left = 0
    assert look("stop").status == "DONE"


@pytest.mark.parametrize("refusal", [NO_ANSWER, DENIED])
def test_a_peer_that_does_not_answer_confirms_nothing(
    look: Look, primary: Dbcheck, ledger: Ledger, refusal: Exception
) -> None:
    primary.refusal = refusal
    outcome = look("stop")
    assert outcome.status == "WAIT"
    assert outcome.sentence.startswith("that the peer's writes are stopped cannot be confirmed: ")
    quiesce = ledger.head().quiesce
    assert quiesce is not None, "it may have been stopped all the same, so it will be let in again"
    assert quiesce.lsn is None


def test_a_peers_database_or_function_that_fails_confirms_nothing(look: Look, primary: Dbcheck) -> None:
    primary.reached = False
    assert "unreachable: it is not there" in look("stop").sentence
    primary.reached, primary.failure = True, "Sandbox.Timedout"
    outcome = look("stop")
    assert outcome.status == "WAIT"
    assert "Sandbox.Timedout" in outcome.sentence
    primary.failure, primary.in_recovery = None, True
    assert look("stop").status == "WAIT", "a replica is not what was to be stopped"


def test_nothing_is_stopped_for_a_run_that_was_called_back(
    look: Look, primary: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    ledger.set_state(run, State.STEADY)
    with pytest.raises(RunSuperseded):
        look("stop")
    take_lock(ledger, "run-2", clock())
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        look("stop")
    assert (primary.stops, head_item(ledger)) == (0, before)


# Replayed


def test_the_replica_is_waited_for_until_it_has_replayed_everything(look: Look, replica: Dbcheck) -> None:
    look("stop")
    outcome = look("replayed")
    assert outcome.status == "WAIT"
    assert outcome.sentence == "the replica is at 0/F0000000, 268439552 bytes before 1/1000"
    for here in ("1/FFF", "0/FFFFFFFF"):
        replica.replayed_lsn = here
        assert look("replayed").status == "WAIT"
    for here in ("1/1000", "1/1030", "2/0"):
        replica.replayed_lsn = here
        outcome = look("replayed")
        assert (outcome.status, outcome.facts) == ("DONE", {"lsn": "1/1000", "replayed_lsn": here})


def test_a_position_that_is_given_counts(look: Look, replica: Dbcheck) -> None:
    look("stop")
    replica.replayed_lsn = "1/1000"
    assert look("replayed", "1/1001").status == "WAIT"
    assert look("replayed", "1/1000").status == "DONE"


def test_without_a_confirmed_stop_nothing_has_arrived(look: Look, replica: Dbcheck) -> None:
    replica.replayed_lsn = "FFFFFFFF/0"
    outcome = look("replayed")
    assert outcome.status == "WAIT"
    assert outcome.sentence.startswith("no position is noted")


def test_a_replica_that_does_not_say_where_it_is_has_not_arrived(look: Look, replica: Dbcheck) -> None:
    look("stop")
    replica.replayed_lsn = None
    assert look("replayed").sentence.endswith("it has replayed nothing")
    replica.reached = False
    assert look("replayed").sentence.endswith("it could not be asked")
    replica.reached, replica.refusal = True, DENIED
    assert look("replayed").status == "WAIT"


# Resume


def test_what_was_stopped_is_let_in_again(look: Look, primary: Dbcheck, ledger: Ledger, run: Run) -> None:
    look("stop")
    ledger.set_state(run, State.STEADY)
    outcome = look("resume")
    assert (outcome.status, outcome.sentence, outcome.facts) == (
        "DONE",
        "the peer: writes are let in",
        {"resumed": True},
    )
    assert primary.writable
    assert ledger.head().quiesce is None
    outcome = look("resume")
    assert (outcome.sentence, outcome.facts) == ("nothing was stopped", {"resumed": False})


def test_a_stop_that_came_to_nothing_is_found_let_in(look: Look, primary: Dbcheck, ledger: Ledger, run: Run) -> None:
    primary.refusal = NO_ANSWER
    look("stop")
    primary.refusal = None
    ledger.set_state(run, State.STEADY)
    assert look("resume").facts == {"resumed": True}
    assert ledger.head().quiesce is None


@pytest.mark.parametrize("refusal", [NO_ANSWER, DENIED])
def test_a_peer_that_does_not_answer_is_left_to_its_guard(
    look: Look, primary: Dbcheck, ledger: Ledger, run: Run, refusal: ClientError
) -> None:
    look("stop")
    ledger.set_state(run, State.STEADY)
    primary.refusal = refusal
    with pytest.raises(PeerUnreachable, match="its guard lets writes in"):
        look("resume")
    assert ledger.head().quiesce is not None, "so that whoever comes next tries again"
    primary.refusal, primary.reached = None, False
    with pytest.raises(PeerUnreachable, match="the peer's database did not answer"):
        look("resume")
    primary.reached, primary.failure = True, "Sandbox.Timedout"
    with pytest.raises(PeerUnreachable, match=r"Sandbox\.Timedout"):
        look("resume")


def test_what_somebody_else_has_stopped_is_not_ours_to_let_in(
    look: Look, primary: Dbcheck, ledger: Ledger, run: Run
) -> None:
    primary.refusal = NO_ANSWER
    look("stop")
    primary.refusal, primary.read_only = None, True
    ledger.set_state(run, State.STEADY)
    assert look("resume").facts == {"resumed": False}
    assert ledger.head().quiesce is None


def test_behind_the_door_the_peer_stays_stopped(look: Look, primary: Dbcheck, ledger: Ledger, run: Run) -> None:
    look("stop")
    ledger.open_door(run, REPLICA, None)
    assert look("resume").facts == {"resumed": False}
    ledger.activate(run, HERE)
    ledger.close_door(run)
    outcome = look("resume")
    assert outcome.sentence == "this Region is being made active, or is: the peer stays stopped"
    assert not primary.writable


def test_a_late_resume_does_not_let_writes_in_behind_the_next_runs_back(
    look: Look, quiescing: Quiescing, primary: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """It was let through, and the next run stopped the writes while it was under way."""
    look("stop")
    ledger.set_state(run, State.STEADY)
    before = primary.before

    def meanwhile(check: str) -> None:
        primary.before = before
        second = take_lock(ledger, "run-2", clock())
        ledger.set_state(second, State.PROMOTING)
        assert replace(quiescing).stop(second).status == "DONE"

    primary.before = meanwhile
    with pytest.raises(RunSuperseded):
        look("resume")
    assert not primary.writable


def test_a_late_allow_takes_back_only_the_stop_that_was_seen(
    look: Look, primary: Dbcheck, ledger: Ledger, run: Run
) -> None:
    look("stop")
    ledger.set_state(run, State.STEADY)

    def meanwhile(check: str) -> None:
        if check == "allow":
            primary.stops += 1
            primary.stopped_at = str(primary.stops)

    primary.before = meanwhile
    assert look("resume").facts == {"resumed": False}
    assert not primary.writable
