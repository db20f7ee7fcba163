"""One Region as its templates describe it: all nested stacks, conditions decided, values evaluated, nothing deployed.

A Ref to a resource becomes the name that its own template gives it, and an ARN where AWS's Ref is one; what AWS would
number (`vpc-...`) becomes the resource's path, such as `Network/Vpc`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lab.expression import Expression, Scope
from lab.parameter import resolve
from lab.template import Template, load, transform

ROOT = Path(__file__).parents[2]
REGIONS = {"primary": "eu-west-1", "dr": "eu-central-1"}
ACCOUNT = "123456789012"
_OTHER = {"primary": "dr", "dr": "primary"}
_KEY = "arn:aws:kms:{region}:" + ACCOUNT + ":key/{which}"
# Service and resource part of an ARN, and the property with the name.
_ARNS = {
    "AWS::DynamoDB::Table": ("dynamodb", "table/{TableName}"),
    "AWS::Lambda::Function": ("lambda", "function:{FunctionName}"),
    "AWS::Lambda::LayerVersion": ("lambda", "layer:{LayerName}:1"),
    "AWS::Logs::LogGroup": ("logs", "log-group:{LogGroupName}:*"),
    "AWS::RDS::DBInstance": ("rds", "db:{DBInstanceIdentifier}"),
    "AWS::SNS::Topic": ("sns", "{TopicName}"),
    "AWS::SQS::Queue": ("sqs", "{QueueName}"),
    "AWS::StepFunctions::StateMachine": ("states", "stateMachine:{StateMachineName}"),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "alarm:{AlarmName}"),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch", "alarm:{AlarmName}"),
}
_REF_IS_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine", "AWS::Lambda::LayerVersion"}
_NAMES = {
    "AWS::AutoScaling::AutoScalingGroup": "AutoScalingGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::IAM::Role": "RoleName",
}


@dataclass(frozen=True)
class Resource:
    """A resource of a Region."""

    path: str
    """`Database/Primary`: the nested stack's logical id, and its own."""
    stack: str
    """The file that describes it: `database`; `template` for the root."""
    type: str
    properties: Mapping[str, Any]
    whole: Mapping[str, Any]
    """As it is written, with policies and Metadata."""
    arn: str | None
    """Where AWS would know it; None for a type that is named by nobody."""


