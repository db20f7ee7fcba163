"""Whether the world is as it was deployed: the home primary is active, and nothing is on its way, as the ledgers say.

Both Regions' ledgers are read, and nothing is concluded from one that does not answer: a Region that cannot be read may
have been activated meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from relight.ledger import Head, Ledger, State

from relight_cli.aws import NO_ANSWER, Aws, code_of, refusal
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import REGIONAL, Environment, Slot

# How an execution is named in the lock; anything else is no run of ours, and counts as one that goes on.
_EXECUTION = ":execution:"


class Answer(StrEnum):
    """What the ledgers come to."""

    HOME = "home"
    NOT_NOW = "not now"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reading:
    """One Region's ledger as it was found."""

    region: str
    head: Head | None = None
    """None where there is no table, or it could not be read."""
    unreadable: str = ""
    """Why it could not be read."""
    owner_runs: bool = False
    """Whether the run that holds the lock goes on, or it cannot be told."""


@dataclass(frozen=True)
class Standing:
    """An answer with its reason."""

    answer: Answer
    sentence: str

    def require_home(self) -> None:
        """Refused where the home primary is not active, a run is on, or that is not known."""
        if self.answer is not Answer.HOME:
            do = "end the run or go home first" if self.answer is Answer.NOT_NOW else "try again when both answer"
            raise Refused(self.sentence, do=do, code=Exit.NOT_HOME)


def judge(readings: Mapping[Slot, Reading], home: str, now: float, *, heed_freeze: bool = True) -> Standing:
    """What both ledgers come to. Pure; `now` in epoch seconds. A freeze is heeded by pipelines, not by people: it is
    what a person sets before changing something by hand.

    `home` is the one fixed at deployment; where a person has told a failback to stay, the ledgers say another one.

    One that says no is enough for no. Without such a one, one that cannot be read leaves it unknown. A Region without a
    ledger has never been deployed, so nothing can be under way there.
    """
    homes = {reading.head.home_or(home) for reading in readings.values() if reading.head is not None}
    if len(homes) > 1:
        return Standing(Answer.NOT_NOW, f"not now: the ledgers name two homes, {' and '.join(sorted(homes))}")
    home = next(iter(homes), home)
    for reading in readings.values():
        reason = _objection(reading, home, now if heed_freeze else None)
        if reason:
            return Standing(Answer.NOT_NOW, f"not now: the ledger of {reading.region} says that {reason}")
    silent = [reading for reading in readings.values() if reading.unreadable]
    if silent:
        why = "; ".join(f"{reading.region}: {reading.unreadable}" for reading in silent)
        return Standing(Answer.UNKNOWN, f"it cannot be known which Region is active, a ledger cannot be read ({why})")
    without = [reading.region for reading in readings.values() if reading.head is None]
    more = f"; {' and '.join(without)} has no ledger yet" if without else ""
    return Standing(Answer.HOME, f"{home} is active, steady, and no run is on{more}")


def _objection(reading: Reading, home: str, now: float | None) -> str:
    head = reading.head
    if head is None:
        return ""
    if head.active != home:
        return f"{head.active} is active, and not {home}"
    if head.state is not State.STEADY:
        return f"a Region is being activated ({head.state})"
    if head.owner is not None and reading.owner_runs:
        return f"a run is on ({head.owner})"
    if now is not None and head.frozen_until is not None and head.frozen_until > now:
        return f"it is frozen ({head.frozen_because or 'no reason given'})"
    return ""


def read(environment: Environment, aws: Aws) -> dict[Slot, Reading]:
    """Both ledgers. Refused only where nobody can ask at all: no credentials, or expired ones."""
    return {slot: _read(environment, aws, environment.stacks[slot].region) for slot in REGIONAL}


def _read(environment: Environment, aws: Aws, region: str) -> Reading:
    table = f"relight-{environment.application}"
    try:
        head = Ledger(aws.client("dynamodb", region), table, environment.home_region).head()
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return Reading(region)
        return _unreadable(region, error)
    except NO_ANSWER as error:
        return _unreadable(region, error)
    return Reading(region, head, owner_runs=head.owner is not None and _runs(aws.client("stepfunctions", region), head))


def _unreadable(region: str, error: BotoCoreError | ResponseParserError | ClientError) -> Reading:
    refused = refusal(error, f"read the ledger of {region}")
    if refused.code is not Exit.AWS:
        raise refused from error
    return Reading(region, unreadable=refused.what)


def _runs(states: Any, head: Head) -> bool:
    """Whether the owner of the lock is a run that goes on. One that cannot be asked about counts as going on."""
    if _EXECUTION not in (head.owner or ""):
        return True
    try:
        return bool(states.describe_execution(executionArn=head.owner)["status"] == "RUNNING")
    except ClientError as error:
        return code_of(error) != "ExecutionDoesNotExist"
    except NO_ANSWER:
        return True
