"""The news of some runs as the event bus gets them, for the tests and for the examples in docs/events/.

`python -m tests.unit.announcements` puts the examples into the schemas.
"""

import json
from pathlib import Path
from typing import Any

from relight import news
from relight.evidence import Kept, document
from relight.news import Entry, News, Origin, Subject
from relight.question import Answer, Question, Reply, Urgency
from relight.run import Run

from tests.unit.notices import PLANNED, RUN, settings
from tests.unit.standby import HERE, HOME, NOW

FOLDER = Path(__file__).parents[2] / "docs/events"
SHOP = Origin("shop", HERE)
ACCOUNT = "123456789012"
OF = Subject(RUN, "failover")
APPROVED = {**PLANNED, "action": "proceed", "sentence": f"approved by a person: {PLANNED['sentence']}"}
QUESTION = Question(1, "secret", NOW, NOW + 900, PLANNED["finding"], PLANNED["sentence"], "planned", Urgency.FIRST)
ANSWER = Answer(
    Reply.APPROVED, f"arn:aws:iam::{ACCOUNT}:user/ann", "it is not mended before noon", NOW + 120, PLANNED["finding"]
)
DRILLED = Run(
    "drill-restore-5", f"arn:aws:states:{HERE}:{ACCOUNT}:execution:relight-shop-drill:drill-restore-5", 5, NOW - 1500
)


def check(name: str, level: str, sentence: str = "", todo: str = "") -> dict[str, str]:
    """One check of readiness, as it is kept."""
    return {"name": name, "area": "capacity", "level": level, "sentence": sentence, "todo": todo}


QUOTA = check("vcpu_quota", "FAIL", "8 vCPUs are needed and 4 may be started", "ask AWS for a larger quota")
AGE = check("image_age", "WARN", "the AMI is 200 days old", "build a new one")
LAG = check("replica_lag", "PASS", "the replica is 1 s behind")
WELL: dict[str, Any] = {"at": NOW - 1800, "region": HERE, "score": 100, "checks": [LAG]}
UNWELL: dict[str, Any] = {"at": NOW, "region": HERE, "score": 75, "checks": [LAG, AGE, QUOTA]}


def ending() -> dict[str, Any]:
    """The evidence of a run that succeeded."""
    marks = {"t0": NOW - 130, "t4": NOW + 180, "t8": NOW + 245}
    end = {"end": "SUCCEEDED", "finding": PLANNED["finding"], "sentence": PLANNED["sentence"], "verdict": PLANNED}
    return document(RUN, settings(), end, Kept(marks, [], None, ANSWER, []), NOW + 300)


def drilled(**changed: Any) -> dict[str, Any]:
    """The evidence of a drill, as far as its news need it."""
    drill = {"kind": "restore", "restore_seconds": 840.5, "promote_seconds": None, "left_over": []} | changed
    said = "a database was restored from the backup of 02:10, took a write and is gone again"
    run = {"id": DRILLED.id, "epoch": DRILLED.epoch, "ended": NOW}
    return {"kind": "drill", "run": run, "status": "SUCCEEDED", "finding": None, "sentence": said, "drill": drill}


def examples() -> list[Entry]:
    """One of each kind."""
    changed = news.readiness_changed(SHOP, WELL, UNWELL)
    assert changed is not None
    return [
        news.run_started(SHOP, OF, "automatic", "both views are DOWN", RUN.started_at),
        news.run_decided(SHOP, OF, APPROVED, NOW),
        news.question_asked(SHOP, OF, QUESTION),
        news.question_answered(SHOP, OF, ANSWER),
        news.region_active(SHOP, OF, HOME, 0.0, NOW + 180),
        news.ended(SHOP, RUN, ending(), f"s3://relight-evidence/runs/{RUN.id}/run.json"),
        news.ended(SHOP, DRILLED, drilled(), f"s3://relight-evidence/runs/{DRILLED.id}/run.json"),
        changed,
    ]


def detail(entry: Entry) -> dict[str, Any]:
    """What an entry says."""
    return dict(json.loads(entry["Detail"]))


def event(entry: Entry) -> dict[str, Any]:
    """The entry as EventBridge hands it to a rule."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": ACCOUNT,
        "time": entry["Time"].strftime("%Y-%m-%dT%H:%M:%SZ") if not isinstance(entry["Time"], str) else entry["Time"],
        "region": HERE,
        "resources": list(entry["Resources"]),
        "detail": detail(entry),
    }


def schema(name: str) -> dict[str, Any]:
    """A schema of docs/events/."""
    return dict(json.loads((FOLDER / name).read_text()))


if __name__ == "__main__":
    for example in examples():
        file = FOLDER / News(example["DetailType"]).schema
        text = json.dumps(json.loads(file.read_text()) | {"examples": [detail(example)]}, indent=2)
        file.write_text(f"{text}\n")
