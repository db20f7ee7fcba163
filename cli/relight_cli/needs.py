"""What the commands call in AWS: action, resource, and which commands would fail without it.

These are an operator's commands. What `deploy`, `destroy` and `cut-over` need is CloudFormation's and SAM's matter, and
belongs to another principal; so is the deletion of a retired database (`retired --delete`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

RUN = "relight-doctor"
"""A run of this name is never there: what is asked about it can find nothing."""
MACHINES = ("failover", "failback", "drill")
FUNCTIONS = (
    "assess",
    "compare",
    "dbcheck",
    "drill",
    "fence",
    "guard",
    "harden",
    "objects",
    "probe",
    "promote",
    "quiesce",
    "readiness",
    "record",
    "reprotect",
    "retire",
    "scale",
    "survey",
    "switch",
    "verify",
)
OUTPUTS = ("DrillMachine", "EvidenceBucket", "FailbackMachine", "FailoverMachine", "TopicArn")
"""What the stack of a Region tells those who operate it."""
INVOKED = ("assess", "drill", "readiness", "survey")
"""The functions that a command calls itself."""


class On(StrEnum):
    """What an action is on, as an ARN's end; `*` where AWS knows no resource for it."""

    TABLE = "dynamodb:table/relight-{app}"
    MACHINE = "states:stateMachine:relight-{app}-{name}"
    EXECUTION = "states:execution:relight-{app}-{name}:" + RUN
    FUNCTION = "lambda:function:relight-{app}-{name}"
    BUCKET = "s3:relight-evidence-{app}-{account}-{region}"
    EVIDENCE = "s3:relight-evidence-{app}-{account}-{region}/runs/" + RUN + "/run.json"
    STACK = "cloudformation:stack/relight-{app}/" + RUN
    ANY = "*"


@dataclass(frozen=True)
class Need:
    """One call. `night` is whether a failover by hand is not operated without it."""

    action: str
    on: On
    commands: tuple[str, ...]
    names: tuple[str, ...] = ("",)
    """Of the state machines or functions."""
    night: bool = False

    @property
    def required(self) -> bool:
        """Whether more than this very command would miss it."""
        return self.commands != ("doctor",)


_ALL = ("status", "watch", "failover", "failback", "approve", "decline", "cancel", "freeze", "history")
NEEDS: tuple[Need, ...] = (
    Need("dynamodb:GetItem", On.TABLE, _ALL, night=True),
    Need("dynamodb:Query", On.TABLE, ("status", "approve", "watch", "retired"), night=True),
    Need("dynamodb:UpdateItem", On.TABLE, ("freeze", "unfreeze")),
    Need("states:StartExecution", On.MACHINE, ("failover", "failback", "drill"), MACHINES, night=True),
    Need("states:ListExecutions", On.MACHINE, ("status", "watch"), MACHINES, night=True),
    Need("states:DescribeExecution", On.EXECUTION, ("watch", "approve", "cancel", "redrive"), MACHINES, night=True),
    Need("states:GetExecutionHistory", On.EXECUTION, ("redrive",), MACHINES, night=True),
    Need("states:StopExecution", On.EXECUTION, ("cancel",), MACHINES, night=True),
    Need("states:RedriveExecution", On.EXECUTION, ("redrive",), MACHINES, night=True),
    Need("states:SendTaskSuccess", On.ANY, ("approve", "stay"), night=True),
    Need("states:SendTaskFailure", On.ANY, ("decline",), night=True),
    Need("lambda:InvokeFunction", On.FUNCTION, ("failover --plan", "readiness", "drill --plan"), INVOKED, night=True),
    Need("cloudwatch:GetMetricData", On.ANY, ("status", "watch")),
    Need("lambda:GetFunctionConfiguration", On.FUNCTION, ("doctor",), FUNCTIONS),
    Need("s3:ListBucket", On.BUCKET, ("history", "drill")),
    Need("s3:GetObject", On.EVIDENCE, ("history", "report", "reconcile")),
    Need("cloudformation:DescribeStacks", On.STACK, ("doctor",)),
    Need("cloudformation:GetTemplate", On.STACK, ("doctor",)),
    Need("states:DescribeStateMachine", On.MACHINE, ("doctor",), MACHINES),
)


@dataclass(frozen=True)
class Place:
    """Whose an application is, and where."""

    application: str
    region: str
    account: str
    partition: str = "aws"

    @classmethod
    def of(cls, application: str, region: str, caller: str) -> "Place":
        """By the ARN of who calls."""
        _, partition, _, _, account = caller.split(":")[:5]
        return cls(application, region, account, partition)

    def resource(self, on: On, name: str = "") -> str:
        """The ARN."""
        if on is On.ANY:
            return "*"
        end = on.value.format(app=self.application, name=name, account=self.account, region=self.region)
        service, _, rest = end.partition(":")
        where = ":" if service == "s3" else f"{self.region}:{self.account}"
        return f"arn:{self.partition}:{service}:{where}:{rest}"

    def resources(self, need: Need) -> list[str]:
        """All that the need is about in this Region."""
        return [self.resource(need.on, name) for name in need.names]


def markdown(needs: Iterable[Need] = NEEDS) -> str:
    """The table of the documentation."""
    rows = ["| action | on | commands that need it | on the night |", "|---|---|---|---|"]
    for need in needs:
        names = " ".join(need.names) if len(need.names) < len(FUNCTIONS) else "each function"
        on = "*" if need.on is On.ANY else need.on.value.partition(":")[2].replace("{name}", "NAME")
        said = f"`{on}`" + (f" ({names})" if "{name}" in need.on.value else "")
        rows.append(f"| {need.action} | {said} | {', '.join(need.commands)} | {'yes' if need.night else ''} |")
    return "\n".join(rows) + "\n"
