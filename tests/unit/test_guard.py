"""The guard: it fences on proof that this Region has been superseded, and on nothing less."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from relight.fleet import standing_by
from relight.guard import LATE_HANDLER_SECONDS, Guard, Hands, Standing, standing
from relight.ledger import HEAD, Capacity, Head, Ledger, Promotion, State
from relight.network_acl import NetworkAcl, fence_of
from relight.run import Run
from relight.settings import GuardSettings
from relight.signal import Seen, Signal, View

from tests.unit.conftest import Clients
from tests.unit.firewall import CIDRS, make_acl
from tests.unit.fleet import Fleet, make_fleet
from tests.unit.loopback import black_hole, closed_port
from tests.unit.rds import REPLICA, Dbcheck, error
from tests.unit.situation import keep_signals
from tests.unit.standby import HERE, HOME, MACHINE, Clock, claims, execution, release_lock, take_lock
from tests.unit.test_switch import NAMESPACE, published, show

OWNER = "arn:aws:states:eu-west-1:123456789012:execution:relight-shop-failover:x"


DOOR = Promotion(REPLICA, "failover-1", 1, 1.0)


def meant(own: Head, other: Head | None, running: bool | None) -> Standing:
    """What the design says, told apart from the code: `own` is the home Region's ledger, `other` that of DR."""
    if other is None or not other.written:
        return Standing.UNKNOWN  # unreadable or empty: never fence, never lift
    promoting = other.state is State.PROMOTING
    if other.active == HERE:
        since: int | None = other.active_epoch
    elif promoting and (other.promotion is not None or running is True):
        since = other.epoch
    else:
        since = None
    # Nothing is promoted yet: it counts while the run is at work, and no more once it is known to be over.
    open_question = promoting and other.active != HERE and other.promotion is None and running is None
    if since is None:
        if open_question or (promoting and other.promotion is not None):
            return Standing.UNKNOWN
        known = other.active_epoch >= own.active_epoch if own.active == HOME else other.active_epoch > own.active_epoch
        return Standing.CONFIRMED if known else Standing.UNKNOWN
    if own.owner is not None and own.epoch > since:
        return Standing.UNKNOWN  # a run of its own that came after: it is going home
    if own.active == HERE or since > own.active_epoch:
        return Standing.SUPERSEDED
    return Standing.UNKNOWN


def test_the_standing_in_every_combination() -> None:
    owns = [
        Head(epoch > 0, epoch, active, state, owner, active_epoch=since)
        for epoch, active, state, owner in itertools.product(range(3), (HOME, HERE), State, (None, OWNER))
        for since in range(epoch + 1)
    ]
    others = [None, Head(False, 0, HOME, State.STEADY)] + [
        Head(True, epoch, active, state, promotion=door, active_epoch=since)
        for epoch, active, state, door in itertools.product(range(4), (HOME, HERE), State, (None, DOOR))
        for since in range(epoch + 1)
    ]
    seen = set()
    for own, other, running in itertools.product(owns, others, (None, True, False)):
        found = standing(own, other, HOME, HERE, HOME, running=running)
        assert found is meant(own, other, running), (own, other, running)
        seen.add(found)
        if found is Standing.SUPERSEDED:
            assert other is not None
            assert other.written
            assert (other.active, other.state) != (HOME, State.STEADY)
    assert seen == set(Standing)


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        # From deployment on, until the first run: nobody has written anything.
        (Head(False, 0, HOME, State.STEADY), Head(False, 0, HOME, State.STEADY), Standing.UNKNOWN),
        # A run in DR gathers, decides, promotes, is done.
        (Head(False, 0, HOME, State.STEADY), Head(True, 1, HOME, State.STEADY), Standing.CONFIRMED),
        (Head(False, 0, HOME, State.STEADY), Head(True, 1, HOME, State.PROMOTING), Standing.SUPERSEDED),
        (Head(False, 0, HOME, State.STEADY), claims(1, HERE, State.PROMOTING), Standing.SUPERSEDED),
        (Head(False, 0, HOME, State.STEADY), claims(1, HERE), Standing.SUPERSEDED),
        # This Region comes back after it was told, and must not be let in again.
        (claims(1, HERE), claims(1, HERE), Standing.SUPERSEDED),
        # A run that failed behind the door has told this Region that it is promoting.
        (Head(True, 1, HOME, State.PROMOTING), Head(True, 1, HOME, State.PROMOTING), Standing.SUPERSEDED),
        # A run that stood down has written `steady`.
        (Head(True, 1, HOME, State.STEADY), Head(True, 2, HOME, State.STEADY), Standing.CONFIRMED),
        # Runs in this Region that found it active already have changed nothing, however many there were.
        (Head(True, 7, HOME, State.STEADY), Head(True, 1, HOME, State.PROMOTING), Standing.SUPERSEDED),
        (Head(True, 7, HOME, State.STEADY), claims(1, HERE), Standing.SUPERSEDED),
        (Head(True, 7, HOME, State.STEADY), Head(True, 1, HOME, State.STEADY), Standing.CONFIRMED),
        # Going home: this Region's own run came later.
        (replace(claims(2, HERE, State.PROMOTING), owner=OWNER, active_epoch=1), claims(1, HERE), Standing.UNKNOWN),
        (claims(2, HOME), claims(2, HOME), Standing.CONFIRMED),
        # It is home, and the other Region has not heard of it.
        (claims(2, HOME), claims(1, HERE), Standing.UNKNOWN),
        # The other ledger has lost what it knew: that does not give this Region back what was taken from it.
        (claims(1, HERE), Head(True, 1, HOME, State.STEADY), Standing.UNKNOWN),
    ],
)
def test_the_standing_over_the_life_of_two_regions(own: Head, other: Head, expected: Standing) -> None:
    assert standing(own, other, HOME, HERE, HOME, running=True) is expected


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        # Both say that home is active, and the standby is what it should be.
        (Head(True, 1, HOME, State.STEADY), Head(True, 1, HOME, State.STEADY), Standing.UNKNOWN),
        (Head(True, 1, HOME, State.STEADY), Head(True, 2, HOME, State.STEADY), Standing.UNKNOWN),
        # A run of this Region's own that is under way, whatever the other side says.
        (Head(True, 2, HOME, State.PROMOTING, OWNER), Head(True, 2, HOME, State.STEADY), Standing.UNKNOWN),
        # It was active, and the primary has become so again.
        (claims(1, HERE), claims(2, HOME), Standing.SUPERSEDED),
        (claims(1, HERE), claims(1, HERE), Standing.CONFIRMED),
        # It serves since its run; the old primary, cut off, has had runs of its own that changed nothing.
        (claims(1, HERE), Head(True, 9, HOME, State.STEADY), Standing.UNKNOWN),
        (claims(1, HERE), Head(True, 9, HOME, State.STEADY, OWNER), Standing.UNKNOWN),
    ],
)
def test_the_standing_of_dr(own: Head, other: Head, expected: Standing) -> None:
    assert standing(own, other, HERE, HOME, HOME) is expected


