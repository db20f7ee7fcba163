"""The two buckets of a workload compared: what has arrived, what S3 is made to replicate, what is told by its name."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relight.batch_job import BatchJobs
from relight.bucket import Bucket
from relight.errors import PeerUnreachable, RunSuperseded
from relight.ledger import Ledger
from relight.objects import PATIENCE_SECONDS
from relight.run import Run
from relight.settings import ObjectsSettings
from relight.step import Outcome
from relight.steps.objects import PART_CANDIDATES, Objects

from tests.unit.conftest import Clients
from tests.unit.shelf import ACCOUNT, Batch, Evidence, Shelf, denied, silent
from tests.unit.standby import HERE, HOME, NOW, Clock, take_lock

ROLE = f"arn:aws:iam::{ACCOUNT}:role/relight-shop-batch"
SETTINGS = ObjectsSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    peer_connect_seconds=2,
    peer_read_seconds=5,
    bucket=f"relight-data-shop-{ACCOUNT}-{HERE}",
    peer_bucket=f"relight-data-shop-{ACCOUNT}-{HOME}",
    evidence_bucket="relight-evidence-shop",
    account_id=ACCOUNT,
    peer_batch_role_arn=ROLE,
    slice_seconds=60,
    look_again_seconds=60,
)


@dataclass
class Place:
    """Both buckets, S3's jobs and the evidence. A test sees to what S3 does meanwhile."""

    active: Shelf
    standby: Shelf
    batch: Batch
    evidence: Evidence
    ledger: Ledger
    clock: Clock
    run: Run
    settings: ObjectsSettings = SETTINGS
    page: int = 1000

    def both(self, *keys: str) -> None:
        """Objects that have been replicated."""
        for key in keys:
            self.active.put(key)
            self.active.replicate(key, self.standby)

    def look(self) -> Outcome:
        """One look of the step; a minute passes after it."""
        given = self.settings
        objects = Objects(
            given,
            self.ledger,
            Bucket(self.active, given.peer_bucket, HOME, ACCOUNT, self.page) if given.peer_bucket else None,  # type: ignore[arg-type]
            Bucket(self.standby, given.bucket, HERE, ACCOUNT, self.page) if given.bucket else None,  # type: ignore[arg-type]
            BatchJobs(self.batch, ACCOUNT, HOME),
            self.evidence,  # type: ignore[arg-type]
            self.clock,
        )
        outcome = objects.ensure(self.run)
        self.clock.advance(60)
        return outcome

    def done(self, looks: int = 100) -> Outcome:
        """Look until it is done."""
        for _ in range(looks):
            outcome = self.look()
            if outcome.status == "DONE":
                return outcome
            assert outcome.look_again_seconds == 60
        raise AssertionError(f"after {looks} looks: {outcome.sentence}")

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.evidence.objects["runs/run-1/objects.json"]))


@pytest.fixture
def place(ledger: Ledger, run: Run, clock: Clock, clients: Clients) -> Place:
    model = clients("s3", HERE).meta.service_model
    jobs = clients("s3control", HERE).meta.service_model
    return Place(Shelf(model), Shelf(model), Batch(jobs), Evidence(), ledger, clock, run)


def names(told: list[dict[str, Any]]) -> list[str]:
    return [f"{one['kind']}:{one['key']}" for one in told]


def test_equal_buckets_are_done_at_once(place: Place) -> None:
    place.both("a", "日本", "z")
    place.active.delete("z")
    place.active.replicate("z", place.standby)
    outcome = place.look()
    assert (outcome.status, outcome.sentence) == ("DONE", "2 objects compared: the standby has them all")
    assert outcome.facts == {
        "objects": 2,
        "differences": [],
        "differences_total": 0,
        "pending": 0,
        "failed": 0,
        "never_replicated": 0,
        "lost": [],
        "lost_total": 0,
        "job": None,
        "report": "s3://relight-evidence-shop/runs/run-1/objects.json",
    }
    assert place.report["active"] == {"region": HOME, "bucket": SETTINGS.peer_bucket}
    assert list(place.evidence.objects) == ["runs/run-1/objects.json"]


