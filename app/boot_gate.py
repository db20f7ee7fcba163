"""Whether the shop may start in this Region: `python -m app.boot_gate`, before each start.

A Region that comes back after it was lost finds its instances where they were, and a stack update or a replaced
instance may start new ones there. The other Region's ledger says whether that one has taken over since; then the
gate is closed (exit code 3) and systemd asks again ten seconds later. The gate opens where the other ledger says
otherwise, and where it cannot be asked: it may never keep the Region from starting that is being activated.

The rules are those of relight's guard, which the instance does not have; a test compares the two.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CLOSED = 3
"""The exit code of a closed gate."""
_NEEDED = ("AWS_REGION", "PEER_REGION", "HOME_REGION", "LEDGER_TABLE")
_HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
_PATIENCE = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass(frozen=True)
class Head:
    """What a ledger says about its Region, as far as the gate needs it."""

    epoch: int
    active: str
    promoting: bool = False
    owned: bool = False
    """A run holds the lock, so that `promoting` is its word."""
    door_opened: bool = False
    """A promotion has begun: only forward from there. Before it a run may yet be stopped, and supersedes nobody."""
    active_epoch: int = 0
    """Of the run that made `active` what it is."""


@dataclass(frozen=True)
class Verdict:
    """May the shop start, and one sentence about why."""

    is_open: bool
    sentence: str


def stands_by(own: Head | None, here: str, home: str) -> bool:
    """Whether this Region is the standby, as its own ledger has it: that the other one is active is no news then.

    None is a ledger that could not be read, or that nobody has written yet; home is active there.
    """
    return here not in {home, own.active if own else home}


def verdict(own: Head | None, other: Head | None, here: str, peer: str, home: str) -> Verdict:
    """What the two ledgers mean for a start in this Region. Pure."""
    own = own or Head(0, home)
    if other is None:
        return Verdict(True, f"nothing is known of {peer}'s ledger")
    claim = (
        other.active_epoch if other.active == peer else other.epoch if other.promoting and other.door_opened else None
    )
    if claim is not None and _outdone(own, here, claim) and not stands_by(own, here, home):
        what = "is active" if other.active == peer else "is being activated"
        return Verdict(False, f"{here} was superseded: {peer} {what}, at epoch {claim}")
    return Verdict(True, f"{peer} has not superseded {here}")


def _outdone(own: Head, here: str, claim: int) -> bool:
    """Whether that claim is later than this Region's own. A run of its own that came after it is going home, also one
    that died behind the one-way door: the next one goes on from there."""
    going_home = (own.owned or own.door_opened) and own.epoch > claim
    return not going_home and claim > (own.active_epoch if own.active == here else -1)


def head_of(item: Mapping[str, Any] | None, home: str) -> Head | None:
    """The head as it is in the table; None where nobody has written it."""
    if not item or not {"active", "epoch"} & item.keys():
        return None
    return Head(
        epoch=int(item.get("epoch", {"N": "0"})["N"]),
        active=item.get("active", {"S": home})["S"],
        promoting=item.get("state") == {"S": "promoting"},
        door_opened="promotion" in item,
        active_epoch=int(item.get("active_epoch", {"N": "0"})["N"]),
        owned="owner" in item,
    )


def ask(here: str, peer: str, home: str, table: str) -> Verdict:
    """Read the ledgers and judge. The other Region is asked only where its answer matters, and at most twice."""
    try:
        own = _read(here, table, home)
    except (BotoCoreError, ClientError) as error:
        own = None
        _say("WARNING", f"the ledger of {here} cannot be read: {error}")
    if stands_by(own, here, home):
        return Verdict(True, f"{here} stands by, so that {peer} has no say")
    try:
        other = _read(peer, table, home)
    except (BotoCoreError, ClientError) as error:
        return Verdict(True, f"{peer} cannot be asked: {error}")
    return verdict(own, other, here, peer, home)


def _read(region: str, table: str, home: str) -> Head | None:
    client: DynamoDBClient = boto3.client("dynamodb", region_name=region, config=_PATIENCE)
    return head_of(client.get_item(TableName=table, Key=_HEAD, ConsistentRead=True).get("Item"), home)


def _say(level: str, message: str) -> None:
    sys.stderr.write(json.dumps({"level": level, "logger": "app.boot_gate", "message": message}) + "\n")


def main(variables: Mapping[str, str] = os.environ) -> int:
    """0 where the gate is open, 3 where it is closed, 1 where the environment does not say whom to ask; each with one
    line of JSON on stderr."""
    missing = [name for name in _NEEDED if not variables.get(name)]
    if missing:
        _say("CRITICAL", f"the boot gate's environment lacks {', '.join(missing)}")
        return 1
    here, peer, home, table = (variables[name] for name in _NEEDED)
    found = ask(here, peer, home, table)
    _say("INFO" if found.is_open else "WARNING", f"{'open' if found.is_open else 'closed'}: {found.sentence}")
    return 0 if found.is_open else CLOSED


if __name__ == "__main__":
    sys.exit(main())
