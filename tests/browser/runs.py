"""Three runs as the real recorder leaves them: one that succeeded, one that failed, one that stood down.

Everything that a failover writes into its ledger is written here by hand, at times of our own; the evidence is the
product's.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto import mock_aws
from relight.clients import client
from relight.evidence import Objectives
from relight.head import Capacity, State
from relight.record import Recorder
from relight.run import Run
from relight.signal import Seen, Signal, View

from tests.unit.notices import PLANNED, asks, settings
from tests.unit.standby import HERE, HOME, NOW, Clock, make_ledger, take_lock

BUCKET = "relight-evidence"
FILES = ("run.json", "report.html", "manifest.json")
VIEWS: dict[str, Any] = {
    "outside": {"seen": "DOWN", "since": NOW - 62, "sentence": "Route 53's checkers do not reach the active Region"},
    "from_dr": {"seen": "DOWN", "since": NOW - 60, "sentence": "no answer from here: timed out"},
    "stream": {"seen": "DOWN", "since": NOW - 58, "sentence": "the WAL receiver is waiting and last heard 64 s ago"},
    "control": {"seen": "UP", "since": NOW - 86400, "sentence": "https://sts.us-east-2.amazonaws.com/ answers"},
}
LOST: dict[str, Any] = {
    "action": "proceed",
    "finding": "region_lost",
    "sentence": "the primary Region is lost: both views have been DOWN for 60 s, and the stream is dead",
    "look_again_seconds": 0,
    "estimated_loss_seconds": 1.8,
    "lag_seconds": 0.4,
    "mode": "emergency",
    "views": VIEWS,
}
UNDONE = {
    "capacity": "capacity is back at min 0, desired 0, max 4",
    "switches": "STOP and GO are 0",
    "fence": "the peer is not fenced",
    "writes": "nothing was stopped",
}
SIZES = {"shop-dr": {"wanted": 3, "present": 3, "healthy": 3}}


@dataclass(frozen=True)
class Kept:
    """What a run has left in the bucket, and what people were told."""

    document: dict[str, Any]
    files: dict[str, bytes]

    @property
    def page(self) -> str:
        """The report."""
        return self.files["report.html"].decode()


@dataclass
class Story:
    """The ledger of a run, written step by step; times are seconds from the decision."""

    name: str
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.ledger = make_ledger(client("dynamodb", HERE))
        self.peer_ledger = make_ledger(client("dynamodb", HOME))
        self.run = take_lock(self.ledger, self.name, NOW - 70)

    def step(self, name: str, began: float, ended: float | None, sentence: str, **facts: Any) -> None:
        """A step that began, and ended where that is known."""
        self.ledger.step_began(self.run, name, NOW + began)
        at = NOW + (began if ended is None else ended)
        self.ledger.step_says(self.run, name, at, sentence, done=ended is not None, facts=facts)

    def marks(self, *at: float) -> None:
        """t0, t1 and so on."""
        for number, seconds in enumerate(at):
            self.ledger.mark(self.run, f"t{number}", NOW + seconds)

    def ends(self, at: float, said: dict[str, Any]) -> Kept:
        """Have it recorded at that moment."""
        s3, sns = client("s3", HERE), client("sns", HERE)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
        topic = sns.create_topic(Name="relight-shop")["TopicArn"]
        self.clock.now = NOW + at
        own = settings(evidence_bucket=BUCKET, topic_arn=topic)
        objectives = Objectives(rto_seconds=300.0, rpo_seconds=60.0)
        Recorder(own, self.ledger, self.peer_ledger, s3, sns, self.clock, objectives).record(self.run, said)
        found = {name: s3.get_object(Bucket=BUCKET, Key=f"runs/{self.name}/{name}")["Body"].read() for name in FILES}
        return Kept(json.loads(found["run.json"]), found)


def _warm(story: Story, ended: float | None = -68) -> None:
    story.ledger.remember_capacity(story.run, {"shop-dr": Capacity(0, 0, 4)})
    story.step("scale (warm)", -70, ended, "capacity is on its way: 3 wanted", wanted=3, present=0, healthy=0)
    for view, said in VIEWS.items():
        before = Signal.unknown(View(view))
        seen = Signal(View(view), Seen(said["seen"]), said["since"], NOW + 5, said["sentence"])
        story.ledger.move_signal(seen, before)


def succeeded() -> Kept:
    """An emergency that nobody was asked about."""
    story = Story("probe-region-lost-1790000000")
    _warm(story)
    story.ledger.set_state(story.run, State.PROMOTING)
    story.ledger.open_door(story.run, "shop-dr", NOW)
    story.ledger.activate(story.run, HERE)
    story.marks(-62, -60, 0, 4.2, 84.5, 97.25, 99, 101, 104.5)
    story.step("assess", -69, 0, LOST["sentence"], action="proceed", finding="region_lost")
    story.step("switch (engage)", 0.4, 1.1, "STOP and GO are 1")
    story.step("fence", 0.5, 4.2, "the fence was asked for, and the peer did not answer within 4 s", fence="unknown")
    story.step("promote", 1.3, 84.5, "shop-dr is promoted and took a write", instance="shop-dr", waited_seconds=0.0)
    story.step("scale (serve)", 1.4, 97.25, "3 of 3 instances are healthy, 3 needed", wanted=3, groups=SIZES)
    story.step("verify", 97.5, 99, "order relight-1 was written through https://dr.shop.example and read back")
    story.step(
        "confirm traffic", 99.2, 104.5, "https://shop.example is answered by eu-central-1", address="203.0.113.7"
    )
    story.step("fence (empty)", 105, 109, "the peer did not answer within 4 s: its guard empties it", emptied="unknown")
    story.step("harden", 105, 1104, "shop-dr has what the primary's had", multi_az=True, restorable="2026-09-21T14:18Z")
    said = {"end": "SUCCEEDED", "finding": "region_lost", "sentence": LOST["sentence"], "verdict": LOST}
    return story.ends(
        1110, {**said, "fence": "unknown", "trigger": "automatic", "reason": "alarm: relight-shop-primary-down"}
    )


def failed() -> Kept:
    """A planned one that a person has approved, and that failed behind the one-way door: capacity never came."""
    story = Story("ann-planned-4")
    _warm(story, ended=None)
    recorder = Recorder(
        settings(evidence_bucket=BUCKET, topic_arn=client("sns", HERE).create_topic(Name="relight-shop")["TopicArn"]),
        story.ledger,
        story.peer_ledger,
        client("s3", HERE),
        client("sns", HERE),
        story.clock,
    )
    story.clock.now = NOW - 60
    recorder.record(story.run, asks(PLANNED))
    story.clock.now = NOW - 5
    because = "the deployment broke it, and it is not mended before noon"
    recorder.record(story.run, {"what": "answer", "answer": "approved", "by": "ann", "because": because})
    story.ledger.set_state(story.run, State.PROMOTING)
    story.ledger.open_door(story.run, "shop-dr", NOW + 12)
    story.ledger.activate(story.run, HERE)
    story.marks(-62, -60, 0, 9, 71)
    story.step("assess", -69, 0, PLANNED["sentence"], action="proceed", finding="application_lost")
    story.step("quiesce (stop)", 1, 9, "the peer's database takes no writes", lsn="0/5000060")
    story.step("fence", 1, 3.5, "the peer's application is cut off from its database", fence="fenced")
    story.step("promote", 12, 71, "shop-dr is promoted and took a write", instance="shop-dr")
    story.step("scale (serve)", 12, None, "1 of 3 instances are healthy, 3 needed", wanted=3, groups=SIZES)
    sentence = (
        'DeadlinePassed: writes did not work in time (behind the one-way door: the next run goes on from "Prove it")'
    )
    said = {"end": "FAILED", "finding": "error", "sentence": sentence, "verdict": PLANNED, "fence": "fenced"}
    planned = {"id": story.run.id, "owner": story.run.owner, "epoch": story.run.epoch, "started_at": NOW - 70}
    story.run = Run.from_event({"run": {**planned, "mode": "planned"}})
    return story.ends(1800, {**said, "trigger": "manual", "reason": "the shop answers 500 to every order"})


def stood_down() -> Kept:
    """A false alarm."""
    story = Story("probe-one-view-only-1789999930")
    _warm(story)
    story.marks(-62)
    story.step("assess", -69, 20, "the primary answers again", action="stand_down", finding="primary_up")
    story.step("scale (restore)", 21, 22, UNDONE["capacity"], restored=0)
    story.step("switch (clear)", 21, 21.5, UNDONE["switches"])
    story.ledger.forget_capacity(story.run)
    up = {name: {**said, "seen": "UP", "since": NOW + 12, "sentence": "it answers"} for name, said in VIEWS.items()}
    sentence = "the primary answers again: a false alarm"
    verdict = {**LOST, "action": "stand_down", "finding": "primary_up", "sentence": sentence, "views": up}
    verdict["estimated_loss_seconds"] = None
    said = {"end": "STOOD_DOWN", "finding": "primary_up", "sentence": sentence}
    return story.ends(
        24, {**said, "verdict": verdict, "undone": UNDONE, "trigger": "automatic", "reason": "the probe: one view only"}
    )


RUNS: dict[str, Callable[[], Kept]] = {"succeeded": succeeded, "failed": failed, "stood-down": stood_down}


@contextmanager
def account() -> Iterator[None]:
    """An account that moto imitates, and credentials that AWS would not take."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        with mock_aws():
            yield


def kept(name: str) -> Kept:
    """What the run of that name has left."""
    with account():
        return RUNS[name]()
