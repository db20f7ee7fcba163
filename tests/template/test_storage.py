"""stacks/storage.yaml as the lab makes it: in both Regions, in the order of a deployment, read back through S3."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from lab.cloud import ACCOUNT, Cloud
from lab.errors import StackRefused
from lab.network import Network
from lab.replication import Replication
from lab.stack import Stack, Stacks
from tests.template.reading import REGIONS, ROOT, as_list, of_type, text, written

TEMPLATE = ROOT / "stacks" / "storage.yaml"
ROLES = tuple(REGIONS)
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Storage:
    """What deploys the stack into both Regions."""

    cloud: Cloud
    stacks: Stacks
    application: str

    def given(self, role: str) -> dict[str, str]:
        peer = REGIONS["dr" if role == "primary" else "primary"]
        return {
            "Application": self.application,
            "Role": role,
            "PeerRegion": peer,
            "DataKeyArn": key(REGIONS[role]),
            "PeerDataKeyArn": key(peer),
            "PeerReady": "false",
            "ReplicationTimeControl": "false",
            "AccessLogs": "false",
        }

    def create(self, role: str, **more: str) -> Stack:
        return self.stacks.create(self.application, REGIONS[role], TEMPLATE, self.given(role) | more)

    def update(self, role: str, **more: str) -> Stack:
        return self.stacks.update(self.application, REGIONS[role], TEMPLATE, more)

    def create_both(self, **more: str) -> dict[str, Stack]:
        """As `relight deploy` does: primary, dr, and the primary again when its peer is there."""
        self.create("primary", **more)
        return {"dr": self.create("dr", **more, PeerReady="true"), "primary": self.update("primary", PeerReady="true")}

    def s3(self, role: str) -> Any:
        return self.cloud.client("s3", REGIONS[role])

    def bucket(self, role: str, kind: str = "data") -> str:
        return f"relight-{kind}-{self.application}-{ACCOUNT}-{REGIONS[role]}"

    def rule(self, role: str) -> dict[str, Any]:
        """The only replication rule of that Region's bucket."""
        answer = self.s3(role).get_bucket_replication(Bucket=self.bucket(role))
        (rule,) = answer["ReplicationConfiguration"]["Rules"]
        return dict(rule)

    def delete(self) -> None:
        for region in REGIONS.values():
            if self.stacks.get(self.application, region):
                self.stacks.delete(self.application, region)


def key(region: str) -> str:
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    network = Network()
    cloud, replication = Cloud(network), Replication(network)
    replication.install()
    yield cloud
    replication.stop()
    cloud.stop()


@pytest.fixture
def storage(cloud: Cloud) -> Iterator[Storage]:
    # A name of its own for each test: the buckets stay when their stacks go.
    storage = Storage(cloud, Stacks(cloud), f"app-{next(_NUMBERS)}")
    yield storage
    storage.delete()


# Replication


def test_each_bucket_replicates_to_the_other_one(storage: Storage) -> None:
    storage.create_both()
    for role, peer in (ROLES, ROLES[::-1]):
        rule = storage.rule(role)
        assert rule["Status"] == rule["DeleteMarkerReplication"]["Status"] == "Enabled"
        assert rule["Filter"] == {"Prefix": ""}
        assert rule["SourceSelectionCriteria"] == {
            "SseKmsEncryptedObjects": {"Status": "Enabled"},
            "ReplicaModifications": {"Status": "Enabled"},
        }
        destination = {
            "Bucket": f"arn:aws:s3:::{storage.bucket(peer)}",
            "EncryptionConfiguration": {"ReplicaKmsKeyID": key(REGIONS[peer])},
        }
        assert (rule["ID"], rule["Destination"]) == (f"from-{role}", destination)


def test_replication_time_control_comes_with_its_metrics(storage: Storage) -> None:
    storage.create_both(ReplicationTimeControl="true")
    for role in ROLES:
        destination = storage.rule(role)["Destination"]
        assert destination["ReplicationTime"] == {"Status": "Enabled", "Time": {"Minutes": 15}}
        assert destination["Metrics"] == {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}


@pytest.mark.parametrize("role", ROLES)
def test_a_region_cannot_replicate_to_a_bucket_that_is_not_there(storage: Storage, role: str) -> None:
    peer = "dr" if role == "primary" else "primary"
    with pytest.raises(StackRefused, match=f"the destination {storage.bucket(peer)} does not exist, storage.yaml"):
        storage.create(role, PeerReady="true")
    # Nothing stands in the way of the right order afterwards.
    assert storage.create(role).outputs["BucketName"] == storage.bucket(role)


def test_a_region_cannot_replicate_to_a_bucket_without_versions(storage: Storage) -> None:
    region = REGIONS["dr"]
    place = {"LocationConstraint": region}
    storage.s3("dr").create_bucket(Bucket=storage.bucket("dr"), CreateBucketConfiguration=place)
    storage.create("primary")
    with pytest.raises(StackRefused, match=r"keeps no versions, storage\.yaml"):
        storage.update("primary", PeerReady="true")


def test_replication_is_stopped_by_taking_the_peer_away(storage: Storage) -> None:
    storage.create_both()
    storage.update("primary", PeerReady="false")
    with pytest.raises(storage.s3("primary").exceptions.ClientError, match="ReplicationConfigurationNotFound"):
        storage.rule("primary")
    assert storage.rule("dr")


