"""Both Regions of `homecoming` before anything is lost, and the drills of the one that stands by.

The state machines, both ledgers, a drill's steps, `record`, the sweeper and the news are the product's own. What there
is in AWS is played: databases, snapshots, launch templates and stacks, each one phase further whenever a drill looks.
"""

import base64
import io
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from jsonata import Jsonata
from jsonata.parser import Parser
from jsonschema import Draft202012Validator
from relight.delivery import Delivery
from relight.drill import Drill, throwaway
from relight.ledger import State
from relight.news import News
from relight.run import Run
from relight.steps.drill import Drilling, Intent
from relight.steps.drill_site import DrillSite
from relight.steps.remains import Remains
from relight.steps.room import Room
from relight.steps.throwaway import Throwaway

from lab.seam import Seams
from tests.statemachine.harness import Machine, Outcome, load, machine, until
from tests.statemachine.hold import Hold
from tests.statemachine.homecoming import (
    AWAY,
    FAILBACK,
    FAILOVER,
    HOME,
    PACE,
    Homecoming,
    Machines,
    Side,
    VirtualTime,
    definitions,
    machine_arn,
)
from tests.statemachine.standby import DEFINITION, DRILL, RAISED, STEADY, TABLE, client
from tests.statemachine.table import Table
from tests.unit.announcements import schema
from tests.unit.loopback import LOCALHOST, NameServer, WebServer
from tests.unit.practice import SETTINGS, STANDBY, DrillRds, Pages
from tests.unit.rds import error

if TYPE_CHECKING:
    from relight.settings import DrillSettings

PRACTICE = Path(DEFINITION).with_name("drill.asl.yaml")
RESTORE: Mapping[str, Any] = {"reason": "the day of the drill has come"}
PLAN, PROMOTE, GAMEDAY = ({**RESTORE, "kind": kind} for kind in ("plan", "promote", "gameday"))
BALANCER = "drill.balancer.example"
SNAPSHOT = "rds:shop-primary-2026-11-20"
USER_DATA = "#!/bin/bash\ncat >/etc/relight/app.env <<'ENV'\nDATABASE_HOST=shop-dr\nDATABASE_PORT=5432\nENV\n"
_THROWAWAY = re.compile(re.escape(throwaway(STANDBY, 0).removesuffix("0")) + r"\d+")

type Act = Callable[[str], None]
"""A handler is about to change something: where it can be held."""


class Databases(DrillRds):
    """RDS of a Region."""

    act: Act
    stuck = False
    """Whether what is under way comes no further."""

    def tick(self) -> None:
        """One phase further."""
        if not self.stuck:
            super().tick()

    def _change(self, operation: str, given: dict[str, Any], change: Callable[[], None]) -> dict[str, Any]:
        self.act(operation)
        return super()._change(operation, given, change)


@dataclass
class Ears:
    """The function `dbcheck`. It is asked of throwaways alone."""

    rds: Databases
    clock: Callable[[], float]
    writable: bool = True

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """Lambda's answer."""
        name = json.loads(Payload)["endpoint"]["host"].partition(".")[0]
        assert _THROWAWAY.fullmatch(name), "nothing but a throwaway is asked"
        copies = "ReadReplicaSourceDBInstanceIdentifier" in self.rds.instances[name]
        said = {
            "reached": True,
            "in_recovery": copies,
            "writable": not copies and self.writable,
            "receiver": {"status": "streaming"} if copies else None,
            "last_replayed_at": self.clock(),
            "heartbeat_at": None,
            "sentence": "it is a replica" if copies else "it is none",
        }
        return {"Payload": io.BytesIO(json.dumps(said).encode())}


class _AlreadyExists(ClientError):
    """Of a stack."""


