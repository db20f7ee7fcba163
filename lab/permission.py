"""What IAM asks of who makes an API call, and whether the policies of a role give it.

The facts are those of AWS's service authorization reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html):
which action an operation is, of what kind its resource is, and that an action without a kind of resource can be allowed
on "*" only. Identity policies alone are judged: no policy of a resource, no boundary, no policy of an organization. An
operation, an element of a policy or an operator that is not known here is refused, never guessed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

ACCOUNT = "123456789012"
# What AWS numbers, where a policy can name it by a wildcard only.
_GROUP_ID = "0f0e0d0c-0000-4000-8000-000000000000"
_INSTANCE_ID = "db-0F0E0D0C0B0A09080706050403"
_BACKUP_ID = "ab-0f0e0d0c0b0a09080706050403"
_STACK_ID = "0f0e0d0c-0000-4000-8000-000000000000"
_TEMPLATE_ID = "lt-0f0e0d0c0b0a09080"
_OF_RDS = ("kms:DescribeKey", "kms:CreateGrant")
type Keys = Mapping[str, str]
"""Which KMS key of the account encrypts a resource: its ARN by that of the topic, the bucket or the database."""
# IAM's own names for boto3's services, where they differ.
_IAM_NAMES = {
    "elbv2": "elasticloadbalancing",
    "service-quotas": "servicequotas",
    "stepfunctions": "states",
}
_READING = re.compile(r"(Describe|Get|List|Query|Scan|BatchGet|Head|Simulate)")
# Where a call of ours gives what it makes its tags.
_TAGGING = frozenset({"cloudformation", "ec2", "rds"})


class PermissionUnknown(Exception):
    """An operation, or a part of a policy, that this module does not know."""


@dataclass(frozen=True)
class Call:
    """One API call: boto3's names of the service and the operation, and the Region that it goes to."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    region: str
    account: str = ACCOUNT

    def arn(self, resource: str, service: str | None = None) -> str:
        """The ARN of a resource of the service that is called, in the Region that is called."""
        return f"arn:aws:{service or self.service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Need:
    """An action on one resource, `*` where the action has none, in its context (condition keys in lower case)."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


def reads_only(action: str) -> bool:
    """Whether an action changes nothing. Decrypting, connecting and invoking count as changing something."""
    return bool(_READING.match(action.partition(":")[2]))


# Operations.


def _nothing(_call: "Call", _keys: Keys) -> "list[Need]":
    return []


@dataclass(frozen=True)
class _Rule:
    """How an operation becomes needs."""

    resources: Callable[[Call], Sequence[str]]
    context: Callable[[Call], Mapping[str, str]] = lambda _: {}
    action: str | None = None
    """Where it is not named as the operation is."""
    with_key: tuple[str, ...] = ()
    """What is needed, too, on the KMS key that encrypts the resource, where that is one of the account's own."""
    beside: Callable[[Call, Keys], Sequence[Need]] = _nothing
    """What other actions are needed, too: AWS's reference calls them dependent."""


def _none(_: Call) -> list[str]:
    """The action has no kind of resource."""
    return ["*"]


def _named(kind: str, parameter: str) -> Callable[[Call], list[str]]:
    """The resource that a parameter names, or of which it is the ARN already."""

    def resources(call: Call) -> list[str]:
        value = str(call.parameters[parameter])
        return [value if value.startswith("arn:") else call.arn(f"{kind}{value}")]

    return resources


def _tables(call: Call) -> list[str]:
    return [call.arn(f"table/{name}") for name in call.parameters["RequestItems"]]


def _execution(call: Call) -> list[str]:
    return [str(call.parameters["executionArn"])]


def _machine(call: Call) -> list[str]:
    return [str(call.parameters["stateMachineArn"])]


def _group(call: Call) -> list[str]:
    name = call.parameters["AutoScalingGroupName"]
    return [call.arn(f"autoScalingGroup:{_GROUP_ID}:autoScalingGroupName/{name}")]


