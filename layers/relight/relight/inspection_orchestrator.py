"""Relight's own machine, functions and permissions in this Region, for readiness."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from relight.readiness_facts import Function, Machine, NotSeen, OrchestratorFacts, Permission, Unseen, known
from relight.version import version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from relight.inquiry import Inquiry
    from relight.settings import ReadinessSettings

# What every failover calls; without one of them none would come to its end.
FUNCTIONS = ("assess", "scale", "promote", "switch", "verify", "record")
# What the failover machine calls.
STEPS = (*FUNCTIONS, "fence", "quiesce", "harden")
MACHINE = "the failover machine"
# Results of one simulation: three actions on a dozen of resources are far fewer.
MOST_RESULTS = 200
INVOKE = "lambda:InvokeFunction"
UNKNOWN_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Asked:
    """What IAM is asked about one role: actions, each with its resource, and what it is told of the calls."""

    pairs: tuple[tuple[str, str], ...]
    context: Mapping[str, str] = field(default_factory=dict)


def calls(s: ReadinessSettings) -> dict[str, Asked]:
    """What a run cannot do without, by who has to do it: probe, machine, and those of its functions."""
    partition, account = s.topic_arn.split(":")[1], s.topic_arn.split(":")[4]

    def here(service: str, name: str) -> str:
        return f"arn:{partition}:{service}:{s.aws_region}:{account}:{name}"

    def function(name: str) -> str:
        return here("lambda", f"function:{name}")

    database, ledger = here("rds", f"db:{s.replica_id}"), here("dynamodb", f"table/{s.ledger_table}")
    # The template knows the group by name; IAM's simulation takes no wildcard for what AWS has numbered.
    groups = [arn.replace(":autoScalingGroup:*:", f":autoScalingGroup:{UNKNOWN_UUID}:") for arn in s.group_arns]
    sizing = ("autoscaling:UpdateAutoScalingGroup", "autoscaling:ResumeProcesses")
    return {
        "probe": Asked((("states:StartExecution", s.failover_machine), (INVOKE, function(s.dbcheck_function)))),
        MACHINE: Asked(
            (("dynamodb:UpdateItem", ledger), *((INVOKE, function(f"relight-{s.application}-{one}")) for one in STEPS))
        ),
        "promote": Asked(
            (
                ("rds:PromoteReadReplica", database),
                ("rds:DescribeDBInstances", database),
                (INVOKE, function(s.dbcheck_function)),
                ("dynamodb:UpdateItem", ledger),
            )
        ),
        "scale": Asked(tuple((action, group) for action in sizing for group in groups)),
        "switch": Asked((("cloudwatch:PutMetricData", "*"),), {"cloudwatch:namespace": s.switch_namespace}),
        "record": Asked((("sns:Publish", s.topic_arn),)),
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

    def role(name: str) -> str:
        if name == "probe":
            return s.probe_role
        if name != MACHINE:
            return role_of(functions[name])
        found = known(machine.result())
        if found is None:
            raise NotSeen("the machine does not exist")
        return found.role

    def permitted(name: str, asked: Asked) -> tuple[Permission, ...]:
        return simulated(own["iam"], role(name), asked)

    permissions = {name: ask.send(partial(permitted, name, asked)) for name, asked in calls(s).items()}

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
    return Machine(found.get("status", "ACTIVE"), found["creationDate"].timestamp(), found["roleArn"])


def _function(found: Any) -> Function:
    concurrency = found.get("Concurrency", {}).get("ReservedConcurrentExecutions")
    return Function(found["Configuration"].get("State", "Active"), concurrency)


def role_of(asked: Future[Any]) -> str:
    """The role that a function works by."""
    found = known(asked.result())
    if found is None:
        raise NotSeen("the function does not exist")
    return str(found["Configuration"]["Role"])


def simulated(iam: Any, role: str, asked: Asked) -> tuple[Permission, ...]:
    """What IAM says that it would say to each call by a role; nothing is called.

    It judges every action on every resource, and those pairs count that are meant.
    """
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=list(dict.fromkeys(action for action, _ in asked.pairs)),
        ResourceArns=list(dict.fromkeys(resource for _, resource in asked.pairs)),
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in asked.context.items()
        ],
        MaxItems=MOST_RESULTS,
    )
    said = {pair: decision for one in answer["EvaluationResults"] for pair, decision in _decisions(one)}
    if missing := [action for action, resource in asked.pairs if (action, resource) not in said]:
        raise NotSeen(f"IAM's simulation says nothing of {', '.join(missing)}")
    return tuple(Permission(action, said[action, resource]) for action, resource in asked.pairs)


def _decisions(found: Any) -> Iterator[tuple[tuple[str, str], str]]:
    """What one result says, of the resource that it names, or of several below it."""
    action = found["EvalActionName"]
    yield (action, found.get("EvalResourceName", "*")), str(found["EvalDecision"])
    for one in found.get("ResourceSpecificResults", []):
        yield (action, one["EvalResourceName"]), str(one["EvalResourceDecision"])
