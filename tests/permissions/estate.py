"""Both Regions on moto, and every function's real handler with the environment that the templates give it."""

import importlib.util
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import boto3
from moto.backends import get_backend
from moto.rds.models import RDSBackend
from relight.ledger import Capacity

from lab.expression import as_text
from lab.permission import ACCOUNT
from lab.seam import Seams
from tests.permissions.recording import Caller, Recorder
from tests.statemachine.harness import Machine, Outcome, load, machine
from tests.template.region import REGIONS, Region, region
from tests.unit.fleet import IMAGE, Fleet, make_fleet
from tests.unit.loopback import LOCALHOST, NameServer, WebServer, black_hole, closed_port
from tests.unit.rds import Dbcheck

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
# At work in the primary, too, or another one there. What the others do there they do in DR when that is called home.
IN_BOTH = ("dbcheck", "guard", "switch", "harden")
DOMAIN = "shop.example.com"
TABLE = "relight-shop"
HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
HERE, HOME = REGIONS["dr"], REGIONS["primary"]
OTHER = {"primary": "dr", "dr": "primary"}
MACHINE_NAME = "relight-shop-failover"
# A Region's network ACL as its own stack knows it where nothing is deployed, and as the other Region is told of it.
ACL, PEER_ACL = "Network/DatabaseAcl", "acl-0peer"
# The roles that functions pass on, to S3 and to CloudFormation, or ask IAM about: where nothing is deployed, and as AWS
# would call them.
PASSED_ON = {
    "Storage/PeerBatchRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/relight-shop-batch",
    "DrillSite/SiteRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/relight-shop-site",
    "Watch/ProbeRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/relight-shop-probe",
}
NOBODY = "127.0.0.2"
EMPTY = Capacity(0, 0, 4)
# The groups of a workload that exists already, in either Region, and what they are called seen from the other one.
GROUPS, PEER_GROUPS = ("store", "workers"), ("store-peer", "workers-peer")
_ENDED = 20.0


@cache
def client(service: str, name: str) -> Any:
    """One of the test's own, which nobody writes down."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    session: Any = boto3.session.Session()
    return session.client(service, region_name=name, **keys)


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler of its invocation."""

    function_name: str
    memory_limit_in_mb: int = 256
    aws_request_id: str = "request"

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{HERE}:{ACCOUNT}:function:{self.function_name}"


