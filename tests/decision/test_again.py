"""A refusal ends where its reason ends: whatever stands in the way goes away, and a run starts within two minutes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from relight.decision import Action, Finding
from relight.facts import Facts
from relight.ledger import Ledger, State
from relight.policy import Approval, Policy
from relight.rules import RULES, WARMING, decide, starts_a_run
from relight.run import Mode
from relight.signal import Seen, Signal, View

from tests.decision import judge
from tests.decision.plane import case_of
from tests.unit.loopback import closed_port
from tests.unit.rds import PEER, REPLICA, SOURCE
from tests.unit.scene import READY as ANSWERS
from tests.unit.situation import BY_FINDING, READY, STEADY, keep_signals, signal
from tests.unit.standby import HERE, HOME, NOW, claims, release_lock, take_lock
from tests.unit.watcher import Watcher

pytestmark = pytest.mark.decision

# First by the facts alone: from any cell of the space, take away what the verdict gives as its reason.

type World = tuple[Facts, Policy]


def _seen(view: View, seen: Seen) -> Callable[[Facts, Policy], World]:
    def change(facts: Facts, policy: Policy) -> World:
        return replace(facts, signals={**facts.signals, view: signal(view, seen, 400)}), policy

    return change


def _head(**changed: object) -> Callable[[Facts, Policy], World]:
    return lambda facts, policy: (replace(facts, head=replace(facts.head, **changed)), policy)  # type: ignore[arg-type]


def _lost(facts: Facts, policy: Policy) -> World:
    return _seen(View.FROM_DR, Seen.DOWN)(*_seen(View.OUTSIDE, Seen.DOWN)(facts, policy))


TAKE_AWAY: dict[Finding, Callable[[Facts, Policy], World]] = {
    Finding.FROZEN: _head(frozen_until=None),
    Finding.ALREADY_ACTIVE: _head(active=HOME),
    Finding.IN_PROGRESS: _head(owner=None),
    Finding.COOLDOWN: _head(ended_at=None),
    Finding.ENGINE_NOT_SUPPORTED: lambda f, p: (replace(f, replica=replace(f.replica or READY, engine="postgres")), p),
    Finding.NOT_A_REPLICA: lambda f, p: (replace(f, replica=READY), p),
    Finding.MODE_NEEDED: lambda f, p: (replace(f, mode=Mode.EMERGENCY), p),
    Finding.DR_NOT_READY: lambda f, p: (replace(f, replica=READY), p),
    Finding.PLANNED_IMPOSSIBLE: _seen(View.STREAM, Seen.UP),
    Finding.ABANDONED: _head(state=State.STEADY, quiesce=None),
    Finding.NEVER_UP: _seen(View.FROM_DR, Seen.DOWN),
    Finding.PRIMARY_UP: _lost,
    Finding.UP_FROM_OUTSIDE: _seen(View.OUTSIDE, Seen.DOWN),
    Finding.DR_ISOLATED: _seen(View.CONTROL, Seen.UP),
    Finding.SECOND_VIEW_AWAITED: _seen(View.FROM_DR, Seen.DOWN),
    Finding.ONE_VIEW_ONLY: _seen(View.FROM_DR, Seen.DOWN),
    Finding.PEER_DATABASE_BUSY: lambda f, p: (replace(f, peer_database=None), p),
    Finding.POLICY_MANUAL: lambda f, p: (f, replace(p, approval=Approval.AUTO)),
}


def starts(facts: Facts, policy: Policy) -> bool:
    verdict = decide(facts, policy)
    return verdict.action is Action.PROCEED or starts_a_run(verdict, replace(STEADY, refused_at=None), NOW, 900)


def test_each_finding_that_starts_nothing_has_a_reason_that_can_go_away() -> None:
    quiet = {rule.finding for rule in RULES if rule.action not in {Action.PROCEED, Action.ASK}} - WARMING
    assert set(TAKE_AWAY) == quiet


@pytest.mark.parametrize("finding", sorted(TAKE_AWAY))
def test_where_it_is_the_only_reason_a_run_starts_without_it(finding: Finding) -> None:
    facts, policy, _ = BY_FINDING[finding]
    assert not starts(facts, policy)
    assert starts(*TAKE_AWAY[finding](facts, policy))


def test_from_any_cell_the_last_reason_that_goes_away_lets_a_run_start() -> None:
    """Of every group and every finding one cell: no reason comes back, and none is without an end."""
    for group in judge.groups():
        for _, hit in group.hits():
            case = case_of(group.cell(hit))
            world, given = (case.facts, case.policy), list[Finding]()
            while not starts(*world):
                finding = decide(*world).finding
                assert finding not in given, (given, finding)
                given.append(finding)
                world = TAKE_AWAY[finding](*world)


# Then with the probe at work: minutes of its own clock, a ledger, and sockets.


@dataclass(frozen=True)
class Reason:
    """What stands in the way of a failover that is due, how it begins, and how it ends; `said` is the finding."""

    said: str
    begins: Callable[[Watcher], object]
    ends: Callable[[Watcher], object] = lambda watcher: None  # by itself, as time passes
    settings: Callable[[Watcher], dict[str, object]] = lambda watcher: {}  # while it lasts


def _locked(watcher: Watcher, *, expires_in: float = 90_000) -> None:
    owner = watcher.machine.start("by-hand")
    take_lock(watcher.ledger, "by-hand", watcher.clock(), owner=owner)
    watcher.ledger.dynamodb.update_item(
        TableName=watcher.ledger.table,
        Key={"pk": {"S": "region"}, "sk": {"S": "head"}},
        UpdateExpression="SET expires_at = :at",
        ExpressionAttributeValues={":at": {"N": str(int(watcher.clock() + expires_in))}},
    )


def _ended(watcher: Watcher, seconds_ago: float) -> None:
    watcher.ledger.finish(take_lock(watcher.ledger, "last", NOW), succeeded=True, now=watcher.clock() - seconds_ago)
    release_lock(watcher.ledger)


def _refused(watcher: Watcher, seconds_ago: float) -> None:
    run = take_lock(watcher.ledger, "asked", NOW)
    watcher.ledger.refuse(run, "kim", "the provider is at it", watcher.clock() - seconds_ago)
    release_lock(watcher.ledger)


def _declined(watcher: Watcher) -> None:
    watcher.scene.up()
    watcher.scene.lose_application()
    _refused(watcher, 900 - 90)


def _here_is_active(watcher: Watcher) -> None:
    watcher.ledger.activate(take_lock(watcher.ledger, "last", NOW), HERE)
    release_lock(watcher.ledger)


def _page(watcher: Watcher, status: int, body: str) -> None:
    watcher.scene.web.pages["/health/ready"] = status, body


def _told(watcher: Watcher, word: str) -> None:
    watcher.scene.names.records[("_seen.shop.example", "TXT")] = [word]


def _peer(watcher: Watcher, status: str | None) -> None:
    watcher.scene.peer_rds.reached = status is not None
    watcher.scene.peer_rds.status[PEER] = status or "available"


def _setting(**changed: object) -> Callable[[Watcher], dict[str, object]]:
    return lambda watcher: changed


def _never_up(watcher: Watcher) -> None:
    down = Signal(View.FROM_DR, Seen.DOWN, watcher.clock() - 70, watcher.clock() - 5, "no address", ever_up=False)
    keep_signals(watcher.ledger, [down])


REASONS = {
    "a freeze ends": Reason("frozen", lambda w: w.ledger.freeze(NOW - 60, NOW + 90, "upgrade", "kim")),
    "a freeze is taken back": Reason(
        "frozen", lambda w: w.ledger.freeze(NOW - 60, NOW + 9000, "upgrade", "kim"), lambda w: w.ledger.unfreeze()
    ),
    "the lock is released": Reason("in_progress", _locked, lambda w: release_lock(w.ledger)),
    "the lock expires": Reason("in_progress", lambda w: _locked(w, expires_in=90)),
    "the owner of the lock dies": Reason("in_progress", _locked, lambda w: w.machine.stop("by-hand")),
    "the cooldown is over": Reason("cooldown", lambda w: _ended(w, 3600 - 90)),
    "the replica is mended": Reason(
        "dr_not_ready",
        lambda w: w.scene.rds.status.update({REPLICA: "storage-full"}),
        lambda w: w.scene.rds.status.update({REPLICA: "available"}),
    ),
    "RDS of this Region answers again": Reason(
        "dr_not_ready",
        lambda w: setattr(w.scene.rds, "reached", False),
        lambda w: setattr(w.scene.rds, "reached", True),
    ),
    "the replica is replaced by one of PostgreSQL": Reason(
        "engine_not_supported",
        lambda w: setattr(w.scene.rds, "engine", "mysql"),
        lambda w: setattr(w.scene.rds, "engine", "postgres"),
    ),
    "the replica is built again": Reason(
        "not_a_replica", lambda w: w.scene.rds.source.clear(), lambda w: w.scene.rds.source.update({REPLICA: SOURCE})
    ),
    "the control targets are back": Reason(
        "dr_isolated",
        lambda w: None,
        settings=lambda w: {"control_targets": (f"http://127.0.0.1:{closed_port()}/ping",)},
    ),
    "the second view follows": Reason(
        "one_view_only", lambda w: _page(w, *ANSWERS), lambda w: _page(w, 503, "no targets")
    ),
    "the veto is over": Reason("up_from_outside", lambda w: _told(w, "up"), lambda w: _told(w, "down")),
    "a false alarm, and then it is lost": Reason("primary_up", lambda w: w.scene.up(), lambda w: w.scene.lose()),
    "the database's reboot is over, and it is lost": Reason(
        "peer_database_busy", lambda w: _peer(w, "rebooting"), lambda w: _peer(w, None)
    ),
    "it was set up, and is lost": Reason("never_up", _never_up, lambda w: w.was_up(5)),
    "a question that was declined may be put again": Reason("application_lost", _declined),
    "the policy becomes auto": Reason("policy_manual", lambda w: None, settings=_setting(policy=Approval.MANUAL)),
    "home is active again": Reason(
        "already_active", _here_is_active, lambda w: w.ledger.mirror(claims(9, HOME, State.STEADY), 0)
    ),
}


def minute(watcher: Watcher, **settings: object) -> str:
    """A minute of watching in three samples; the last finding. In an active Region the probe need not look for it."""
    said = watcher.watch(samples=3, sample_seconds=20.0, **settings)
    watcher.pass_time(20)
    if not said["on_duty"]:
        return "already_active"
    assert said["verdict"]["sentence"]
    return str(said["verdict"]["finding"])


def starts_by_itself(watcher: Watcher, seconds: float = 120) -> str:
    """The run that the probe starts within so many seconds of its own clock."""
    until = watcher.clock() + seconds
    while watcher.clock() <= until:
        if started := watcher.watch(samples=1)["started"]:
            return str(started)
        watcher.pass_time(20)
    raise AssertionError(f"nothing was started within {seconds} s")


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS.keys())
def test_a_run_starts_within_two_minutes_once_the_reason_has_gone(watcher: Watcher, reason: Reason) -> None:
    watcher.was_up(500)
    watcher.scene.lose()
    watcher.scene.has_been_down(watcher.ledger, 70)
    reason.begins(watcher)
    before = watcher.machine.names()
    assert minute(watcher, **reason.settings(watcher)) == reason.said
    assert watcher.machine.names() == before, "while it lasts nothing starts"
    reason.ends(watcher)
    assert starts_by_itself(watcher) in watcher.machine.names()


def test_what_an_earlier_run_left_is_undone_first_and_what_is_wrong_then_is_judged_anew(
    watcher: Watcher, ledger: Ledger
) -> None:
    """Its fence, or the writes that it stopped, make a living primary look like a lost application."""
    watcher.was_up(500)
    watcher.scene.lose_application()
    run = take_lock(ledger, "dead", watcher.clock())
    ledger.set_state(run, State.PROMOTING)
    ledger.begin_quiesce(run, watcher.clock())
    watcher.scene.has_been_down(ledger, 70)
    undoes = starts_by_itself(watcher)
    found = watcher.machine.api.describe_execution(executionArn=f"{run.owner.rpartition(':')[0]}:{undoes}")
    assert '"probe: abandoned"' in found["input"]
    undoing = take_lock(ledger, undoes, watcher.clock())
    ledger.end_quiesce(undoing)
    ledger.set_state(undoing, State.STEADY)
    release_lock(ledger)
    assert starts_by_itself(watcher) != undoes
    assert minute(watcher) == "application_lost"