def _object(call: Call) -> list[str]:
    return [f"arn:aws:s3:::{call.parameters['Bucket']}/{call.parameters['Key']}"]


def _alarms(call: Call) -> list[str]:
    """Those that are named, or all; who asks for composite alarms, too, must be allowed to on "*"."""
    if "CompositeAlarm" in call.parameters.get("AlarmTypes", []):
        return ["*"]
    named = call.parameters.get("AlarmNames") or [call.parameters.get("AlarmName", "*")]
    return [call.arn(f"alarm:{name}") for name in named]


# Objects.


def _bucket(call: Call) -> list[str]:
    return [f"arn:aws:s3:::{call.parameters['Bucket']}"]


def _look_at_object(call: Call, _: Keys) -> list[Need]:
    """A key that is not there is told to who may list the bucket; anybody else is refused."""
    return [Need("s3:ListBucket", _bucket(call)[0], _of(call))]


def _job(call: Call) -> list[str]:
    return [f"arn:aws:s3:{call.region}:{call.account}:job/{call.parameters['JobId']}"]


def _pass_on(call: Call, _: Keys) -> list[Need]:
    context = _of(call) | {"iam:passedtoservice": "batchoperations.s3.amazonaws.com"}
    return [Need("iam:PassRole", str(call.parameters["RoleArn"]), context)]


# What a drill makes, and what readiness looks at.


def _stack(call: Call) -> list[str]:
    """CloudFormation numbers the stacks of a name; without a name no stack is the resource."""
    name = call.parameters.get("StackName")
    return [call.arn(f"stack/{name}/{_STACK_ID}")] if name else ["*"]