@dataclass
class Stacks:
    """CloudFormation: what is made, or deleted, is so one phase later."""

    act: Act
    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    becomes: str | None = "CREATE_COMPLETE"
    """How the creation of a stack ends; None while it does not."""
    refusals: list[Exception] = field(default_factory=list)
    """Of the next deletions."""
    exceptions = SimpleNamespace(AlreadyExistsException=_AlreadyExists)

    def get_paginator(self, name: str) -> Pages:
        """Of any list."""
        return Pages(getattr(self, name))

    def describe_stacks(self) -> dict[str, Any]:
        """As AWS."""
        return {"Stacks": [dict(one) for one in list(self.there.values())]}

    def describe_stack_events(self, **_given: Any) -> dict[str, Any]:
        """As AWS, of one that was given up."""
        failed = {"LogicalResourceId": "Balancer", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "no room"}
        return {"StackEvents": [failed]}

    def create_stack(self, **given: Any) -> None:
        """As AWS."""
        self.act("CreateStack")
        name = given["StackName"]
        if name in self.there:
            answer: Any = {"Error": {"Code": "AlreadyExistsException", "Message": f"{name} exists"}}
            raise _AlreadyExists(answer, "CreateStack")
        self.calls.append("CreateStack")
        self.there[name] = {"StackName": name, "StackStatus": "CREATE_IN_PROGRESS", "Tags": given["Tags"]}

    def delete_stack(self, **given: Any) -> None:
        """As AWS: of what is not there it says nothing."""
        self.act("DeleteStack")
        if self.refusals:
            raise self.refusals.pop()
        if given["StackName"] in self.there:
            self.calls.append("DeleteStack")
            self.there[given["StackName"]]["StackStatus"] = "DELETE_IN_PROGRESS"

    def tick(self) -> None:
        """One phase further."""
        outputs = {"BalancerName": BALANCER, "TargetsArn": "arn:targets"}
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        for name, stack in list(self.there.items()):
            if stack["StackStatus"] == "DELETE_IN_PROGRESS":
                self.there.pop(name, None)
            elif stack["StackStatus"] == "CREATE_IN_PROGRESS" and self.becomes is not None:
                stack |= {"StackStatus": self.becomes, "Outputs": told}


@dataclass
class Templates:
    """EC2: launch templates, and what the standby's own is like."""

    act: Act
    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def get_paginator(self, name: str) -> Pages:
        """Of any list."""
        return Pages(getattr(self, name))

    def describe_launch_templates(self, *, Filters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """As AWS, by name or by tag."""
        names = {each["Name"]: each["Values"] for each in Filters}.get("launch-template-name", [*self.there])
        return {"LaunchTemplates": [one for name, one in list(self.there.items()) if name in names]}

    def describe_launch_template_versions(self, **_given: Any) -> dict[str, Any]:
        """The standby's own."""
        data = {"InstanceType": "t4g.small", "UserData": base64.b64encode(USER_DATA.encode()).decode()}
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": data}]}

    def describe_instance_types(self, **_given: Any) -> dict[str, Any]:
        """As AWS."""
        return {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 2}}]}

    def describe_instances(self, **_given: Any) -> dict[str, Any]:
        """None."""
        return {"Reservations": []}

    def create_launch_template(self, **given: Any) -> dict[str, Any]:
        """As AWS."""
        self.act("CreateLaunchTemplate")
        name = given["LaunchTemplateName"]
        if name in self.there:
            raise error("InvalidLaunchTemplateName.AlreadyExistsException", f"{name} exists", "CreateLaunchTemplate")
        self.calls.append("CreateLaunchTemplate")
        (tagged,) = given["TagSpecifications"]
        made = {"LaunchTemplateName": name, "LaunchTemplateId": f"lt-{name}", "Tags": tagged["Tags"]}
        self.there[name] = made
        return {"LaunchTemplate": made}

    def delete_launch_template(self, **given: Any) -> None:
        """As AWS."""
        self.act("DeleteLaunchTemplate")
        if self.there.pop(given["LaunchTemplateName"], None) is None:
            raise error("InvalidLaunchTemplateName.NotFoundException", "it is not there", "DeleteLaunchTemplate")
        self.calls.append("DeleteLaunchTemplate")