@dataclass
class Estate:
    """The handlers, and the world outside that they look at. What moto holds lasts as long as `staged`."""

    names: NameServer
    web: WebServer
    recorder: Recorder
    regions: dict[str, Region]
    fleet: Fleet = field(init=False)
    machine: Machine = field(init=False)
    loaded: dict[Caller, ModuleType] = field(default_factory=dict)
    databases: dict[str, Dbcheck] = field(default_factory=dict)
    """What `dbcheck` finds in each Region."""
    scripted: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    """What a state machine is told in place of what a function would say."""
    told: dict[str, Any] = field(default_factory=dict)
    """What `dbcheck` says, in both Regions, to a check; or what gives that, of the payload."""

    def call(self, function: str, event: Mapping[str, Any], side: str = "dr") -> Any:
        """One invocation, as Lambda makes it."""
        caller = Caller(side, function)
        with self.recorder.acting(caller):
            return self.loaded[caller].handler(dict(event), Context(f"relight-shop-{function}"))

    def load(self) -> None:
        """Import the handlers: all of them in DR, and in the primary those that do their work there."""
        for caller in (*(Caller("dr", name) for name in FUNCTIONS), *(Caller("primary", name) for name in IN_BOTH)):
            with self.recorder.acting(caller):
                self.loaded[caller] = imported(caller, environment(self.regions[caller.side], caller.name))

    def answer(self, region: str, function: str, payload: Any) -> Any:
        """What `dbcheck` says to who invokes it: of a replica whose stream ended a second ago, or of a promoted one."""
        assert function == "relight-shop-dbcheck"
        if payload["check"] in self.told:
            said = self.told[payload["check"]]
            return said(payload) if callable(said) else said
        found = self.databases[region]
        if found.in_recovery and not self._is_replica():
            found.in_recovery, found.stopped_at = False, self.databases[HOME].stopped_at  # which is replicated
        found.last_replayed_at = time.time() - 1
        if found.receiver:
            found.receiver["last_message_at"] = time.time()
        return json.loads(found.invoke(FunctionName=function, Payload=json.dumps(payload).encode())["Payload"].read())

    @staticmethod
    def _is_replica() -> bool:
        found = client("rds", HERE).describe_db_instances()["DBInstances"]
        return any(one.get("ReadReplicaSourceDBInstanceIdentifier") for one in found)

    # What can be seen from here.

    def up(self) -> None:
        """The primary answers, everywhere."""
        self.names.records[f"_seen.{DOMAIN}", "TXT"] = ["up"]
        self.names.records[f"primary.{DOMAIN}", "A"] = [LOCALHOST]

    def lose(self) -> None:
        """It does not, anywhere."""
        self.names.records[f"_seen.{DOMAIN}", "TXT"] = ["down"]
        self.names.records[f"primary.{DOMAIN}", "A"] = [NOBODY]

    def stream(self) -> None:
        """The replica hears from its source."""
        self.databases[HERE].receiver = {"status": "streaming", "last_message_at": time.time()}

    # What is done to it.

    def head(self, side: str, **values: Any) -> None:
        """Write the head of a Region's ledger."""
        self.put(side, "region", "head", **values)

    def put(self, side: str, pk: str, sk: str, **values: Any) -> None:
        """Write an item of a Region's ledger."""
        item = {name: _typed(value) for name, value in {"pk": pk, "sk": sk, **values}.items()}
        client("dynamodb", REGIONS[side]).put_item(TableName=TABLE, Item=item)

    def hold_lock(self, owner: str = f"arn:aws:states:{HERE}:{ACCOUNT}:execution:{MACHINE_NAME}:dead") -> None:
        """As a run left it; by default one that nobody knows any more."""
        self.head("dr", owner=owner, epoch=7, expires_at=2**31)

    def drill(self) -> str:
        """An execution of a drill that is at work, and would be for an hour."""
        return self.at_work("relight-shop-drill", HERE)

    def waiting(self, name: str, where: str) -> str:
        """A state machine of that Region whose executions wait for an hour; its ARN."""
        function = f"arn:aws:lambda:{HERE}:{ACCOUNT}:function:relight-shop-drill-step"
        waiting = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {"FunctionName": function, "Payload": {"token.$": "$$.Task.Token"}},
            "TimeoutSeconds": 3600,
            "End": True,
        }
        made = client("stepfunctions", where).create_state_machine(
            name=name,
            definition=json.dumps({"StartAt": "Wait", "States": {"Wait": waiting}}),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/drill",
        )
        return str(made["stateMachineArn"])

    def at_work(self, name: str, where: str) -> str:
        """An execution of such a state machine."""
        machines = client("stepfunctions", where)
        return str(machines.start_execution(stateMachineArn=self.waiting(name, where))["executionArn"])

    def another(self, name: str) -> Machine:
        """The state machine of that name in DR, beside the failover's."""
        return self.machine.beside(self._definition(name), f"relight-shop-{name}")

    def fenced(self, side: str, acl: str) -> set[str]:
        """What is denied at that Region's databases."""
        found = client("ec2", REGIONS[side]).describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
        return {entry["CidrBlock"] for entry in found if entry["RuleAction"] == "deny" and entry["RuleNumber"] < 100}

    def fence(self, side: str, acl: str) -> None:
        """As the fence step or the guard does."""
        for number, cidr in enumerate(environment(self.regions[side], "guard")["APP_CIDRS"].split(","), 1):
            client("ec2", REGIONS[side]).create_network_acl_entry(
                NetworkAclId=acl, RuleNumber=number, Protocol="-1", RuleAction="deny", Egress=False, CidrBlock=cidr
            )

    def run(self, payload: Mapping[str, Any]) -> Outcome:
        """An execution from its start to its end."""
        return self.machine.outcome(self.machine.start(payload), _ENDED)

    def question(self) -> str:
        """The task token of what a person is asked, once that has been sent."""
        topic = f"arn:aws:sns:{HERE}:{ACCOUNT}:relight-shop"
        deadline = time.monotonic() + _ENDED
        while time.monotonic() < deadline:
            for sent in get_backend("sns")[ACCOUNT][HERE].topics[topic].sent_notifications:
                if found := re.search(r"--task-token (\S+)", sent[1]):
                    return found.group(1)
            threading.Event().wait(0.01)
        raise AssertionError("nobody was asked")

    # How it is made.

    @contextmanager
    def staged(self, scenario: str) -> Iterator[None]:
        """What the templates make, new, for one scenario."""
        self.recorder.scenario = scenario
        self.scripted, self.told, self.recorder.stand_ins = {}, {}, {}
        self.databases = {HERE: Dbcheck(replayed_lsn="0/4000000"), HOME: Dbcheck(in_recovery=False)}
        self.up()
        definition, handlers = self._machine_parts()
        with ExitStack() as stack:
            self.machine = stack.enter_context(machine(definition, handlers, region=HERE, name=MACHINE_NAME))
            self._make_stores()
            self._make_databases()
            for side, acl in (("dr", ACL), ("primary", ACL), ("primary", PEER_ACL)):
                self._make_acl(side, acl)
            self.fleet = stack.enter_context(make_fleet(client))
            self.make_group("shop-primary", HOME)
            seams = Seams()
            stack.callback(seams.undo)
            seams.wrap(RDSBackend, "promote_read_replica", _forgetting_the_source)
            yield

    def _machine_parts(self) -> tuple[dict[str, Any], dict[str, Callable[[dict[str, Any]], Any]]]:
        steps = {f"relight-shop-{name}": self._step(name) for name in FUNCTIONS}
        of_a_drill = {"relight-shop-drill-step": lambda _: None}
        return self._definition("failover"), steps | of_a_drill

    def _definition(self, name: str) -> dict[str, Any]:
        properties = machine_of(self.regions["dr"], name)
        path = ROOT / properties["DefinitionS3Location"]["Key"]
        return load(path, properties["DefinitionSubstitutions"])

    def _step(self, name: str) -> Callable[[dict[str, Any]], Any]:
        def handle(event: dict[str, Any]) -> Any:
            if name in self.scripted:
                return self.scripted[name](event)
            if event.get("intent") in {"serve", "ready"}:
                while len(self.fleet.describe()["Instances"]) < self.fleet.sizes().desired:
                    self.fleet.launch()
            return self.call(name, event)

        return handle

    def _make_stores(self) -> None:
        for name in REGIONS.values():
            client("dynamodb", name).create_table(
                TableName=TABLE,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )
        client("s3", HERE).create_bucket(
            Bucket=f"relight-evidence-shop-{ACCOUNT}-{HERE}", CreateBucketConfiguration={"LocationConstraint": HERE}
        )
        for name in REGIONS.values():
            client("sns", name).create_topic(Name="relight-shop")

    def _make_databases(self) -> None:
        client("rds", HOME).create_db_instance(
            DBInstanceIdentifier="shop-primary",
            Engine="postgres",
            DBInstanceClass="db.t4g.medium",
            AllocatedStorage=20,
            MultiAZ=True,
            BackupRetentionPeriod=14,
            StorageEncrypted=True,
            KmsKeyId=f"arn:aws:kms:{HOME}:{ACCOUNT}:key/data",
            DeletionProtection=True,
            MasterUsername="shop",
            MasterUserPassword="not-a-secret",
        )
        client("rds", HERE).create_db_instance_read_replica(
            DBInstanceIdentifier="shop-dr", SourceDBInstanceIdentifier=f"arn:aws:rds:{HOME}:{ACCOUNT}:db:shop-primary"
        )

    def _make_acl(self, side: str, acl: str) -> None:
        ec2 = client("ec2", REGIONS[side])
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
        known = get_backend("ec2")[ACCOUNT][REGIONS[side]].network_acls
        known[acl] = known.pop(made)
        known[acl].id = acl

    def make_group(self, name: str, where: str, capacity: Capacity = EMPTY) -> None:
        """An Auto Scaling group of that Region, behind no target group."""
        groups = client("autoscaling", where)
        groups.create_launch_configuration(LaunchConfigurationName=name, ImageId=IMAGE, InstanceType="t4g.small")
        groups.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName=name,
            MinSize=capacity.minimum,
            DesiredCapacity=capacity.desired,
            MaxSize=capacity.maximum,
            AvailabilityZones=[f"{where}a"],
        )

    def writable(self, where: str) -> bool:
        """Whether that Region's database takes writes."""
        return self.databases[where].writable

    def sizes(self, name: str, where: str) -> Capacity:
        """Of a group of that Region."""
        (group,) = client("autoscaling", where).describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
            "AutoScalingGroups"
        ]
        return Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _forgetting_the_source(original: Callable[..., Any]) -> Callable[..., Any]:
    """moto's promoted instance goes on naming what it replicated from; on AWS it does not."""

    def promote(backend: RDSBackend, wanted: dict[str, Any]) -> Any:
        promoted = original(backend, wanted)
        promoted.source_db_instance_identifier = None
        return promoted

    return promote