def _every_stack(call: Call, _: Keys) -> list[Need]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html"""
    return [] if "StackName" in call.parameters else [Need("cloudformation:ListStacks", "*", _of(call))]


def _new_stack(call: Call, keys: Keys) -> list[Need]:
    """It is given its tags, and made by a role."""
    tagged = [Need("cloudformation:TagResource", _stack(call)[0], _of(call))] if call.parameters.get("Tags") else []
    return [*tagged, *_made_by_role(call, keys)]


def _made_by_role(call: Call, _: Keys) -> list[Need]:
    if "RoleARN" not in call.parameters:
        return []
    context = _of(call) | {"iam:passedtoservice": "cloudformation.amazonaws.com"}
    return [Need("iam:PassRole", str(call.parameters["RoleARN"]), context)]


def _new_template(call: Call) -> list[str]:
    """EC2 numbers them, so that nobody knows the ARN by the name."""
    return [call.arn(f"launch-template/{_TEMPLATE_ID}")]


def _tagged_template(call: Call, _: Keys) -> list[Need]:
    if "TagSpecifications" not in call.parameters:
        return []
    context = _of(call) | _in_region(call) | {"ec2:createaction": "CreateLaunchTemplate"}
    return [Need("ec2:CreateTags", _new_template(call)[0], context)]


def _bus(call: Call) -> list[str]:
    names = dict.fromkeys(str(entry.get("EventBusName", "default")) for entry in call.parameters["Entries"])
    return [name if name.startswith("arn:") else call.arn(f"event-bus/{name}") for name in names]


def _zone(call: Call) -> list[str]:
    return [f"arn:aws:route53:::hostedzone/{str(call.parameters['HostedZoneId']).rpartition('/')[2]}"]


def _secret(call: Call) -> list[str]:
    """Secrets Manager puts six characters after the name."""
    name = str(call.parameters["SecretId"])
    return [name if name.startswith("arn:") else call.arn(f"secret:{name}-AbCdEf")]


def _quota(call: Call) -> list[str]:
    return [call.arn(f"{call.parameters['ServiceCode']}/{call.parameters['QuotaCode']}", "servicequotas")]


def _queue(call: Call) -> list[str]:
    return [call.arn(str(call.parameters["QueueUrl"]).rpartition("/")[2])]


# Databases.


def _databases(*more: Callable[[Call], Iterable[str]]) -> Callable[[Call], list[str]]:
    """The instance that is called, or made, and what the call names beside it. Who names none asks for all."""

    def resources(call: Call) -> list[str]:
        named = call.arn(f"db:{call.parameters.get('DBInstanceIdentifier', '*')}")
        return [named, *(resource for each in more for resource in each(call))]

    return resources


def _snapshot(call: Call, parameter: str = "DBSnapshotIdentifier") -> list[str]:
    return [call.arn(f"snapshot:{call.parameters[parameter]}")]


def _snapshots(call: Call) -> list[str]:
    """One by its name; those of an instance, which RDS names; or all."""
    if "DBSnapshotIdentifier" in call.parameters:
        return _snapshot(call)
    if "DBInstanceIdentifier" not in call.parameters:
        return [call.arn("db:*"), call.arn("snapshot:*")]
    identifier = call.parameters["DBInstanceIdentifier"]
    return [call.arn(f"db:{identifier}"), call.arn(f"snapshot:rds:{identifier}-2026-01-31-01-00")]


def _source(call: Call) -> list[str]:
    return [str(call.parameters["SourceDBInstanceIdentifier"])]


def _groups(call: Call) -> Iterator[str]:
    """Those that a new instance is given, or RDS gives it."""
    given = call.parameters
    yield call.arn(f"subgrp:{given.get('DBSubnetGroupName', 'default')}")
    yield call.arn(f"pg:{given.get('DBParameterGroupName', 'default.postgres18')}")
    yield call.arn(f"og:{given.get('OptionGroupName', 'default:postgres-18')}")


def _changed_groups(call: Call) -> Iterator[str]:
    kinds = {"DBSubnetGroupName": "subgrp", "DBParameterGroupName": "pg", "OptionGroupName": "og"}
    yield from (call.arn(f"{kind}:{call.parameters[name]}") for name, kind in kinds.items() if name in call.parameters)


def _backups(call: Call) -> list[str]:
    named = call.parameters.get("DBInstanceAutomatedBackupsArn")
    return [str(named)] if named else [call.arn("auto-backup:*"), call.arn("db:*")]


def _backups_of(call: Call) -> list[str]:
    return [str(call.parameters["SourceDBInstanceArn"]), call.arn(f"auto-backup:{_BACKUP_ID}")]


def _copied_snapshot(call: Call) -> list[str]:
    """The copy, and what it is a copy of."""
    source = str(call.parameters["SourceDBSnapshotIdentifier"])
    named = source if source.startswith("arn:") else call.arn(f"snapshot:{source}")
    return [named, *_snapshot(call, "TargetDBSnapshotIdentifier")]


def _copied(call: Call, keys: Keys) -> list[Need]:
    """The copy is given its tags; keys are used for who asks: the one that is named, and the source's."""
    source, target = _copied_snapshot(call)
    tagged = [Need("rds:AddTagsToResource", target, _of(call))] if call.parameters.get("Tags") else []
    used = [call.parameters.get("KmsKeyId"), keys.get(source)]
    return [*tagged, *(need for key in used if key for need in _key_of_rds(call, str(key)))]


def _target_and_backups(call: Call) -> list[str]:
    """The instance that is made, its groups, and the backups that it is made from, or the instance that they are of."""
    given = call.parameters
    backups = given.get("SourceDBInstanceAutomatedBackupsArn")
    source = str(backups) if backups else call.arn(f"db:{given.get('SourceDBInstanceIdentifier')}")
    return [call.arn(f"db:{given['TargetDBInstanceIdentifier']}"), source, *_groups(call)]


def _restored_in_time(call: Call, keys: Keys) -> list[Need]:
    target, source, *_ = _target_and_backups(call)
    tagged = [Need("rds:AddTagsToResource", target, _of(call))] if call.parameters.get("Tags") else []
    key = keys.get(source)
    return [*tagged, *(_key_of_rds(call, key) if key else [])]


