"""The roles of the evaluated templates: what each is given, and what is asked of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.permission import Call, Need, Statement, needs, statements
from tests.permissions.estate import FUNCTIONS, IN_BOTH, PASSED_ON, Estate, function_of, machine_of
from tests.permissions.recording import MACHINES, Caller
from tests.template.region import ACCOUNT, REGIONS, Region
from tests.template.region import given as template_parameters

CALLERS = [
    *(Caller("dr", name) for name in (*FUNCTIONS, *MACHINES)),
    *(Caller("primary", name) for name in IN_BOTH),
]
# What changes, and is made by a drill before.
ON_WHAT_IS_TAGGED = {
    *("PromoteReadReplica", "DeleteDBInstance", "DeleteDBSnapshot"),
    *("DeleteLaunchTemplate", "DeleteStack", "DescribeStackEvents"),
}
# What Step Functions asks of a state machine's role so that it may set its logging up; none of it takes a resource
# (https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html).
LOG_DELIVERY = [
    Need(f"logs:{name}", "*")
    for name in (
        "CreateLogDelivery",
        "GetLogDelivery",
        "UpdateLogDelivery",
        "DeleteLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
        "DescribeResourcePolicies",
        "DescribeLogGroups",
    )
]


def role_path(deployed: Region, name: str) -> str:
    """Where the role of a function, or of a state machine, is among the Region's resources."""
    if name in MACHINES:
        return str(machine_of(deployed, MACHINES[name])["RoleArn"]).removesuffix(".Arn")
    return str(function_of(deployed, name)["Role"]).removesuffix(".Arn")


def given(deployed: Region, path: str) -> list[Statement]:
    """The role's own statements; those of AWS's managed policies are AWS's."""
    documents = [policy["PolicyDocument"] for policy in deployed[path].get("Policies", [])]
    written = json.dumps(documents)
    for here, there in PASSED_ON.items():
        written = written.replace(here, there)
    return statements(json.loads(written))


def keys(deployed: Region) -> dict[str, str]:
    """The account's own KMS keys, by the ARN of the topic, bucket, database or snapshot that one encrypts."""
    found = {}
    for resource in deployed.resources.values():
        if resource.type == "AWS::SNS::Topic" and resource.arn and "KmsMasterKeyId" in resource.properties:
            found[resource.arn] = str(resource.properties["KmsMasterKeyId"])
    for bucket in deployed.of("AWS::S3::Bucket").values():
        for rule in bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]:
            default = rule["ServerSideEncryptionByDefault"]
            if "KMSMasterKeyID" in default:
                found[f"arn:aws:s3:::{bucket['BucketName']}"] = str(default["KMSMasterKeyID"])
    for side, where in REGIONS.items():
        for kept in (f"db:shop-{side}", f"snapshot:shop-{side}-retired-5", f"snapshot:rds:shop-{side}-2026-11-20"):
            found[f"arn:aws:rds:{where}:{ACCOUNT}:{kept}"] = template_parameters(side)["DataKeyArn"]
    return found


def asked(estate: Estate, caller: Caller) -> list[Need]:
    """What all the calls of a caller need, and what its service does by its role."""
    deployed = estate.regions[caller.side]
    known = keys(deployed)
    calls = [each.call for each in estate.recorder.calls if each.caller == caller]
    wanted = [_on_what_is_tagged(call, need) for call in calls for need in needs(call, known)]
    return wanted + _by_its_service(deployed, caller.name)


def _on_what_is_tagged(call: Call, need: Need) -> Need:
    """What a drill has made carries its tags, and its name says that it is a drill's."""
    named = any(re.search(r"-drill-\d+$", str(value)) for value in call.parameters.values())
    if not named or call.operation not in ON_WHAT_IS_TAGGED:
        return need
    tags = {"aws:resourcetag/relight:drill": "drill-1", "aws:resourcetag/relight:application": "shop"}
    return replace(need, context={**need.context, **tags})


def _by_its_service(deployed: Region, name: str) -> list[Need]:
    if name in MACHINES:
        logging = machine_of(deployed, MACHINES[name]).get("LoggingConfiguration", {})
        return LOG_DELIVERY if logging.get("Level", "OFF") != "OFF" else []
    function = function_of(deployed, name)
    kept = [function.get("DeadLetterConfig", {}).get("TargetArn")]
    for each in deployed.of("AWS::Lambda::EventInvokeConfig").values():
        if each["FunctionName"] == function["FunctionName"]:
            kept.append(each.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
    return [Need("sqs:SendMessage", arn) for arn in kept if arn]


def mirrored(value: Any) -> Any:
    """A role of one Region as it must be in the other one."""
    text = json.dumps(value, sort_keys=True)
    for one, other in (("eu-central-1", "eu-west-1"), ("shop-dr", "shop-primary"), ("/dr", "/primary")):
        there = {one: other, other: one}
        text = re.sub(rf"({one}|{other})(?![a-z])", lambda found, there=there: there[found[0]], text)  # type: ignore[misc]
    return json.loads(text)


def trusted(role: Mapping[str, Any]) -> set[str]:
    """The services that may take the role on."""
    found: set[str] = set()
    for statement in role["AssumeRolePolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement["Action"] in ("sts:AssumeRole", ["sts:AssumeRole"]), statement
        services = statement["Principal"]["Service"]
        found |= set(services if isinstance(services, list) else [services])
    return found