class Cloud:
    """What there is in AWS, as far as a drill asks."""

    def __init__(self, clock: Any, act: Act) -> None:
        model = client("rds").meta.service_model
        self.rds, self.peer = Databases(model, clock, AWAY), Databases(model, clock, HOME)
        self.rds.act = self.peer.act = act
        self.rds.standby()
        self.peer.primary()
        self.peer.snapshot(SNAPSHOT, datetime(2026, 11, 20, tzinfo=UTC))
        self.stacks, self.templates, self.ears = Stacks(act), Templates(act), Ears(self.rds, clock)
        self.vcpus = 32.0
        self.healthy = True
        """Whether the instances of a drill's site get healthy."""

    def tick(self) -> None:
        """One phase further."""
        self.rds.tick()
        self.stacks.tick()

    @property
    def made(self) -> list[str]:
        """What AWS was asked to change, and did."""
        return [*self.rds.names, *self.peer.names, *self.templates.calls, *self.stacks.calls]

    def groups(self, **given: Any) -> dict[str, Any]:
        """DescribeAutoScalingGroups."""
        (name,) = given["AutoScalingGroupNames"]
        own = {"LaunchTemplateName": name, "Version": "1"}
        return {"AutoScalingGroups": [{"AutoScalingGroupName": name, "LaunchTemplate": own}]}

    def targets(self, **_given: Any) -> dict[str, Any]:
        """DescribeTargetHealth."""
        state = {"State": "healthy"} if self.healthy else {"State": "unhealthy", "Reason": "Target.Timeout"}
        return {"TargetHealthDescriptions": [{"TargetHealth": state}]}

    def quota(self, **_given: Any) -> dict[str, Any]:
        """GetServiceQuota."""
        return {"Quota": {"Value": self.vcpus}}


@cache
def said_of(news: News) -> Draft202012Validator:
    """What that kind of news may say."""
    return Draft202012Validator(schema(news.schema))


class Forgetful(Machines):
    """Step Functions, which does not know at first what has just been started."""

    left = 0
    """How often still."""

    def describe_execution(self, **given: Any) -> dict[str, Any]:
        """As boto3 answers."""
        if self.left > 0 and FAILOVER in given["executionArn"]:
            self.left -= 1
            answer: dict[str, Any] = self._client.describe_execution(executionArn=f"{given['executionArn']}-nobody")
            return answer
        return super().describe_execution(**given)


@dataclass
class Shelf:
    """S3 with nothing between: moto's, and the client that signs a link, take longer than the drill."""

    there: dict[str, bytes] = field(default_factory=dict)

    def put_object(self, *, Key: str, Body: bytes, **_given: Any) -> None:  # noqa: N803 (boto3's names)
        """As AWS."""
        self.there[Key] = Body


@dataclass
class Bus:
    """EventBridge: what it was told, each held against its schema."""

    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """As AWS."""
        for entry in Entries:
            detail = json.loads(entry["Detail"])
            said_of(News(entry["DetailType"])).validate(detail)
            self.heard.append((entry["DetailType"], detail))
        return {"Entries": [{} for _ in Entries]}

    def of(self, kind: str) -> list[str]:
        """What it was told of runs of that kind, in that order."""
        return [what.removeprefix("Relight ") for what, detail in self.heard if detail["run"]["kind"] == kind]