def _key_of_rds(call: Call, key: str) -> list[Need]:
    context = _of(call) | {"kms:viaservice": f"rds.{key.split(':')[3]}.amazonaws.com"}
    return [Need(action, key, context) for action in _OF_RDS]


def _made_like_it(call: Call, keys: Keys) -> list[Need]:
    """Tags are given to what is made; keys are used for who asks: the one that is named, and the source's."""
    needs = [Need("rds:AddTagsToResource", call.arn(f"db:{call.parameters['DBInstanceIdentifier']}"), _of(call))]
    source = str(call.parameters.get("SourceDBInstanceIdentifier", ""))
    named = [call.parameters.get("KmsKeyId"), keys.get(source)]
    if "DBSnapshotIdentifier" in call.parameters:
        named.append(keys.get(_snapshot(call)[0]))
    used = [need for key in named if key for need in _key_of_rds(call, str(key))]
    return [*(needs if call.parameters.get("Tags") else []), *used]


def _tagged_snapshot(call: Call, keys: Keys) -> list[Need]:
    """It takes the tags of its instance along (CopyTagsToSnapshot)."""
    (snapshot,) = _snapshot(call)
    key = keys.get(call.arn(f"db:{call.parameters['DBInstanceIdentifier']}"))
    used = _key_of_rds(call, key) if key else []
    return [Need("rds:AddTagsToResource", snapshot, _of(call)), *used]


def _last_snapshot(call: Call, keys: Keys) -> list[Need]:
    if "FinalDBSnapshotIdentifier" not in call.parameters:
        return []
    (snapshot,) = _snapshot(call, "FinalDBSnapshotIdentifier")
    instance = call.arn(f"db:{call.parameters['DBInstanceIdentifier']}")
    taken = [Need("rds:CreateDBSnapshot", each, _of(call)) for each in (instance, snapshot)]
    return [*taken, Need("rds:AddTagsToResource", snapshot, _of(call))]


def _replicated_backups(call: Call, _: Keys) -> list[Need]:
    key = call.parameters.get("KmsKeyId")
    return _key_of_rds(call, str(key)) if key else []


def _database_user(call: Call) -> list[str]:
    # The policy is evaluated by the instance's resource id, which no caller knows.
    return [call.arn(f"dbuser:{_INSTANCE_ID}/{call.parameters['DBUsername']}", "rds-db")]


def _of(call: Call) -> dict[str, str]:
    """What the context of every request holds; the tags that it gives, too."""
    given = [*call.parameters.get("Tags", ()), *_specified(call)] if call.service in _TAGGING else ()
    tags = {f"aws:requesttag/{tag['Key'].lower()}": str(tag["Value"]) for tag in given}
    return {"aws:requestedregion": call.region, "aws:securetransport": "true"} | tags


def _specified(call: Call) -> Iterator[Mapping[str, str]]:
    for specification in call.parameters.get("TagSpecifications", ()):
        yield from specification["Tags"]


def _sources(call: Call) -> dict[str, str]:
    """All entries of ours have the same one."""
    return {"events:source": str(call.parameters["Entries"][0]["Source"])}


def _in_region(call: Call) -> dict[str, str]:
    return {"ec2:region": call.region}


def _namespace(call: Call) -> dict[str, str]:
    return {"cloudwatch:namespace": str(call.parameters["Namespace"])}


def _leading_key(call: Call) -> dict[str, str]:
    """The partition key, where the call names one: as all of ours, a text called `pk`, in a query by `pk = :pk`."""
    if "KeyConditionExpression" in call.parameters:
        values = call.parameters.get("ExpressionAttributeValues", {})
        key = values.get(":pk", {}) if call.parameters["KeyConditionExpression"].startswith("pk = :pk") else {}
    else:
        item = call.parameters.get("Item", call.parameters.get("Key"))
        key = item.get("pk", {}) if isinstance(item, Mapping) else {}
    return {"dynamodb:leadingkeys": key["S"]} if "S" in key else {}