@pytest.mark.parametrize("bucket", ["bucket", "peer_bucket"])
def test_a_workload_without_buckets_has_nothing_to_compare(place: Place, bucket: str) -> None:
    place.settings = replace(SETTINGS, **{bucket: None})  # type: ignore[arg-type]
    outcome = place.look()
    assert outcome.status == "DONE"
    assert outcome.sentence.startswith("no bucket is compared")
    assert (outcome.facts["differences"], outcome.facts["report"]) == ([], None)


def test_replicas_that_kms_gave_another_etag_are_equal_by_their_version(place: Place) -> None:
    place.active.put("k")
    place.active.replicate("k", place.standby, etag='"another"')
    assert place.look().facts["differences_total"] == 0
    assert place.report["equal_by_version"] == 1


def test_what_is_on_its_way_is_waited_for(place: Place) -> None:
    place.both("a")
    place.active.put("b", status="PENDING")
    place.active.delete("a")
    outcome = place.look()
    assert outcome.sentence == "compared 1 objects; 2 are not equal yet and are looked at again"
    outcome = place.look()
    assert outcome.sentence.startswith("2 objects are not equal yet, 2 are on their way")
    place.active.replicate("b", place.standby)
    assert place.look().facts["left"] == 1
    place.active.replicate("a", place.standby)
    outcome = place.look()
    assert (outcome.status, outcome.facts["differences_total"], outcome.facts["pending"]) == ("DONE", 0, 0)
    assert not place.batch.jobs


def test_what_does_not_arrive_in_time_is_named(place: Place) -> None:
    place.both("a")
    place.active.put("b", status="PENDING")
    place.active.delete("a")
    began = place.clock()
    outcome = place.done()
    assert PATIENCE_SECONDS <= place.clock() - began <= PATIENCE_SECONDS + 180
    assert names(outcome.facts["differences"]) == ["object_extra:a", "object_missing:b"]
    assert outcome.facts["pending"] == 2
    assert outcome.facts["differences"][0]["detail"].startswith("it was deleted in the active Region")


def test_a_missing_a_differing_and_an_extra_object_are_named(place: Place) -> None:
    place.both("same", "gone", "older")
    del place.standby.versions["gone"]
    place.standby.put("older", b"of the lost Region", at=NOW - 60, status="FAILED")
    place.standby.put("extra", at=NOW - 60, status="FAILED")
    outcome = place.done(2)
    assert names(outcome.facts["differences"]) == ["object_missing:gone", "object_differs:older"]
    assert outcome.facts["differences_total"] == 2
    assert names(outcome.facts["lost"]) == ["object_extra:extra"]
    assert outcome.facts["lost_total"] == 1
    assert outcome.sentence == (
        "3 objects compared: 2 differ; 1 were only ever in the standby Region: to the active one they are lost"
    )
    report = place.report
    assert names(report["differences"]) == names(outcome.facts["differences"])
    assert report["differences"][1]["standby"]["size"] == len(b"of the lost Region")
    assert names(report["lost"]) == ["object_extra:extra"]
    assert place.standby.versions["extra"], "nothing of it is deleted"
    assert not place.batch.jobs, "no job would help"
    assert place.look() == outcome, "asked again it says the same"


# S3 Batch Replication


