"""A drill from its plan to its end, and the sweep of those that died: nothing is left, and nothing else is touched."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from relight.drill import Drill, Kind
from relight.errors import (
    BackupNotFound,
    DrillRefused,
    DrillTooLarge,
    InputInvalid,
    PeerUnreachable,
    RunSuperseded,
    SiteNotBuilt,
    WriteNotReadBack,
)
from relight.ledger import Capacity, Ledger, State
from relight.run import Run
from relight.settings import DrillSettings
from relight.signal import Seen, Signal, View
from relight.steps.drill import FRESH_SECONDS, Drilling, Intent
from relight.steps.drill_site import SITE, DrillSite
from relight.steps.remains import Found, Remains, Thing
from relight.steps.room import Room
from relight.steps.throwaway import Throwaway

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer
from tests.unit.practice import SETTINGS, STANDBY, TAGGED, THROWAWAY, DrillRds, Listener
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, Clock, claims, release_lock, take_lock

SITE_NAME = "relight-shop-drill-1"
MACHINE = "relight-shop-drill"
HANDLER = Path(__file__).parents[2] / "functions/drill/handler.py"
TAGS = TAGGED[:2]
NOTHING = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'


@dataclass
class Quotas:
    """Service Quotas: of one quota."""

    vcpus: float = 32.0
    refusal: Exception | None = None

    def get_service_quota(self, **_: str) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        return {"Quota": {"Value": self.vcpus}}


@dataclass
class Scene:
    """A standby in which nothing but RDS is an imitation of our own."""

    clients: Clients
    rds: DrillRds
    peer: DrillRds
    ears: Listener
    ledger: Ledger
    peer_ledger: Ledger
    clock: Clock
    run: Run
    settings: DrillSettings
    quotas: Quotas = field(default_factory=Quotas)

    @property
    def drilling(self) -> Drilling:
        rds: Any = self.rds
        peer: Any = self.peer
        ears: Any = self.ears
        s, ledger, clock = self.settings, self.ledger, self.clock
        ec2, groups, stacks, balancing = (
            self.clients(name, HERE) for name in ("ec2", "autoscaling", "cloudformation", "elbv2")
        )
        return Drilling(
            s,
            ledger,
            self.peer_ledger,
            Throwaway(s, ledger, rds, peer, ears, clock),
            DrillSite(s, ledger, ec2, groups, stacks, balancing, clock),
            Remains(s, rds, ec2, stacks),
            Room(rds, ec2, self.quotas),
            self.clients("stepfunctions", HERE),
            self.clients("stepfunctions", HOME),
            clock,
        )

    def ask(self, intent: str, **event: Any) -> dict[str, Any]:
        """As the function is asked; what it says goes through JSON."""
        said = self.drilling.ensure(self.run, Intent(intent), event)
        return dict(json.loads(json.dumps(said)))

    def sweep(self) -> dict[str, Any]:
        return dict(json.loads(json.dumps(self.drilling.sweep())))

    def backup(self) -> None:
        self.rds.snapshot("kept-here", datetime(2026, 11, 20, tzinfo=UTC))

    def start(self, name: str) -> str:
        """An execution of the drill's machine, at work."""
        machines = self.clients("stepfunctions", HERE)
        arn = f"arn:aws:states:{HERE}:123456789012:stateMachine:{MACHINE}"
        if arn not in {one["stateMachineArn"] for one in machines.list_state_machines()["stateMachines"]}:
            definition = '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}'
            role = "arn:aws:iam::123456789012:role/drill"
            machines.create_state_machine(name=MACHINE, definition=definition, roleArn=role)
        return str(machines.start_execution(stateMachineArn=arn, name=name)["executionArn"])

    def stop(self, execution: str) -> None:
        self.clients("stepfunctions", HERE).stop_execution(executionArn=execution)

    def left_behind(self, run: str = "run-1", epoch: int = 1) -> None:
        """All that a drill may leave."""
        tags = [{"Key": "relight:drill", "Value": run}, {"Key": "relight:application", "Value": "shop"}]
        site = f"relight-shop-drill-{epoch}"
        self.clients("cloudformation", HERE).create_stack(StackName=site, TemplateBody=NOTHING, Tags=tags)
        self.clients("ec2", HERE).create_launch_template(
            LaunchTemplateName=site,
            LaunchTemplateData={"ImageId": "ami-1"},
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
        )
        self.rds.add(DBInstanceIdentifier=f"{STANDBY}-drill-{epoch}", TagList=tags, DbiResourceId=f"db-{epoch}")
        self.rds.snapshot(f"{STANDBY}-drill-{epoch}", None, TagList=tags)

    @property
    def there(self) -> list[str]:
        """What there is of drills now."""
        return [str(one) for one in self.drilling.remains.look().found]