class Practising(Side):
    """The Region that stands by, and its drills."""

    def __init__(self, world: "Drills", here: str, there: str) -> None:
        super().__init__(world, here, there)
        self.cloud = Cloud(self.clock, self._acts)
        self.bus, self.shelf, self.machines = Bus(), Shelf(), Forgetful(here)
        events: Any = self.bus
        kept: Any = self.shelf
        self._recorder = replace(self._recorder, events=events, s3=kept)
        self.shop: WebServer
        self.drill: Machine
        self.drilling: Drilling
        self._practice: DrillSettings

    def open(self, names: NameServer, shop: WebServer) -> None:
        """With who tells where the site is, and its application."""
        url = f"http://dr.shop.example:{shop.port}"
        # It looks after a fifth of it where something is about to be so, and no second of such a clock goes by in less.
        again = 5.0 if isinstance(self.clock, VirtualTime) else 1.0
        self._practice = replace(SETTINGS, resolver=names.at, self_url=url, look_again_seconds=again)
        self.shop = shop

    def silence(self, describe: Callable[..., Any]) -> None:
        """Have the other Region's executions told by this, in the place of Step Functions."""
        others: Any = self.drilling.peer_machines
        told: Any = SimpleNamespace(
            describe_execution=describe, exceptions=others.exceptions, start_execution=others.start_execution
        )
        self.drilling = replace(self.drilling, peer_machines=told)

    def evidence(self, execution: str) -> dict[str, Any]:
        """As every side."""
        told: dict[str, Any] = json.loads(self.shelf.there[f"runs/{execution.rpartition(':')[2]}/run.json"])
        return told

    def lose_answers(self, times: int) -> None:
        """Of the state machines' own writes to the ledger: they are done, and nobody hears of it."""
        table = self.machine.workflows._clients[(self.here, "dynamodb")]
        update, left = table.update_item, [None] * times

        def lose(**given: Any) -> Any:
            said = update(**given)
            if left:
                left.pop()
                raise unheard("UpdateItem")
            return said

        table.update_item = lose

    def given(self, **changed: Any) -> None:
        """With other settings."""
        now = replace(self._practice, **changed)
        self.drilling = replace(self.drilling, settings=now, site=replace(self.drilling.site, settings=now))

    def watch(self, machines: Any) -> None:
        """Have this Region's executions told by that."""
        self.drilling = replace(self.drilling, machines=machines)

    def begin(self) -> None:
        """As every side, and the drill's function."""
        super().begin()
        s, cloud, ledger, clock = self._practice, self.cloud, self.ledger, self.clock
        rds: Any = cloud.rds
        peer: Any = cloud.peer
        ears: Any = cloud.ears
        ec2: Any = cloud.templates
        groups: Any = SimpleNamespace(describe_auto_scaling_groups=cloud.groups)
        balancing: Any = SimpleNamespace(describe_target_health=cloud.targets)
        quotas: Any = SimpleNamespace(get_service_quota=cloud.quota)
        own: Any = Machines(self.here)
        others: Any = Machines(self.there)
        self.drilling = Drilling(
            s,
            ledger,
            self.peer_ledger,
            Throwaway(s, ledger, rds, peer, ears, clock),
            DrillSite(s, ledger, ec2, groups, cloud.stacks, balancing, clock),
            Remains(s, rds, ec2, cloud.stacks),
            Room(rds, ec2, quotas),
            own,
            others,
            clock,
        )

    @property
    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """All functions of the Region."""
        return super().handlers | {"drill": lambda event: self._handle("drill", event)}

    def _answer(self, function: str, step: str, event: dict[str, Any]) -> dict[str, Any]:
        if function != "drill":
            return super()._answer(function, step, event)
        self._break(step)
        self.cloud.tick()
        return self.drilling.ensure(Run.from_event(event), Intent(event["intent"]), event)


