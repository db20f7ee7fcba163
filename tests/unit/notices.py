"""One run as its notices tell it, for the tests of their texts and for the examples in docs/notifications.md.

`python -m tests.unit.notices` puts the examples into the page.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from relight import drill_evidence, failback_evidence
from relight.asking import Asking, Request, Warm
from relight.delivery import LINK_SECONDS
from relight.drill import Kind
from relight.drill_plan import Facts, Origin, Source, cost, minutes, would
from relight.drill_question import DrillAsking, DrillRequest
from relight.evidence import Kept, document, notification, reported
from relight.failback_question import FailbackAsking, FailbackRequest
from relight.head import Head, State
from relight.ledger import StepStory
from relight.offer import notice_of
from relight.question import Answer, Reply
from relight.run import Mode, Run
from relight.settings import RecordSettings
from relight.telling import Notice, word_of

from tests.unit.standby import HERE, HOME, NOW, TABLE, execution

type Steps = dict[str, tuple[str, dict[str, Any]]]
"""By name: the last sentence of each, and its facts."""

PAGE = Path(__file__).parents[2] / "docs/notifications.md"
TOKEN = "AQCkAAAAKgAAAAMAAAAAAAAAAcL+0f/8Zq=="
VIEWS: dict[str, Any] = {
    "outside": {"seen": "DOWN", "since": NOW - 130, "sentence": "_seen.shop.example says down"},
    "from_dr": {"seen": "DOWN", "since": NOW - 125, "sentence": "no answer within 4 s"},
    "stream": {"seen": "UP", "since": NOW - 86400, "sentence": "streaming, the heartbeat is 3 s old"},
    "control": {"seen": "UP", "since": NOW - 86400, "sentence": "3 of 3 control targets answer"},
}
PLANNED: dict[str, Any] = {
    "action": "ask",
    "finding": "application_lost",
    "sentence": "the application is lost but its database is alive and replicates: mode `planned` would lose nothing",
    "look_again_seconds": 0,
    "estimated_loss_seconds": 0.0,
    "mode": "planned",
    "views": VIEWS,
}
EMERGENCY: dict[str, Any] = {
    **PLANNED,
    "finding": "data_loss_too_large",
    "sentence": "about 400 s of writes would be lost, the limit is 60 s",
    "estimated_loss_seconds": 400.4,
    "mode": "emergency",
    "views": {**VIEWS, "stream": {"seen": "DOWN", "since": NOW - 120, "sentence": "no receiver"}},
}
RUN = Run("probe-region-lost-1790000000", execution("probe-region-lost-1790000000"), 4, NOW - 70, Mode.PLANNED)


HOMEWARD = Run(
    "failback-5-29833333",
    f"arn:aws:states:{HOME}:123456789012:execution:relight-shop-failback:failback-5-29833333",
    5,
    NOW - 9000,
    Mode.PLANNED,
)
SWITCHOVER = f"arn:aws:states:{HOME}:123456789012:execution:relight-shop-failover:switchover-5-1789991000000"
LOST = {"rows": 17, "tables": {"shop_order": 15, "shop_payment": 2}, "report": "runs/x/reconciliation.json"}
REPORTS: dict[str, Any] = {
    "retired": {"retired": {"instance": "shop-primary-retired-4", "snapshot": "shop-primary-retired-4"}, "why": "kept"},
    "reprotect": {"called_at": NOW - 8000, "gib": 20, "percent": 100, "lag_seconds": 0.4},
    "comparison": {"tables": 12, "rows": 120034, "differences": [], "differences_total": 0, "report": "x"},
    "reconciliation": LOST,
    "objects": {
        "objects": 1200,
        "differences": [],
        "differences_total": 0,
        "pending": 0,
        "failed": 0,
        "job": None,
        "report": "x",
    },
}


DRILL = Run("drill-promote-29833333", execution("drill-promote-29833333"), 6, NOW - 60, Mode.PLANNED)
THROWAWAY, ORDER = "shop-dr-drill-6", "relight-drill-promote-29833333-1790003600000"
PROMOTES = Facts(
    kind=Kind.PROMOTE,
    here=HERE,
    peer=HOME,
    head=Head(True, 6, HOME, State.STEADY),
    peer_head=Head(True, 6, HOME, State.STEADY),
    replica_id="shop-dr",
    standby={"DBInstanceClass": "db.t4g.small"},
    follows=True,
    source=Source(Origin.REPLICA, f"arn:aws:rds:{HOME}:123456789012:db:shop-primary", 20, None, True),
    peer_silent=None,
    primary_status="available",
    primary_backups=7,
    max_gib=1000,
    max_usd=25.0,
    drill_seconds=14400.0,
    instances=1,
    instance_type="t4g.small",
)


def report_of(run_id: str) -> str:
    """The line on a report; of the link only what people look at."""
    link = f"https://relight-evidence.s3.{HERE}.amazonaws.com/runs/{run_id}/report.html?X-Amz-Signature=..."
    return reported(run_id, link, None, LINK_SECONDS)


def settings(**changed: Any) -> RecordSettings:
    """Of the shop's DR Region."""
    given: dict[str, Any] = {
        "aws_region": HERE,
        "home_region": HOME,
        "peer_region": HOME,
        "ledger_table": TABLE,
        "peer_connect_seconds": 2.0,
        "peer_read_seconds": 5.0,
        "peer_ledger_table": TABLE,
        "evidence_bucket": "relight-evidence",
        "topic_arn": f"arn:aws:sns:{HERE}:123456789012:relight-shop",
        "application": "shop",
        "rto_seconds": 900.0,
        "max_data_loss_seconds": 300.0,
    }
    return RecordSettings(**(given | changed))