@dataclass(frozen=True)
class Region:
    """All resources of a Region by their path, and the root stack's outputs."""

    name: str
    role: str
    resources: Mapping[str, Resource]
    outputs: Mapping[str, str]

    def of(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The properties of each resource of that type, by path."""
        return {path: each.properties for path, each in self.resources.items() if each.type == kind}

    def __getitem__(self, path: str) -> Mapping[str, Any]:
        return self.resources[path].properties


def given(role: str) -> dict[str, str]:
    """The parameters that template.yaml has no default for, or needs beside its defaults."""
    region, peer = REGIONS[role], REGIONS[_OTHER[role]]
    return {
        "Role": role,
        "PeerRegion": peer,
        "PeerReady": "true",
        "Domain": "shop.example.com",
        "NameServers": "ns-1.awsdns-01.org",
        "CertificateArn": f"arn:aws:acm:{region}:{ACCOUNT}:certificate/1",
        "DataKeyArn": _KEY.format(region=region, which="data"),
        "PeerDataKeyArn": _KEY.format(region=peer, which="data"),
        "TopicKeyArn": _KEY.format(region=region, which="topic"),
        "NetworkPrefix": {"primary": "10.10", "dr": "10.20"}[role],
        "PeerNetworkPrefix": {"primary": "10.20", "dr": "10.10"}[role],
        "PeerNetworkAclId": "acl-0peer",
        "SourceDatabaseArn": f"arn:aws:rds:{peer}:{ACCOUNT}:db:shop-primary" if role == "dr" else "",
        **({"MinSize": "1", "DesiredCapacity": "2"} if role == "primary" else {}),
    }


def region(role: str, **parameters: str) -> Region:
    """template.yaml in that role. `parameters` take the place of those of `given`."""
    return _region(role, tuple(sorted({**given(role), **parameters}.items())))


@cache
def _region(role: str, parameters: tuple[tuple[str, str], ...]) -> Region:
    stack = _Evaluated(ROOT / "template.yaml", REGIONS[role], dict(parameters), "")
    return Region(REGIONS[role], role, {each.path: each for each in stack.every()}, stack.outputs())


def global_stack(**parameters: str) -> Region:
    """stacks/global.yaml, for the two Regions."""
    primary, dr = (region(role).outputs for role in REGIONS)
    everything = {
        "Domain": "shop.example.com",
        "HostedZoneId": "Z0EXAMPLE",
        "PrimaryRegion": REGIONS["primary"],
        "DrRegion": REGIONS["dr"],
        "PrimaryBalancerName": primary["BalancerName"],
        "PrimaryBalancerZoneId": "Z32O12XQLNTSW2",
        "DrBalancerName": dr["BalancerName"],
        "DrBalancerZoneId": "Z215JYRZR1TBD5",
        **parameters,
    }
    stack = _Evaluated(ROOT / "stacks" / "global.yaml", "us-east-1", everything, "")
    return Region("us-east-1", "global", {each.path: each for each in stack.every()}, stack.outputs())


def keys(role: str) -> Region:
    """stacks/keys.yaml in that Region."""
    stack = _Evaluated(ROOT / "stacks" / "keys.yaml", REGIONS[role], {}, "")
    return Region(REGIONS[role], role, {each.path: each for each in stack.every()}, stack.outputs())


@cache
def _template(path: Path, name: str) -> Template:
    return transform(load(path), name, {})


class _Evaluated:
    """One stack and those in it."""

    def __init__(self, path: Path, name: str, parameters: dict[str, Any], prefix: str) -> None:
        self._path, self._name, self._prefix = path, name, prefix
        self._template = _template(path, name)
        self._nested: dict[str, _Evaluated] = {}
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::Region": name,
            "AWS::StackName": "relight-shop",
            "AWS::URLSuffix": "amazonaws.com",
        }
        self._scope = Scope(
            parameters=pseudo | resolve(self._template, parameters, lambda _: "ami-12345678"),
            mappings=self._template.body.get("Mappings") or {},
            conditions=self._template.body.get("Conditions") or {},
            ref=self._ref,
            attribute=self._attribute,
            zones=lambda _: [f"{name}{letter}" for letter in "abc"],
        )

    def every(self) -> Iterator[Resource]:
        for name, resource in self._present():
            if resource["Type"] == "AWS::CloudFormation::Stack":
                yield from self._inside(name).every()
                continue
            properties, kind = self._properties(name), resource["Type"]
            arn = self._arn(name, kind, properties) if kind in _ARNS else None
            yield Resource(self._prefix + name, self._path.stem, kind, properties, resource, arn)

    def outputs(self) -> dict[str, str]:
        found = {}
        for name, output in (self._template.body.get("Outputs") or {}).items():
            if "Condition" not in output or self._expression(name).condition(output["Condition"]):
                value = self._expression(name).value(output["Value"])
                found[name] = value if isinstance(value, str) else str(value)
        return found

    def _present(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, resource in self._template.resources.items():
            if "Condition" not in resource or self._expression(name).condition(resource["Condition"]):
                yield name, resource

    def _expression(self, name: str) -> Expression:
        return Expression(self._scope, f"{self._path.name} {name}")

    def _properties(self, name: str) -> dict[str, Any]:
        properties = self._template.resources[name].get("Properties") or {}
        evaluated: dict[str, Any] = self._expression(name).value(properties)
        return evaluated

    def _inside(self, name: str) -> "_Evaluated":
        if name not in self._nested:
            properties = self._properties(name)
            path = self._path.parent / properties["TemplateURL"]
            parameters = dict(properties.get("Parameters", {}))
            self._nested[name] = _Evaluated(path, self._name, parameters, f"{self._prefix}{name}/")
        return self._nested[name]

    def _arn(self, name: str, kind: str, properties: Mapping[str, Any]) -> str:
        service, resource = _ARNS[kind]
        try:
            return f"arn:aws:{service}:{self._name}:{ACCOUNT}:{resource.format_map(properties)}"
        except KeyError:
            return f"arn:aws:{service}:{self._name}:{ACCOUNT}:{self._prefix}{name}"

    def _ref(self, name: str) -> str:
        kind = self._template.resources[name]["Type"]
        if kind in _REF_IS_ARN:
            return self._arn(name, kind, self._properties(name))
        own = _NAMES.get(kind) or (_ARNS[kind][1].partition("{")[2].partition("}")[0] if kind in _ARNS else "")
        properties = self._properties(name) if own else {}
        return str(properties.get(own, self._prefix + name))

    def _attribute(self, name: str, attribute: str) -> Any:
        kind = self._template.resources[name]["Type"]
        if kind == "AWS::CloudFormation::Stack":
            return self._inside(name).outputs()[attribute.removeprefix("Outputs.")]
        if kind == "AWS::S3::Bucket" and attribute == "Arn":
            return f"arn:aws:s3:::{self._ref(name)}"
        if kind in _ARNS and attribute in {"Arn", "DBInstanceArn", "TopicArn"}:
            return self._arn(name, kind, self._properties(name))
        if attribute == "DNSName":
            return f"{self._properties(name)['Name']}-1.{self._name}.elb.amazonaws.com"
        if attribute in {"QueueName", "TopicName"}:
            return self._properties(name)[attribute]
        return f"{self._prefix}{name}.{attribute}"
