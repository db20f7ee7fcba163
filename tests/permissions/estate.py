"""Both Regions on moto, and every function's real handler with the environment that the templates give it."""

import importlib.util
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

from lab.expression import as_text
from lab.permission import ACCOUNT
from lab.seam import Seams
from tests.permissions.recording import Caller, Recorder
from tests.statemachine.harness import Machine, Outcome, load, machine
from tests.template.region import REGIONS, Region, region
from tests.unit.fleet import IMAGE, Fleet, make_fleet
from tests.unit.loopback import LOCALHOST, NameServer, WebServer, black_hole, closed_port

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
# The others wait in the primary for the way home.
IN_BOTH = ("dbcheck", "guard")
DOMAIN = "shop.example.com"
TABLE = "relight-shop"
HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
HERE, HOME = REGIONS["dr"], REGIONS["primary"]
OTHER = {"primary": "dr", "dr": "primary"}
MACHINE_NAME = "relight-shop-failover"
# A Region's network ACL as its own stack knows it where nothing is deployed, and as the other Region is told of it.
ACL, PEER_ACL = "Network/DatabaseAcl", "acl-0peer"
NOBODY = "127.0.0.2"
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


def answered(function: str, _: Any) -> dict[str, Any]:
    """What `dbcheck` says to who invokes it: of a replica whose stream ended a second ago, or of a promoted one."""
    assert function == "relight-shop-dbcheck"
    found = client("rds", HERE).describe_db_instances(DBInstanceIdentifier="shop-dr")["DBInstances"][0]
    replica = bool(found.get("ReadReplicaSourceDBInstanceIdentifier"))
    return {
        "reached": True,
        "in_recovery": replica,
        "writable": not replica,
        "last_replayed_at": time.time() - 1,
        "heartbeat_at": None,
        "receiver": None,
        "sentence": "it is a replica" if replica else "it takes writes",
    }


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

    # What can be seen from here.

    def up(self) -> None:
        """The primary answers, everywhere."""
        self.names.records[f"_seen.{DOMAIN}", "TXT"] = ["up"]
        self.names.records[f"primary.{DOMAIN}", "A"] = [LOCALHOST]

    def lose(self) -> None:
        """It does not, anywhere."""
        self.names.records[f"_seen.{DOMAIN}", "TXT"] = ["down"]
        self.names.records[f"primary.{DOMAIN}", "A"] = [NOBODY]

    # What is done to it.

    def head(self, side: str, **values: Any) -> None:
        """Write the head of a Region's ledger."""
        item = {key: {"N": str(value)} if isinstance(value, int) else {"S": value} for key, value in values.items()}
        client("dynamodb", REGIONS[side]).put_item(TableName=TABLE, Item={**HEAD, **item})

    def hold_lock(self) -> None:
        """As a run that nobody knows any more left it."""
        self.head(
            "dr", owner=f"arn:aws:states:{HERE}:{ACCOUNT}:execution:{MACHINE_NAME}:dead", epoch=7, expires_at=2**31
        )

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
        self.up()
        definition, handlers = self._machine_parts()
        with ExitStack() as stack:
            self.machine = stack.enter_context(machine(definition, handlers, region=HERE, name=MACHINE_NAME))
            self._make_stores()
            self._make_databases()
            for side, acl in (("dr", ACL), ("primary", ACL), ("primary", PEER_ACL)):
                self._make_acl(side, acl)
            self.fleet = stack.enter_context(make_fleet(client))
            self._make_peer_group()
            seams = Seams()
            stack.callback(seams.undo)
            seams.wrap(RDSBackend, "promote_read_replica", _forgetting_the_source)
            yield

    def _machine_parts(self) -> tuple[dict[str, Any], dict[str, Callable[[dict[str, Any]], Any]]]:
        (properties,) = self.regions["dr"].of("AWS::StepFunctions::StateMachine").values()
        path = ROOT / properties["DefinitionS3Location"]["Key"]
        steps = {f"relight-shop-{name}": self._step(name) for name in FUNCTIONS}
        return load(path, properties["DefinitionSubstitutions"]), steps

    def _step(self, name: str) -> Callable[[dict[str, Any]], Any]:
        def handle(event: dict[str, Any]) -> Any:
            if event.get("intent") == "serve":
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
        client("sns", HERE).create_topic(Name="relight-shop")

    def _make_databases(self) -> None:
        client("rds", HOME).create_db_instance(
            DBInstanceIdentifier="shop-primary",
            Engine="postgres",
            DBInstanceClass="db.t4g.medium",
            AllocatedStorage=20,
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

    def _make_peer_group(self) -> None:
        groups = client("autoscaling", HOME)
        groups.create_launch_configuration(LaunchConfigurationName="shop", ImageId=IMAGE, InstanceType="t4g.small")
        groups.create_auto_scaling_group(
            AutoScalingGroupName="shop-primary",
            LaunchConfigurationName="shop",
            MinSize=0,
            DesiredCapacity=0,
            MaxSize=4,
            AvailabilityZones=[f"{HOME}a"],
        )


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


def environment(deployed: Region, function: str) -> dict[str, str]:
    """The variables of a function, as its template gives them and Lambda adds to them."""
    given = {key: as_text(value) for key, value in function_of(deployed, function)["Environment"]["Variables"].items()}
    if function == "dbcheck":  # that which it is to reach is no address where nothing is deployed
        given |= {"DATABASE_HOST": LOCALHOST, "DATABASE_PORT": str(closed_port())}
    return given | {"AWS_REGION": deployed.name}


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


@contextmanager
def estate(black_holes: Mapping[str, int] | None = None, **changed: str) -> Iterator[Estate]:
    """An estate whose calls are recorded while it lasts.

    `changed` are parameters of its stacks; `black_holes` are ports in the place of a Region's endpoints.
    """
    with NameServer() as names, WebServer(region=HERE) as web:
        given = parameters(names, web) | changed
        regions = {side: region(side, **given) for side in REGIONS}
        recorder = Recorder({name: side for side, name in REGIONS.items()}, answered, black_holes or {})
        made = Estate(names, web, recorder, regions)
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
    with black_hole() as port, estate({HOME: port}, PeerConnectSeconds="0.2", PeerReadSeconds="0.2", **changed) as made:
        yield made
