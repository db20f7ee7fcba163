"""What stacks leave standing because it holds data: the command that removes each kind of thing, and its removal."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import Aws, asking, code_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.stack import Resource
from relight_cli.surroundings import aws_here

_COMMANDS: Mapping[str, str] = {
    "AWS::RDS::DBInstance": (
        "{aws} rds modify-db-instance --db-instance-identifier {id} --no-deletion-protection --apply-immediately "
        "--region {region} && {aws} rds delete-db-instance --db-instance-identifier {id} "
        "--final-db-snapshot-identifier {id}-final --region {region}"
    ),
    "AWS::RDS::DBSubnetGroup": "{aws} rds delete-db-subnet-group --db-subnet-group-name {id} --region {region}",
    "AWS::RDS::DBParameterGroup": (
        "{aws} rds delete-db-parameter-group --db-parameter-group-name {id} --region {region}"
    ),
    "AWS::S3::Bucket": (
        "delete every version in it (console: Empty), then {aws} s3api delete-bucket --bucket {id} --region {region}"
    ),
    "AWS::DynamoDB::Table": (
        "{aws} dynamodb update-table --table-name {id} --no-deletion-protection-enabled --region {region} && "
        "{aws} dynamodb delete-table --table-name {id} --region {region}"
    ),
    "AWS::SecretsManager::Secret": "{aws} secretsmanager delete-secret --secret-id {id} --region {region}",
    "AWS::KMS::Key": (
        "{aws} kms schedule-key-deletion --key-id {id} --pending-window-in-days 30 --region {region} "
        "(only when nothing is left that it encrypts)"
    ),
    "AWS::Logs::LogGroup": "{aws} logs delete-log-group --log-group-name {id} --region {region}",
    "AWS::EC2::Subnet": "{aws} ec2 delete-subnet --subnet-id {id} --region {region}",
    "AWS::EC2::SecurityGroup": "{aws} ec2 delete-security-group --group-id {id} --region {region}",
    "AWS::EC2::VPC": "{aws} ec2 delete-vpc --vpc-id {id} --region {region}",
    "AWS::EC2::NetworkAcl": "{aws} ec2 delete-network-acl --network-acl-id {id} --region {region}",
    "AWS::EC2::RouteTable": "{aws} ec2 delete-route-table --route-table-id {id} --region {region}",
}
_KEY_DAYS = 30
_SECRET_DAYS = 7
_GONE = frozenset(
    {"DBInstanceNotFound", "DBInstanceNotFoundFault", "NoSuchBucket", "ResourceNotFoundException", "NotFoundException"}
)


def command(resource: Resource, region: str) -> str:
    """How a person removes it."""
    text = _COMMANDS.get(resource.kind, "delete it in the console, or with the AWS CLI")
    return text.format(aws=aws_here(), id=resource.physical_id, region=region)


@dataclass(frozen=True)
class Remains:
    """Removes what holds data, for whoever has said so by name."""

    aws: Aws
    look_every: float
    seconds: float
    """How long the deletion of a database may take."""

    def knows(self, kind: str) -> bool:
        """Whether things of that kind can be removed here."""
        return kind in self._ways()

    def delete(self, resource: Resource, region: str) -> str:
        """Remove it, unless it is gone: a sentence where something of it lives on for a while, or no text."""
        try:
            with asking(f"delete {resource.physical_id}"):
                try:
                    return self._ways()[resource.kind](resource.physical_id, region)
                except ClientError as error:
                    if code_of(error) in _GONE:
                        return ""
                    raise
        except KeyError:
            return command(resource, region)

    def _ways(self) -> Mapping[str, Callable[[str, str], str]]:
        return {
            "AWS::RDS::DBInstance": self._database,
            "AWS::S3::Bucket": self._bucket,
            "AWS::DynamoDB::Table": self._table,
            "AWS::SecretsManager::Secret": self._secret,
            "AWS::KMS::Key": self._key,
            "AWS::Logs::LogGroup": self._log_group,
        }

    def _database(self, name: str, region: str) -> str:
        rds = self.aws.client("rds", region)
        described = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        if described.get("DeletionProtection"):
            rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
        self._until_available(rds, name)
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
        self._until(f"the database {name} is deleted", lambda: _database_status(rds, name) is None)
        return ""

    def _until_available(self, rds: Any, name: str) -> None:
        """A database that is being modified cannot be deleted."""
        self._until(f"the database {name} is available", lambda: _database_status(rds, name) in {"available", None})

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.seconds
        while not holds():
            if time.monotonic() > deadline:
                raise Refused(f"not {what}, after {self.seconds / 60:.0f} minutes", do="look at it", code=Exit.STACK)
            time.sleep(self.look_every)

    def _bucket(self, name: str, region: str) -> str:
        s3 = self.aws.client("s3", region)
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            listed = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            if listed:
                s3.delete_objects(Bucket=name, Delete={"Objects": listed, "Quiet": True})
        s3.delete_bucket(Bucket=name)
        return ""

    def _table(self, name: str, region: str) -> str:
        dynamodb = self.aws.client("dynamodb", region)
        if dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=name)
        return ""

    def _secret(self, name: str, region: str) -> str:
        secrets = self.aws.client("secretsmanager", region)
        described = secrets.describe_secret(SecretId=name)
        replicas = [one["Region"] for one in described.get("ReplicationStatus", [])]
        if replicas:
            secrets.remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=replicas)
        secrets.delete_secret(SecretId=name, RecoveryWindowInDays=_SECRET_DAYS)
        return f"it can be restored for {_SECRET_DAYS} days, and its name is taken until then"

    def _key(self, name: str, region: str) -> str:
        self.aws.client("kms", region).schedule_key_deletion(KeyId=name, PendingWindowInDays=_KEY_DAYS)
        return f"AWS deletes it in {_KEY_DAYS} days; until then it can be kept (cancel-key-deletion)"

    def _log_group(self, name: str, region: str) -> str:
        self.aws.client("logs", region).delete_log_group(logGroupName=name)
        return ""


def _database_status(rds: Any, name: str) -> str | None:
    try:
        return str(rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"])
    except ClientError as error:
        if code_of(error) in _GONE:
            return None
        raise
