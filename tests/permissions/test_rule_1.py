"""Nothing on the way of a failover needs the lost Region, nor a control plane that AWS runs in us-east-1."""

import ast
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lab.permission import ACCOUNT
from tests.permissions.estate import FUNCTIONS, HERE, HOME, ROOT, TABLE, Estate, client, dead_peer, function_of
from tests.permissions.recording import MACHINES, Recorded
from tests.permissions.scenarios import a_lost_region_is_failed_over
from tests.template.region import REGIONS

# Who may call the other Region, and what for. Each goes on without an answer, but for `quiesce`: that is how a planned
# run, which an emergency is not, knows that no write is lost.
BEST_EFFORT = {
    "assess": {("rds", "DescribeDBInstances")},
    "fence": {
        *(("ec2", name) for name in ("DescribeNetworkAcls", "CreateNetworkAclEntry", "DeleteNetworkAclEntry")),
        ("autoscaling", "UpdateAutoScalingGroup"),
        ("lambda", "Invoke"),
        # How large the peer's groups were while it stood by, which is the peer's to know.
        ("dynamodb", "GetItem"),
    },
    "guard": {("dynamodb", "GetItem"), ("stepfunctions", "DescribeExecution"), ("cloudwatch", "DescribeAlarms")},
    # At home again, behind the traffic: where it cannot be had, a person is told what to call.
    "harden": {
        ("rds", "DescribeDBInstanceAutomatedBackups"),
        ("rds", "StartDBInstanceAutomatedBackupsReplication"),
    },
    "probe": {("rds", "DescribeDBInstances"), ("autoscaling", "DescribeAutoScalingGroups")},
    "quiesce": {("lambda", "Invoke")},
    "record": {("dynamodb", "UpdateItem")},
    # HOLD stays where nobody says.
    "switch": {("cloudwatch", "DescribeAlarms")},
    # How large this Region's groups were while it served, which is the peer's to know.
    "scale": {("dynamodb", "GetItem")},
}
# Off the way of a failover: both Regions are there on the way home, or it is not gone, and nothing is served by it.
WAY_HOME = {
    # Where either database takes its time over a page, it is waited for; no traffic is.
    "compare": {("lambda", "Invoke")},
    # The active Region's objects, and the job that replicates them, which is that Region's own.
    "objects": {
        *(("s3", name) for name in ("ListObjectVersions", "HeadObject")),
        *(("s3control", name) for name in ("CreateJob", "DescribeJob")),
    },
    # What the replica is made of.
    "reprotect": {("rds", "DescribeDBInstances"), ("rds", "DescribeDBSnapshots")},
    # Its ledger, whoever has its lock, and its own run that lights the pilot.
    "survey": {
        *(("dynamodb", name) for name in ("GetItem", "UpdateItem")),
        *(("stepfunctions", name) for name in ("DescribeExecution", "StartExecution")),
        ("rds", "DescribeDBInstances"),
    },
}
# Beside all runs, while nothing happens: a Region that does not answer is what readiness tells, and what a drill is
# refused for. They may ask of the control planes that all Regions share, which no run may.
REHEARSING = {
    "drill": {
        ("dynamodb", "GetItem"),
        *(("rds", name) for name in ("DescribeDBInstances", "DescribeDBSnapshots")),
        # The way home of a game day.
        *(("stepfunctions", name) for name in ("DescribeExecution", "StartExecution")),
    },
    "readiness": {
        ("cloudwatch", "GetMetricData"),
        ("dynamodb", "GetItem"),
        ("iam", "SimulatePrincipalPolicy"),
        *(("rds", name) for name in ("DescribeDBInstances", "DescribeDBParameters")),
        *(("route53", f"List{what}") for what in ("HealthChecks", "HostedZones", "ResourceRecordSets")),
        *(("s3", name) for name in ("HeadObject", "GetBucketReplication")),
        ("secretsmanager", "DescribeSecret"),
    },
}
# Their changes are made in us-east-1 or us-west-2 for all Regions, or need what lies in a Region that may be lost
# (https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html).
FORBIDDEN = {
    *("iam", "organizations", "account", "route53", "route53domains", "cloudfront", "wafv2", "shield", "acm"),
    *("route53-recovery-control-config", "globalaccelerator", "networkmanager", "s3control"),
    *("cloudformation", "ecr", "ecr-public", "sts"),
}
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 2, 5, 2
# How long who may be waited for instead.
LONGER = {"compare": 30}


