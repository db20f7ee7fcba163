"""Relight's own machine, functions and permissions in this Region, for readiness."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from relight.readiness_facts import Function, Machine, NotSeen, OrchestratorFacts, Permission, Unseen, known
from relight.version import version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from relight.inquiry import Inquiry
    from relight.settings import ReadinessSettings

# What every failover calls; without one of them none would come to its end.
FUNCTIONS = ("assess", "scale", "promote", "switch", "verify", "record")
UNKNOWN_UUID = "00000000-0000-0000-0000-000000000000"


def calls(s: ReadinessSettings) -> dict[str, tuple[str, str, dict[str, str]]]:
    """What only that function of a failover does: action, resource, and what IAM is told of the call."""
    partition, account = s.topic_arn.split(":")[1], s.topic_arn.split(":")[4]
    return {
        "promote": ("rds:PromoteReadReplica", f"arn:{partition}:rds:{s.aws_region}:{account}:db:{s.replica_id}", {}),
        # The template knows the group by name; IAM's simulation takes no wildcard for what AWS has numbered.
        "scale": (
            "autoscaling:UpdateAutoScalingGroup",
            s.group_arns[0].replace(":autoScalingGroup:*:", f":autoScalingGroup:{UNKNOWN_UUID}:"),
            {},
        ),
        "switch": ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": s.switch_namespace}),
        "record": ("sns:Publish", s.topic_arn, {}),
    }


def send(ask: Inquiry, s: ReadinessSettings, own: Mapping[str, Any]) -> Callable[[], OrchestratorFacts]:
    """Ask this Region, and IAM; what comes back collects the answers."""
    machine = ask.seek(lambda: machined(own["stepfunctions"], s.failover_machine), "StateMachineDoesNotExist")
    functions = {
        name: ask.seek(
            partial(own["lambda"].get_function, FunctionName=f"relight-{s.application}-{name}"),
            "ResourceNotFoundException",
        )
        for name in FUNCTIONS
    }
    permissions = {
        name: ask.send(partial(simulated, own["iam"], functions[name], *call)) for name, call in calls(s).items()
    }

    def function(told: Any) -> Function | Unseen | None:
        return told if told is None or isinstance(told, Unseen) else _function(told)

    return lambda: OrchestratorFacts(
        version=version(),
        machine=ask.told(machine),
        functions={name: function(ask.told(told)) for name, told in functions.items()},
        permissions={name: ask.told(told) for name, told in permissions.items()},
    )


def machined(machines: Any, arn: str) -> Machine:
    """A state machine as Step Functions describes it."""
    found = machines.describe_state_machine(stateMachineArn=arn)
    return Machine(found.get("status", "ACTIVE"), found["creationDate"].timestamp())


def _function(found: Any) -> Function:
    concurrency = found.get("Concurrency", {}).get("ReservedConcurrentExecutions")
    return Function(found["Configuration"].get("State", "Active"), concurrency)


def role_of(asked: Future[Any]) -> str:
    """The role that a function works by."""
    found = known(asked.result())
    if found is None:
        raise NotSeen("the function does not exist")
    return str(found["Configuration"]["Role"])


def simulated(iam: Any, function: Future[Any], action: str, resource: str, told: Mapping[str, str]) -> Permission:
    """What IAM says that it would say to a call by a function; nothing is called."""
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role_of(function),
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in told.items()
        ],
    )
    return Permission(action, str(answer["EvaluationResults"][0]["EvalDecision"]))
