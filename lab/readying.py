"""What a person does once both Regions are deployed, and whether the standby could be failed over to then.

A release is put into both Regions' buckets, and somebody subscribes to the notifications and confirms. Then each
Region's own function says how ready it is, asked as `relight readiness` asks it: the active one that it is the active
one, and the standby's until it has nothing left to say.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lab.drill_ending import MOST_CALLS
from lab.environment import APPLICATION
from lab.region import REGION_NAME, Side
from lab.report import Readied
from lab.sandbox import token_of
from lab.world import World

FUNCTION = f"relight-{APPLICATION}-readiness"
_RELEASE = b"what instances would fetch; those of the lab run what lies beside it\n"
_MAILBOX = "on-call@example.test"
_PATIENCE_MINUTES = 5.0
"""Scaled minutes in which all that is written each minute has been written more than once."""


def prepare(world: World) -> None:
    """Upload a release to both Regions, and let somebody be told: what comes after a deployment."""
    for side in Side:
        region, given = REGION_NAME[side], world.function_environment("readiness", side)
        s3, sns = (world.cloud.client(service, region) for service in ("s3", "sns"))
        s3.put_object(Bucket=given["BUCKET"], Key=given["RELEASE_KEY"], Body=_RELEASE)
        sns.subscribe(TopicArn=given["TOPIC_ARN"], Protocol="email", Endpoint=_MAILBOX)


def await_ready(world: World, minute: float) -> Readied:
    """The standby's readiness, as soon as every check passes, or the last one in so many scaled minutes.

    A look that the schedule's own comes into is taken again, for the calls of the two cannot be told apart.
    """
    earlier: list[str] = []
    deadline = time.monotonic() + _PATIENCE_MINUTES * minute
    while True:
        readied = replace(look(world, Side.DR), earlier=tuple(earlier))
        if (readied.score == 100 and readied.calls < MOST_CALLS) or time.monotonic() > deadline:
            return readied
        earlier.append("; ".join([f"{readied.score} of 100 by {readied.calls} API calls", *readied.not_passed]))
        time.sleep(minute / 3)


def look(world: World, side: Side) -> Readied:
    """That Region's readiness now, how long its function took, and how many API calls it made."""
    with world.cloud.heard(token_of(REGION_NAME[side], FUNCTION)) as calls:
        began = time.monotonic()
        said = _invoke(world, side)
        seconds = time.monotonic() - began
    checks = said.get("checks", [])
    return Readied(
        score=said.get("score"),
        seconds=round(seconds, 3),
        calls=len(calls),
        checks=len(checks),
        not_passed=tuple(_not_passed(checks)) if checks else (f"it did not get to the end: {said}",),
    )


def _not_passed(checks: Iterable[Mapping[str, str]]) -> Iterator[str]:
    for one in checks:
        if one["level"] != "PASS":
            yield f"{one['name']}: {one['level']}: {one['sentence']}"


def _invoke(world: World, side: Side) -> Mapping[str, Any]:
    """What the function answers in that Region, its error where it fails."""
    functions = world.cloud.client("lambda", REGION_NAME[side])
    answer = functions.invoke(FunctionName=FUNCTION, Payload=json.dumps({"reason": "a rehearsal"}).encode())
    said = json.loads(answer["Payload"].read())
    return said if isinstance(said, dict) else {"errorMessage": str(said)}
