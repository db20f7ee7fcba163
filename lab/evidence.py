"""What is known of a rehearsal beside the clients' log: executions, the runs' own records, the databases, the group."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.environment import APPLICATION
from lab.fault import Inflicted
from lab.left_over import is_throwaway
from lab.options import LambdaMode
from lab.postgres import Postgres
from lab.region import REGION_NAME, Side, Vantage, alb_address
from lab.report import Capacity, Execution, LambdaRuntime, ScalingGroup, Status, StepRecord
from lab.score import Facts, Floor
from lab.wal import commit_lsns
from lab.workflow import ExecutionRecord
from lab.world import World

FAILOVER, FAILBACK, DRILL = "failover", "failback", "drill"
"""The state machines, by the last part of their names."""


class Evidence:
    """Reads the world through its APIs, as an operator could, and the lost Region's data directory.

    Runs are those of one machine in the standby Region, from `note_before` on.
    """

    def __init__(self, world: World, standby: Side = Side.DR, machine: str = FAILOVER) -> None:
        self._world = world
        self._standby = standby
        self._region = REGION_NAME[standby]
        self._machine = machine
        self._before: Capacity | None = None
        self._floor: Floor | None = None
        self._earlier: frozenset[str] = frozenset()
        self._promotions = 0

    def note_before(self, *, database_only: bool = False) -> None:
        """Remember what the standby's group was before the fault, and what was configured: some of it may be lost.

        `database_only`: the database alone will be lost, whose hold-down is longer.
        """
        self._before = self._capacity()
        self._floor = self._configured(database_only=database_only)
        self.forget()

    def forget(self) -> None:
        """Count no run and no promotion that there has been until now."""
        self._earlier = frozenset(each.arn for each in self.runs())
        self._promotions = standing_promotions(self._world)

    # -- while it runs ------------------------------------------------------------------------------------------

    def running(self) -> bool:
        """Whether a run is under way."""
        return any(each.status == "RUNNING" for each in self.runs())

    def started(self) -> bool:
        """Whether a run was ever started."""
        return bool(self.runs())

    def ended(self, expected: Status) -> bool:
        """Whether a run has come to the expected end, or has failed red, and none runs."""
        if self.running():
            return False
        ends = set(self._ends())
        return expected in ends or Status.FAILED in ends

    def runs(self) -> list[ExecutionRecord]:
        """Those that count, oldest first."""
        found = self._world.workflows.executions(self._region)
        machine = f"-{self._machine}"
        return [each for each in found if each.machine_arn.endswith(machine) and each.arn not in self._earlier]

    def last_run(self, end: Status) -> ExecutionRecord | None:
        """The last run that has come to that end."""
        return next((each for each in reversed(self.runs()) if self._end(each) is end), None)

    def _end(self, execution: ExecutionRecord) -> Status | None:
        """What the run says that it came to; None for one that left the work to another, or died before its record.

        One that was stopped while its record was being written has an end all the same: the handler went on.
        """
        if execution.status in {"FAILED", "TIMED_OUT"}:
            return Status.FAILED
        said = json.loads(execution.output) if execution.output else self.record(execution)
        return Status(said["status"]) if said.get("status") in set(Status) else None

    def _ends(self) -> list[Status]:
        return [end for each in self.runs() if (end := self._end(each)) is not None]

    # -- afterwards ---------------------------------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        """Arguments of the result: how it ended, and what the runs recorded."""
        status = self.status()
        last = self.last_run(status)
        record = self.record(last) if last is not None else {}
        phases = record.get("phases", {})
        return {
            "status": status,
            "finding": record.get("finding"),
            "phases": phases,
            "record_rto_seconds": record.get("rto_seconds"),
            "record_may_differ_seconds": self._record_may_differ(),
            "rto_floor": self._floor,
            "rto_floor_seconds": None if self._floor is None else self._floor.seconds,
            "executions": executions(self._world),
            "steps": tuple(step for run in self.runs() for step in self.steps(run.name)),
            "asg": ScalingGroup(self._before, self._capacity()),
            "lambda_": LambdaRuntime(**self._world.lambdas.facts()),
        }

    def status(self) -> Status:
        """The end of the last run that has one, but a failover stays one when later runs find nothing left to do."""
        ends = self._ends()
        if Status.SUCCEEDED in ends and ends[-1] is Status.STOOD_DOWN:
            return Status.SUCCEEDED
        if ends:
            return ends[-1]
        return Status.UNFINISHED if self.started() else Status.NO_RUN

    def record(self, execution: ExecutionRecord) -> dict[str, Any]:
        """The run's own record, from the evidence bucket; empty where it has written none."""
        return self.document(execution, "run.json")

    def document(self, execution: ExecutionRecord, name: str) -> dict[str, Any]:
        """A document that the run has put into the evidence bucket of its Region; empty where there is none."""
        bucket = self._world.stacks_made[self._standby].outputs["EvidenceBucket"]
        try:
            answer = self._world.cloud.client("s3", self._region).get_object(
                Bucket=bucket, Key=f"runs/{execution.name}/{name}"
            )
        except ClientError:
            return {}
        return dict(json.loads(answer["Body"].read()))

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run from the ledger of its Region, in the order in which they began."""
        try:
            answer = self._world.cloud.client("dynamodb", self._region).query(
                TableName=f"relight-{APPLICATION}",
                KeyConditionExpression="pk = :pk AND begins_with(sk, :step)",
                ExpressionAttributeValues={":pk": {"S": f"run#{run}"}, ":step": {"S": "step#"}},
            )
        except (BotoCoreError, ClientError):
            return []
        found = [
            StepRecord(
                item["sk"]["S"].partition("#")[2],
                float(item["started"]["N"]),
                float(item["ended"]["N"]) if "ended" in item else None,
                item.get("sentence", {}).get("S", ""),
            )
            for item in answer["Items"]
        ]
        return sorted(found, key=lambda step: step.started or 0.0)

    def facts(self, inflicted: Inflicted) -> Facts:
        """What the figures need: who is active, and what had been streamed."""
        world, old = self._world, self._standby.other
        promotions = standing_promotions(world) - self._promotions
        active = self._standby if promotions else old
        records = [self.record(each) for each in self.runs()]
        promoted = min((at for r in records if (at := r.get("phases", {}).get("t4")) is not None), default=None)
        before, after = self._old_commits(promoted) if inflicted.returned_at is not None else (None, None)
        return Facts(
            lost_at=inflicted.at,
            old_region=REGION_NAME[old],
            old_addresses=frozenset({alb_address(old, Vantage.OUTSIDE)}),
            old_committed_before=before or frozenset(),
            old_committed_after=after,
            returned_at=inflicted.returned_at,
            active_ids=self.order_ids(active),
            commit_lsns=self._commits() if inflicted.received_lsn is not None else {},
            received_lsn=inflicted.received_lsn,
            promotions=promotions,
            promoted_at=promoted,
        )

    def _old_commits(self, moment: float | None) -> tuple[frozenset[str] | None, frozenset[str] | None]:
        """What the old primary's database had committed by then, and what since; None where it cannot be asked."""
        server = self._server(self._standby.other)
        if server is None or moment is None:
            return None, None
        rows = server.sql("SELECT id, created_at <= to_timestamp(%s) FROM shop_order", (moment,), database="shop")
        return frozenset(str(row[0]) for row in rows if row[1]), frozenset(str(row[0]) for row in rows if not row[1])

    def _server(self, side: Side) -> Postgres | None:
        """That side's server, if it runs."""
        server = self._world.databases.database(side, self._world.database_id(side)).server
        return server if server is not None and server.is_running() else None

    def order_ids(self, side: Side) -> frozenset[str] | None:
        """The ids of all orders in that side's database; None where it does not run."""
        server = self._server(side)
        if server is None:
            return None
        return frozenset(str(row[0]) for row in server.sql("SELECT id FROM shop_order", database="shop"))

    def _commits(self) -> dict[str, int]:
        """From the dead database's data directory, started on its own."""
        old = self._standby.other
        server = self._world.databases.database(old, self._world.database_id(old)).server
        if server is None:
            return {}
        # A black-holed Region lives on unseen; here it must be as dead as a refused one.
        server.kill()
        return commit_lsns(server.data_dir)

    def _capacity(self) -> Capacity:
        groups = self._world.cloud.client("autoscaling", self._region).describe_auto_scaling_groups(
            AutoScalingGroupNames=[f"{APPLICATION}-{self._standby}"]
        )
        group = groups["AutoScalingGroups"][0]
        return Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])

    def _record_may_differ(self) -> float:
        """A second; with samples seconds apart, as on AWS, the run's first bad one may be later by as much again.

        SAM CLI answers one call in two only after a second, and the first and the last sample are two of them.
        """
        apart = float(self._environment("probe")["SAMPLE_SECONDS"])
        slow = 2.0 if self._world.lambdas.mode is LambdaMode.SAM else 0.0
        return slow + (1.0 if apart < 1 else 1.0 + apart)

    def _configured(self, *, database_only: bool) -> Floor:
        """What RTO cannot be better than, from what was deployed and from the lab's own timings."""
        world = self._world
        assess = self._environment("assess")
        return Floor(
            interval=world.endpoint_interval(),
            threshold=world.endpoint_threshold(),
            hold_down=float(assess["DATABASE_HOLD_DOWN_SECONDS" if database_only else "HOLD_DOWN_SECONDS"]),
            fence_bound=float(self._environment("fence")["FENCE_SECONDS"]),
            promotion=world.timings.promotion,
            boot=world.timings.instance_boot,
            ttl=float(world.timings.alias_ttl),
            lease=_lease_seconds(self._environment("promote")),
        )

    def _environment(self, function: str) -> dict[str, str]:
        return self._world.function_environment(function, self._standby)


def standing_promotions(world: World) -> int:
    """How often a replica was promoted that is not a drill's."""
    return sum(not is_throwaway(name) for name, _ in world.databases.promotions)


def executions(world: World) -> tuple[Execution, ...]:
    """Every execution of every state machine in both Regions, oldest first."""
    found = [(each, region) for region in REGION_NAME.values() for each in world.workflows.executions(region)]
    found.sort(key=lambda pair: pair[0].started)
    return tuple(
        Execution(each.name, each.status, region, each.cause or each.error, each.machine_arn.rpartition("-")[2])
        for each, region in found
    )


def _lease_seconds(promote: Mapping[str, str]) -> float:
    """How long at least the promotion waits for the old side's lease to run out: its clock may be late besides."""
    term = float(promote.get("LEASE_TERM_SECONDS", "0"))
    return term + float(promote["LONGEST_TRANSACTION_SECONDS"]) if term else 0.0
