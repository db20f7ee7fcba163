"""S3's replication in the lab: what arrives in the other Region's bucket, and what does not."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from lab.batch_replication import MODELS, BatchReplication
from lab.cloud import ACCOUNT, Cloud
from lab.network import Network, Path
from lab.region import REGION_NAME, Side
from lab.replication import Replication

BOTH = {side: f"replication-{side}" for side in Side}
SECONDS = 10.0


class Stage:
    """Two buckets that replicate to each other."""

    def __init__(self) -> None:
        self.network = Network()
        self.cloud = Cloud(self.network)
        self.replication = Replication(self.network, delay=0.02)
        self.jobs = BatchReplication(self.replication)
        self.jobs.install()
        self.replication.install()
        self.replication.start()
        for side in Side:
            place = {"LocationConstraint": REGION_NAME[side]}
            self.s3(side).create_bucket(Bucket=BOTH[side], CreateBucketConfiguration=place)
            self.s3(side).put_bucket_versioning(Bucket=BOTH[side], VersioningConfiguration={"Status": "Enabled"})
        for side in Side:
            self.rule(side)

    def s3(self, side: Side) -> Any:
        return self.cloud.client("s3", REGION_NAME[side])

    def rule(self, side: Side, **more: Any) -> None:
        """The rule of that side's bucket towards the other one."""
        rule = {
            "ID": "all",
            "Priority": 1,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "SourceSelectionCriteria": {
                "SseKmsEncryptedObjects": {"Status": "Enabled"},
                "ReplicaModifications": {"Status": "Enabled"},
            },
            "Destination": {
                "Bucket": f"arn:aws:s3:::{BOTH[side.other]}",
                "EncryptionConfiguration": {"ReplicaKmsKeyID": f"key-{side.other}"},
            },
        }
        configuration = {"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule | more]}
        self.s3(side).put_bucket_replication(Bucket=BOTH[side], ReplicationConfiguration=configuration)

    def put(self, side: Side, key: str, body: bytes, **more: Any) -> str:
        return str(self.s3(side).put_object(Bucket=BOTH[side], Key=key, Body=body, **more)["VersionId"])

    def versions(self, side: Side, key: str) -> list[str]:
        """Newest first, delete markers included."""
        listed = self.s3(side).list_object_versions(Bucket=BOTH[side], Prefix=key)
        found = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
        return [v["VersionId"] for v in sorted(found, key=lambda v: (v["IsLatest"], v["LastModified"]), reverse=True)]

    def settled(self) -> None:
        """Wait until nothing is on its way."""
        until(lambda: self.replication.pending == 0)

    def status(self, side: Side, key: str) -> str | None:
        """What HeadObject says, and GetObject with it."""
        names = {"Bucket": BOTH[side], "Key": key}
        told, got = self.s3(side).head_object(**names), self.s3(side).get_object(**names)
        assert told.get("ReplicationStatus") == got.get("ReplicationStatus")
        status: str | None = told.get("ReplicationStatus")
        return status

    def s3control(self, side: Side) -> Any:
        return self.cloud.client("s3control", REGION_NAME[side])

    def job(self, side: Side, token: str, *statuses: str, **more: Any) -> str:
        """The id of a job that replicates what has these statuses."""
        found = {"EligibleForReplication": True, "ObjectReplicationStatuses": list(statuses)}
        manifest = {"SourceBucket": f"arn:aws:s3:::{BOTH[side]}", "EnableManifestOutput": False, "Filter": found}
        asked = {
            "AccountId": ACCOUNT,
            "ConfirmationRequired": False,
            "Operation": {"S3ReplicateObject": {}},
            "Report": {"Enabled": False},
            "ClientRequestToken": token,
            "Priority": 10,
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/batch",
            "ManifestGenerator": {"S3JobManifestGenerator": manifest},
        }
        return str(self.s3control(side).create_job(**asked | more)["JobId"])

    def ended(self, side: Side, job: str) -> dict[str, Any]:
        """The job as soon as it does nothing any more."""
        told: dict[str, Any] = {}

        def over() -> bool:
            told.update(self.s3control(side).describe_job(AccountId=ACCOUNT, JobId=job)["Job"])
            return told["Status"] in {"Complete", "Failed"}

        until(over)
        return told

    def end(self) -> None:
        self.jobs.stop()
        for side in Side:
            listed = self.s3(side).list_object_versions(Bucket=BOTH[side])
            for version in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
                self.s3(side).delete_object(Bucket=BOTH[side], Key=version["Key"], VersionId=version["VersionId"])
            self.s3(side).delete_bucket(Bucket=BOTH[side])
        self.replication.stop()
        self.cloud.stop()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("AWS_DATA_PATH", str(MODELS))
    stage = Stage()
    yield stage
    stage.network.restore(Side.PRIMARY)
    stage.network.restore(Side.DR)
    stage.end()


@pytest.mark.parametrize("side", Side)
def test_an_object_arrives_as_it_was_put_whichever_side_it_was_put_in(stage: Stage, side: Side) -> None:
    more = {"ServerSideEncryption": "aws:kms", "Tagging": "colour=red", "Metadata": {"by": "shop"}}
    version = stage.put(side, "a", b"first", ContentType="text/plain", **more)
    stage.settled()
    found = stage.s3(side.other).get_object(Bucket=BOTH[side.other], Key="a")
    assert (found["Body"].read(), found["VersionId"]) == (b"first", version)
    assert (found["ContentType"], found["Metadata"]) == ("text/plain", {"by": "shop"})
    assert found["SSEKMSKeyId"] == f"key-{side.other}"
    tags = stage.s3(side.other).get_object_tagging(Bucket=BOTH[side.other], Key="a")["TagSet"]
    assert tags == [{"Key": "colour", "Value": "red"}]


def test_a_copy_starts_no_other_copy(stage: Stage) -> None:
    versions = [stage.put(Side.PRIMARY, "a", b"1"), stage.put(Side.PRIMARY, "a", b"2")]
    stage.settled()
    # The next object is on its way back and forth after them, if they are.
    stage.put(Side.DR, "b", b"3")
    stage.settled()
    for side in Side:
        assert sorted(stage.versions(side, "a")) == sorted(versions)
        assert len(stage.versions(side, "b")) == 1
        assert stage.s3(side).get_object(Bucket=BOTH[side], Key="a")["Body"].read() == b"2"


def test_a_delete_marker_arrives_and_a_deleted_version_does_not(stage: Stage) -> None:
    first = stage.put(Side.PRIMARY, "a", b"1")
    second = stage.put(Side.PRIMARY, "a", b"2")
    stage.settled()
    stage.s3(Side.PRIMARY).delete_object(Bucket=BOTH[Side.PRIMARY], Key="a", VersionId=first)
    marker = stage.s3(Side.PRIMARY).delete_object(Bucket=BOTH[Side.PRIMARY], Key="a")["VersionId"]
    stage.settled()
    assert sorted(stage.versions(Side.PRIMARY, "a")) == sorted([second, marker])
    assert sorted(stage.versions(Side.DR, "a")) == sorted([first, second, marker])
    with pytest.raises(stage.s3(Side.DR).exceptions.NoSuchKey):
        stage.s3(Side.DR).get_object(Bucket=BOTH[Side.DR], Key="a")


def test_a_change_of_tags_goes_both_ways(stage: Stage) -> None:
    stage.put(Side.PRIMARY, "a", b"1")
    stage.settled()
    for side, colour in ((Side.PRIMARY, "red"), (Side.DR, "blue")):
        tagging = {"TagSet": [{"Key": "colour", "Value": colour}]}
        stage.s3(side).put_object_tagging(Bucket=BOTH[side], Key="a", Tagging=tagging)
        stage.settled()
        other = stage.s3(side.other).get_object_tagging(Bucket=BOTH[side.other], Key="a")
        assert other["TagSet"] == tagging["TagSet"]


def test_what_the_rule_does_not_cover_stays(stage: Stage) -> None:
    stage.rule(
        Side.PRIMARY,
        Filter={"Prefix": "media/"},
        DeleteMarkerReplication={"Status": "Disabled"},
        SourceSelectionCriteria={"SseKmsEncryptedObjects": {"Status": "Disabled"}},
    )
    stage.put(Side.PRIMARY, "state/a", b"elsewhere")
    stage.put(Side.PRIMARY, "media/secret", b"encrypted by KMS", ServerSideEncryption="aws:kms")
    kept = stage.put(Side.PRIMARY, "media/a", b"covered")
    stage.s3(Side.PRIMARY).delete_object(Bucket=BOTH[Side.PRIMARY], Key="media/a")
    stage.settled()
    assert stage.versions(Side.DR, "") == [kept]


def test_what_is_put_while_the_regions_do_not_reach_each_other_arrives_later(stage: Stage) -> None:
    stage.network.lose(Side.PRIMARY, Path.BLACK_HOLED)
    stage.put(Side.DR, "a", b"1")
    # Long enough for a copy over an open path.
    time.sleep(0.3)
    assert stage.replication.pending > 0
    stage.network.restore(Side.PRIMARY)
    stage.settled()
    assert stage.s3(Side.PRIMARY).get_object(Bucket=BOTH[Side.PRIMARY], Key="a")["Body"].read() == b"1"


def test_the_rules_are_answered_as_they_were_put(stage: Stage) -> None:
    time_control = {"Status": "Enabled", "Time": {"Minutes": 15}}
    metrics = {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
    destination = {"Bucket": f"arn:aws:s3:::{BOTH[Side.DR]}", "ReplicationTime": time_control, "Metrics": metrics}
    stage.rule(Side.PRIMARY, Priority=7, Destination=destination)
    answer = stage.s3(Side.PRIMARY).get_bucket_replication(Bucket=BOTH[Side.PRIMARY])
    (rule,) = answer["ReplicationConfiguration"]["Rules"]
    assert (rule["ID"], rule["Priority"], rule["Filter"]) == ("all", 7, {"Prefix": ""})
    assert rule["DeleteMarkerReplication"] == {"Status": "Enabled"}
    assert rule["Destination"] == destination


def test_an_object_and_its_copy_say_how_far_the_replication_is(stage: Stage) -> None:
    stage.replication.pause(BOTH[Side.PRIMARY])
    stage.put(Side.PRIMARY, "a", b"1")
    assert stage.status(Side.PRIMARY, "a") == "PENDING"
    stage.replication.resume(BOTH[Side.PRIMARY])
    stage.settled()
    assert [stage.status(side, "a") for side in Side] == ["COMPLETED", "REPLICA"]
    # A later version is another matter, and a rule that does not cover an object says nothing of it.
    stage.replication.fail(BOTH[Side.PRIMARY], "a")
    stage.put(Side.PRIMARY, "a", b"2")
    stage.settled()
    assert stage.status(Side.PRIMARY, "a") == "FAILED"
    assert stage.s3(Side.DR).get_object(Bucket=BOTH[Side.DR], Key="a")["Body"].read() == b"1"
    stage.rule(Side.PRIMARY, Filter={"Prefix": "media/"})
    stage.put(Side.PRIMARY, "b", b"1")
    assert stage.status(Side.PRIMARY, "b") is None


def test_a_batch_job_replicates_what_has_failed_and_what_never_was(stage: Stage) -> None:
    primary, bucket = Side.PRIMARY, BOTH[Side.PRIMARY]
    stage.rule(primary, Status="Disabled")
    early = stage.put(primary, "early", b"before the rule")
    stage.rule(primary)
    for key in ("failed", "hopeless"):
        stage.replication.fail(bucket, key)
        stage.put(primary, key, b"1")
    stage.put(primary, "fine", b"1")
    stage.settled()
    stage.replication.mend(bucket, "failed")
    assert [stage.status(primary, key) for key in ("early", "failed", "fine")] == [None, "FAILED", "COMPLETED"]

    job = stage.job(primary, "token", "FAILED", "NONE")
    assert stage.job(primary, "token", "FAILED", "NONE") == job
    told = stage.ended(primary, job)
    assert (told["Status"], told["JobId"], told.get("FailureReasons", [])) == ("Complete", job, [])
    counts = {"TotalNumberOfTasks": 3, "NumberOfTasksSucceeded": 2, "NumberOfTasksFailed": 1}
    assert told["ProgressSummary"] == counts
    assert [stage.status(primary, key) for key in ("early", "failed", "hopeless")] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
    ]
    assert stage.versions(Side.DR, "early") == [early]
    assert stage.status(Side.DR, "failed") == "REPLICA"
    assert stage.versions(Side.DR, "hopeless") == []


def test_a_batch_job_says_why_it_does_nothing(stage: Stage) -> None:
    stage.put(Side.PRIMARY, "a", b"1")
    stage.settled()
    nothing = stage.ended(Side.PRIMARY, stage.job(Side.PRIMARY, "nothing", "FAILED", "NONE"))
    assert (nothing["Status"], len(nothing["FailureReasons"])) == ("Failed", 1)
    # What came from the other Region is none of this one's.
    assert stage.ended(Side.DR, stage.job(Side.DR, "replicas", "NONE"))["Status"] == "Failed"
    refused: list[dict[str, Any]] = [{"Operation": {"S3DeleteObjectTagging": {}}}, {"ConfirmationRequired": True}]
    for more in refused:
        with pytest.raises(ClientError, match="BadRequest"):
            stage.job(Side.PRIMARY, "refused", "NONE", **more)
    with pytest.raises(ClientError, match="NotFound"):
        stage.s3control(Side.DR).describe_job(AccountId=ACCOUNT, JobId=nothing["JobId"])


def test_a_batch_job_is_asked_for_where_its_region_can_be_reached(stage: Stage) -> None:
    stage.network.lose(Side.PRIMARY, Path.REFUSED)
    with pytest.raises(BotoCoreError):
        stage.job(Side.PRIMARY, "token", "FAILED")