class Drills(Homecoming):
    """Both Regions: home is active, and the other one practises."""

    away: Practising
    at_work: Hold
    """Somebody else who has the lock, and is held."""

    def __init__(self, clock: Callable[[], float], look_again: int) -> None:
        super().__init__(clock, look_again)
        self.away = Practising(self, AWAY, HOME)
        self.home.peer, self.away.peer = self.away, self.home
        self.sides = (self.home, self.away)

    def prepare(self) -> None:
        """What the templates make; nothing has happened yet."""
        super().prepare()
        self.make_active(self.home, 0)

    def renew(self) -> None:
        """As if nothing had been activated, but for the epoch: that only grows."""
        epoch = self.away.ledger.head().epoch
        self.make_active(self.home, 0)
        self.away.write_head("SET epoch = :epoch", {":epoch": {"N": str(epoch)}})

    def start(self, given: Mapping[str, Any], name: str | None = None) -> str:
        """A drill; its ARN."""
        return self.away.drill.start(dict(given), name)

    def go(self, given: Mapping[str, Any]) -> Outcome:
        """A drill, from its start to its end."""
        return self.away.drill.outcome(self.start(given))

    def goes_on(self, held: Hold) -> None:
        """What is late comes to its end, with all that it has started."""
        held.see_off()
        until(lambda: self.running() <= int(hasattr(self, "at_work")), "the end of what it has started")

    def settle_but(self, execution: str) -> None:
        """Until nothing else is at work any more."""
        assert not self.away.drill.has_ended(execution)
        until(lambda: self.running() == 1, "the end of all others")

    def sweep(self) -> dict[str, Any]:
        """As each hour."""
        self.away.cloud.tick()
        return self.away.drilling.sweep()

    def sweep_up(self) -> None:
        """Some hours."""
        for _ in range(4):
            self.sweep()

    @property
    def there(self) -> list[str]:
        """What there is of drills now."""
        sight = self.away.drilling.remains.look()
        assert not sight.unseen
        return [str(one) for one in sight.found]

    @property
    def practised(self) -> list[Drill]:
        """What the ledger remembers of drills."""
        return self.away.ledger.drills()

    # What has come of it.

    def assert_nothing_made(self, *, tried: bool = False) -> None:
        """Nothing was ever asked of AWS."""
        assert self.away.cloud.made == []
        self.assert_as_before(tried=tried)

    def assert_nothing_left(self) -> None:
        """Nothing is left of any drill, and nothing else is missing."""
        cloud = self.away.cloud
        assert self.there == []
        assert ([*cloud.rds.instances], [*cloud.peer.instances]) == ([STANDBY], ["shop-primary"])
        assert ([*cloud.rds.snapshots], [*cloud.peer.snapshots]) == ([], [SNAPSHOT])
        assert (cloud.templates.there, cloud.stacks.there) == ({}, {})
        assert cloud.peer.calls == []
        named = {str(name) for _, given in cloud.rds.calls for name in _names(given)}
        assert all(map(_THROWAWAY.fullmatch, named)), "RDS changes throwaways alone"

    def assert_as_before(self, *, tried: bool = False) -> None:
        """Both Regions are as they were before any drill, and both locks are free.

        What was `tried` is a failover: that it failed is remembered.
        """
        self.assert_nothing_left()
        heads = [side.ledger.head() for side in self.sides]
        for head in heads:
            assert (head.active, head.active_epoch, head.state, head.owner) == (HOME, 0, State.STEADY, None)
            assert (head.promotion, head.quiesce, head.capacity_before, head.held) == (None, None, None, False)
            assert (head.refused_at, head.failed_at is not None) == (None, tried and head is heads[1])
        assert self.writable() == [HOME]
        assert (self.home.capacity, self.away.capacity) == (RAISED, STEADY)
        assert self.away.published == {"STOP": 0.0, "GO": 0.0}


def unheard(operation: str, code: str = "InternalServerError", status: int = 500) -> ClientError:
    """Of a call whose answer does not come, or is a refusal of that code; with what moto's executor reads."""
    answer: Any = {
        "Error": {"Code": code, "Message": "no answer to what was asked"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "lost"},
    }
    return ClientError(answer, operation)


