"""Telling people: a notice goes to the topic of this Region, with attributes by which a subscription can choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

    from relight.run import Run
    from relight.settings import RecordSettings

# How pressing a notice is that asks nothing; a question's is a `relight.question.Urgency`.
TOLD, ENDED, FAILED = "told", "ended", "failed"
LONGEST_SUBJECT = 99  # SNS takes fewer than 100 characters


def one_line(text: str, longest: int) -> str:
    """What others wrote, on one line of printable characters: in a text it can look like nothing but itself."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


@dataclass(frozen=True)
class Notice:
    """What people are sent. The subject is ASCII, one line and short enough for SNS."""

    subject: str
    text: str
    urgency: str

    @classmethod
    def of(cls, subject: str, lines: list[str], urgency: str) -> Notice:
        """A notice whose subject is made fit for SNS."""
        ascii_only = subject.encode("ascii", "replace").decode()
        return cls(one_line(ascii_only, LONGEST_SUBJECT), "\n".join(lines), urgency)


def word_of(run: Run, settings: RecordSettings, sentence: str) -> Notice:
    """What a run says while it goes on."""
    lines = [sentence, f"Run {run.id} (epoch {run.epoch}) in {settings.aws_region} goes on."]
    return Notice.of(f"Relight {settings.application}: {sentence}", lines, TOLD)


@dataclass(frozen=True)
class Teller:
    """The topic of this Region, and whose it is."""

    sns: SNSClient
    topic_arn: str
    application: str

    def tell(self, run_id: str, notice: Notice) -> None:
        """Publish; raises what boto3 raises. Filter policies see `urgency`, `application` and `run`."""
        attributes = {"urgency": notice.urgency, "application": self.application, "run": run_id}
        self.sns.publish(
            TopicArn=self.topic_arn,
            Subject=notice.subject,
            Message=notice.text,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
