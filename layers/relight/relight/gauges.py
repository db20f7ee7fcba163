"""What `guard` tells of its Region beside the switches.

MAINTENANCE is 1 while an operator's freeze lasts: it keeps the workload's alarms from waking people. UnprotectedSeconds
is how long this Region has been active without a standby behind it; only the Region that was not home at deployment
tells it. Each is told only while there is something to tell: CloudWatch charges a metric by the hours in which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.head import item, values_of
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from relight.head import Head
    from relight.ledger import Ledger

# After a freeze has ended by itself, its end is told for so long: an alarm without data keeps its state for a while.
OVER_SECONDS = 600
# A stream that the other Region's probe has seen alive this lately protects; the probe keeps it twice a minute.
STREAM_SECONDS = 300


def gauges(head: Head, here: str, home: str, now: float) -> dict[str, float]:
    """All values at `now` (epoch seconds) of a Region that nothing is known to protect."""
    return maintenance(head, now) | unprotected(head, here, home, now, None)


def maintenance(head: Head, now: float) -> dict[str, float]:
    """Whether a freeze lasts, from when it was made known until a while after its end; else nothing."""
    told = head.frozen_until is not None and now < head.frozen_until + OVER_SECONDS
    return {"MAINTENANCE": float(head.frozen_at(now))} if told else {}


def unprotected(head: Head, here: str, home: str, now: float, stream: Signal | None) -> dict[str, float]:
    """How long there has been no standby. What is unknown is left out, so that it reads as no data.

    `stream` is what the other Region's ledger says of the replication stream into its database; None is unknown.
    """
    seconds = _unprotected_seconds(head, here, home, now)
    return {} if seconds is None else {"UnprotectedSeconds": 0.0 if _protects(stream, now) else seconds}


def stream(ledger: Ledger) -> Signal | None:
    """What a ledger says of the replication stream into its Region; None where it says nothing.

    Just that item, by a read that needs no more than the reading of a head does. Raises what boto3 raises.
    """
    key = item({"pk": "signal", "sk": View.STREAM.value})
    found = ledger.dynamodb.get_item(TableName=ledger.table, Key=key, ConsistentRead=True).get("Item")
    if found is None:
        return None
    seen = values_of(found)
    when = float(seen["since"]), float(seen["last_seen"])
    return Signal(View.STREAM, Seen(seen["seen"]), *when, str(seen["sentence"]))


def is_away(head: Head, here: str, home: str) -> bool:
    """Whether this Region is active, and the other one was home at deployment: then it matters what protects it."""
    return here != home and head.active == here


def _unprotected_seconds(head: Head, here: str, home: str, now: float) -> float | None:
    """Since the promotion that made this Region active, or since its run ended; None elsewhere and where unknown."""
    if not is_away(head, here, home):
        return None
    called = head.promotion.called_at if head.promotion is not None else None
    began = head.ended_at if called is None else called
    return None if began is None else max(0.0, now - began)


def _protects(stream: Signal | None, now: float) -> bool:
    return stream is not None and stream.at(now, STREAM_SECONDS).seen is Seen.UP