@pytest.mark.parametrize(
    ("own", "other", "replica", "expected"),
    [
        # Both say that DR is active. What home's database is tells whether it is the old primary still, or the standby.
        (claims(5, HERE), claims(5, HERE), True, Standing.UNKNOWN),
        (claims(5, HERE), claims(5, HERE), False, Standing.SUPERSEDED),
        (claims(5, HERE), claims(5, HERE), None, Standing.SUPERSEDED),
        # It has not heard of it, and its database cannot have been rebuilt meanwhile.
        (claims(1, HOME), claims(5, HERE), False, Standing.SUPERSEDED),
        # DR is lost, and home is being activated by a run; which dies behind its promotion.
        (replace(claims(5, HERE, State.PROMOTING), owner=OWNER, epoch=6), None, None, Standing.UNKNOWN),
        (replace(claims(5, HERE, State.PROMOTING), owner=OWNER, epoch=6), claims(5, HERE), False, Standing.UNKNOWN),
        (replace(claims(5, HERE, State.PROMOTING), promotion=DOOR, epoch=6), claims(5, HERE), False, Standing.UNKNOWN),
        # Before that, a dead run has changed nothing, and its database is a replica still.
        (replace(claims(5, HERE, State.PROMOTING), epoch=6), claims(5, HERE), True, Standing.UNKNOWN),
        # A person has made DR home: then the old home Region is the standby, unless its database takes writes.
        (replace(claims(5, HERE), home=HERE), claims(5, HERE), None, Standing.UNKNOWN),
        (replace(claims(5, HERE), home=HERE), claims(5, HERE), False, Standing.SUPERSEDED),
    ],
)
def test_the_standing_of_home_as_the_standby(
    own: Head, other: Head | None, replica: bool | None, expected: Standing
) -> None:
    assert standing(own, other, HOME, HERE, HOME, replica=replica) is expected


@pytest.mark.parametrize(
    ("own", "replica", "expected"),
    [
        # Home serves again, since epoch 6. DR has not heard of it; has, with its old database; is its standby again.
        (claims(5, HERE), None, Standing.SUPERSEDED),
        (claims(6, HOME), False, Standing.SUPERSEDED),
        (claims(6, HOME), True, Standing.UNKNOWN),
        (claims(6, HOME), None, Standing.UNKNOWN),
        # A run of its own retires its old database and builds the replica.
        (replace(claims(6, HOME), epoch=7, owner=OWNER), False, Standing.UNKNOWN),
        # A person had made DR home, and went back to the old one all the same.
        (replace(claims(6, HOME), home=HERE), None, Standing.SUPERSEDED),
        (replace(claims(6, HOME), home=HERE), True, Standing.UNKNOWN),
    ],
)
def test_the_standing_of_dr_after_the_return(own: Head, replica: bool | None, expected: Standing) -> None:
    assert standing(own, claims(6, HOME), HERE, HOME, HOME, replica=replica) is expected


GROUP, SERVING, EMPTY = "shop-primary", Capacity(2, 3, 6), Capacity(0, 0, 6)


@pytest.fixture
def acl(aws: None, clients: Clients) -> NetworkAcl:
    return make_acl(clients("ec2", HOME))


@pytest.fixture
def dbcheck() -> Dbcheck:
    """Of the guarded Region, whose database takes writes."""
    return Dbcheck(in_recovery=False)


@pytest.fixture
def fleet(aws: None, clients: Clients) -> Iterator[Fleet]:
    """The guarded Region's group, which serves."""
    with make_fleet(clients, HOME) as made:
        made.add(GROUP, SERVING)
        yield made


@pytest.fixture
def machines(aws: None, clients: Clients) -> Any:
    """Step Functions of the other Region, where the runs of these tests are at work until they are stopped."""
    made = clients("stepfunctions", HERE)
    definition = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": true}}}'
    role = "arn:aws:iam::123456789012:role/state-machine"
    made.create_state_machine(name=MACHINE.rpartition(":")[2], definition=definition, roleArn=role)
    for name in ("run-1", "home-1"):
        made.start_execution(stateMachineArn=MACHINE, name=name)
    return made