def problems(calls: Iterable[Recorded]) -> set[str]:
    """What of these calls breaks the rule."""
    return {
        f"{each.caller.name}: {each.call.service} {each.call.operation} {why}" for each in calls for why in _why(each)
    }


def _why(each: Recorded) -> Iterator[str]:
    if each.caller.name in REHEARSING and each.call.service in FORBIDDEN:
        return
    if each.call.service in FORBIDDEN and not _is_way_home(each):
        yield "is a call to a control plane that all Regions share"
    if f".{each.call.region}.amazonaws.com" not in each.host or each.call.region not in REGIONS.values():
        yield f"goes to {each.host}"
    if _leaves(each):
        yield from _why_abroad(each)


def _is_way_home(each: Recorded) -> bool:
    return (each.call.service, each.call.operation) in WAY_HOME.get(each.caller.name, set())


def _why_abroad(each: Recorded) -> Iterator[str]:
    called = each.call.service, each.call.operation
    beside = BEST_EFFORT.get(each.caller.name, set()) | REHEARSING.get(each.caller.name, set())
    if called not in beside and not _is_way_home(each):
        yield "needs the other Region"
    bounds = (each.connect, each.read, each.attempts)
    limits = (CONNECT_SECONDS, LONGER.get(each.caller.name, READ_SECONDS), ATTEMPTS)
    if any(given is None or given > limit for given, limit in zip(bounds, limits, strict=True)):
        yield f"may wait for the other Region for {bounds}"


def abroad(calls: Iterable[Recorded]) -> dict[str, set[tuple[str, str]]]:
    """What is called in the other Region, by who calls it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for each in calls:
        if _leaves(each):
            found.setdefault(each.caller.name, set()).add((each.call.service, each.call.operation))
    return found


def test_only_what_is_best_effort_and_bounded_leaves_the_region(played: Estate, unfenceable: Estate) -> None:
    assert problems([*played.recorder.calls, *unfenceable.recorder.calls]) == set()


def test_all_that_is_best_effort_is_really_called(played: Estate, unfenceable: Estate) -> None:
    assert abroad([*played.recorder.calls, *unfenceable.recorder.calls]) == BEST_EFFORT | WAY_HOME | REHEARSING


def test_nobody_of_the_way_home_or_of_a_drill_is_on_the_way_of_a_failover(played: Estate) -> None:
    heard = {each.caller.name for each in played.recorder.calls if each.scenario in {"failover", "hardening"}}
    assert "promote" in heard
    assert heard & (WAY_HOME | REHEARSING).keys() == set()


def test_an_emergency_stops_no_writes_by_asking_for_it(played: Estate) -> None:
    """Only a planned run needs what the other Region answers."""
    asking = {each.scenario for each in played.recorder.calls if each.caller.name == "quiesce" and _leaves(each)}
    assert asking == {"planned", "the way home is gone", "a game day is started"}


def _leaves(each: Recorded) -> bool:
    return each.call.region != REGIONS[each.caller.side]


def _is_link(each: Recorded) -> bool:
    """By which a person may read a report."""
    return (each.caller.name, each.call.operation) == ("record", "GetObject")


def test_everybody_on_the_way_was_heard(played: Estate) -> None:
    assert {each.caller.name for each in played.recorder.calls} == {*FUNCTIONS, *MACHINES}


def test_a_region_s_own_calls_are_bounded_too(played: Estate) -> None:
    """No function hangs in one of them until Lambda ends it, which would leave no word of why."""
    for each in played.recorder.calls:
        signed = each.call.operation == "GenerateDBAuthToken" or _is_link(each)
        if each.caller.name in MACHINES or signed:  # here, and nothing is called
            continue
        assert each.connect is not None
        assert each.read is not None
        assert each.attempts is not None
        assert each.connect <= CONNECT_SECONDS, each
        allowed = function_of(played.regions[each.caller.side], each.caller.name)["Timeout"]
        assert (each.connect + each.read) * each.attempts < allowed, each


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"read": 60.0}, "may wait for the other Region for (2.0, 60.0, 2)"),
        ({"attempts": 5}, "may wait for the other Region for (2.0, 5.0, 5)"),
        ({"connect": None}, "may wait for the other Region for (None, 5.0, 2)"),
        ({"host": "sts.amazonaws.com"}, "goes to sts.amazonaws.com"),
        ({"operation": "GetItem"}, "needs the other Region"),
        ({"service": "iam"}, "is a call to a control plane that all Regions share"),
        ({"region": "us-east-1"}, "goes to dynamodb.eu-west-1.amazonaws.com"),
    ],
)
def test_a_call_that_breaks_the_rule_is_found(played: Estate, changed: dict[str, Any], why: str) -> None:
    mirror = next(each for each in played.recorder.calls if each.caller.name == "record" and each.call.region == HOME)
    assert problems([mirror]) == set()
    in_call = {name: changed.pop(name) for name in ("operation", "service", "region") if name in changed}
    found = problems([replace(mirror, call=replace(mirror.call, **in_call), **changed)])
    assert any(problem.endswith(why) for problem in found), found


def test_clients_are_made_where_they_can_be_seen() -> None:
    """In one place, by handlers that are being imported: whatever is called later is called by one of those.

    But for `delivery`, which signs a link with one and calls nothing.
    """
    for path in sorted((ROOT / "layers" / "relight" / "relight").rglob("*.py")):
        names = {name for node in ast.walk(ast.parse(path.read_text())) for name in _imported(node)}
        makes = path.name in {"clients.py", "delivery.py"}
        assert makes or names & {"boto3", "relight.clients"} == set(), path.name
    for path in sorted((ROOT / "functions").glob("*/handler.py")):
        module = ast.parse(path.read_text())
        assert not {"boto3", "botocore"} & {name for node in ast.walk(module) for name in _imported(node)}, path
        functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
        made = [node for function in functions for node in ast.walk(function) if isinstance(node, ast.Call)]
        assert not [node for node in made if isinstance(node.func, ast.Name) and node.func.id == "client"], path


def _imported(node: ast.AST) -> set[str]:
    """Full names of modules; that of boto3's types for DynamoDB makes no client."""
    match node:
        case ast.Import(names=names):
            return {alias.name for alias in names}
        case ast.ImportFrom(module=str() as module):
            return {module}
        case _:
            return set()


