"""A failback previewed: the machine's own refusals, each way the old database is found, and nothing is changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from relight.errors import InputInvalid, RelightError
from relight.failback_question import FailbackAsking
from relight.ledger import Ledger, State
from relight.steps.outlook import Outlook
from relight.steps.retire import BROKEN
from relight.steps.survey import Intent, To
from relight.way_home import READ_ONLY_SECONDS, question

from tests.unit.conftest import Clients
from tests.unit.instances import OLD, Instances
from tests.unit.standby import HERE, HOME, NOW, Clock, claims, release_lock, take_lock
from tests.unit.test_survey import DRILL, EPOCH, FAILBACK, FAILOVER, SETTINGS, World

KEPT = f"{OLD}-retired-{EPOCH}"
ACTIVE_ARN = f"arn:aws:rds:{HERE}:123456789012:db:shop-dr"


class Preview:
    """The home Region, back after its loss, with its old database."""

    def __init__(self, world: World, rds: Instances) -> None:
        self.world, self.rds = world, rds
        self.world.rds.more["shop-dr"] = {"AllocatedStorage": 100}

    def tables(self) -> list[Any]:
        return [one.dynamodb.scan(TableName=one.table)["Items"] for one in (self.world.home, self.world.away)]

    def ask(self, **event: Any) -> dict[str, Any]:
        """Asked without a lock; nothing has changed by it."""
        rds: Any = self.rds
        running = {region: self._executions(region) for region in (HOME, HERE)}
        before, known, calls = self.tables(), repr((self.rds.instances, self.rds.snapshots)), list(self.rds.calls)
        said = Outlook(self.world.survey, rds).preview(event)
        assert self.tables() == before
        assert repr((self.rds.instances, self.rds.snapshots)) == known
        assert self.rds.calls == calls
        assert {region: self._executions(region) for region in (HOME, HERE)} == running
        return said

    def _executions(self, region: str) -> list[tuple[str, str]]:
        sfn = self.world.machines[region]
        pages = (
            sfn.list_executions(stateMachineArn=one["stateMachineArn"])
            for one in sfn.list_state_machines()["stateMachines"]
        )
        return [(one["executionArn"], one["status"]) for page in pages for one in page["executions"]]


@pytest.fixture
def preview(peer_ledger: Ledger, ledger: Ledger, clients: Clients, clock: Clock) -> Preview:
    world = World(peer_ledger, ledger, clients, clock)
    rds = Instances(clients("rds", HOME).meta.service_model, clock)
    rds.add()
    return Preview(world, rds)


# Would it begin?


def nothing_ever(world: World) -> None:
    for ledger in (world.home, world.away):
        ledger.dynamodb.delete_item(TableName=ledger.table, Key={"pk": {"S": "region"}, "sk": {"S": "head"}})


def home_again(world: World) -> None:
    for ledger in (world.home, world.away):
        ledger.mirror(claims(6, HOME), NOW)
    world.rds.source["shop-dr"] = f"arn:aws:rds:{HOME}:123456789012:db:{OLD}"


def drill_there(world: World) -> None:
    world.hold(world.away, world.start(HERE, DRILL, "drill-1"))


def run_there(world: World) -> None:
    world.hold(world.away, world.start(HERE, FAILOVER, "failover-1"))


def activated_there(world: World) -> None:
    world.away.mirror(claims(EPOCH, HERE, State.PROMOTING), NOW)


def half_done_here(world: World) -> None:
    died = take_lock(world.home, "died", NOW)
    world.home.begin_promoting(died, HOME, withhold_go=False)
    world.home.open_door(died, OLD, NOW)
    release_lock(world.home)


def with_a_lease(world: World) -> None:
    world.survey = replace(world.survey, settings=replace(SETTINGS, lease_term_seconds=30.0))


def silent_there(world: World) -> None:
    world.rds.reached = False
    world.home.mirror(claims(6, HOME), NOW)
    world.away.mirror(claims(6, HOME), NOW)


TROUBLES = [
    nothing_ever,
    home_again,
    drill_there,
    run_there,
    activated_there,
    half_done_here,
    with_a_lease,
    silent_there,
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_it_refuses_in_the_words_of_the_machine(preview: Preview, trouble: Callable[[World], None]) -> None:
    world = preview.world
    trouble(world)
    said = preview.ask()
    assert (said["preview"], said["begins"], said["would"], said["to"]) == (True, False, [], "home")
    run = world.failback()
    with pytest.raises(RelightError) as refused:
        world.survey.ensure(run, Intent.LOOK, {"to": To.HOME})
    assert (said["finding"], said["sentence"]) == (type(refused.value).__name__, str(refused.value))


def test_a_run_that_is_at_work_here_is_named(preview: Preview) -> None:
    world = preview.world
    running = world.start(HOME, FAILBACK, "failback-1")
    world.hold(world.home, running)
    said = preview.ask()
    assert (said["finding"], said["sentence"]) == ("in_progress", f"already in progress: {running}")
    world.end(running, "ABORTED")
    assert preview.ask()["begins"] is True


def test_it_begins_where_the_machine_would(preview: Preview) -> None:
    world = preview.world
    left = world.start(HOME, FAILOVER, "asleep")
    world.end(left, "RUNNING", began=NOW - 900)
    checks = [{"name": "backlog", "level": "PASS", "sentence": "12 objects are on their way here, 40 s behind at most"}]
    world.home.keep_readiness({"at": NOW - 60, "checks": checks}, NOW - 60)
    said = preview.ask()
    assert (said["begins"], said["finding"], said["obstacle"]) == (True, None, None)
    assert (said["home"], said["active"], said["active_epoch"]) == (HOME, HERE, EPOCH)
    assert said["sentence"] == f"{HERE} is active since epoch {EPOCH}, and nothing stands in the way"
    assert said["left_over"] == ["asleep"]
    assert (said["database"]["finding"], said["database"]["retired_as"]) == ("available", KEPT)
    assert (said["replica"]["build"], said["replica"]["gib"], said["replica"]["seconds"]) == (True, 100, 7200.0)
    assert said["objects"]["sentence"].startswith("12 objects are on their way here, 40 s behind at most (readiness")
    assert said["question"]["read_only_seconds"] == list(READ_ONLY_SECONDS)
    assert said["would"][0].endswith(f"executions of {HOME} that were left over are stopped: asleep")
    run = world.failback()
    assert world.survey.ensure(run, Intent.LOOK, {"to": To.HOME}).facts["stopped"] == ["asleep"]


def test_protected_asks_nobody(preview: Preview) -> None:
    said = preview.ask(to="protected")
    assert (said["begins"], said["question"]) == (True, None)
    assert said["would"][-1] == f"it ends there: {HOME} stands by, and nothing is switched"


def test_behind_the_switchover_only_the_rest_is_left(preview: Preview) -> None:
    for ledger in (preview.world.home, preview.world.away):
        ledger.mirror(claims(6, HOME), NOW)
    said = preview.ask()
    assert (said["begins"], said["resume"], said["database"]) == (True, True, None)
    assert len(said["would"]) == 1


def test_a_way_that_there_is_not_is_no_input(preview: Preview) -> None:
    with pytest.raises(InputInvalid):
        preview.ask(to="away")


# How is the old database found?


def status(name: str) -> Callable[[Instances], None]:
    return lambda rds: rds.instances[OLD].update(DBInstanceStatus=name)


def gone(rds: Instances) -> None:
    del rds.instances[OLD]


def kept(rds: Instances) -> None:
    rds.instances[KEPT] = rds.instances.pop(OLD) | {"DBInstanceIdentifier": KEPT}


def gone_with_a_snapshot(rds: Instances) -> None:
    rds.snapshots[KEPT] = {"DBSnapshotIdentifier": KEPT, "Status": "available"}
    gone(rds)


def replica(rds: Instances) -> None:
    rds.instances[OLD]["ReadReplicaSourceDBInstanceIdentifier"] = ACTIVE_ARN


def replica_of_another(rds: Instances) -> None:
    rds.instances[OLD]["ReadReplicaSourceDBInstanceIdentifier"] = f"{ACTIVE_ARN}-2"


def both(rds: Instances) -> None:
    rds.add(DBInstanceIdentifier=KEPT, DbiResourceId="db-OTHER")


@pytest.mark.parametrize(
    ("arrange", "finding", "says", "build", "obstacle"),
    [
        (status("available"), "available", "a snapshot is taken, and it is renamed", True, None),
        (status("stopped"), "stopped", "it is started first", True, None),
        (status("storage-full"), "storage-full", "its disk is made 25 GiB first", True, None),
        (status("backing-up"), "backing-up", "that is waited for", True, None),
        (gone, "gone", "nothing can be kept", True, None),
        (gone_with_a_snapshot, "gone", "is restored from the snapshot", True, None),
        (kept, "kept", f"it is {KEPT} now", True, None),
        (replica, "replica", "nothing has to be retired or built", False, None),
        (replica_of_another, "replica", "give it another name", None, "NotAReplicaOfThePeer"),
        (both, "available", "there are both", None, "DatabaseNotKept"),
        *((status(name), name, "neither snapshots nor", None, "DatabaseNotKept") for name in sorted(BROKEN)[:2]),
    ],
)
def test_the_old_database(
    preview: Preview, arrange: Any, finding: str, says: str, build: bool | None, obstacle: str | None
) -> None:
    arrange(preview.rds)
    said = preview.ask()
    found = said["database"]
    assert (found["finding"], found["build"], found["obstacle"]) == (finding, build, obstacle)
    assert said["obstacle"] == obstacle
    assert says in found["sentence"]
    assert said["begins"] is True, "it begins, and would fail there"
    assert any(obstacle in sentence for sentence in said["would"]) if obstacle else len(said["would"]) == 7


def test_what_cannot_be_seen_is_said_and_not_guessed(preview: Preview) -> None:
    preview.rds.reached = False
    preview.world.rds.reached = False
    said = preview.ask()
    assert (said["database"]["finding"], said["replica"]["build"]) == ("unknown", None)
    assert "is not known: readiness has not looked at it" in said["objects"]["sentence"]
    preview.rds.reached = True
    said = preview.ask()
    assert (said["replica"]["build"], said["replica"]["seconds"]) == (True, None)
    assert "does not answer" in said["replica"]["sentence"]


def test_the_time_without_writes_is_the_one_of_the_question() -> None:
    least, most = (f"{seconds / 60:.0f}" for seconds in READ_ONLY_SECONDS)
    asking: Any = FailbackAsking
    settings = type("S", (), {"aws_region": HOME, "peer_region": HERE})
    told = " ".join(asking._going(type("A", (), {"settings": settings})))
    assert f"{least} to {most} minutes" in told
    assert f"{least} to {most} minutes" in question(HOME, HERE)["sentence"]