def told(here: str, peer: str, network_acl_id: str | None) -> GuardSettings:
    return GuardSettings(
        application="shop",
        topic_arn="arn:aws:sns:eu-west-1:123456789012:relight-shop",
        offer_seconds=3600,
        aws_region=here,
        home_region=HOME,
        peer_region=peer,
        ledger_table="relight-shop",
        peer_connect_seconds=2,
        peer_read_seconds=5,
        switch_namespace=NAMESPACE,
        peer_ledger_table="relight-shop",
        network_acl_id=network_acl_id,
        app_cidrs=CIDRS,
        dbcheck_function="relight-shop-dbcheck",
        group_names=(f"arn:aws:autoscaling:{here}:123456789012:autoScalingGroup:*:autoScalingGroupName/{GROUP}",),
    )


@pytest.fixture
def guard(
    acl: NetworkAcl,
    ledger: Ledger,
    peer_ledger: Ledger,
    dbcheck: Dbcheck,
    fleet: Fleet,
    machines: Any,
    clients: Clients,
) -> Guard:
    """That of the home Region: its own ledger is `peer_ledger`, the other one is that of DR."""
    hands = Hands(acl, dbcheck, fleet.groups, machines)  # type: ignore[arg-type]

    def a_minute_later() -> float:
        return time.time() + LATE_HANDLER_SECONDS + 1

    settings = told(HOME, HERE, acl.acl_id)
    return Guard(settings, peer_ledger, ledger, hands, clients("cloudwatch", HOME), a_minute_later)


@pytest.fixture
def powerless(guard: Guard) -> Guard:
    """The same where the network ACL is not ours."""
    return replace(guard, hands=replace(guard.hands, acl=None))


def test_it_publishes_its_switches_and_leaves_a_steady_region_alone(guard: Guard, acl: NetworkAcl) -> None:
    assert guard.watch() == {
        "switches": {"HOLD": 0.0},
        "gauges": {},
        "standing": "unknown",
        "fenced": False,
        "lifted": False,
        "emptied": False,
    }
    assert published(guard.cloudwatch, "HOLD") == [0.0]
    assert published(guard.cloudwatch, "MAINTENANCE") == [], "paid for only while there is a freeze"
    assert not acl.denied()


def test_it_fences_a_superseded_region_once_and_keeps_it_fenced(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("superseded", True)
    assert acl.denied() == set(CIDRS)
    assert guard.ledger.head().active == HOME, "promoting is not yet active"
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1.0)
    for _ in range(2):
        said = guard.watch()
        assert (said["standing"], said["fenced"], said["lifted"]) == ("superseded", False, False)
        assert acl.denied() == set(CIDRS)
        own = guard.ledger.head()
        assert (own.active, own.epoch) == (HERE, 1), "what it has seen it remembers"
    assert published(guard.cloudwatch, "HOLD")[-1] == 0.0


def test_it_lifts_the_fence_when_the_run_has_stood_down(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    guard.watch()
    ledger.finish(run, succeeded=False, now=1.0)
    said = guard.watch()
    assert (said["standing"], said["lifted"]) == ("confirmed", True)
    assert not acl.denied()
    assert not guard.watch()["lifted"]


@pytest.mark.parametrize("fenced", [True, False])
def test_an_empty_ledger_neither_fences_nor_lifts(guard: Guard, acl: NetworkAcl, fenced: bool) -> None:
    if fenced:
        acl.deny()
    said = guard.watch()
    assert (said["standing"], said["fenced"], said["lifted"]) == ("unknown", False, False)
    assert acl.denied() == (set(CIDRS) if fenced else set())


@pytest.mark.parametrize("how", ["refused", "black-holed", "no such table"])
@pytest.mark.parametrize("fenced", [True, False])
def test_an_unreadable_ledger_neither_fences_nor_lifts(
    guard: Guard, acl: NetworkAcl, peer_ledger: Ledger, how: str, fenced: bool
) -> None:
    if fenced:
        acl.deny()
    with black_hole() as silent:
        port = silent if how == "black-holed" else closed_port()
        config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
        lost = boto3.client("dynamodb", HERE, endpoint_url=f"http://127.0.0.1:{port}", config=config)
        gone: Any = Ledger(lost, "relight-shop", HOME)
        if how == "no such table":
            gone = Ledger(guard.peer_ledger.dynamodb, "another", HOME)
        said = replace(guard, peer_ledger=gone).watch()
    assert (said["standing"], said["fenced"], said["lifted"]) == ("unknown", False, False)
    assert acl.denied() == (set(CIDRS) if fenced else set())
    assert published(guard.cloudwatch, "HOLD") == [0.0], "its switches it publishes all the same"


# Where the network ACL is not ours, this Region's `dbcheck` is the fence


def supersede(ledger: Ledger, run: Run) -> None:
    """The other Region has become active."""
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1.0)