_TABLE = _named("table/", "TableName")
_ACL = _Rule(_named("network-acl/", "NetworkAclId"), _in_region)
_RULES: Mapping[tuple[str, str], _Rule] = {
    ("acm", "DescribeCertificate"): _Rule(_named("certificate/", "CertificateArn")),
    ("autoscaling", "DescribeAutoScalingGroups"): _Rule(_none),
    ("autoscaling", "DescribeScalingActivities"): _Rule(_none),
    ("autoscaling", "ResumeProcesses"): _Rule(_group),
    # ec2:RunInstances is asked for, too, where the call names a launch template, which none of ours does.
    ("autoscaling", "UpdateAutoScalingGroup"): _Rule(_group),
    ("cloudformation", "CreateStack"): _Rule(_stack, beside=_new_stack),
    ("cloudformation", "DeleteStack"): _Rule(_stack, beside=_made_by_role),
    ("cloudformation", "DescribeStackEvents"): _Rule(_stack),
    ("cloudformation", "DescribeStacks"): _Rule(_stack, beside=_every_stack),
    ("cloudwatch", "DescribeAlarmHistory"): _Rule(_alarms),
    ("cloudwatch", "DescribeAlarms"): _Rule(_alarms),
    ("cloudwatch", "GetMetricData"): _Rule(_none),
    ("cloudwatch", "GetMetricStatistics"): _Rule(_none),
    ("cloudwatch", "PutMetricData"): _Rule(_none, _namespace),
    ("dynamodb", "BatchGetItem"): _Rule(_tables),
    ("dynamodb", "BatchWriteItem"): _Rule(_tables),
    ("dynamodb", "DeleteItem"): _Rule(_TABLE, _leading_key),
    ("dynamodb", "GetItem"): _Rule(_TABLE, _leading_key),
    ("dynamodb", "PutItem"): _Rule(_TABLE, _leading_key),
    ("dynamodb", "Query"): _Rule(_TABLE, _leading_key),
    ("dynamodb", "UpdateItem"): _Rule(_TABLE, _leading_key),
    ("ec2", "CreateNetworkAclEntry"): _ACL,
    ("ec2", "CreateLaunchTemplate"): _Rule(_new_template, _in_region, beside=_tagged_template),
    ("ec2", "DeleteLaunchTemplate"): _Rule(_new_template, _in_region),
    ("ec2", "DeleteNetworkAclEntry"): _ACL,
    ("ec2", "DescribeCapacityReservations"): _Rule(_none, _in_region),
    ("ec2", "DescribeImages"): _Rule(_none, _in_region),
    ("ec2", "DescribeInstanceTypeOfferings"): _Rule(_none, _in_region),
    ("ec2", "DescribeInstanceTypes"): _Rule(_none, _in_region),
    ("ec2", "DescribeInstances"): _Rule(_none, _in_region),
    ("ec2", "DescribeLaunchTemplateVersions"): _Rule(_none, _in_region),
    ("ec2", "DescribeLaunchTemplates"): _Rule(_none, _in_region),
    ("ec2", "DescribeNetworkAcls"): _Rule(_none, _in_region),
    ("elbv2", "DescribeListeners"): _Rule(_none),
    ("elbv2", "DescribeLoadBalancers"): _Rule(_none),
    ("elbv2", "DescribeTargetGroups"): _Rule(_none),
    ("elbv2", "DescribeTargetHealth"): _Rule(_none),
    ("events", "ListRuleNamesByTarget"): _Rule(_none),
    ("events", "ListRules"): _Rule(_none),
    ("events", "PutEvents"): _Rule(_bus, _sources),
    ("iam", "SimulatePrincipalPolicy"): _Rule(_named("role/", "PolicySourceArn")),
    ("kms", "DescribeKey"): _Rule(_named("key/", "KeyId")),
    ("lambda", "GetFunction"): _Rule(_named("function:", "FunctionName")),
    ("lambda", "Invoke"): _Rule(_named("function:", "FunctionName"), action="lambda:InvokeFunction"),
    # Who names its resource tags it.
    ("rds", "AddTagsToResource"): _Rule(_named("", "ResourceName")),
    ("rds", "CopyDBSnapshot"): _Rule(_copied_snapshot, beside=_copied),
    ("rds", "CreateDBInstanceReadReplica"): _Rule(_databases(_source, _groups), beside=_made_like_it),
    ("rds", "CreateDBSnapshot"): _Rule(_databases(_snapshot), beside=_tagged_snapshot),
    ("rds", "DeleteDBInstance"): _Rule(_databases(), beside=_last_snapshot),
    ("rds", "DeleteDBSnapshot"): _Rule(_snapshot),
    ("rds", "DescribeAccountAttributes"): _Rule(_none),
    ("rds", "DescribeDBInstanceAutomatedBackups"): _Rule(_backups),
    ("rds", "DescribeDBInstances"): _Rule(_databases()),
    ("rds", "DescribeDBParameters"): _Rule(_named("pg:", "DBParameterGroupName")),
    ("rds", "DescribeDBSnapshots"): _Rule(_snapshots),
    # No call: boto3 signs the token by itself, and the database asks IAM when it is given one.
    ("rds", "GenerateDBAuthToken"): _Rule(_database_user, action="rds-db:connect"),
    ("rds", "ModifyDBInstance"): _Rule(_databases(_changed_groups)),
    ("rds", "PromoteReadReplica"): _Rule(_databases()),
    ("rds", "RebootDBInstance"): _Rule(_databases()),
    ("rds", "RestoreDBInstanceFromDBSnapshot"): _Rule(_databases(_snapshot, _groups), beside=_made_like_it),
    ("rds", "RestoreDBInstanceToPointInTime"): _Rule(_target_and_backups, beside=_restored_in_time),
    ("rds", "StartDBInstance"): _Rule(_databases()),
    ("rds", "StartDBInstanceAutomatedBackupsReplication"): _Rule(_backups_of, beside=_replicated_backups),
    ("route53", "ListHealthChecks"): _Rule(_none),
    ("route53", "ListHostedZones"): _Rule(_none),
    ("route53", "ListResourceRecordSets"): _Rule(_zone),
    ("s3", "GetBucketReplication"): _Rule(_bucket, action="s3:GetReplicationConfiguration"),
    ("s3", "GetObject"): _Rule(_object, with_key=("kms:Decrypt",)),
    # Of one with a key of KMS it tells all but what is in it, so that the key is not used.
    ("s3", "HeadObject"): _Rule(_object, action="s3:GetObject", beside=_look_at_object),
    ("s3", "ListObjectVersions"): _Rule(_bucket, action="s3:ListBucketVersions"),
    ("s3", "PutObject"): _Rule(_object, with_key=("kms:GenerateDataKey",)),
    # A job that does not exist yet has no ARN.
    ("s3control", "CreateJob"): _Rule(_none, action="s3:CreateJob", beside=_pass_on),
    ("s3control", "DescribeJob"): _Rule(_job, action="s3:DescribeJob"),
    ("scheduler", "ListSchedules"): _Rule(_none),
    ("secretsmanager", "DescribeSecret"): _Rule(_secret),
    ("service-quotas", "GetServiceQuota"): _Rule(_quota),
    ("sns", "ListSubscriptionsByTopic"): _Rule(_named("", "TopicArn")),
    ("sqs", "GetQueueAttributes"): _Rule(_queue),
    # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html: the publisher uses the key, not SNS.
    ("sns", "Publish"): _Rule(_named("", "TopicArn"), with_key=("kms:Decrypt", "kms:GenerateDataKey")),
    ("stepfunctions", "DescribeExecution"): _Rule(_execution),
    ("stepfunctions", "DescribeStateMachine"): _Rule(_machine),
    ("stepfunctions", "GetExecutionHistory"): _Rule(_execution),
    ("stepfunctions", "ListExecutions"): _Rule(_machine),
    # The token names the task, and there is no kind of resource.
    ("stepfunctions", "SendTaskFailure"): _Rule(_none),
    ("stepfunctions", "SendTaskSuccess"): _Rule(_none),
    ("stepfunctions", "StartExecution"): _Rule(_machine),
    ("stepfunctions", "StopExecution"): _Rule(_execution),
}

