"""DynamoDB, S3 and the parameter store."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from lab.resources.argument import tag_argument
from lab.resources.kind import Kind, Made, Properties, Request

_TABLE = frozenset(
    [
        "AttributeDefinitions",
        "BillingMode",
        "DeletionProtectionEnabled",
        "GlobalSecondaryIndexes",
        "KeySchema",
        "LocalSecondaryIndexes",
        "OnDemandThroughput",
        "ProvisionedThroughput",
        "SSESpecification",
        "StreamSpecification",
        "TableClass",
        "TableName",
        "Tags",
    ]
)
_LATER = frozenset({"PointInTimeRecoverySpecification", "TimeToLiveSpecification"})


def _create_table(request: Request) -> Made:
    own: Properties = {"TableName": request.name(255)} | request.properties
    given = {key: own[key] for key in _TABLE if key in own}
    if "SSESpecification" in given:
        specification = dict(given["SSESpecification"])
        given["SSESpecification"] = {"Enabled": specification.pop("SSEEnabled")} | specification
    if "StreamSpecification" in given:
        given["StreamSpecification"] = {"StreamEnabled": True} | given["StreamSpecification"]
    table = request.call("dynamodb", "create_table", **given)["TableDescription"]
    made = Made(own["TableName"], {"Arn": table["TableArn"], "StreamArn": table.get("LatestStreamArn", "")})
    return _update_table(request, made, _LATER & own.keys())


def _update_table(request: Request, made: Made, changed: frozenset[str]) -> Made:
    own, table = request.properties, made.physical_id
    if "PointInTimeRecoverySpecification" in changed:
        request.call(
            "dynamodb",
            "update_continuous_backups",
            TableName=table,
            PointInTimeRecoverySpecification=own["PointInTimeRecoverySpecification"],
        )
    if "TimeToLiveSpecification" in changed:
        specification = _time_to_live(request)
        request.call("dynamodb", "update_time_to_live", TableName=table, TimeToLiveSpecification=specification)
    if "DeletionProtectionEnabled" in changed:
        protected = own.get("DeletionProtectionEnabled", False)
        request.call("dynamodb", "update_table", TableName=table, DeletionProtectionEnabled=protected)
    return made


def _time_to_live(request: Request) -> Properties:
    """DynamoDB moves it to no other attribute while it is on; moto does."""
    before = request.before.get("TimeToLiveSpecification", {"Enabled": False})
    after = request.properties.get("TimeToLiveSpecification", before | {"Enabled": False})
    if before["Enabled"] and before["AttributeName"] != after.get("AttributeName"):
        raise request.refusal("TimeToLive is active on a different AttributeName", "switch it off first")
    return dict(after)


def _delete_table(request: Request, made: Made) -> None:
    request.call("dynamodb", "delete_table", TableName=made.physical_id)


def _encryption(value: Any) -> Properties:
    rules = [
        {"ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault", {})}
        | {key: rule[key] for key in ("BucketKeyEnabled",) if key in rule}
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _same(argument: str) -> Callable[[Any], Properties]:
    return lambda value: {argument: value}


# Property -> the call that sets it and its argument.
_BUCKET_CALLS: Mapping[str, tuple[str, Callable[[Any], Properties]]] = {
    "VersioningConfiguration": ("put_bucket_versioning", _same("VersioningConfiguration")),
    "PublicAccessBlockConfiguration": ("put_public_access_block", _same("PublicAccessBlockConfiguration")),
    "OwnershipControls": ("put_bucket_ownership_controls", _same("OwnershipControls")),
    "BucketEncryption": ("put_bucket_encryption", _encryption),
    "ReplicationConfiguration": ("put_bucket_replication", _same("ReplicationConfiguration")),
    "Tags": ("put_bucket_tagging", lambda tags: {"Tagging": {"TagSet": tag_argument("list", tags)["Tags"]}}),
}
# Property -> the call that takes it away. Versioning stays: it can be suspended and never ended.
_BUCKET_REMOVALS: Mapping[str, str] = {
    "PublicAccessBlockConfiguration": "delete_public_access_block",
    "OwnershipControls": "delete_bucket_ownership_controls",
    "BucketEncryption": "delete_bucket_encryption",
    "ReplicationConfiguration": "delete_bucket_replication",
    "Tags": "delete_bucket_tagging",
}


def _create_bucket(request: Request) -> Made:
    name = str(request.properties.get("BucketName") or request.name(63).lower())
    _check_replication(request)
    place = {"LocationConstraint": request.place.region} if request.place.region != "us-east-1" else None
    request.call("s3", "create_bucket", Bucket=name, CreateBucketConfiguration=place)
    region = request.place.region
    made = Made(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
        },
    )
    _set(request, name, frozenset(request.properties))
    return made


def _update_bucket(request: Request, made: Made, changed: frozenset[str]) -> Made:
    if "ReplicationConfiguration" in changed:
        _check_replication(request)
    _set(request, made.physical_id, changed)
    return made


def _set(request: Request, bucket: str, changed: frozenset[str]) -> None:
    # Versioning comes first: replication needs it.
    for name, (operation, argument) in _BUCKET_CALLS.items():
        if name in changed & request.properties.keys():
            request.call("s3", operation, Bucket=bucket, **argument(request.properties[name]))
        elif name in changed & _BUCKET_REMOVALS.keys():
            request.call("s3", _BUCKET_REMOVALS[name], Bucket=bucket)


def _check_replication(request: Request) -> None:
    """S3 refuses a rule towards a bucket that does not exist or keeps no versions; moto takes it."""
    for rule in request.properties.get("ReplicationConfiguration", {"Rules": []})["Rules"]:
        if rule.get("Filter", {}).keys() & {"TagFilter", "And"}:
            raise request.refusal("the lab replicates by no filter but a prefix", "use Prefix")
        bucket = str(rule["Destination"]["Bucket"]).rpartition(":")[2]
        do = "create the other Region's bucket first"
        try:
            versioning = request.call("s3", "get_bucket_versioning", Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
            raise request.refusal(f"PutBucketReplication: the destination {bucket} does not exist", do) from error
        if versioning.get("Status") != "Enabled":
            raise request.refusal(f"PutBucketReplication: the destination {bucket} keeps no versions", do)


def _delete_bucket(request: Request, made: Made) -> None:
    """Unlike CloudFormation, with what is in it: a lab's bucket ends with the lab."""
    listed = request.call("s3", "list_object_versions", Bucket=made.physical_id)
    for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        request.call("s3", "delete_object", Bucket=made.physical_id, Key=item["Key"], VersionId=item["VersionId"])
    request.call("s3", "delete_bucket", Bucket=made.physical_id)