def test_what_failed_is_mended_by_one_job(place: Place) -> None:
    place.both("a")
    place.active.put("failed", status="FAILED")
    place.active.put("from/before the rule")
    place.look()
    outcome = place.look()
    assert outcome.sentence.startswith("1 objects FAILED to replicate, 1 were never replicated: job job-")
    ((name, asked),) = place.batch.asked.items()
    generator = asked["ManifestGenerator"]["S3JobManifestGenerator"]
    assert generator["SourceBucket"] == f"arn:aws:s3:::{SETTINGS.peer_bucket}"
    wanted = {"EligibleForReplication": True, "ObjectReplicationStatuses": ["FAILED", "NONE"]}
    assert (generator["Filter"], asked["RoleArn"]) == (wanted, ROLE)
    place.batch.end("Active", ProgressSummary={"TotalNumberOfTasks": 2, "NumberOfTasksSucceeded": 1})
    outcome = place.look()
    assert (outcome.status, outcome.sentence) == ("WAIT", f"job {name} is Active: 1 of 2 objects replicated")
    for key in ("failed", "from/before the rule"):
        place.active.replicate(key, place.standby)
    place.batch.end("Complete", ProgressSummary={"TotalNumberOfTasks": 2, "NumberOfTasksSucceeded": 2})
    outcome = place.done(2)
    assert outcome.facts["differences_total"] == outcome.facts["failed"] == 0
    assert outcome.facts["job"]["status"] == "Complete"
    assert outcome.sentence.endswith(f"job {name} is Complete: 2 of 2 objects replicated")


def test_a_job_that_fails_leaves_its_objects_named(place: Place) -> None:
    place.active.put("k", status="FAILED")
    place.look()
    place.look()
    place.batch.end("Failed", FailureReasons=[{"FailureCode": "400", "FailureReason": "no rule"}])
    outcome = place.done(2)
    assert names(outcome.facts["differences"]) == ["object_missing:k"]
    assert (outcome.facts["failed"], outcome.facts["differences"][0]["detail"]) == (1, "its replication has FAILED")
    assert outcome.facts["job"]["why"] == "400: no rule"
    assert len(place.batch.jobs) == 1, "one job a run"


def test_without_a_role_no_job_is_created(place: Place) -> None:
    place.settings = replace(SETTINGS, peer_batch_role_arn=None)
    place.active.put("k")
    outcome = place.done(2)
    assert names(outcome.facts["differences"]) == ["object_missing:k"]
    assert (outcome.facts["never_replicated"], outcome.facts["job"]) == (1, None)


def test_a_job_whose_answer_was_lost_is_found_again(place: Place) -> None:
    place.active.put("k", status="FAILED")
    place.look()
    keep = place.ledger.keep_progress
    with pytest.MonkeyPatch.context() as patch:

        def lost(run: Run, name: str, document: dict[str, Any]) -> None:
            if document["job"] is not None:
                raise denied("UpdateItem")
            keep(run, name, document)

        patch.setattr(Ledger, "keep_progress", lambda _, *given: lost(*given))
        with pytest.raises(ClientError):
            place.look()
    assert len(place.batch.jobs) == 1
    place.look()
    assert len(place.batch.jobs) == 1


def test_a_job_that_may_not_be_created_is_an_error(place: Place) -> None:
    place.active.put("k", status="FAILED")
    place.look()
    place.batch.refusal = denied("CreateJob")
    with pytest.raises(PeerUnreachable, match=r"S3 Batch Operations in eu-west-1: .*CreateJob"):
        place.look()


# In slices, with interruptions


