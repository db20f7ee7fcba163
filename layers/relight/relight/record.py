"""`record`: the end of a run. Closes it in the ledger, keeps the evidence, tells people, and tells the peer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import __version__
from relight.errors import InputInvalid, RecordIncomplete

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient

    from relight.ledger import Ledger, StepStory
    from relight.run import Run
    from relight.settings import RecordSettings

PHASES = tuple(f"t{n}" for n in range(9))
SCHEMA = "relight/run/1"


class End(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    STOOD_DOWN = "STOOD_DOWN"
    FAILED = "FAILED"


def document(
    run: Run,
    settings: RecordSettings,
    event: Mapping[str, Any],
    marks: Mapping[str, float],
    steps: list[StepStory],
    now: float,
) -> dict[str, Any]:
    """The evidence. What was not seen is null (rule 10); times are epoch seconds."""
    phases = {phase: marks.get(phase) for phase in PHASES}
    first_bad, first_good = phases["t0"], phases["t8"]
    return {
        "schema": SCHEMA,
        "relight": __version__,
        "application": settings.application,
        "region": settings.aws_region,
        "run": {"id": run.id, "epoch": run.epoch, "mode": run.mode.value, "started": run.started_at, "ended": now},
        "status": End(event["end"]).value,
        "finding": event.get("finding"),
        "sentence": event["sentence"],
        "phases": phases,
        "rto_seconds": None if first_bad is None or first_good is None else first_good - first_bad,
        "steps": [asdict(step) for step in steps],
    }


def notification(evidence: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Subject (SNS takes fewer than 100 characters) and text for the person on call."""
    run = evidence["run"]
    subject = f"Relight {evidence['application']}: {evidence['status']} in {evidence['region']}"[:99]
    rto = evidence["rto_seconds"]
    lines = [
        f"Run {run['id']} (epoch {run['epoch']}) ended {evidence['status']}: {evidence['sentence']}",
        f"RTO, first bad sample to first good answer: {'not measured' if rto is None else f'{rto:.0f} s'}",
        *(f"  {step['name']}: {step['sentence']}" for step in evidence["steps"]),
        f"Evidence: {where}",
    ]
    return subject, "\n".join(lines)


@dataclass(frozen=True)
class Recorder:
    """Ends one run; a repeated call writes the same again."""

    settings: RecordSettings
    ledger: Ledger
    peer_ledger: Ledger
    s3: S3Client
    sns: SNSClient
    clock: Callable[[], float]

    def record(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Close the run in the ledger first; RecordIncomplete says which delivery failed after that."""
        try:
            end, sentence = End(event["end"]), str(event["sentence"])
        except (KeyError, ValueError) as error:
            raise InputInvalid(f'the input needs "end" ({", ".join(End)}) and "sentence": {error}') from None
        self.ledger.require(run)
        now = self.clock()
        # A run that failed behind the one-way door leaves the door open: the next one goes on from there.
        if end is not End.FAILED or not self.ledger.head().door_opened:
            self.ledger.finish(run, succeeded=end is End.SUCCEEDED, now=now)
        self.ledger.step_began(run, "record", now)
        marks, steps = self.ledger.timeline(run.id)
        evidence = document(run, self.settings, {**event, "sentence": sentence}, marks, steps, now)
        key = f"runs/{run.id}/run.json"
        where = f"s3://{self.settings.evidence_bucket}/{key}"
        failed = [
            problem
            for problem in (
                self._try("evidence", lambda: self._keep(key, evidence)),
                self._try("notification", lambda: self._tell(evidence, where)),
            )
            if problem
        ]
        mirrored = self._try("mirror", self._mirror)
        said = f"{end.value}: {sentence}"
        self.ledger.step_says(run, "record", self.clock(), said, done=not failed, facts={"mirror": mirrored or "done"})
        if failed:
            raise RecordIncomplete("; ".join(failed))
        return {"status": end.value, "evidence": where, "rto_seconds": evidence["rto_seconds"]}

    def _keep(self, key: str, evidence: Mapping[str, Any]) -> None:
        body = json.dumps(evidence, indent=2, sort_keys=True).encode()
        self.s3.put_object(Bucket=self.settings.evidence_bucket, Key=key, Body=body, ContentType="application/json")

    def _tell(self, evidence: Mapping[str, Any], where: str) -> None:
        subject, text = notification(evidence, where)
        self.sns.publish(TopicArn=self.settings.topic_arn, Subject=subject, Message=text)

    def _mirror(self) -> None:
        head = self.ledger.head()
        self.peer_ledger.mirror(head.epoch, head.active, head.state)

    @staticmethod
    def _try(what: str, act: Callable[[], None]) -> str | None:
        """What went wrong, for a delivery that must not keep the others from being tried."""
        try:
            act()
        except (BotoCoreError, ClientError) as error:
            return f"{what}: {type(error).__name__}: {error}"
        return None
