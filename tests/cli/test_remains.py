"""What `relight destroy --delete-data` deletes, on moto: all of it, and what is gone already is no error."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from relight_cli.aws import Aws
from relight_cli.remains import Remains
from relight_cli.stack import Resource

REGION = "eu-west-1"


@pytest.fixture
def remains(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remains]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield Remains(Aws(), 0.01, 5.0)


def client(service: Any) -> Any:
    return boto3.client(service, region_name=REGION)


def delete(remains: Remains, kind: str, name: str) -> str:
    return remains.delete(Resource("stack", "Logical", name, kind), REGION)


def test_a_bucket_goes_with_every_version(remains: Remains) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        s3.put_object(Bucket="data", Key="key", Body=body)
    s3.delete_object(Bucket="data", Key="key")
    assert delete(remains, "AWS::S3::Bucket", "data") == ""
    assert s3.list_buckets()["Buckets"] == []
    assert delete(remains, "AWS::S3::Bucket", "data") == ""


def test_a_protected_table_goes(remains: Remains) -> None:
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="ledger",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        DeletionProtectionEnabled=True,
    )
    assert delete(remains, "AWS::DynamoDB::Table", "ledger") == ""
    assert dynamodb.list_tables()["TableNames"] == []
    assert delete(remains, "AWS::DynamoDB::Table", "ledger") == ""


def test_a_protected_database_goes(remains: Remains) -> None:
    rds = client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="shop-primary",
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        MasterUsername="owner",
        MasterUserPassword="not-a-secret",
        AllocatedStorage=20,
        DeletionProtection=True,
    )
    assert delete(remains, "AWS::RDS::DBInstance", "shop-primary") == ""
    assert rds.describe_db_instances()["DBInstances"] == []
    assert delete(remains, "AWS::RDS::DBInstance", "shop-primary") == ""


def test_a_secret_and_a_key_can_be_kept_for_a_while(remains: Remains) -> None:
    secrets, kms = client("secretsmanager"), client("kms")
    arn = secrets.create_secret(Name="login", SecretString="x", AddReplicaRegions=[{"Region": "eu-central-1"}])["ARN"]
    assert "7 days" in delete(remains, "AWS::SecretsManager::Secret", arn)
    assert secrets.describe_secret(SecretId=arn)["DeletedDate"]
    with pytest.raises(ClientError):
        boto3.client("secretsmanager", region_name="eu-central-1").get_secret_value(SecretId="login")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert "30 days" in delete(remains, "AWS::KMS::Key", key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_thing_of_another_kind_is_left_to_a_person(remains: Remains) -> None:
    assert not remains.knows("AWS::EC2::VPC")
    assert delete(remains, "AWS::EC2::VPC", "vpc-1") == "aws ec2 delete-vpc --vpc-id vpc-1 --region eu-west-1"
