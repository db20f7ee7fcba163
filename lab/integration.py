"""Step Functions' AWS SDK integrations: AWS's own names where moto passes boto3's through.

A state machine says `DbInstanceIdentifier` and catches `Rds.DbInstanceNotFoundException`; boto3 says
`DBInstanceIdentifier` and raises `DBInstanceNotFoundFault`. The rule, as far as AWS documents it, is that of the
SDK for Java: runs of capitals become words, a first letter is a capital, errors end in Exception.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.query import timestamp

_SERVICES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # as in the task's Resource: (boto3's name, prefix of the error names)
        "autoscaling": ("autoscaling", "AutoScaling"),
        "cloudwatch": ("cloudwatch", "CloudWatch"),
        "cloudwatchlogs": ("logs", "CloudWatchLogs"),
        "dynamodb": ("dynamodb", "DynamoDb"),
        "ec2": ("ec2", "Ec2"),
        "elasticloadbalancingv2": ("elbv2", "ElasticLoadBalancingV2"),
        "eventbridge": ("events", "EventBridge"),
        "lambda": ("lambda", "Lambda"),
        "rds": ("rds", "Rds"),
        "route53": ("route53", "Route53"),
        "s3": ("s3", "S3"),
        "scheduler": ("scheduler", "Scheduler"),
        "secretsmanager": ("secretsmanager", "SecretsManager"),
        "sfn": ("stepfunctions", "Sfn"),
        "sns": ("sns", "Sns"),
        "sqs": ("sqs", "Sqs"),
        "ssm": ("ssm", "Ssm"),
        "sts": ("sts", "Sts"),
    }
)


def boto_service(service: str) -> str:
    """boto3's name of a service that a Resource names."""
    return _SERVICES.get(service.lower(), (service, ""))[0]


def java_name(name: str) -> str:
    """DBInstanceArn to DbInstanceArn, executionArn to ExecutionArn."""
    words = re.sub(r"([A-Z]+)(?=[A-Z][a-z]|$)", lambda run: run.group(1).capitalize(), name)
    return words[:1].upper() + words[1:]


def arguments(shape: Any, value: Any) -> Any:
    """A task's Arguments as boto3 takes them: the names' case is the operation's own."""
    return _convert(shape, value, outward=False)


def result(shape: Any, value: Mapping[str, Any]) -> Any:
    """boto3's answer as the task's result: names of the SDK for Java, moments as text."""
    bare = {key: item for key, item in value.items() if key != "ResponseMetadata"}
    return _convert(shape, bare, outward=True)


def _convert(shape: Any, value: Any, *, outward: bool) -> Any:
    kind = getattr(shape, "type_name", None)
    if kind == "structure" and isinstance(value, dict):
        members: dict[str, str] = {name.lower(): name for name in shape.members}
        converted = {}
        for key, item in value.items():
            name = members.get(str(key).lower(), str(key))
            member = shape.members.get(name)
            converted[java_name(name) if outward else name] = _convert(member, item, outward=outward)
        return converted
    if kind == "list" and isinstance(value, list):
        return [_convert(shape.member, item, outward=outward) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _convert(shape.value, item, outward=outward) for key, item in value.items()}
    if isinstance(value, datetime):
        return timestamp(value)
    return value.isoformat() if isinstance(value, date) else value


def error_name(service: str, error: ClientError | BotoCoreError) -> str:
    """What a Catch sees: Rds.DbInstanceNotFoundException; Ec2.Ec2Exception where the API's model has no such error."""
    prefix = _SERVICES.get(service.lower(), ("", service[:1].upper() + service[1:]))[1]
    if isinstance(error, BotoCoreError):
        return f"{prefix}.SdkClientException"
    shape = type(error).__name__
    if shape == "ClientError":
        return f"{prefix}.{prefix}Exception"
    name = java_name(shape).removesuffix("Fault")
    return f"{prefix}.{name}" if name.endswith("Exception") else f"{prefix}.{name}Exception"


def error_cause(service: str, error: ClientError | BotoCoreError) -> str:
    """The sentence that goes with the error's name."""
    if isinstance(error, BotoCoreError):
        return str(error)
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    prefix = error_name(service, error).partition(".")[0]
    status, request = metadata.get("HTTPStatusCode", 400), metadata.get("RequestId", "")
    message = error.response.get("Error", {}).get("Message", "")
    return f"{message} (Service: {prefix}, Status Code: {status}, Request ID: {request})"