def parameters(names: NameServer, web: WebServer) -> dict[str, str]:
    """What both Regions are given beside their own, so that nothing is waited for."""
    return {
        "Scheme": "http",
        "SitePort": str(web.port),
        "NameServers": names.at,
        "Resolver": names.at,
        "ControlTargets": f"http://{LOCALHOST}:{web.port}/ping",
        "Policy": "auto",
        "Samples": "1",
        "SampleSeconds": "0",
        "SampleTimeoutSeconds": "1",
        "HoldDownSeconds": "0",
        "DatabaseHoldDownSeconds": "0",
        "CooldownSeconds": "0",
        "PeerNetworkAclId": PEER_ACL,
    }


def function_of(deployed: Region, function: str) -> Mapping[str, Any]:
    """The properties of the function of that name."""
    wanted = f"relight-shop-{function}"
    (found,) = (each for each in deployed.of("AWS::Lambda::Function").values() if each["FunctionName"] == wanted)
    return found


def machine_of(deployed: Region, name: str) -> Mapping[str, Any]:
    """The properties of the state machine of that name."""
    wanted = f"relight-shop-{name}"
    machines = deployed.of("AWS::StepFunctions::StateMachine").values()
    (found,) = (each for each in machines if each["StateMachineName"] == wanted)
    return found