def shelves(place: Place, number: int) -> list[str]:
    keys = [f"{at:06}" for at in range(number)]
    for key in keys:
        place.both(key)
    for key in keys[7 :: number // 3]:
        place.standby.versions[key][-1] = replace(place.standby.versions[key][-1], id="other", body=b"other")
    return keys


def test_ten_thousand_objects_take_as_many_pages_as_they_have(place: Place) -> None:
    shelves(place, 9_999)
    outcome = place.done(2)
    assert outcome.facts["objects"] == 9_999
    assert names(outcome.facts["differences"]) == [f"object_differs:{key:06}" for key in (7, 3340, 6673)]
    assert len(place.active.pages) == len(place.standby.pages) == 10


def test_a_slice_ends_in_time_and_the_next_one_goes_on_behind_it(place: Place) -> None:
    shelves(place, 30)
    place.page, place.settings = 4, replace(SETTINGS, slice_seconds=0)
    slices = [place.look() for _ in range(30)]
    assert [outcome.facts["objects"] for outcome in slices] == list(range(1, 31))
    assert slices[6].sentence == "compared 7 objects, up to '000006'"
    outcome = place.done()
    assert names(outcome.facts["differences"]) == [f"object_differs:{key:06}" for key in (7, 17, 27)]
    assert outcome.facts["objects"] == 30


@pytest.mark.parametrize("side", ["active", "standby"])
def test_a_region_that_stops_answering_is_asked_again_from_where_it_was(place: Place, side: str) -> None:
    shelves(place, 30)
    place.page = 4
    bucket: Shelf = getattr(place, side)
    bucket.refusal, bucket.answers = silent(), 3
    outcome = place.look()
    assert outcome.status == "WAIT"
    assert outcome.sentence.startswith("asked again soon: the bucket relight-data-shop-")
    kept = place.ledger.progress("run-1", "objects")
    assert kept is not None
    assert kept["objects"] == 12
    bucket.answers = 100
    outcome = place.done()
    assert names(outcome.facts["differences"]) == [f"object_differs:{key:06}" for key in (7, 17, 27)]
    assert outcome.facts["objects"] == 30


def test_a_lap_goes_on_at_the_part_that_was_not_answered(place: Place) -> None:
    place.settings = replace(SETTINGS, peer_batch_role_arn=None)
    for number in range(200):
        place.active.put(f"{number:03}")
    place.look()
    place.active.refusal, place.active.answers = silent(), 100
    assert place.look().sentence.startswith("asked again soon")
    place.active.refusal = None
    assert place.done(1).facts["differences_total"] == 200


def test_access_denied_on_the_peer_is_a_clear_error(place: Place) -> None:
    place.active.refusal = denied()
    with pytest.raises(PeerUnreachable) as caught:
        place.look()
    said = str(caught.value)
    assert said.startswith(
        f"the other Region refuses, so the objects are not compared: the bucket {SETTINGS.peer_bucket}"
    )
    assert "s3:ListObjectVersions" in said


def test_access_denied_here_is_an_error_too(place: Place) -> None:
    place.standby.refusal = denied()
    with pytest.raises(ClientError, match="AccessDenied"):
        place.look()


def test_many_differences_are_kept_in_parts_and_all_are_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight.steps.objects.PART_CANDIDATES", 10)
    place.settings = replace(SETTINGS, peer_batch_role_arn=None, slice_seconds=0)
    for number in range(75):
        place.active.put(f"日本/{number:04}")
    place.settings = replace(place.settings, slice_seconds=60)
    outcome = place.look()
    assert outcome.facts["left"] == 75
    place.settings = replace(place.settings, slice_seconds=0)
    said = [place.look().sentence for _ in range(7)]
    assert said[0] == "looked again at 1 of 8 parts"
    outcome = place.done()
    assert (outcome.facts["differences_total"], len(outcome.facts["differences"])) == (75, 50)
    assert names(place.report["differences"]) == [f"object_missing:日本/{number:04}" for number in range(75)]
    assert place.report["parts"] == []
    assert PART_CANDIDATES == 1000


def test_more_than_the_report_holds_are_named_in_their_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight.steps.objects.REPORT_CANDIDATES", 5)
    place.settings = replace(SETTINGS, peer_batch_role_arn=None)
    for number in range(9):
        place.active.put(f"{number}")
    assert place.done(2).facts["differences_total"] == 9
    assert len(place.report["differences"]) == 5
    (part,) = place.report["parts"]
    assert names(json.loads(place.evidence.objects[part])) == [f"object_missing:{number}" for number in range(9)]


def test_a_run_that_lost_its_lock_keeps_nothing(place: Place) -> None:
    place.both("a")
    take_lock(place.ledger, "run-2", place.clock())
    with pytest.raises(RunSuperseded):
        place.look()
    assert place.ledger.progress("run-1", "objects") is None
    assert not place.evidence.objects


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("stopped", range(1, 21))
def test_a_look_that_dies_anywhere_changes_no_result(place: Place, stopped: int, written: bool) -> None:
    """At each place where it keeps how far it has come, before that and after it."""
    shelves(place, 12)
    place.standby.put("extra")
    place.active.put("failed", status="FAILED")
    place.page, place.settings = 4, replace(SETTINGS, peer_batch_role_arn=None, slice_seconds=0)
    keep, calls = Ledger.keep_progress, 0

    def dies(self: Ledger, *given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls != stopped or written:
            keep(self, *given)
        if calls == stopped:
            raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "keep_progress", dies)
        for _ in range(stopped):
            try:
                place.look()
            except SystemExit:
                break
    assert calls == stopped
    outcome = place.done()
    wanted = ["object_differs:000007", "object_differs:000011", "object_missing:failed"]
    assert names(outcome.facts["differences"]) == wanted
    assert names(outcome.facts["lost"]) == ["object_extra:extra"]
    assert outcome.facts["objects"] == 13


# The active Region goes on writing


def test_a_key_that_is_written_all_the_time_is_followed(place: Place) -> None:
    place.both("state")
    place.active.put("state", b"2", at=NOW, status="PENDING")
    place.look()
    for second in range(3):
        place.active.put("state", b"3", at=NOW + 60 + second, status="PENDING")
    place.active.versions["state"][-2].status = "COMPLETED"
    newest = place.active.versions["state"].pop()
    place.active.replicate("state", place.standby)
    place.active.versions["state"].append(newest)
    assert place.look().facts["differences_total"] == 0


def test_a_newer_version_of_the_lost_region_is_not_taken_for_a_replica(place: Place) -> None:
    place.both("state")
    place.standby.put("state", b"lost", at=NOW - 60, status="FAILED")
    place.look()
    place.active.put("state", b"since", at=NOW, status="PENDING")
    assert place.look().status == "WAIT"


# S3 as moto has it, which knows no replication status


def test_real_listings_and_a_real_report(ledger: Ledger, run: Run, clock: Clock, clients: Clients) -> None:
    home, here, jobs = clients("s3", HOME), clients("s3", HERE), clients("s3control", HOME)
    peer_bucket, bucket = f"relight-data-shop-{ACCOUNT}-{HOME}", f"relight-data-shop-{ACCOUNT}-{HERE}"
    for s3, name, region in ((home, peer_bucket, HOME), (here, bucket, HERE), (here, "relight-evidence-shop", HERE)):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "é", "\uffee", "\U0001f600"):
        home.put_object(Bucket=peer_bucket, Key=key, Body=key.encode())
        here.put_object(Bucket=bucket, Key=key, Body=key.encode())
    home.put_object(Bucket=peer_bucket, Key="日本", Body=b"1")
    here.put_object(Bucket=bucket, Key="\uffee", Body=b"2")
    here.put_object(Bucket=bucket, Key="z&<", Body=b"3")
    objects = Objects(
        replace(SETTINGS, peer_batch_role_arn=None),
        ledger,
        Bucket(home, peer_bucket, HOME, ACCOUNT, 3),
        Bucket(here, bucket, HERE, ACCOUNT, 3),
        BatchJobs(jobs, ACCOUNT, HOME),
        here,
        clock,
    )
    assert objects.ensure(run).status == "WAIT"
    outcome = objects.ensure(run)
    assert (outcome.status, outcome.facts["objects"]) == ("DONE", 5)
    assert names(outcome.facts["differences"]) == ["object_missing:日本", "object_differs:\uffee"]
    assert names(outcome.facts["lost"]) == ["object_extra:z&<"]
    told = here.get_object(Bucket="relight-evidence-shop", Key="runs/run-1/objects.json")
    assert names(json.loads(told["Body"].read())["differences"]) == names(outcome.facts["differences"])