# Without any answer from the other Region.


@pytest.fixture(scope="module")
def alone(nowhere_but_here: None) -> Iterator[Estate]:
    """DR, when the other Region's endpoints take connections and never answer."""
    with dead_peer() as estate, estate.staged("dead peer"):
        estate.head("dr", epoch=4, active=HOME)
        a_lost_region_is_failed_over(estate)
        yield estate


def test_the_failover_succeeds_when_every_endpoint_of_the_lost_region_is_dead(alone: Estate) -> None:
    """As the scenario has asserted; and all of what is best effort was tried in vain."""
    tried = {each.caller.name for each in alone.recorder.calls if each.call.region == HOME}
    assert tried == {"probe", "assess", "fence", "record"}
    head = client("dynamodb", HERE).get_item(TableName=TABLE, Key={"pk": {"S": "region"}, "sk": {"S": "head"}})["Item"]
    assert (head["active"]["S"], head["state"]["S"]) == (HERE, "steady")
    assert client("dynamodb", HOME).scan(TableName=TABLE)["Count"] == 0


def test_what_the_peer_did_not_answer_is_told(alone: Estate) -> None:
    bucket = f"relight-evidence-shop-{ACCOUNT}-{HERE}"
    keys = [one["Key"] for one in client("s3", HERE).list_objects_v2(Bucket=bucket)["Contents"]]
    (found,) = (key for key in keys if key.endswith("/run.json"))
    evidence = json.loads(client("s3", HERE).get_object(Bucket=bucket, Key=found)["Body"].read())
    steps = {step["name"]: step for step in evidence["steps"]}
    assert steps["fence"]["facts"]["fence"] in {"failed", "unknown"}
    assert evidence["status"] == "SUCCEEDED"


def test_the_guard_goes_on_publishing(alone: Estate) -> None:
    said = alone.call("guard", {})
    assert said["switches"] == {"STOP": 1.0, "GO": 1.0}
    assert (said["standing"], said["fenced"], said["lifted"]) == ("unknown", False, False)