def environment(deployed: Region, function: str) -> dict[str, str]:
    """The variables of a function, as its template gives them and Lambda adds to them."""
    given = {key: as_text(value) for key, value in function_of(deployed, function)["Environment"]["Variables"].items()}
    if function == "dbcheck":  # that which it is to reach is no address where nothing is deployed
        given |= {"DATABASE_HOST": LOCALHOST, "DATABASE_PORT": str(closed_port())}
    return {name: PASSED_ON.get(value, value) for name, value in given.items()} | {"AWS_REGION": deployed.name}


def imported(caller: Caller, variables: Mapping[str, str]) -> ModuleType:
    """The handler's module, as Lambda imports it when a sandbox starts."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "PATH", "HOME", "MOTO"))}
    path = ROOT / "functions" / caller.name / "handler.py"
    spec = importlib.util.spec_from_file_location(f"{caller.name}_in_{caller.side}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with patch.dict(os.environ, {**kept, **variables}, clear=True):
        spec.loader.exec_module(module)
    return module


def of_its_own(side: str) -> dict[str, str]:
    """The workload of a Region is the stacks' own: they have defaults for it."""
    del side
    return {}


def brought(side: str) -> dict[str, str]:
    """A workload that exists already in a Region; its network ACL is not ours to change."""
    groups = f"arn:aws:autoscaling:{REGIONS[side]}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName"
    return {
        "CreateWorkload": "false",
        "CertificateArn": "",
        "SourceDatabaseArn": "",
        "ExistingAppCidrs": "10.9.1.0/24",
        "ExistingBalancerFullName": "app/shop/0123456789abcdef",
        "ExistingBalancerName": f"shop-1.{REGIONS[side]}.elb.amazonaws.com",
        "ExistingBalancerZoneId": "Z215JYRZR1TBD5",
        "ExistingCheckSecurityGroupId": "sg-0123456789abcdef0",
        "ExistingCheckSubnetIds": "subnet-0123456789abcdef0",
        "ExistingDatabaseHost": f"store.example.{REGIONS[side]}.rds.amazonaws.com",
        "ExistingDatabaseId": "store",
        "ExistingDatabaseName": "store",
        "ExistingGroupArns": ",".join(f"{groups}/{name}" for name in GROUPS),
        "ExistingTargetGroupFullName": "targetgroup/shop/0123456789abcdef",
        "PeerAppCidrs": "10.9.2.0/24",
        "PeerDatabaseId": "store-peer",
        "PeerGroupNames": ",".join(PEER_GROUPS),
    }


@contextmanager
def estate(
    black_holes: Mapping[str, int] | None = None,
    workload: Callable[[str], dict[str, str]] = of_its_own,
    **changed: str,
) -> Iterator[Estate]:
    """An estate whose calls are recorded while it lasts.

    `workload` and `changed` are parameters of its stacks, by side and for both; `black_holes` are ports in the place of
    a Region's endpoints.
    """
    with NameServer() as names, WebServer(region=HERE) as web:
        given = parameters(names, web) | changed
        regions = {side: region(side, **given | workload(side)) for side in REGIONS}
        sides = {name: side for side, name in REGIONS.items()}
        recorder = Recorder(sides, black_holes or {})
        made = Estate(names, web, recorder, regions)
        recorder.answer = made.answer
        for name in (DOMAIN, f"dr.{DOMAIN}"):
            names.records[name, "A"] = [LOCALHOST]
        web.pages |= {"/ping": (200, "healthy"), "/health/ready": (200, '{"status": "ready"}')}
        recorder.install()
        try:
            made.load()
            yield made
        finally:
            recorder.uninstall()


@contextmanager
def dead_peer(**changed: str) -> Iterator[Estate]:
    """An estate in DR whose peer takes connections and never says a word."""
    short = {"PeerConnectSeconds": "0.2", "PeerReadSeconds": "0.2"}
    with black_hole() as port, estate({HOME: port}, of_its_own, **short, **changed) as made:
        yield made