def asks(decision: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The input with which the state machine asks for the first time."""
    given = {
        "what": "ask",
        "decision": decision,
        "token": TOKEN,
        "asked": 1,
        "expires_in": 900,
        "ask_until": NOW + 7200,
        "warm_until": NOW + 1730,
    }
    return given | changed


def asks_home(**changed: Any) -> dict[str, Any]:
    """The input with which a failback asks for the first time."""
    given = {
        "what": "ask",
        "kind": "failback",
        "token": TOKEN,
        "asked": 1,
        "expires_in": 3600,
        "ask_until": NOW + 43200,
    }
    reports = REPORTS | {name: value for name, value in changed.items() if name in REPORTS}
    return given | {"reports": reports} | {name: value for name, value in changed.items() if name not in REPORTS}


def home_question(event: dict[str, Any], now: float = NOW) -> Notice:
    """The notice of a failback's question that is asked now, in the home Region."""
    request = FailbackRequest.from_event(event)
    here = settings(aws_region=HOME, peer_region=HERE)
    return FailbackAsking(here, HOMEWARD, request, request.question(now)).notice


def home_ending(end: dict[str, Any], answer: Answer | None = None) -> Notice:
    """The notice of the end of a failback."""
    steps = [StepStory("ask", NOW, NOW, "question 1 (first)", {})]
    kept = Kept({}, steps, None, answer, [])
    here = settings(aws_region=HOME, peer_region=HERE)
    said = failback_evidence.document(HOMEWARD, here, {"reports": REPORTS} | end, kept, NOW + 900)
    where = f"s3://relight-evidence/runs/{HOMEWARD.id}/run.json"
    return failback_evidence.notification(said, where, report_of(HOMEWARD.id))


def drill_question() -> Notice:
    """The notice of a drill that asks for the first time, in the DR Region."""
    planned = f"a drill of the kind promote may begin: about {minutes(PROMOTES):g} minutes, {cost(PROMOTES)} USD"
    decision = {"finding": "drill_promote", "sentence": planned, "would": would(PROMOTES)}
    asked = asks(decision, kind="drill", drill="promote")
    request = DrillRequest.from_event({name: value for name, value in asked.items() if name != "warm_until"})
    return DrillAsking(settings(), DRILL, request, request.question(NOW)).notice


def drill_ending(end: dict[str, Any], steps: Steps, answer: Answer | None) -> Notice:
    """The notice of the end of a drill."""
    stories = [StepStory(f"drill ({name})", NOW, NOW, said, facts) for name, (said, facts) in steps.items()]
    given = {"trigger": "manual", "reason": "a quarter of a year has passed", "drill": {"kind": "promote"}, **end}
    said = drill_evidence.document(DRILL, settings(), given, Kept({}, stories, None, answer, []), NOW + 4000)
    where = f"s3://relight-evidence/runs/{DRILL.id}/run.json"
    return drill_evidence.notification(said, where, report_of(DRILL.id))


def question(event: dict[str, Any], now: float = NOW, warm: Warm | None = Warm(2, 1)) -> Notice:  # noqa: B008
    """The notice of a question that is asked now."""
    request = Request.from_event(event)
    return Asking(settings(), RUN, request, request.question(now), warm).notice


def ending(
    end: dict[str, Any], run: Run = RUN, answer: Answer | None = None, marks: dict[str, float] | None = None
) -> Notice:
    """The notice of the end of a run that was asked about once."""
    steps = [
        StepStory("assess", NOW - 60, NOW, PLANNED["sentence"], {}),
        StepStory("ask", NOW, NOW, "question 1 (first)", {}),
    ]
    asked = Request.from_event(asks(PLANNED)).question(NOW)
    kept = Kept(marks or {}, steps, asked, answer, [])
    said = document(run, settings(), end, kept, NOW + 300)
    return notification(said, f"s3://relight-evidence/runs/{run.id}/run.json", report_of(run.id))


def examples() -> dict[str, Notice]:
    """The notices of the page, by the name that it has for each."""
    because = "the deployment broke it, and it is not mended before noon"
    approved = Answer(Reply.APPROVED, "arn:aws:iam::123456789012:user/ann", because, NOW + 120, "application_lost")
    fence_lifted = {
        "capacity": "capacity is back at min 0, desired 0, max 4",
        "switches": "STOP and GO are 0",
        "fence": "the peer is not fenced",
        "writes": "nothing was stopped",
    }
    succeeded = {"end": "SUCCEEDED", "finding": "application_lost", "sentence": PLANNED["sentence"], "fence": "fenced"}
    refused = f"nobody answered in time: {PLANNED['sentence']}"
    stood_down = {"end": "STOOD_DOWN", "finding": "application_lost", "sentence": refused, "undone": fence_lifted}
    failed = {
        "end": "FAILED",
        "finding": "error",
        "sentence": "DeadlinePassed: writes did not work in time (behind the one-way door: the next run goes on from "
        '"Prove it")',
        "fence": "unknown",
    }
    nobody = Answer(Reply.UNANSWERED, "nobody", "no answer in time", NOW + 7200, "application_lost")
    return {
        "first": question(asks(PLANNED)),
        "last": question(asks(EMERGENCY, asked=8), now=NOW + 6600),
        "told": word_of(RUN, settings(), "This Region serves and takes writes. Hardening goes on."),
        "succeeded": ending(
            {**succeeded, "verdict": PLANNED}, answer=approved, marks={"t0": NOW - 130, "t8": NOW + 245}
        ),
        "stood down": ending(stood_down, answer=nobody),
        "failed": ending({**failed, "verdict": EMERGENCY}, replace(RUN, mode=Mode.EMERGENCY), approved),
        "offer": notice_of("shop", HOME, Head(True, 4, HERE, State.STEADY, active_epoch=4), NOW - 1800, NOW),
        "home": home_question(asks_home()),
        "went home": home_ending(
            {
                "end": "SUCCEEDED",
                "sentence": f"{HOME} is active again, and {HERE} stands by",
                "to": "home",
                "reports": REPORTS | {"switchover": SWITCHOVER},
                "read_only_seconds": 312.4,
            },
            Answer(Reply.APPROVED, "arn:aws:iam::123456789012:user/ann", "nobody orders now", NOW + 60, "x"),
        ),
    } | drill_examples()


def drill_examples() -> dict[str, Notice]:
    """Those of drills."""
    approved = Answer(Reply.APPROVED, "arn:aws:iam::123456789012:user/ann", "it is quiet", NOW + 60, "drill_promote")
    built = f"{THROWAWAY} answers, made in 41 min from arn:aws:rds:{HOME}:123456789012:db:shop-primary, by replication"
    written = f"order {ORDER} was written through https://dr.shop.example/orders and read back"
    made: Steps = {
        "database": (built, {"instance": THROWAWAY, "seconds": 2460.0}),
        "promote": (f"{THROWAWAY} was promoted and took a write after 6 min 52 s", {"promote_seconds": 412.0}),
        "site": ("1 of 1 instances of the drill's site are healthy, 1 needed: https://shop-drill-6.example", {}),
        "writes": (written, {"order": ORDER}),
    }
    gone: Steps = {"teardown": ("nothing is left of the drill", {"left_over": []})}
    failed = {"end": "FAILED", "finding": "error"}
    refused = f"ThrowawayNotBuilt: {THROWAWAY} is storage-full, and comes no further (in: Make the throwaway database)"
    left = f"database {THROWAWAY}"
    stuck: Steps = {"teardown": (f"{left} is being deleted", {"left_over": [left]})}
    return {
        "drill asks": drill_question(),
        "drilled": drill_ending(
            {"end": "SUCCEEDED", "finding": "rehearsed", "sentence": f"the drill has come to its end: {written}"},
            made | gone,
            approved,
        ),
        "drill failed": drill_ending({**failed, "sentence": refused}, stuck, approved),
    }


def page(text: str) -> str:
    """The page with the examples as they are now, each below the line that names it."""
    for name, notice in examples().items():
        block = f"Subject: {notice.subject}\nurgency: {notice.urgency}\n\n{notice.text}"
        place = re.search(rf"<!-- example: {name} -->\n```text\n(.*?)\n```", text, re.DOTALL)
        assert place is not None, f"the page has no place for the example {name!r}"
        text = text[: place.start(1)] + block + text[place.end(1) :]
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