# Of an object: what it is called where the call names one of its versions.
_OF_A_VERSION = {"s3:GetObject": "s3:GetObjectVersion"}


def known_operations() -> list[tuple[str, str]]:
    """Service and operation of each call that `needs` can judge."""
    return list(_RULES)


def needs(call: Call, keys: Keys | None = None) -> list[Need]:
    """What a call needs; PermissionUnknown for an operation that has no row here."""
    rule = _RULES.get((call.service, call.operation))
    if rule is None:
        raise PermissionUnknown(
            f"{call.service} {call.operation} is called and lab/permission.py does not know it: "
            "look the action up in AWS's service authorization reference, give it a row, and allow it where it is made"
        )
    context, action = _of(call), rule.action or f"{_IAM_NAMES.get(call.service, call.service)}:{call.operation}"
    if "VersionId" in call.parameters:
        action = _OF_A_VERSION.get(action, action)
    found = []
    for resource in rule.resources(call):
        found.append(Need(action, resource, context | dict(rule.context(call))))
        if key := (keys or {}).get(resource.partition("/")[0]):
            via = {"kms:viaservice": f"{call.service}.{call.region}.amazonaws.com"}
            found += [Need(each, key, context | via) for each in rule.with_key]
    return [*found, *rule.beside(call, keys or {})]


