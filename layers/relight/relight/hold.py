"""HOLD, and when the home Region may let go of it.

While STOP or GO of the other Region may still be 1, HOLD is what keeps clients here. Once they are seen to be back it
keeps nobody here any more, and would keep them from the other Region the next time that this one is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from relight.head import State, item
from relight.ledger import HEAD

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

    from relight.head import Head
    from relight.ledger import Ledger


def in_the_way(peer_cloudwatch: CloudWatchClient | None, application: str) -> str | None:
    """Why HOLD has to stay, as a sentence; None where STOP and GO are seen to be 0, by the alarms behind Route 53."""
    if peer_cloudwatch is None:
        return "nobody can ask for the other Region's switches"
    cleared = {f"relight-{application}-stop": "OK", f"relight-{application}-no-go": "ALARM"}
    try:
        found = peer_cloudwatch.describe_alarms(AlarmNames=list(cleared))["MetricAlarms"]
    except (BotoCoreError, ClientError) as error:
        return f"the other Region's switches cannot be seen: {type(error).__name__}"
    states = {alarm["AlarmName"]: str(alarm["StateValue"]) for alarm in found}
    wrong = [f"{name} is {states.get(name, 'missing')}" for name, state in cleared.items() if states.get(name) != state]
    return f"the other Region's switches are not back: {', '.join(wrong)}" if wrong else None


def is_guest(owner: str, here: str) -> bool:
    """Whether the lock is held by a run of the other Region, which activates nothing here. Pure."""
    region = (owner.split(":") + [""] * 4)[3]
    return region not in {"", here}


def is_due(own: Head, other: Head | None, here: str, now: float) -> bool:
    """Whether it is time to look at that, on behalf of no run: this Region serves, and the other one says so, too.

    A guest is no reason to wait: what it builds over hours is the standby that HOLD would keep clients from.
    """
    agreed = other is not None and other.written and other.active == here and other.state is State.STEADY
    at_work = own.owner is not None and own.expires_at > now and not is_guest(own.owner, here)
    return own.held and own.active == here and own.state is State.STEADY and not at_work and agreed


def let_go(ledger: Ledger, here: str, own: Head, now: float) -> bool:
    """HOLD is 0 from now on; False where a run is at work, or this Region is not the active one (any more).

    `own` is the head by which it is due: its owner may be a guest.
    """
    free = "(attribute_not_exists(#owner) OR expires_at < :now"
    given = {":here": here, ":steady": State.STEADY.value, ":now": int(now)}
    if own.owner is not None and is_guest(own.owner, here):
        free, given[":guest"] = f"{free} OR #owner = :guest", own.owner
    try:
        ledger.dynamodb.update_item(
            TableName=ledger.table,
            Key=item(HEAD),
            UpdateExpression="REMOVE held",
            ConditionExpression=f"{free}) AND active = :here AND #state = :steady",
            ExpressionAttributeNames={"#owner": "owner", "#state": "state"},
            ExpressionAttributeValues=item(given),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True