def _names(given: Mapping[str, Any]) -> Iterator[Any]:
    """Of what one call to RDS makes or changes."""
    made = ("DBInstanceIdentifier", "TargetDBInstanceIdentifier", "TargetDBSnapshotIdentifier")
    yield from (given[name] for name in made if name in given)
    if not any(name in given for name in made):
        yield given["DBSnapshotIdentifier"]


@cache
def practice(**changed: int | str) -> dict[str, Any]:
    """The drill of the DR Region, with function names for their ARNs."""
    names = ("Decide", "Drill", "Teardown", "Run", "Harden", "Reprotect", "AskAgain", "Approval")
    given: dict[str, int | str] = {f"{name}Seconds": 60 for name in names}
    given |= {"LedgerTable": TABLE, "DrillFunction": "drill", "RecordFunction": "record"}
    given |= {"FailoverMachine": machine_arn(AWAY, FAILOVER)} | changed
    return load(PRACTICE, {name: str(value) for name, value in given.items()})


def played(output: Mapping[str, Any], seconds: int = 5) -> dict[str, Any]:
    """A state machine that is at work for a while, touches nothing, and says that."""
    states = {
        "Work": {"Type": "Wait", "Seconds": seconds, "Next": "Done"},
        "Done": {"Type": "Succeed", "Output": dict(output)},
    }
    return {"QueryLanguage": "JSONata", "StartAt": "Work", "States": states}


DONE = {"status": "SUCCEEDED", "finding": "played", "sentence": "played"}


@contextmanager
def _hurried() -> Iterator[None]:
    """Without what takes longest and changes nothing."""
    seams = Seams()
    # Nobody follows the link to a report.
    seams.replace(Delivery, "_link", lambda _delivery, key: f"https://evidence.example/{key}")
    # Each task has a thread of its own, and each thread would make a parser of its own; the harness asks none of them.
    seams.replace(Jsonata, "get_parser", staticmethod(cache(Parser)))
    try:
        yield
    finally:
        seams.undo()


@contextmanager
def drilling(
    clock: VirtualTime | None = None,
    *,
    children: bool = True,
    home: Mapping[str, int] | None = None,
    **changed: int | str,
) -> Iterator[Drills]:
    """Both Regions at work, each wait cut short, or by that clock.

    Without `children` the two runs of a game day are played. `changed` overrides the drill's substitutions, `home`
    those of the way home.
    """
    world = Drills(clock or time.time, 1)
    failover, failback = definitions(HOME, **(home or {}))
    theirs = definitions(AWAY) if children else (played(DONE), definitions(AWAY)[1])
    elsewhere = {AWAY: world.away.handlers}
    running_machine = machine(failover, world.home.handlers, PACE, HOME, FAILOVER, elsewhere)
    with NameServer() as names, WebServer() as shop, _hurried(), running_machine as running:
        names.records[(BALANCER, "A")] = [LOCALHOST]
        world.away.open(names, shop)
        world.home.machine = running
        world.home.failback = running.beside(failback if children else played(DONE), FAILBACK)
        world.away.machine = running.beside(theirs[0], FAILOVER, AWAY)
        world.away.failback = running.beside(theirs[1], FAILBACK, AWAY)
        world.away.drill = running.beside(practice(**changed), DRILL, AWAY)
        world.prepare()
        for region in (HOME, AWAY):
            of_its_tasks: dict[str, Any] = {"dynamodb": Table(region, client("dynamodb", region))}
            of_its_tasks["stepfunctions"] = Machines(region) if region == HOME else world.away.machines
            running.workflows._clients |= {(region, service): one for service, one in of_its_tasks.items()}
        try:
            if clock is None:
                yield world
            else:
                with clock.at_work(world.running):
                    yield world
        finally:
            for region in (HOME, AWAY):
                running.workflows.lose(region)
            running.holds.see_all_off()
            # A handler that outlives this would call the real AWS.
            until(lambda: all(len(side.gone) == len(side.looks) for side in world.sides), "the end of each handler")