# Policies.


@dataclass(frozen=True)
class Statement:
    """One statement of an identity policy. `conditions` are operator, key in lower case, and values."""

    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    not_actions: bool = False
    """`actions` are those that it is not about."""
    not_resources: bool = False

    @classmethod
    def parse(cls, statement: Mapping[str, Any]) -> "Statement":
        """PermissionUnknown for an element that an identity policy does not have, or that is not known here."""
        unknown = statement.keys() - {
            *("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"),
        }
        if unknown or statement.get("Effect") not in ("Allow", "Deny"):
            raise PermissionUnknown(f"a statement of an identity policy with {sorted(unknown) or 'no Effect'}")
        return cls(
            allow=statement["Effect"] == "Allow",
            actions=_texts(statement.get("Action", statement.get("NotAction"))),
            resources=_texts(statement.get("Resource", statement.get("NotResource"))),
            conditions=tuple(
                (operator, key.lower(), _texts(values))
                for operator, test in statement.get("Condition", {}).items()
                for key, values in test.items()
            ),
            not_actions="NotAction" in statement,
            not_resources="NotResource" in statement,
        )

    @property
    def unconditional(self) -> "Statement":
        """The statement without its conditions."""
        return replace(self, conditions=())

    def covers(self, need: Need) -> bool:
        """Whether the statement is about that action, on that resource, in that context."""
        return (
            any(_matches(each.lower(), need.action.lower()) for each in self.actions) is not self.not_actions
            and any(_names(each, need.resource) for each in self.resources) is not self.not_resources
            and all(_holds(operator, key, values, need.context) for operator, key, values in self.conditions)
        )


def statements(policies: Iterable[Mapping[str, Any]]) -> list[Statement]:
    """All statements of these policy documents."""
    found = []
    for document in policies:
        written = document["Statement"]
        found += [Statement.parse(each) for each in (written if isinstance(written, list) else [written])]
    return found


def allowed(given: Iterable[Statement], need: Need) -> bool:
    """Whether IAM would let it pass: some statement allows it, and none denies it."""
    covering = [statement for statement in given if statement.covers(need)]
    return bool(covering) and all(statement.allow for statement in covering)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        raise PermissionUnknown("a statement needs an action and a resource")
    texts = tuple(str(each) for each in (value if isinstance(value, list) else [value]))
    if variables := [text for text in texts if "${" in text]:
        raise PermissionUnknown(f"policy variables are not known here: {', '.join(variables)}")
    return texts