def test_a_superseded_region_whose_network_acl_is_not_ours_has_its_writes_stopped(
    powerless: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    for _ in range(2):
        said = powerless.watch()
        assert (said["standing"], said["fenced"]) == ("superseded", True)
        assert "lacking" not in said
        assert not dbcheck.writable
    supersede(ledger, run)
    assert powerless.watch()["fenced"]
    assert powerless.ledger.head().active == HERE, "what it has seen it remembers"


def test_writes_are_let_in_when_the_run_has_stood_down(
    powerless: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    powerless.watch()
    ledger.finish(run, succeeded=False, now=1.0)
    said = powerless.watch()
    assert (said["standing"], said["lifted"]) == ("confirmed", True)
    assert dbcheck.writable
    assert powerless.watch()["lifted"] is False


def test_writes_that_a_planned_run_has_stopped_are_let_in_by_the_guard_of_a_region_that_nobody_could_reach(
    guard: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    dbcheck.stopped_at = "1"
    ledger.set_state(run, State.PROMOTING)
    guard.watch()
    assert not dbcheck.writable, "a run relies on it"
    ledger.finish(run, succeeded=False, now=1.0)
    said = guard.watch()
    assert (said["standing"], said["lifted"]) == ("confirmed", True)
    assert dbcheck.writable


def test_what_somebody_else_has_made_read_only_is_left_so(
    guard: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    dbcheck.read_only = True
    ledger.finish(run, succeeded=False, now=1.0)
    said = guard.watch()
    assert (said["standing"], said["lifted"]) == ("confirmed", False)
    assert "lacking" not in said


def test_writes_are_not_let_in_behind_the_back_of_a_run_that_has_just_begun(
    guard: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """The guard has read `steady`; by the time that its `dbcheck` answers, a planned run has stopped the writes."""
    ledger.finish(run, succeeded=False, now=1.0)

    def meanwhile(check: str) -> None:
        ledger.set_state(run, State.PROMOTING)
        dbcheck.stopped_at = "1"

    dbcheck.before = meanwhile
    said = guard.watch()
    assert (said["standing"], said["lifted"]) == ("confirmed", False)
    assert said["lacking"] == ["the database's writes stay stopped: its writes are to stay stopped now"]
    assert not dbcheck.writable


def test_only_the_stop_that_was_seen_is_taken_back(guard: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run) -> None:
    """The same, later still: after the second look at the other ledger."""
    ledger.finish(run, succeeded=False, now=1.0)
    dbcheck.stopped_at = "1"

    def meanwhile(check: str) -> None:
        if check == "allow":
            ledger.set_state(run, State.PROMOTING)
            dbcheck.stopped_at = "2"

    dbcheck.before = meanwhile
    assert guard.watch()["lifted"] is False
    assert not dbcheck.writable


@pytest.mark.parametrize("sessions", [0, 1])
def test_a_database_that_could_not_be_stopped_is_told_of(
    powerless: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run, sessions: int
) -> None:
    supersede(ledger, run)
    dbcheck.sessions_left = sessions
    dbcheck.reached = bool(sessions)
    said = powerless.watch()
    assert said["fenced"] is False
    (lacking,) = said["lacking"]
    assert lacking.startswith("the database could not be stopped: ")


def test_a_replica_takes_no_writes_and_needs_no_stop(
    powerless: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    supersede(ledger, run)
    dbcheck.in_recovery = True
    said = powerless.watch()
    assert said["fenced"] is False
    assert "lacking" not in said


FAILURES: list[dict[str, Any]] = [
    {"failure": "Sandbox.Timedout"},
    {"refusal": error("AccessDeniedException", "not authorized", "Invoke", 403)},
    {"reached": False},
]


@pytest.mark.parametrize("changed", FAILURES)
@pytest.mark.parametrize("superseded", [True, False])
def test_a_dbcheck_that_fails_keeps_nothing_else_from_being_done(
    guard: Guard, dbcheck: Dbcheck, fleet: Fleet, ledger: Ledger, run: Run, changed: dict[str, Any], superseded: bool
) -> None:
    for name, value in changed.items():
        setattr(dbcheck, name, value)
    if not superseded:
        assert guard.hands.acl is not None
        guard.hands.acl.deny()
        ledger.finish(run, succeeded=False, now=1.0)
        said = guard.watch()
        assert (said["lifted"], len(said["lacking"])) == (True, 1)
        assert said["lacking"][0].startswith("whether the database's writes are stopped is not known: ")
        assert not guard.hands.acl.denied()
    else:
        supersede(ledger, run)
        said = replace(guard, hands=replace(guard.hands, acl=None)).watch()
        assert (said["fenced"], said["emptied"], len(said["lacking"])) == (False, True, 1)
        assert fleet.sizes(GROUP) == EMPTY
        assert guard.ledger.head().active == HERE
    assert published(guard.cloudwatch, "HOLD") == [0.0]


@pytest.mark.parametrize("standing", ["unknown", "superseded", "confirmed"])
def test_the_database_is_asked_only_where_its_answer_counts(
    guard: Guard, dbcheck: Dbcheck, ledger: Ledger, run: Run, standing: str
) -> None:
    """Superseded, the network ACL is enough."""
    asked: list[str] = []
    dbcheck.before = asked.append
    if standing == "superseded":
        supersede(ledger, run)
    elif standing == "confirmed":
        ledger.finish(run, succeeded=False, now=1.0)
    else:
        ledger.dynamodb.delete_item(TableName=ledger.table, Key={name: {"S": value} for name, value in HEAD.items()})
    assert guard.watch()["standing"] == standing
    assert asked == (["state"] if standing == "confirmed" else [])


# The instances of a superseded Region


def test_the_instances_go_once_the_other_region_is_active_and_not_before(
    guard: Guard, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, REPLICA, 1.0)
    said = guard.watch()
    assert (said["standing"], said["emptied"]) == ("superseded", False)
    assert fleet.sizes(GROUP) == SERVING
    ledger.activate(run, HERE)
    for _ in range(2):
        assert guard.watch()["emptied"]
        assert fleet.sizes(GROUP) == EMPTY
    ledger.finish(run, succeeded=True, now=1.0)
    fleet.resize(SERVING, GROUP)  # an alarm of the group's own, or somebody who does not know
    assert guard.watch()["emptied"]
    assert fleet.sizes(GROUP) == EMPTY


@pytest.mark.parametrize("names", [None, ("shop-none", GROUP)])
def test_instances_that_could_not_be_taken_are_told_of_and_keep_nothing_else_from_being_done(
    guard: Guard, acl: NetworkAcl, fleet: Fleet, ledger: Ledger, run: Run, names: tuple[str, ...] | None
) -> None:
    supersede(ledger, run)
    arns = names and tuple(f"arn:aws:autoscaling:::autoScalingGroup:x:autoScalingGroupName/{name}" for name in names)
    said = replace(guard, settings=replace(guard.settings, group_names=arns)).watch()
    assert (said["fenced"], said["emptied"]) == (True, False)
    (lacking,) = said["lacking"]
    assert lacking.startswith("the instances could not be taken: ")
    assert acl.denied() == set(CIDRS)
    assert fleet.sizes(GROUP) == (EMPTY if names else SERVING), "one group does not hold up the others"
    assert guard.ledger.head().active == HERE


def test_a_network_acl_that_aws_will_not_change_keeps_nothing_else_from_being_done(
    guard: Guard, acl: NetworkAcl, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    gone = replace(guard, hands=replace(guard.hands, acl=NetworkAcl(acl.ec2, "acl-00000000", CIDRS)))
    supersede(ledger, run)
    said = gone.watch()
    assert (said["fenced"], said["emptied"]) == (False, True)
    (lacking,) = said["lacking"]
    assert lacking.startswith("the network ACL could not be changed: ")
    assert fleet.sizes(GROUP) == EMPTY
    assert guard.ledger.head().active == HERE


def test_switches_that_cannot_be_published_fail_the_watch_when_all_else_is_done(
    guard: Guard, acl: NetworkAcl, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    class Refusing:
        def put_metric_data(self, **given: Any) -> None:
            raise error("InternalServiceFault", "try again", "PutMetricData", 500)

    supersede(ledger, run)
    refusing: Any = Refusing()
    with pytest.raises(ClientError, match="try again"):
        replace(guard, cloudwatch=refusing).watch()
    assert acl.denied() == set(CIDRS)
    assert fleet.sizes(GROUP) == EMPTY


def test_instances_are_not_taken_from_a_region_that_has_just_begun_to_go_home(
    guard: Guard, acl: NetworkAcl, fleet: Fleet, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """The guard has seen that it is superseded; while it fences, this Region's own run takes the lock."""
    supersede(ledger, run)

    class GoingHome:
        def __getattr__(self, name: str) -> Any:
            if name == "create_network_acl_entry":
                for run_id in ("home-1", "home-2"):
                    take_lock(guard.ledger, run_id, clock())
            return getattr(acl.ec2, name)

    going: Any = GoingHome()
    said = replace(guard, hands=replace(guard.hands, acl=NetworkAcl(going, acl.acl_id, CIDRS))).watch()
    assert said["emptied"] is False
    assert said["lacking"] == ["the instances could not be taken: it is not to be emptied any more"]
    assert fleet.sizes(GROUP) == SERVING


# The Region that serves is never touched


def untouched(guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, expected: str) -> None:
    """Two watches, with the network ACL ours and not ours."""
    for watching in (guard, replace(guard, hands=replace(guard.hands, acl=None))):
        for _ in range(2):
            said = watching.watch()
            assert (said["standing"], said["fenced"], said["emptied"]) == (expected, False, False)
            assert not acl.denied()
            assert dbcheck.writable
            assert fleet.sizes(GROUP) == SERVING


def test_a_run_that_stood_down_with_the_mirror_failing_leaves_the_serving_region_untouched(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    """This Region has been told that the other one is promoting, and not that it no longer is."""
    guard.ledger.mirror(Head(True, run.epoch, HOME, State.PROMOTING), 0)
    ledger.set_state(run, State.PROMOTING)
    ledger.finish(run, succeeded=False, now=1.0)
    release_lock(ledger)
    untouched(guard, acl, dbcheck, fleet, "confirmed")


def test_a_run_that_stood_down_before_this_region_was_told_of_it_leaves_the_serving_region_untouched(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    ledger.finish(run, succeeded=False, now=1.0)
    untouched(guard, acl, dbcheck, fleet, "confirmed")


@pytest.fixture
def serving_dr(guard: Guard, ledger: Ledger, peer_ledger: Ledger, run: Run) -> Guard:
    """That of the DR Region, which is active since a failover that the primary has been told of; hands as above."""
    supersede(ledger, run)
    release_lock(ledger)
    peer_ledger.mirror(claims(run.epoch, HERE, State.STEADY), 0)
    settings = replace(guard.settings, aws_region=HERE, peer_region=HOME)
    arns = tuple(f"arn:aws:autoscaling:::autoScalingGroup:x:autoScalingGroupName/{name}" for name in (GROUP,))
    return replace(guard, settings=replace(settings, group_names=arns), ledger=ledger, peer_ledger=peer_ledger)


def test_a_failback_that_stood_down_before_its_promotion_leaves_the_serving_region_untouched(
    serving_dr: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, clock: Clock
) -> None:
    """Its own ledger has been told `promoting`, and not that this is over; the other one says `steady`."""
    untouched(serving_dr, acl, dbcheck, fleet, "confirmed")
    home = take_lock(serving_dr.peer_ledger, "home-1", clock())
    untouched(serving_dr, acl, dbcheck, fleet, "confirmed")
    serving_dr.peer_ledger.set_state(home, State.PROMOTING)
    told = serving_dr.peer_ledger.head()
    serving_dr.ledger.mirror(told, 0)
    serving_dr.peer_ledger.finish(home, succeeded=False, now=1.0)
    release_lock(serving_dr.peer_ledger)
    untouched(serving_dr, acl, dbcheck, fleet, "confirmed")


def test_a_failback_stopped_before_its_promotion_leaves_the_serving_region_untouched(
    serving_dr: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, machines: Any, clock: Clock
) -> None:
    """Nobody has written `steady`, and nobody may for hours: the run is over all the same."""
    home = take_lock(serving_dr.peer_ledger, "home-1", clock())
    serving_dr.peer_ledger.set_state(home, State.PROMOTING)
    machines.stop_execution(executionArn=execution("home-1"))
    untouched(serving_dr, acl, dbcheck, fleet, "confirmed")


def test_what_a_failback_had_stopped_is_let_in_again_once_it_was_stopped_itself(
    serving_dr: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, machines: Any, clock: Clock
) -> None:
    home = take_lock(serving_dr.peer_ledger, "home-1", clock())
    serving_dr.peer_ledger.set_state(home, State.PROMOTING)
    assert serving_dr.watch()["fenced"], "while it is at work it counts on the fence"
    dbcheck.stopped_at = "1"
    assert fleet.sizes(GROUP) == SERVING
    machines.stop_execution(executionArn=execution("home-1"))
    assert serving_dr.watch()["lifted"]
    untouched(serving_dr, acl, dbcheck, fleet, "confirmed")


def test_while_a_handler_of_a_stopped_run_may_be_under_way_nothing_is_let_in(
    serving_dr: Guard, acl: NetworkAcl, dbcheck: Dbcheck, machines: Any, clock: Clock
) -> None:
    home = take_lock(serving_dr.peer_ledger, "home-1", clock())
    serving_dr.peer_ledger.set_state(home, State.PROMOTING)
    serving_dr.watch()
    machines.stop_execution(executionArn=execution("home-1"))
    said = replace(serving_dr, clock=time.time).watch()
    assert (said["standing"], said["lifted"]) == ("unknown", False)
    assert acl.denied() == set(CIDRS)


@pytest.mark.parametrize("known", [False, True], ids=["a run that nobody knows", "no answer"])
def test_a_run_of_which_nobody_says_whether_it_is_at_work_fences_nothing(
    serving_dr: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, clients: Clients, clock: Clock, known: bool
) -> None:
    home = take_lock(serving_dr.peer_ledger, "home-1" if known else "home-9", clock())
    serving_dr.peer_ledger.set_state(home, State.PROMOTING)
    hands = serving_dr.hands
    if known:
        config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
        url = f"http://127.0.0.1:{closed_port()}"
        hands = replace(hands, peer_machines=boto3.client("stepfunctions", HERE, endpoint_url=url, config=config))
    watching = replace(serving_dr, hands=hands)
    untouched(watching, acl, dbcheck, fleet, "unknown" if known else "confirmed")


def test_a_failback_stopped_before_its_promotion_leaves_the_region_that_it_was_for_untouched(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """The home Region's own ledger says promoting, at a higher epoch; the other one is steady."""
    supersede(ledger, run)
    guard.ledger.mirror(claims(run.epoch, HERE, State.STEADY), 0)
    home = take_lock(guard.ledger, "home-1", clock())
    guard.ledger.set_state(home, State.PROMOTING)
    untouched(guard, acl, dbcheck, fleet, "unknown")
    release_lock(guard.ledger)
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("superseded", True), "no run of its own is going home any more"


@pytest.mark.parametrize("how", ["refused", "no such table", "empty"])
@pytest.mark.parametrize("region", [HOME, HERE])
def test_an_unreadable_or_an_empty_ledger_leaves_the_serving_region_untouched(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, run: Run, region: str, how: str, clients: Clients
) -> None:
    if region == HERE:
        supersede(guard.peer_ledger, run)
        settings = replace(guard.settings, aws_region=HERE, peer_region=HOME)
        arns = tuple(f"arn:aws:autoscaling:::autoScalingGroup:x:autoScalingGroupName/{name}" for name in (GROUP,))
        guard = replace(
            guard,
            settings=replace(settings, group_names=arns),
            ledger=guard.peer_ledger,
            peer_ledger=guard.ledger,
        )
    if how == "empty":
        other = Ledger(clients("dynamodb", HOME if region == HERE else HERE), "relight-shop", HOME)
        other.dynamodb.delete_item(TableName="relight-shop", Key={name: {"S": value} for name, value in HEAD.items()})
    elif how == "no such table":
        other = Ledger(guard.peer_ledger.dynamodb, "another", HOME)
    else:
        config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
        lost = boto3.client("dynamodb", HERE, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=config)
        other = Ledger(lost, "relight-shop", HOME)
    untouched(replace(guard, peer_ledger=other), acl, dbcheck, fleet, "unknown")


def test_an_older_ledger_leaves_the_serving_region_untouched(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """Restored from a backup of the time before the users came home."""
    supersede(ledger, run)
    for name in ("home-1", "home-2"):
        home = take_lock(guard.ledger, name, clock())
    guard.ledger.activate(home, HOME)
    guard.ledger.finish(home, succeeded=True, now=2.0)
    untouched(guard, acl, dbcheck, fleet, "unknown")


@pytest.mark.parametrize(("acl_id", "cidrs"), [(None, CIDRS), ("acl-1", None), ("acl-1", ()), (None, None)])
def test_a_fence_needs_a_network_acl_and_what_it_denies(
    clients: Clients, acl_id: str | None, cidrs: tuple[str, ...] | None
) -> None:
    assert fence_of(clients("ec2", HOME), acl_id, cidrs) is None
    assert fence_of(clients("ec2", HOME), "acl-1", CIDRS) is not None


def test_in_dr_it_publishes_stop_and_go_from_the_ledger(
    acl: NetworkAcl, ledger: Ledger, peer_ledger: Ledger, run: Run, clients: Clients
) -> None:
    settings = told(HERE, HOME, acl.acl_id)
    machines = clients("stepfunctions", HOME)
    hands: Any = Hands(acl, Dbcheck(), clients("autoscaling", HERE), machines)  # type: ignore[arg-type]
    guard = Guard(settings, ledger, peer_ledger, hands, clients("cloudwatch", HERE))
    assert guard.watch()["switches"] == {"STOP": 0.0, "GO": 0.0}
    # A run that stood down has told the primary so; fenced, DR could not serve after the next promotion.
    peer_ledger.mirror(Head(True, 1, HOME, State.STEADY), 0)
    assert guard.watch()["fenced"] is False
    assert not acl.denied()
    ledger.set_state(run, State.PROMOTING)
    assert guard.watch()["switches"] == {"STOP": 1.0, "GO": 1.0}
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1.0)
    peer_ledger.mirror(claims(1, HERE, State.STEADY), 0)
    said = guard.watch()
    assert (said["switches"], said["standing"]) == ({"STOP": 1.0, "GO": 1.0}, "confirmed")
    assert not acl.denied()


def test_beside_the_switches_it_tells_of_a_freeze_and_then_of_a_missing_standby(
    guard: Guard, ledger: Ledger, peer_ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1000.0)
    key = {name: {"S": value} for name, value in HEAD.items()}
    frozen = {":until": {"N": "5000"}}
    ledger.dynamodb.update_item(
        TableName=ledger.table, Key=key, UpdateExpression="SET frozen_until = :until", ExpressionAttributeValues=frozen
    )
    sent: list[Any] = []

    class Recorder:
        def put_metric_data(self, **given: Any) -> None:
            sent.append(given)

    recorder: Any = Recorder()
    settings = replace(guard.settings, aws_region=HERE, peer_region=HOME)
    said = Guard(settings, ledger, peer_ledger, guard.hands, recorder, lambda: 1600.0).watch()
    assert said["gauges"] == {"MAINTENANCE": 1.0, "UnprotectedSeconds": 600.0}
    assert {call["Namespace"] for call in sent} == {NAMESPACE}
    calls = [[(datum["MetricName"], datum["Value"], datum["Unit"]) for datum in call["MetricData"]] for call in sent]
    assert calls == [
        [("STOP", 1.0, "None"), ("GO", 1.0, "None"), ("MAINTENANCE", 1.0, "None")],
        [("UnprotectedSeconds", 600.0, "Seconds")],
    ], "the switches do not wait for the other Region"


def test_a_region_that_has_just_lost_its_data_is_not_fenced_for_an_older_epoch(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, clock: Clock
) -> None:
    """Going home has begun here, at a higher epoch than the other Region knows of."""
    first = take_lock(ledger, "run-1", clock())
    ledger.activate(first, HERE)
    for name in ("home-1", "home-2"):
        take_lock(guard.ledger, name, clock())
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("unknown", False)
    assert not acl.denied()


def test_the_old_database_stays_fenced_while_a_failback_keeps_it(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """It holds the lock for hours before it promotes anything; the switchover is another run's."""
    supersede(ledger, run)
    owner = execution("home-1").replace(HERE, HOME).replace("-failover:", "-failback:")
    for _ in range(run.epoch + 1):
        take_lock(guard.ledger, "home-1", clock(), owner=owner)
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("superseded", True)
    assert acl.denied() == set(CIDRS)


# Home as the standby of DR


def test_a_home_region_that_was_rebuilt_as_the_standby_is_not_fenced_again(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    supersede(ledger, run)
    guard.watch()
    assert (acl.denied(), fleet.sizes(GROUP)) == (set(CIDRS), EMPTY)
    dbcheck.in_recovery = True
    acl.lift()
    fleet.resize(Capacity(0, 1, 6), GROUP)
    said = guard.watch()
    assert (said["standing"], said["fenced"], said["emptied"], said["lifted"]) == ("unknown", False, False, False)
    assert (acl.denied(), fleet.sizes(GROUP)) == (set(), Capacity(0, 1, 6))
    dbcheck.in_recovery = False
    assert guard.watch()["fenced"], "somebody has promoted it by hand"


def test_a_run_that_begins_while_the_database_is_asked_is_not_fenced_behind_its_back(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """The question may hang for long, and the run lets the application in meanwhile."""
    supersede(ledger, run)
    guard.watch()
    acl.lift()
    dbcheck.reached = False
    dbcheck.before = lambda _: take_lock(guard.ledger, "home-1", clock())
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("unknown", False)
    assert not acl.denied()


def test_an_old_primary_whose_database_cannot_be_asked_stays_fenced(
    guard: Guard, acl: NetworkAcl, dbcheck: Dbcheck, ledger: Ledger, run: Run
) -> None:
    supersede(ledger, run)
    guard.watch()
    acl.lift()
    dbcheck.reached = False
    assert guard.watch()["fenced"]


def test_a_region_that_never_failed_over_is_not_asked_what_its_database_is(
    guard: Guard, dbcheck: Dbcheck, ledger: Ledger, peer_ledger: Ledger
) -> None:
    """Each question costs; in DR nothing has ever changed."""
    asked: list[str] = []
    dbcheck.before = asked.append
    for told_of in (ledger, peer_ledger):
        told_of.mirror(Head(True, 3, HOME, State.STEADY), 0)
    settings = replace(guard.settings, aws_region=HERE, peer_region=HOME)
    replace(guard, settings=settings, ledger=ledger, peer_ledger=peer_ledger).watch()
    assert not asked


def test_dr_is_emptied_to_what_it_was_while_it_stood_by(
    serving_dr: Guard, dbcheck: Dbcheck, fleet: Fleet, clock: Clock
) -> None:
    home = take_lock(serving_dr.peer_ledger, "home-1", clock())
    serving_dr.ledger.keep_capacity(standing_by(GROUP), Capacity(0, 1, 4), 1.0)
    serving_dr.peer_ledger.activate(home, HOME)
    serving_dr.peer_ledger.finish(home, succeeded=True, now=2.0)
    assert serving_dr.watch()["emptied"]
    assert fleet.sizes(GROUP) == Capacity(0, 1, 4)
    assert serving_dr.watch()["switches"] == {"STOP": 0.0, "GO": 0.0}, "its ledger has been told"


def sees_the_stream(ledger: Ledger, seen: Seen) -> None:
    keep_signals(ledger, [Signal(View.STREAM, seen, 1.0, time.time(), "as home's probe sees it")])


def test_dr_is_unprotected_only_while_nothing_streams_into_home(serving_dr: Guard) -> None:
    assert serving_dr.watch()["gauges"]["UnprotectedSeconds"] > 0
    sees_the_stream(serving_dr.peer_ledger, Seen.UP)
    assert serving_dr.watch()["gauges"] == {"UnprotectedSeconds": 0.0}
    sees_the_stream(serving_dr.peer_ledger, Seen.DOWN)
    assert serving_dr.watch()["gauges"]["UnprotectedSeconds"] > 0


# HOLD after the loss of DR: its Region comes back, and no run of home is left to let go of it


@pytest.fixture
def held(guard: Guard, clients: Clients, clock: Clock) -> Guard:
    """Home serves and holds; DR has come back, has conceded, and its switches are back."""
    run = take_lock(guard.ledger, "home-1", clock())
    guard.ledger.begin_promoting(run, HOME, withhold_go=False, hold=True)
    guard.ledger.activate(run, HOME)
    guard.ledger.finish(run, succeeded=True, now=1.0)
    release_lock(guard.ledger)
    guard.peer_ledger.mirror(guard.ledger.head(), 0)
    there = clients("cloudwatch", HERE)
    show(there, stop="OK", no_go="ALARM")
    return replace(guard, hands=replace(guard.hands, peer_cloudwatch=there))


def test_it_lets_go_of_hold_once_the_other_regions_switches_are_back(held: Guard) -> None:
    assert held.watch()["switches"] == {"HOLD": 1.0}
    assert not held.ledger.head().held
    assert held.watch()["switches"] == {"HOLD": 0.0}


def test_it_lets_go_of_hold_while_a_guest_has_the_lock(held: Guard) -> None:
    """It builds the other Region's standby for hours; that one could be needed meanwhile."""
    assert held.ledger.lock_as_guest(execution("light").replace("-failover:", "-failback:"), time.time(), 4500)
    held.watch()
    assert not held.ledger.head().held


def test_it_lets_go_of_hold_where_a_dead_runs_lock_has_expired(held: Guard) -> None:
    take_lock(held.ledger, "home-2", time.time() - 100_000, owner=execution("home-2").replace(HERE, HOME))
    held.watch()
    assert not held.ledger.head().held


@pytest.mark.parametrize(
    "why", ["STOP is 1", "GO is 1", "no alarm", "a run is at work", "DR is active", "DR is lost", "nobody can ask"]
)
def test_it_keeps_hold_while_anything_speaks_for_it(held: Guard, clock: Clock, why: str) -> None:
    states = {"STOP is 1": {"stop": "ALARM"}, "GO is 1": {"no_go": "OK"}, "no alarm": {"stop": "missing"}}
    show(held.hands.peer_cloudwatch, **states.get(why, {}))
    if why == "a run is at work":
        take_lock(held.ledger, "home-2", time.time(), owner=execution("home-2").replace(HERE, HOME))
    if why == "DR is active":
        there = take_lock(held.peer_ledger, "run-1", clock())
        held.peer_ledger.activate(there, HERE)
    if why == "DR is lost":
        held = replace(held, peer_ledger=Ledger(held.peer_ledger.dynamodb, "another", HOME))
    if why == "nobody can ask":
        held = replace(held, hands=replace(held.hands, peer_cloudwatch=None))
    held.watch()
    assert held.ledger.head().held


# The offer to go home


@pytest.mark.parametrize("why", ["all works", "the network ACL could not be changed", "the other ledger is unreadable"])
def test_the_way_home_is_considered_with_each_watch_and_only_what_works_counts(
    guard: Guard, ledger: Ledger, run: Run, why: str
) -> None:
    heard: list[bool] = []

    class Offer:
        def consider(self, own: Head, other: Head, well: bool) -> str | None:
            heard.append(well)
            return "you can go home" if well else None

    supersede(ledger, run)
    offering: Any = replace(guard, offer=Offer())  # type: ignore[arg-type]
    if why == "the network ACL could not be changed":
        nobodys = NetworkAcl(guard.hands.acl.ec2, "acl-00000000", CIDRS)  # type: ignore[union-attr]
        offering = replace(offering, hands=replace(guard.hands, acl=nobodys))
    if why == "the other ledger is unreadable":
        offering = replace(offering, peer_ledger=Ledger(ledger.dynamodb, "another", HOME))
    said = offering.watch()
    assert said.get("offered") == ("you can go home" if why == "all works" else None)
    assert heard == {"all works": [True], "the network ACL could not be changed": [False]}.get(why, [])


def test_people_who_cannot_be_told_of_the_way_home_keep_nothing_from_being_done(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    class Offer:
        def consider(self, own: Head, other: Head, well: bool) -> str | None:
            raise error("NotFound", "Topic does not exist", "Publish", 404)

    supersede(ledger, run)
    said = replace(guard, offer=Offer()).watch()  # type: ignore[arg-type]
    assert said["fenced"]
    assert said["unoffered"].startswith("ClientError")
    assert "lacking" not in said
