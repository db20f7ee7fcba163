"""What is known of a rehearsal beside the clients' log: executions, the runs' own records, the databases, the group."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.environment import APPLICATION
from lab.fault import Inflicted
from lab.postgres import Postgres
from lab.region import REGION_NAME, Side, Vantage, alb_address
from lab.report import Capacity, Execution, LambdaRuntime, ScalingGroup, Status, StepRecord
from lab.score import Facts, Floor
from lab.wal import commit_lsns
from lab.workflow import ExecutionRecord
from lab.world import World

_DR = REGION_NAME[Side.DR]


class Evidence:
    """Reads the world through its APIs, as an operator could, and the dead primary's data directory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before: Capacity | None = None
        self._floor: Floor | None = None

    def note_before(self, *, database_only: bool = False) -> None:
        """Remember what the DR Region's group was before the fault, and what was configured: some of it may be lost.

        `database_only`: the database alone will be lost, whose hold-down is longer.
        """
        self._before = self._capacity()
        self._floor = self._configured(database_only=database_only)

    # -- while it runs ------------------------------------------------------------------------------------------

    def running(self) -> bool:
        """Whether an execution runs in the DR Region."""
        return any(each.status == "RUNNING" for each in self._executions())

    def started(self) -> bool:
        """Whether an execution was ever started in the DR Region."""
        return bool(self._executions())

    def ended(self, expected: Status) -> bool:
        """Whether a run has come to the expected end, or has failed red, and none runs."""
        if self.running():
            return False
        ends = set(self._ends())
        return expected in ends or Status.FAILED in ends

    def _executions(self) -> list[ExecutionRecord]:
        return self._world.workflows.executions(_DR)

    def _end(self, execution: ExecutionRecord) -> Status | None:
        """What the run says that it came to; None for one that left the work to another, or died before its record.

        One that was stopped while its record was being written has an end all the same: the handler went on.
        """
        if execution.status in {"FAILED", "TIMED_OUT"}:
            return Status.FAILED
        said = json.loads(execution.output) if execution.output else self._record(execution)
        return Status(said["status"]) if said.get("status") in set(Status) else None

    def _ends(self) -> list[Status]:
        return [end for each in self._executions() if (end := self._end(each)) is not None]

    # -- afterwards ---------------------------------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        """Arguments of the result: how it ended, and what the runs recorded."""
        executions = self._executions()
        status = self._status(executions)
        last = next((each for each in reversed(executions) if self._end(each) is status), None)
        record = self._record(last) if last is not None else {}
        phases = record.get("phases", {})
        return {
            "status": status,
            "finding": record.get("finding"),
            "phases": phases,
            "record_rto_seconds": record.get("rto_seconds"),
            "record_may_differ_seconds": self._record_may_differ(),
            "rto_floor": self._floor,
            "rto_floor_seconds": None if self._floor is None else self._floor.seconds,
            "executions": tuple(Execution(e.name, e.status, _DR, e.cause or e.error) for e in executions),
            "steps": tuple(step for execution in executions for step in self.steps(execution.name)),
            "asg": ScalingGroup(self._before, self._capacity()),
            "lambda_": LambdaRuntime(**self._world.lambdas.facts()),
        }

    def _status(self, executions: list[ExecutionRecord]) -> Status:
        """The end of the last run that has one, but a failover stays one when later runs find nothing left to do."""
        ends = self._ends()
        if Status.SUCCEEDED in ends and ends[-1] is Status.STOOD_DOWN:
            return Status.SUCCEEDED
        if ends:
            return ends[-1]
        return Status.NO_RUN if not executions else Status.UNFINISHED

    def _record(self, execution: ExecutionRecord) -> dict[str, Any]:
        """The run's own record, from the evidence bucket; empty where it has written none."""
        bucket = self._world.stacks_made[Side.DR].outputs["EvidenceBucket"]
        try:
            answer = self._world.cloud.client("s3", _DR).get_object(
                Bucket=bucket, Key=f"runs/{execution.name}/run.json"
            )
        except ClientError:
            return {}
        return dict(json.loads(answer["Body"].read()))

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run from the ledger of the DR Region, in the order in which they began."""
        try:
            answer = self._world.cloud.client("dynamodb", _DR).query(
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
        world = self._world
        promotions = world.databases.promotions
        active = Side.DR if promotions else Side.PRIMARY
        records = [self._record(each) for each in self._executions()]
        promoted = min((at for r in records if (at := r.get("phases", {}).get("t4")) is not None), default=None)
        before, after = self._old_commits(promoted) if inflicted.returned_at is not None else (None, None)
        return Facts(
            lost_at=inflicted.at,
            old_region=REGION_NAME[Side.PRIMARY],
            old_addresses=frozenset({alb_address(Side.PRIMARY, Vantage.OUTSIDE)}),
            old_committed_before=before or frozenset(),
            old_committed_after=after,
            returned_at=inflicted.returned_at,
            active_ids=self._order_ids(active),
            commit_lsns=self._commits() if inflicted.received_lsn is not None else {},
            received_lsn=inflicted.received_lsn,
            promotions=len(promotions),
            promoted_at=promoted,
        )

    def _old_commits(self, moment: float | None) -> tuple[frozenset[str] | None, frozenset[str] | None]:
        """What the old primary's database had committed by then, and what since; None where it cannot be asked."""
        server = self._server(Side.PRIMARY)
        if server is None or moment is None:
            return None, None
        rows = server.sql("SELECT id, created_at <= to_timestamp(%s) FROM shop_order", (moment,), database="shop")
        return frozenset(str(row[0]) for row in rows if row[1]), frozenset(str(row[0]) for row in rows if not row[1])

    def _server(self, side: Side) -> Postgres | None:
        """That side's server, if it runs."""
        server = self._world.databases.database(side, self._world.database_id(side)).server
        return server if server is not None and server.is_running() else None

    def _order_ids(self, side: Side) -> frozenset[str] | None:
        server = self._server(side)
        if server is None:
            return None
        return frozenset(str(row[0]) for row in server.sql("SELECT id FROM shop_order", database="shop"))

    def _commits(self) -> dict[str, int]:
        """From the dead primary's data directory, started on its own."""
        server = self._world.databases.database(Side.PRIMARY, self._world.database_id(Side.PRIMARY)).server
        if server is None:
            return {}
        # A black-holed Region lives on unseen; here it must be as dead as a refused one.
        server.kill()
        return commit_lsns(server.data_dir)

    def _capacity(self) -> Capacity:
        groups = self._world.cloud.client("autoscaling", _DR).describe_auto_scaling_groups(
            AutoScalingGroupNames=[f"{APPLICATION}-{Side.DR}"]
        )
        group = groups["AutoScalingGroups"][0]
        return Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])

    def _record_may_differ(self) -> float:
        """A second; with samples seconds apart, as on AWS, the run's first bad one may be later by as much again."""
        apart = float(self._world.function_environment("probe")["SAMPLE_SECONDS"])
        return 1.0 if apart < 1 else 1.0 + apart

    def _configured(self, *, database_only: bool) -> Floor:
        """What RTO cannot be better than, from what was deployed and from the lab's own timings."""
        world = self._world
        assess = world.function_environment("assess")
        return Floor(
            interval=world.endpoint_interval(),
            threshold=world.endpoint_threshold(),
            hold_down=float(assess["DATABASE_HOLD_DOWN_SECONDS" if database_only else "HOLD_DOWN_SECONDS"]),
            fence_bound=float(world.function_environment("fence")["FENCE_SECONDS"]),
            promotion=world.timings.promotion,
            boot=world.timings.instance_boot,
            ttl=float(world.timings.alias_ttl),
            lease=_lease_seconds(world.function_environment("promote")),
        )


def _lease_seconds(promote: Mapping[str, str]) -> float:
    """How long at least the promotion waits for the old side's lease to run out: its clock may be late besides."""
    term = float(promote.get("LEASE_TERM_SECONDS", "0"))
    return term + float(promote["LONGEST_TRANSACTION_SECONDS"]) if term else 0.0