@pytest.fixture
def scene(ledger: Ledger, clients: Clients, clock: Clock, run: Run) -> Scene:
    model = clients("rds", HERE).meta.service_model
    here, there = DrillRds(model, clock, HERE), DrillRds(model, clock, HOME)
    here.standby()
    there.primary()
    peer_ledger = Ledger(clients("dynamodb", HOME), "relight-shop-home", HOME)
    peer_ledger.dynamodb.create_table(
        TableName=peer_ledger.table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    settings = replace(SETTINGS, site_role_arn=None)  # without a site, where a test does not make one
    return Scene(clients, here, there, Listener(clock), ledger, peer_ledger, clock, run, settings)


# The plan.


def test_the_plan_says_what_would_be_done_and_touches_nothing(scene: Scene) -> None:
    scene.backup()
    said = scene.ask("plan", kind="plan")
    assert said["status"] == "DONE"
    assert said["sentence"] == (
        "a drill of the kind plan may begin: about 35 minutes, 0.02 USD; no look at its readiness is known"
    )
    facts = said["facts"]
    assert (facts["gib"], facts["minutes"], facts["cost_usd"]) == (25, 35.0, 0.02)
    assert facts["source"]["name"] == "kept-here"
    assert facts["would"][0] == f"a failover now would promote {STANDBY}, and bring up 1 instance in {HERE}"
    assert facts["would"][1].startswith(f"{STANDBY}-drill-<epoch>, in one zone and without backups, is restored from")
    assert (scene.rds.calls, scene.peer.calls, scene.there) == ([], [], [])
    (noted,) = scene.ledger.drills()
    assert noted == Drill("run-1", Kind.PLAN, 1, scene.run.started_at)


def test_the_kind_is_restore_where_none_is_said(scene: Scene) -> None:
    scene.backup()
    assert scene.ask("plan")["facts"]["kind"] == "restore"


def test_a_promotion_is_planned_from_what_the_primary_tells(scene: Scene) -> None:
    facts = scene.ask("plan", kind="promote")["facts"]
    assert (facts["source"]["origin"], facts["gib"]) == ("replica", 30)
    assert any("keeps a slot there" in sentence for sentence in facts["would"])


def test_a_gameday_copies_nothing(scene: Scene) -> None:
    facts = scene.ask("plan", kind="gameday")["facts"]
    assert (facts["source"], facts["gib"], facts["cost_usd"], facts["minutes"]) == (None, None, None, None)
    assert "planned mode" in facts["would"][0]


def refused(scene: Scene, error: type[Exception], why: str, **event: Any) -> None:
    before = scene.there
    with pytest.raises(error, match=why):
        scene.ask("plan", **event)
    assert (scene.rds.calls, scene.peer.calls, scene.there) == ([], [], before)
    assert scene.ledger.drills() == []


def test_an_active_region_drills_nothing(scene: Scene) -> None:
    scene.ledger.set_state(scene.run, State.PROMOTING)
    refused(scene, DrillRefused, "was begun and not brought to its end")
    scene.ledger.activate(scene.run, HERE)
    refused(scene, DrillRefused, f"{HERE} is active: drills run in the standby")


def test_a_run_of_the_other_region_comes_first(scene: Scene) -> None:
    scene.backup()
    scene.peer_ledger.mirror(replace(claims(1, HOME), state=State.PROMOTING), 0)
    refused(scene, DrillRefused, f"activates {HOME} is under way")


def test_what_an_earlier_drill_has_left_is_swept_first(scene: Scene) -> None:
    scene.backup()
    scene.left_behind("run-0", 0)
    refused(scene, DrillRefused, r"stack relight-shop-drill-0, .*database shop-dr-drill-0, .*the sweep removes it")


def test_what_cannot_be_seen_is_not_taken_for_nothing(scene: Scene) -> None:
    scene.backup()
    scene.rds.reached = False
    with pytest.raises(DrillRefused, match="RDS of"):
        scene.ask("plan")


def test_a_region_without_a_standby_has_nothing_to_practise_with(scene: Scene) -> None:
    scene.backup()
    del scene.rds.instances[STANDBY]["ReadReplicaSourceDBInstanceIdentifier"]
    refused(scene, DrillRefused, f"{STANDBY} is no replica of {HOME}'s database")
    del scene.rds.instances[STANDBY]
    refused(scene, DrillRefused, "there is no standby to practise with")


def test_a_lost_primary_refuses_what_needs_it_and_nothing_else(scene: Scene) -> None:
    scene.peer.reached = False
    refused(scene, PeerUnreachable, "and a drill of the kind restore needs it")
    refused(scene, PeerUnreachable, "and a drill of the kind promote needs it", kind="promote")
    refused(scene, PeerUnreachable, "and a drill of the kind gameday needs it", kind="gameday")
    scene.backup()
    assert scene.ask("plan")["status"] == "DONE"


def test_where_the_active_region_may_be_lost_nobody_practises(scene: Scene) -> None:
    scene.backup()
    now = scene.clock()
    down = Signal(View.FROM_DR, Seen.DOWN, now - 30, now, "no answer from here")
    before = scene.ledger.signals()[View.FROM_DR]
    assert scene.ledger.move_signal(down, before)
    refused(scene, DrillRefused, f"{HOME} is seen to be down .from_dr: no answer from here")
    scene.clock.advance(FRESH_SECONDS + 1)
    assert scene.ask("plan")["status"] == "DONE", "silent for so long, it says nothing of now"


def test_a_silent_ledger_of_the_active_region_refuses(scene: Scene) -> None:
    scene.backup()
    scene.peer_ledger = Ledger(scene.peer_ledger.dynamodb, "relight-gone", HOME)
    refused(scene, PeerUnreachable, f"the ledger of {HOME} does not answer")


def test_a_failover_needs_what_the_active_region_had_last(scene: Scene) -> None:
    scene.backup()
    scene.ledger.keep_capacity("shop-primary", Capacity(2, 8, 12), scene.clock())
    would = scene.ask("plan", kind="plan")["facts"]["would"]
    assert would[0].endswith(f"and bring up 8 instances in {HERE}")


def test_without_a_backup_there_is_no_restore_and_without_room_no_copy(scene: Scene) -> None:
    refused(scene, BackupNotFound, "nothing to begin with")
    scene.settings = replace(scene.settings, max_gib=29)
    refused(scene, DrillTooLarge, "has 30 GiB, and a drill copies 29 at most", kind="promote")


@pytest.mark.parametrize("minutes", [-1, 481, 1.5, "60", True])
def test_how_long_it_is_kept_is_bounded(scene: Scene, minutes: Any) -> None:
    with pytest.raises(InputInvalid, match="keep_minutes"):
        scene.ask("plan", keep_minutes=minutes)


def test_a_kind_that_there_is_not_is_no_input(scene: Scene) -> None:
    with pytest.raises(InputInvalid, match="it is one of plan, restore, promote, gameday"):
        scene.ask("plan", kind="fire")


def test_a_freeze_does_not_keep_from_practising(scene: Scene) -> None:
    scene.backup()
    scene.ledger.freeze(0, scene.clock() + 3600, "sale", "ann")
    assert scene.ask("plan")["status"] == "DONE"


# Room.


def test_an_instance_too_many_is_refused(scene: Scene) -> None:
    scene.backup()
    scene.rds.attributes = [{"AccountQuotaName": "DBInstances", "Used": 40, "Max": 40}]
    refused(scene, DrillRefused, "RDS DBInstances: 40 of 40 are in use, 1 are needed")


def look(scene: Scene, instance_type: str | None = "t4g.small") -> tuple[dict[str, tuple[float, ...]], tuple[str, ...]]:
    quotas, unread = scene.drilling.room.look(None, instance_type, 1, 3)
    return {quota.name: (quota.used, quota.needed, quota.limit) for quota in quotas}, unread


def test_a_failover_must_find_its_instances_beside_the_drills(scene: Scene) -> None:
    scene.clients("ec2", HERE).run_instances(ImageId="ami-12c6146b", MinCount=2, MaxCount=2, InstanceType="t3.medium")
    found, unread = look(scene)
    ((used, needed, limit),) = found.values()
    assert (needed, limit, unread) == (2 * (1 + 3), 32.0, ())
    assert used >= 2


def test_types_with_a_quota_of_their_own_are_not_judged(scene: Scene) -> None:
    assert look(scene, "p5.48xlarge") == ({}, ())
    assert look(scene, None) == ({}, ())
    assert look(scene, "mac2.metal") == ({}, ())


def test_a_quota_that_cannot_be_read_refuses_nothing(scene: Scene) -> None:
    scene.quotas.refusal = error("AccessDeniedException", "no", "GetServiceQuota")
    found, (unread,) = look(scene)
    assert found == {}
    assert "a quota could not be read" in unread


# From the database to the write.


def test_a_drill_without_a_site_writes_at_the_database_and_leaves_nothing(scene: Scene) -> None:
    scene.backup()
    scene.ask("plan")
    scene.ask("database", kind="restore")
    scene.rds.tick()
    assert scene.ask("database", kind="restore")["status"] == "DONE"
    assert "no site is made" in scene.ask("site")["sentence"]
    assert scene.ask("writes")["sentence"] == f"{THROWAWAY} took a write"
    waits = scene.ask("teardown")
    assert (waits["status"], waits["facts"]) == ("WAIT", {"left_over": [f"database {THROWAWAY}"]})
    scene.rds.tick()
    assert scene.ask("teardown")["facts"] == {"left_over": []}
    assert scene.rds.made("DeleteDBInstance") == [
        {"DBInstanceIdentifier": THROWAWAY, "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}
    ]
    steps = [story.name for story in scene.ledger.timeline("run-1")[1]]
    assert sorted(steps) == [f"drill ({name})" for name in ("database", "plan", "site", "teardown", "writes")]


@pytest.fixture
def shop(scene: Scene, names: NameServer, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A site whose balancer is found by a name of its own."""
    names.records[("balancer.example", "A")] = ["127.0.0.1"]
    url = f"http://dr.shop.example:{web.port}"
    scene.settings = replace(scene.settings, resolver=names.at, self_url=url)
    monkeypatch.setattr(DrillSite, "balancer", lambda *_: "balancer.example")
    yield web


def test_an_order_goes_through_the_drills_balancer_under_the_regions_own_name(scene: Scene, shop: WebServer) -> None:
    said = scene.ask("writes")
    assert said["status"] == "DONE"
    assert list(shop.orders) == [said["facts"]["order"]]
    assert said["sentence"].endswith("through the drill's own balancer balancer.example")
    assert scene.ears.asked == []
    assert scene.ledger.timeline("run-1")[0] == {"t6": scene.clock()}


def test_a_site_that_forgets_is_not_trusted(scene: Scene, shop: WebServer) -> None:
    shop.change = lambda order: order | {"quantity": 2}
    with pytest.raises(WriteNotReadBack):
        scene.ask("writes")


def test_a_site_that_is_gone_is_not_passed_over(scene: Scene) -> None:
    scene.ledger.keep_progress(scene.run, SITE, {"called_at": 0, "ready_at": None, "left_out": None})
    with pytest.raises(SiteNotBuilt, match="with a balancer that could be asked"):
        scene.ask("writes")


@pytest.mark.parametrize("intent", ["plan", "database", "promote", "site", "writes"])
def test_a_real_run_takes_the_lock_and_nothing_more_is_made(scene: Scene, intent: str) -> None:
    scene.backup()
    take_lock(scene.ledger, "failover-1", scene.clock())
    with pytest.raises(RunSuperseded):
        scene.ask(intent, kind="restore")
    assert scene.rds.calls == []


# Its end.


def teardown(scene: Scene, laps: int = 6) -> dict[str, Any]:
    for _ in range(laps):
        said = scene.ask("teardown")
        if said["status"] == "DONE":
            return said
        scene.rds.tick()
    raise AssertionError(said["sentence"])


def test_everything_goes_even_where_the_lock_is_lost(scene: Scene) -> None:
    scene.left_behind()
    scene.ledger.keep_drill(Drill("run-1", Kind.RESTORE, 1, 0.0))
    take_lock(scene.ledger, "failover-1", scene.clock())
    first = scene.ask("teardown")
    assert first["facts"]["left_over"] == [
        f"stack {SITE_NAME}",
        f"launch template {SITE_NAME}",
        f"database {THROWAWAY}",
        f"snapshot {THROWAWAY}",
    ]
    assert scene.ledger.drills()[0].left == tuple(first["facts"]["left_over"])
    assert teardown(scene)["facts"] == {"left_over": []}
    assert scene.there == []
    assert scene.ledger.drills()[0].left == ()
    assert STANDBY in scene.rds.instances


def test_it_deletes_once_and_what_aws_refuses_is_tried_again(scene: Scene) -> None:
    scene.left_behind()
    scene.rds.instances[THROWAWAY]["DBInstanceStatus"] = "creating"
    scene.rds.snapshots[THROWAWAY]["Status"] = "creating"
    said = scene.ask("teardown")["sentence"]
    assert f"database {THROWAWAY} is not deleted yet: it is creating" in said
    assert f"snapshot {THROWAWAY} is not deleted yet: it is being created" in said
    left = [f"launch template {SITE_NAME}", f"database {THROWAWAY}", f"snapshot {THROWAWAY}"]
    assert scene.there == left, "the stack did not wait for them, and its template for it"
    assert f"launch template {SITE_NAME} is not deleted yet: its stack goes first" in said
    scene.rds.tick()
    scene.ask("teardown")
    scene.ask("teardown")
    assert scene.rds.instances[THROWAWAY]["DBInstanceStatus"] == "deleting"
    teardown(scene)
    assert len(scene.rds.made("DeleteDBInstance")) == 1


def test_a_service_that_does_not_answer_hides_none_of_the_others_and_is_not_taken_for_empty(scene: Scene) -> None:
    scene.left_behind()
    scene.rds.reached = False
    said = scene.ask("teardown")
    assert "what there is of databases (EndpointConnectionError" in said["sentence"]
    said = scene.ask("teardown")
    assert said["status"] == "WAIT"
    assert all("could not" not in one for one in said["facts"]["left_over"])
    assert len(said["facts"]["left_over"]) == 3
    said = scene.ask("teardown")
    assert len(said["facts"]["left_over"]) == 2
    scene.rds.reached = True
    assert scene.there == [f"database {THROWAWAY}", f"snapshot {THROWAWAY}"]
    teardown(scene)


@pytest.mark.parametrize(
    "tags",
    [
        [],
        TAGS[:1],
        TAGS[1:],
        [TAGS[0], {"Key": "relight:application", "Value": "till"}],
        [{"Key": "relight:drill", "Value": "run-2"}, TAGS[1]],
    ],
    ids=["none", "no application", "no drill", "another application", "another drill"],
)
def test_what_does_not_carry_both_of_its_tags_is_never_deleted(scene: Scene, tags: list[dict[str, str]]) -> None:
    scene.left_behind()
    scene.rds.instances[THROWAWAY]["TagList"] = tags
    scene.rds.snapshots[THROWAWAY]["TagList"] = tags
    teardown(scene)
    assert THROWAWAY in scene.rds.instances
    assert THROWAWAY in scene.rds.snapshots


@pytest.mark.parametrize(
    "name", [STANDBY, "shop-dr-retired-1", "shop-dr-drill-", "till-dr-drill-1", "shop-dr-drill-1-b"]
)
def test_what_has_another_name_is_never_deleted(scene: Scene, name: str) -> None:
    scene.rds.add(DBInstanceIdentifier=name, TagList=TAGS)
    scene.rds.snapshot(name, None, TagList=TAGS)
    assert scene.ask("teardown")["status"] == "DONE"
    scene.sweep()
    assert name in scene.rds.instances
    assert scene.rds.calls == []


def test_nothing_is_left_of_what_never_was(scene: Scene) -> None:
    assert scene.ask("teardown")["sentence"] == "nothing is left of the drill"


def test_what_is_being_deleted_is_not_asked_for_again() -> None:
    assert Found(Thing.STACK, SITE_NAME, "run-1", 1, "DELETE_IN_PROGRESS").going
    assert not Found(Thing.STACK, SITE_NAME, "run-1", 1, "DELETE_FAILED").going


# The sweep.


def test_the_sweep_takes_away_what_a_stopped_drill_has_left_and_gives_its_lock_back(scene: Scene) -> None:
    execution = scene.start("drill-1")
    take_lock(scene.ledger, "drill-1", scene.clock(), owner=execution)
    scene.ledger.keep_drill(Drill("drill-1", Kind.RESTORE, 2, 1.0))
    scene.left_behind("drill-1", 2)
    at_work = scene.sweep()
    assert (at_work["swept"], len(at_work["at_work"])) == ([], 4)
    assert scene.ledger.head().owner == execution
    scene.stop(execution)
    said = scene.sweep()
    assert said["swept"] == ["drill-1"]
    assert "database shop-dr-drill-2 is being deleted" in said["sentence"]
    assert scene.ledger.head().owner is None
    assert scene.ledger.drills() == [Drill("drill-1", Kind.RESTORE, 2, 1.0, scene.clock(), None, tuple(said["left"]))]
    ended = scene.clock()
    scene.clock.advance(3600)
    scene.rds.tick()
    assert scene.sweep()["sentence"] == "launch template relight-shop-drill-2 is being deleted"
    assert scene.sweep()["sentence"] == "nothing is left of a drill that is over"
    assert scene.ledger.drills() == [Drill("drill-1", Kind.RESTORE, 2, 1.0, ended, None, ())]
    assert scene.there == []


def test_the_sweep_leaves_other_runs_their_lock(scene: Scene) -> None:
    owner = scene.ledger.head().owner
    assert owner is not None, "a failover's"
    scene.sweep()
    assert scene.ledger.head().owner == owner
    release_lock(scene.ledger)
    scene.sweep()


def test_the_sweep_needs_no_ledger_to_find_what_is_left(scene: Scene) -> None:
    scene.left_behind("long-forgotten", 7)
    assert scene.sweep()["swept"] == ["long-forgotten"]
    scene.rds.tick()
    scene.sweep()
    assert scene.there == []


def test_a_ledger_that_does_not_answer_keeps_nothing_alive(scene: Scene) -> None:
    scene.left_behind()
    scene.ledger = Ledger(scene.ledger.dynamodb, "relight-gone", HOME)
    assert "; the ledger does not know: " in scene.ask("teardown")["sentence"]
    scene.rds.tick()
    assert "; the ledger does not know: " in scene.sweep()["sentence"]
    assert scene.there == []


def test_a_drill_of_which_step_functions_says_nothing_is_left_alone(scene: Scene) -> None:
    scene.left_behind("drill-1", 2)
    machines = Silent(scene.clients("stepfunctions", HERE).exceptions)
    said = replace(scene.drilling, machines=machines).sweep()  # type: ignore[arg-type]
    assert (said["swept"], len(said["at_work"])) == ([], 4)


def test_what_was_not_seen_is_still_noted_as_left(scene: Scene) -> None:
    scene.ledger.keep_drill(Drill("drill-1", Kind.RESTORE, 2, 1.0, 2.0, "FAILED", ("database shop-dr-drill-2",)))
    scene.rds.reached = False
    assert "could not be seen" in scene.sweep()["sentence"]
    assert scene.ledger.drills()[0].left == ("database shop-dr-drill-2",)
    scene.rds.reached = True
    scene.sweep()
    assert scene.ledger.drills()[0] == Drill("drill-1", Kind.RESTORE, 2, 1.0, 2.0, "FAILED", ())


@dataclass
class Silent:
    """Step Functions that does not answer."""

    exceptions: Any

    def describe_execution(self, **_: str) -> None:
        raise EndpointConnectionError(endpoint_url="https://states")


# The function.


def test_the_function_sweeps_and_asks_for_a_run_where_there_must_be_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in fields(scene.settings):
        value = getattr(scene.settings, each.name)
        text = ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        monkeypatch.setenv(each.name.upper(), text)
    spec = importlib.util.spec_from_file_location("handler_of_drill", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler = module.handler.__wrapped__  # without the decorator, which wants Lambda's context
    assert handler({"intent": "sweep"}, None)["swept"] == []
    with pytest.raises(InputInvalid, match='"run"'):
        handler({"intent": "plan"}, None)