def test_what_replicates_may_read_here_and_write_there_and_nothing_else() -> None:
    role = of_type(written("storage"), "AWS::IAM::Role")["ReplicationRole"]
    here, there = "${AWS::Region}", "${PeerRegion}"
    bucket = "arn:${AWS::Partition}:s3:::relight-data-${Application}-${AWS::AccountId}-"
    allowed: dict[str, set[str]] = {}
    (policy,) = role["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        allowed.setdefault(text(statement["Resource"]), set()).update(as_list(statement["Action"]))
        if text(statement["Resource"]).endswith("KeyArn"):
            region = here if text(statement["Resource"]) == "DataKeyArn" else there
            condition = {key: text(value) for key, value in statement["Condition"]["StringEquals"].items()}
            assert condition == {"kms:ViaService": f"s3.{region}.${{AWS::URLSuffix}}"}
    assert allowed == {
        f"{bucket}{here}": {"s3:GetReplicationConfiguration", "s3:ListBucket"},
        f"{bucket}{here}/*": {
            "s3:GetObjectVersionForReplication",
            "s3:GetObjectVersionAcl",
            "s3:GetObjectVersionTagging",
        },
        f"{bucket}{there}/*": {"s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"},
        "DataKeyArn": {"kms:Decrypt"},
        "PeerDataKeyArn": {"kms:Encrypt", "kms:GenerateDataKey"},
    }


def test_a_job_of_the_other_region_may_have_its_bucket_replicated_and_nothing_else(storage: Storage) -> None:
    stack = storage.create("dr")
    role = stack.outputs["PeerBatchRoleArn"].rpartition("/")[2]
    iam = storage.cloud.client("iam", REGIONS["dr"])
    (trusted,) = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "batchoperations.s3.amazonaws.com"}
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    statements = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    bucket = f"arn:aws:s3:::{storage.bucket('primary')}"
    assert {statement["Resource"]: set(as_list(statement["Action"])) for statement in statements} == {
        bucket: {"s3:GetReplicationConfiguration", "s3:PutInventoryConfiguration"},
        f"{bucket}/*": {"s3:InitiateReplication"},
    }


# The buckets


def test_the_bucket_keeps_versions_encrypted_and_to_itself(storage: Storage) -> None:
    stack = storage.create("primary")
    s3, bucket = storage.s3("primary"), storage.bucket("primary")
    outputs = dict(stack.outputs)
    assert outputs.pop("PeerBatchRoleArn").startswith(f"arn:aws:iam::{ACCOUNT}:role/")
    assert outputs == {
        "BucketName": bucket,
        "BucketArn": f"arn:aws:s3:::{bucket}",
        "PeerBucketName": storage.bucket("dr"),
        "LogBucketName": "none",
    }
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key(REGIONS["primary"])}
    assert (rule["ApplyServerSideEncryptionByDefault"], rule["BucketKeyEnabled"]) == (by_default, True)
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    (ownership,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}


@pytest.mark.parametrize("bucket", ["Data", "Logs"])
def test_nothing_is_asked_of_a_bucket_without_tls(bucket: str) -> None:
    policies = of_type(written("storage"), "AWS::S3::BucketPolicy").values()
    (policy,) = [policy for policy in policies if text(policy["Bucket"]) == bucket]
    denied = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
    (statement,) = denied
    assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [text(resource) for resource in statement["Resource"]] == [f"{bucket}.Arn", f"${{{bucket}.Arn}}/*"]


def test_old_versions_and_broken_uploads_do_not_stay_for_ever() -> None:
    (rule,) = lifecycle("Data")
    assert (rule["Status"], rule["NoncurrentVersionExpiration"]) == ("Enabled", {"NoncurrentDays": 90})
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["ExpiredObjectDeleteMarker"] is True
    assert not {key for key in rule if key.startswith("Expiration")}, "what is current never expires"


def lifecycle(bucket: str) -> list[Mapping[str, Any]]:
    rules: list[Mapping[str, Any]] = written("storage").resources[bucket]["Properties"]["LifecycleConfiguration"][
        "Rules"
    ]
    return rules


@pytest.mark.parametrize("bucket", ["Data", "Logs"])
def test_a_bucket_outlives_its_stack(bucket: str) -> None:
    resource = written("storage").resources[bucket]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


# Access logs of the balancer


def test_the_balancer_writes_its_logs_where_it_can(storage: Storage) -> None:
    """It takes S3's own key only, and one folder per account."""
    stack = storage.create("primary", AccessLogs="true")
    bucket, s3 = storage.bucket("primary", "logs"), storage.s3("primary")
    assert stack.outputs["LogBucketName"] == bucket
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (allowed,) = [
        statement
        for statement in written("storage").resources["LogsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert allowed["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert (allowed["Action"], text(allowed["Resource"])) == (
        "s3:PutObject",
        "${Logs.Arn}/balancer/AWSLogs/${AWS::AccountId}/*",
    )
    assert [rule["ExpirationInDays"] for rule in lifecycle("Logs") if "ExpirationInDays" in rule] == [90]


def test_logs_do_not_replicate(storage: Storage) -> None:
    storage.create_both(AccessLogs="true")
    with pytest.raises(storage.s3("primary").exceptions.ClientError, match="ReplicationConfigurationNotFound"):
        storage.s3("primary").get_bucket_replication(Bucket=storage.bucket("primary", "logs"))