_WITHOUT_TLS = {"Bool": {"aws:SecureTransport": "false"}}


def _put_bucket_policy(request: Request) -> Made:
    """moto reads no Condition, and the lab's API speaks no TLS: what is denied without TLS would be denied to all."""
    own, document = request.properties, request.properties["PolicyDocument"]
    kept = [statement for statement in document["Statement"] if statement.get("Condition") != _WITHOUT_TLS]
    if kept:
        policy = document | {"Statement": kept}
        request.call("s3", "put_bucket_policy", Bucket=own["Bucket"], Policy=policy)
    return Made(own["Bucket"])


def _update_bucket_policy(request: Request, _: Made, __: frozenset[str]) -> Made:
    return _put_bucket_policy(request)


def _delete_bucket_policy(request: Request, made: Made) -> None:
    request.call("s3", "delete_bucket_policy", Bucket=made.physical_id)


def _put_parameter(request: Request) -> Made:
    own: Properties = {"Name": request.name()} | request.properties
    tags = tag_argument("list", own.pop("Tags", {}))["Tags"]
    request.call("ssm", "put_parameter", **own, Tags=tags or None)
    return Made(own["Name"], {"Type": own["Type"], "Value": own["Value"]})


def _update_parameter(request: Request, made: Made, _: frozenset[str]) -> Made:
    own: Properties = {"Name": made.physical_id} | request.properties
    own.pop("Tags", None)
    request.call("ssm", "put_parameter", **own, Overwrite=True)
    return Made(made.physical_id, {"Type": own["Type"], "Value": own["Value"]})


def _delete_parameter(request: Request, made: Made) -> None:
    request.call("ssm", "delete_parameter", Name=made.physical_id)


KINDS = [
    Kind(
        type="AWS::DynamoDB::Table",
        properties=_TABLE | _LATER,
        create=_create_table,
        update=_update_table,
        delete=_delete_table,
        fixed=_TABLE - {"DeletionProtectionEnabled", "Tags"},
        attributes=frozenset({"Arn", "StreamArn"}),
        holds_data=True,
    ),
    Kind(
        type="AWS::S3::Bucket",
        properties=frozenset({"BucketName", *_BUCKET_CALLS}),
        create=_create_bucket,
        update=_update_bucket,
        delete=_delete_bucket,
        fixed=frozenset({"BucketName"}),
        attributes=frozenset({"Arn", "DomainName", "RegionalDomainName"}),
        harmless={
            "LifecycleConfiguration": "no object of the lab lives for a day",
            "LoggingConfiguration": "access logs are not imitated",
        },
        holds_data=True,
    ),
    Kind(
        type="AWS::S3::BucketPolicy",
        properties=frozenset({"Bucket", "PolicyDocument"}),
        create=_put_bucket_policy,
        update=_update_bucket_policy,
        delete=_delete_bucket_policy,
        fixed=frozenset({"Bucket"}),
    ),
    Kind(
        type="AWS::SSM::Parameter",
        properties=frozenset({"Name", "Type", "Value", "Description", "Tier", "AllowedPattern", "Tags"}),
        create=_put_parameter,
        update=_update_parameter,
        delete=_delete_parameter,
        fixed=frozenset({"Name", "Type"}),
        attributes=frozenset({"Type", "Value"}),
    ),
]