@cache
def _pattern(text: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", text))
    return re.compile("".join(parts), re.DOTALL)


def _matches(pattern: str, text: str) -> bool:
    return _pattern(pattern).fullmatch(text) is not None


def _segments(text: str) -> list[str]:
    return text.split(":", 5)


def _names(pattern: str, resource: str) -> bool:
    """A wildcard stays within its part of the ARN: stricter than IAM, so that nothing passes here and not there."""
    if pattern == "*" or resource == "*":
        return pattern == "*"
    ours, theirs = _segments(pattern), _segments(resource)
    return len(ours) == len(theirs) and all(map(_matches, ours, theirs))


def _same(wanted: str, given: str) -> bool:
    return wanted == given


def _same_truth(wanted: str, given: str) -> bool:
    return wanted.lower() == given.lower()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": _names,
    "ArnLike": _names,
    "Bool": _same_truth,
    "StringEquals": _same,
    "StringLike": _matches,
}
_FOR_ALL = "ForAllValues:"
_NEGATED = {"ArnNotEquals": "ArnEquals", "ArnNotLike": "ArnLike", "StringNotEquals": "StringEquals"}


def _holds(operator: str, key: str, values: Sequence[str], context: Mapping[str, str]) -> bool:
    """A key that the request does not have fails a test, and passes a negated one and one for all of its values.

    Of a key with several values there is one value at most here.
    """
    name = operator.removeprefix(_FOR_ALL).removesuffix("IfExists")
    negated = name in _NEGATED
    test = _OPERATORS.get(_NEGATED.get(name, name))
    if operator == "Null":
        return any((each.lower() == "true") is (key not in context) for each in values)
    if test is None:
        raise PermissionUnknown(f"the operator {operator} of a policy's condition is not known here")
    if key not in context:
        return negated or operator.startswith(_FOR_ALL) or operator.endswith("IfExists")
    return any(test(each, context[key]) for each in values) is not negated


# What is more than it should be, or less.


def denied(given: Sequence[Statement], wanted: Iterable[Need]) -> list[Need]:
    """Those of the needs that the statements do not give, each once."""
    found = (need for need in wanted if not allowed(given, need))
    return list({(need.action, need.resource): need for need in found}.values())


@dataclass(frozen=True)
class Allow:
    """One action on one resource of one statement that allows it; `statement` counts from 0."""

    statement: int
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


def allows(given: Sequence[Statement]) -> Iterator[Allow]:
    """Every single thing that the statements allow; PermissionUnknown where that is "everything but"."""
    for index, statement in enumerate(given):
        if not statement.allow:
            continue
        if statement.not_actions or statement.not_resources:
            raise PermissionUnknown("an Allow with NotAction or NotResource allows what nobody has named")
        for action in statement.actions:
            yield from (Allow(index, action, resource) for resource in statement.resources)


def unused(given: Sequence[Statement], wanted: Sequence[Need]) -> list[Allow]:
    """What is allowed, and none of the needs asks for. An action with a wildcard is one that nothing asks for."""
    return [allow for allow in allows(given) if not any(_uses(given[allow.statement], allow, need) for need in wanted)]


def _uses(statement: Statement, allow: Allow, need: Need) -> bool:
    return (
        need.action.lower() == allow.action.lower() and _names(allow.resource, need.resource) and statement.covers(need)
    )


def without(given: Sequence[Statement], allow: Allow) -> list[Statement]:
    """The statements, less one action on one resource."""
    left = []
    for index, statement in enumerate(given):
        if index != allow.statement:
            left.append(statement)
            continue
        others = tuple(action for action in statement.actions if action != allow.action)
        rest = tuple(resource for resource in statement.resources if resource != allow.resource)
        left += [Statement(True, others, statement.resources, statement.conditions)] if others else []
        left += [Statement(True, (allow.action,), rest, statement.conditions)] if rest else []
    return left
