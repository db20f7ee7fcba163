"""Two Regions on this machine: everything that stands behind the APIs, put together, deployed and taken down again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psycopg
from moto.backends import get_backend

from lab import cloudformation_api, environment
from lab.alarms import Alarms
from lab.autoscaling import Autoscaling
from lab.batch_replication import BatchReplication
from lab.calls import Calls
from lab.cloud import ACCOUNT, Cloud
from lab.cloudformation import CloudFormation
from lab.dns import NameServer, Resolver
from lab.dynamodb import AtomicItems
from lab.errors import LabError
from lab.events import Events
from lab.lambdas import Callbacks, Lambdas
from lab.loadbalancing import LoadBalancers
from lab.network import Network
from lab.network import Path as NetworkPath
from lab.options import LambdaMode
from lab.port import free_port
from lab.quotas import Quotas
from lab.rds import Databases
from lab.region import (
    BALANCERS,
    GLOBAL,
    REGION_NAME,
    NoBlockFree,
    Side,
    Vantage,
    access_key,
    alb_address,
    claim,
    side_of,
)
from lab.replication import Replication
from lab.route53 import Route53, moto_backend
from lab.seam import Seams
from lab.stack import Stack, Stacks
from lab.timings import Timings
from lab.unit import command_of
from lab.workflow import ExecutionRecord, Workflows

ROOT = Path(__file__).resolve().parent.parent
_LOOPBACK = "127.0.0.1"
_STACK_SECONDS = 0.3
"""How long a stack is on its way before anything is made."""
_STACK_PATIENCE_SECONDS = 10.0
_CONTAINER_SECONDS = 180.0
"""Until the first invocations have been answered, where SAM and containers have to start for them first."""
_UNIT = ROOT / "app" / "release" / "relight-app.service"
_RED = {"FAILED": "ExecutionsFailed", "TIMED_OUT": "ExecutionsTimedOut", "ABORTED": "ExecutionsAborted"}
SECRET = f"relight/{environment.APPLICATION}/database"


class LabNotReady(LabError):
    """A part of the lab did not come up in time."""


def until(what: str, holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; LabNotReady says what did not."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise LabNotReady(
                f"{what}, not within {seconds:.0f} s", where="in the lab", do="run it again, or with --keep"
            )
        time.sleep(0.05)


class World:
    """A context manager: on entry all parts run and nothing is deployed; on exit nothing is left."""

    def __init__(self, timings: Timings, folder: Path, *, port: int, mode: LambdaMode, template: Path) -> None:
        """`folder` is for the servers' data and logs; `port` is the API's, 0 for any."""
        self.timings = timings
        self.folder = folder
        self.template = template
        self.network = Network()
        self.stacks_made: dict[Side, Stack] = {}
        self._port = port
        self._mode = mode
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _begin(self) -> None:
        part = self._exits.callback
        try:
            part(claim().close)
        except NoBlockFree as error:
            raise LabNotReady(
                str(error), where="loopback addresses", do="use Linux, or end other rehearsals"
            ) from error
        self.web_port = free_port(
            [alb_address(side, vantage, place) for side in Side for vantage in Vantage for place in range(BALANCERS)]
        )
        self.cloud = Cloud(self.network, self._port)
        part(self.cloud.stop)
        items = AtomicItems()
        items.install()
        part(items.uninstall)
        self.replication = Replication(self.network)
        self.replication.install()
        self.replication.start()
        part(self.replication.stop)
        jobs = BatchReplication(self.replication)
        jobs.install()
        part(jobs.stop)
        self.databases = Databases(self.network, self.timings, self.folder)
        self.databases.install()
        part(self.databases.stop)
        self.balancers = LoadBalancers(self.network, self.timings, self.web_port)
        self.balancers.install()
        part(self.balancers.stop)
        self.groups = Autoscaling(
            self.timings,
            self.balancers,
            self.folder,
            command=command_of(_UNIT, sys.executable),
            cwd=ROOT,
            environment=self._instance_environment,
            ways=self.databases,
        )
        self.groups.install()
        self.groups.start()
        part(self.groups.stop)
        self._begin_serverless(part)
        self._begin_dns(part)
        self.calls = Calls(self.cloud)
        self.stacks = Stacks(self.calls, self.lambdas, environment.IMAGE)
        self._begin_apis(part)

    def _begin_apis(self, part: Callable[..., Any]) -> None:
        """What functions ask of AWS at run time, and moto does not know or does otherwise."""
        templates = self.folder / "templates"
        templates.mkdir(exist_ok=True)
        seams = Seams()
        part(seams.undo)
        self.quotas = Quotas()
        self.quotas.install(seams)
        environment.publish_image()
        self.cloudformation = CloudFormation(self.stacks, templates, self._fetch, seconds_per_step=_STACK_SECONDS)
        cloudformation_api.install(seams, self.cloudformation, self._fetch)
        part(self.cloudformation.join, _STACK_PATIENCE_SECONDS)

    def _fetch(self, region: str) -> Callable[[str, str], bytes]:
        """What CloudFormation of a Region reads from S3."""

        def fetched(bucket: str, key: str) -> bytes:
            s3 = self.cloud.client("s3", region)
            try:
                return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except s3.exceptions.NoSuchKey:
                raise KeyError(key) from None

        return fetched

    def _instance_environment(self, vantage: Vantage, region: str) -> dict[str, str]:
        """What an instance finds in its image and its profile: the way to the Region's API, and Python."""
        return self.cloud.environment(vantage, region) | {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}

    def _begin_serverless(self, part: Callable[..., Any]) -> None:
        self.lambdas = Lambdas(
            lambda region: self.cloud.environment(Vantage.of(side_of(region)), region),
            self._mode,
            callbacks=Callbacks(metric=self._publish, end=self._publish_errors),
        )
        self.lambdas.install()
        part(self.lambdas.stop)
        self.workflows = Workflows(
            self.lambdas.invoke, endpoint=self._executor_endpoint, on_status=self._execution_changed
        )
        self.workflows.install()
        part(self.workflows.uninstall)
        self.events = Events(self.timings, self.network, self._invoke_async, self.workflows.start)
        self.events.install()
        self.events.start()
        part(self.events.stop)
        self.alarms = Alarms(self.timings, self.events.emit)
        self.alarms.start()
        part(self.alarms.stop)
        self.databases.start(self.alarms.put)

    def _executor_endpoint(self, region: str) -> tuple[str, str]:
        """Where a Region's state machines call, and as whom: from inside that Region."""
        return self.cloud.endpoint_url, access_key(Vantage.of(side_of(region)))

    def _execution_changed(self, region: str, execution: ExecutionRecord) -> None:
        """The metric that Step Functions publishes of an execution that ended red."""
        if execution.status in _RED:
            dimensions = {"StateMachineArn": execution.machine_arn}
            self.alarms.put(region, "AWS/States", _RED[execution.status], 1.0, dimensions)

    def _publish(self, region: str, document: Mapping[str, Any]) -> None:
        """What a handler has written in the embedded metric format."""
        self.alarms.put_embedded(region, document)

    def _publish_errors(self, region: str, function: str, _payload: Any, _answer: Any, error: str | None) -> None:
        """The metric that Lambda publishes of each invocation."""
        self.alarms.put(region, "AWS/Lambda", "Errors", float(error is not None), {"FunctionName": function})

    def _publish_health(self, check: str, healthy: bool) -> None:
        """The metric that Route 53 publishes of a health check: in us-east-1 and nowhere else."""
        self.alarms.put(GLOBAL, "AWS/Route53", "HealthCheckStatus", float(healthy), {"HealthCheckId": check})

    def _invoke_async(self, region: str, function: str, payload: Any) -> None:
        """As a schedule or a rule does: an error of the function is the function's own affair."""
        self.lambdas.invoke(region, function, payload)

    def _begin_dns(self, part: Callable[..., Any]) -> None:
        self.route53 = Route53(
            moto_backend(ACCOUNT),
            alarm_state=self.alarms.state,
            healthy_targets=self.balancers.healthy_targets,
            alb_address=self.balancers.alb_address,
            health_check_scale=self.timings.health_check_scale,
            alias_ttl=self.timings.alias_ttl,
            publish=self._publish_health,
            minute=self.timings.minute,
        )
        self.route53.install()
        self.route53.start()
        part(self.route53.stop)
        self.name_servers = {vantage: NameServer(self.route53.zones, vantage, _LOOPBACK) for vantage in Vantage}
        for server in self.name_servers.values():
            server.start()
            part(server.stop)
        self.resolver = Resolver(self.name_servers[Vantage.OUTSIDE].address, _LOOPBACK)
        self.resolver.start()
        part(self.resolver.stop)

    # -- deployment ---------------------------------------------------------------------------------------------

    @property
    def surroundings(self) -> environment.Surroundings:
        """What the parameters of the stacks need to know of the lab."""
        return environment.Surroundings(
            web_port=self.web_port,
            name_servers={side: _text(self.name_servers[Vantage.of(side)].address) for side in Side},
            resolver=_text(self.resolver.address),
            control_target=self.cloud.endpoint_url,
        )

    def deploy(self, say: Callable[[str], None]) -> None:
        """Both Regions from template.yaml, in the order that AWS would need, then DNS."""
        say("create the keys of both Regions")
        self._keys = {side: self._create_keys(side) for side in Side}
        say("create the primary Region from template.yaml")
        primary = self._create(Side.PRIMARY, {})
        say("create the tables, and what Relight needs in the database")
        self._bootstrap()
        say("create the DR Region from template.yaml")
        dr = self._create(
            Side.DR,
            {
                "SourceDatabaseArn": primary.outputs["DatabaseArn"],
                "PeerNetworkAclId": primary.outputs["NetworkAclId"],
                "PeerReady": "true",
            },
        )
        say("tell the primary Region of its peer")
        self._update(Side.PRIMARY, {"PeerNetworkAclId": dr.outputs["NetworkAclId"], "PeerReady": "true"})
        say("wait for the first switch data")
        patience = _CONTAINER_SECONDS if self._mode is LambdaMode.SAM else 0.0
        until("the switches were published", self._switches_published, 20 * self.timings.minute + patience)
        say("create the DNS records and health checks")
        self.global_stack = self._make(
            f"{environment.stack_name()}-global",
            GLOBAL,
            self.template.parent / "stacks" / "global.yaml",
            environment.shared(self._zone(), self.surroundings, primary.outputs, dr.outputs),
        )
        if self._mode is LambdaMode.SAM:
            say("start a container for each function")
            self.lambdas.warm_up()

    def _create_keys(self, side: Side) -> Mapping[str, str]:
        name, path = f"{environment.stack_name()}-keys", self.template.parent / "stacks" / "keys.yaml"
        return self._make(name, REGION_NAME[side], path, environment.keys()).outputs

    def _make(self, name: str, region: str, path: Path, parameters: Mapping[str, str]) -> Stack:
        """A stack that CloudFormation's API tells of, though the engine alone was asked for it."""
        stack = self.stacks.create(name, region, path, parameters)
        self.cloudformation.take_over(stack)
        return stack

    def _create(self, side: Side, more: Mapping[str, str]) -> Stack:
        given = environment.regional(side, self.surroundings, self.timings, self._keys, more)
        stack = self._make(environment.stack_name(), REGION_NAME[side], self.template, given)
        policy = self.template.parent / "stacks" / "policy.json"
        self.stacks.protect(environment.stack_name(), REGION_NAME[side], policy.read_text(encoding="utf-8"))
        self.stacks_made[side] = stack
        return stack

    def _update(self, side: Side, more: Mapping[str, str]) -> None:
        self.stacks_made[side] = self.stacks.update(environment.stack_name(), REGION_NAME[side], self.template, more)
        self.cloudformation.take_over(self.stacks_made[side])

    def _zone(self) -> str:
        """The user's zone: it exists before Relight does."""
        made = self.cloud.client("route53", GLOBAL).create_hosted_zone(
            Name=environment.DOMAIN, CallerReference="relight-lab"
        )
        return str(made["HostedZone"]["Id"]).rpartition("/")[2]

    def _switches_published(self) -> bool:
        names = {Side.PRIMARY: ("hold",), Side.DR: ("stop", "no-go")}
        states = [
            self.alarms.state(REGION_NAME[side], f"relight-{environment.APPLICATION}-{name}")
            for side, of in names.items()
            for name in of
        ]
        return all(state in {"OK", "ALARM"} for state in states)

    def _bootstrap(self) -> None:
        """Migrations and bootstrap.sql, as the database's owner runs them once on the primary."""
        login = self._login(Side.PRIMARY)
        migrated = subprocess.run(
            [sys.executable, "-m", "app.manage", "migrate", "--no-input"],
            cwd=ROOT,
            env=self._instance_environment(Vantage.PRIMARY, REGION_NAME[Side.PRIMARY]) | login | {"ALLOWED_HOSTS": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
        if migrated.returncode:
            raise LabNotReady(
                f"the shop's migrations failed: {migrated.stderr.strip().splitlines()[-1:]}",
                where="in app/",
                do="run make test",
            )
        with self.connect(Side.PRIMARY) as connection:
            connection.execute((ROOT / "layers/relight/bootstrap.sql").read_bytes())

    def _login(self, side: Side) -> dict[str, str]:
        secret = self.cloud.client("secretsmanager", REGION_NAME[side]).get_secret_value(SecretId=SECRET)
        login = json.loads(secret["SecretString"])
        host, port = self.databases.database(side, self.database_id(side)).place
        return {
            "DATABASE_HOST": host,
            "DATABASE_PORT": str(port),
            "DATABASE_NAME": "shop",
            "DATABASE_USER": login["username"],
            "DATABASE_PASSWORD": login["password"],
        }

    def connect(self, side: Side) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection to that side's database as its owner; autocommit."""
        login = self._login(side)
        return psycopg.connect(
            host=login["DATABASE_HOST"],
            port=login["DATABASE_PORT"],
            dbname=login["DATABASE_NAME"],
            user=login["DATABASE_USER"],
            password=login["DATABASE_PASSWORD"],
            connect_timeout=5,
            autocommit=True,
        )

    @staticmethod
    def database_id(side: Side) -> str:
        """The identifier of that side's database."""
        return f"{environment.APPLICATION}-{side}"

    # -- what was configured, read back through the APIs ----------------------------------------------------------

    def function_environment(self, name: str, side: Side = Side.DR) -> dict[str, str]:
        """The environment of a function in that side's Region."""
        functions = self.cloud.client("lambda", REGION_NAME[side])
        answer = functions.get_function_configuration(FunctionName=f"relight-{environment.APPLICATION}-{name}")
        return dict(answer["Environment"]["Variables"])

    def hold_down_seconds(self) -> float:
        """How long a Region must be down before the verdict may be to proceed."""
        return float(self.function_environment("assess")["HOLD_DOWN_SECONDS"])

    def _endpoint_check(self) -> dict[str, Any]:
        check = self.cloud.client("route53", GLOBAL).get_health_check(
            HealthCheckId=self.global_stack.resources["Endpoint"]
        )
        return dict(check["HealthCheck"]["HealthCheckConfig"])

    def endpoint_interval(self) -> float:
        """Seconds between two looks of Route 53's checkers at the primary, in the lab's time."""
        return float(self._endpoint_check()["RequestInterval"]) * self.timings.health_check_scale

    def endpoint_threshold(self) -> int:
        """How many looks in a row make it unhealthy."""
        return int(self._endpoint_check()["FailureThreshold"])

    def detection_seconds(self) -> float:
        """How long Route 53's checkers need to see a loss."""
        return self.endpoint_interval() * self.endpoint_threshold()

    # -- what is there now ----------------------------------------------------------------------------------------

    def healthy(self, check: str) -> bool:
        """Whether that health check of stacks/global.yaml, by its logical name, is healthy."""
        return self.route53.status(self.global_stack.resources[check])

    def wanted(self, side: Side) -> int:
        """Desired capacity of that side's group; 0 before there is one."""
        groups = get_backend("autoscaling")[ACCOUNT][REGION_NAME[side]].autoscaling_groups
        group = groups.get(f"{environment.APPLICATION}-{side}")
        return 0 if group is None else int(group.desired_capacity)

    def switch(self, side: Side, name: str) -> int | None:
        """The value that was published last for a switch; None without data."""
        namespace = f"Relight/Switches/{environment.APPLICATION}"
        metrics = get_backend("cloudwatch")[ACCOUNT][REGION_NAME[side]].metric_data
        values = [m for m in list(metrics) if m.namespace == namespace and m.name == name]
        return int(max(values, key=lambda m: m.timestamp).value) if values else None

    # -- faults -------------------------------------------------------------------------------------------------

    def lose(self, side: Side, how: NetworkPath) -> None:
        """The Region is gone, with all that runs in it and its APIs."""
        self.network.lose(side, how)
        self.lambdas.lose(REGION_NAME[side])
        self.workflows.lose(REGION_NAME[side])
        self.events.lose(REGION_NAME[side])
        self.alarms.lose(REGION_NAME[side])
        self.databases.lose(side, how)
        self.groups.lose(side, how)

    def revive(self, side: Side) -> None:
        """The Region is back: its servers start on the data that they had, its groups find out what has become of
        their machines, and whatever is scheduled there runs again."""
        region = REGION_NAME[side]
        for part in (self.lambdas, self.workflows, self.alarms, self.events):
            part.restore(region)
        self.databases.revive(side)
        self.groups.revive(side)
        self.network.restore(side)


def _text(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
