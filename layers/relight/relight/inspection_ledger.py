"""What both ledgers say, for readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight.readiness_facts import LedgerFacts
from relight.release import of_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.drill import Drill
    from relight.head import Head
    from relight.inquiry import Inquiry
    from relight.ledger import Capacity, Ledger
    from relight.readiness_facts import Unseen
    from relight.release import Release


def send(
    ask: Inquiry,
    head: Head | Unseen,
    ledger: Ledger,
    peer: Ledger,
    groups: Mapping[str, str | None],
    peer_database: str,
) -> Callable[[], LedgerFacts]:
    """Ask both; what comes back collects the answers. `groups` are this Region's, with their counterparts.

    `head` is this ledger's, which says whether there is anything to ask.
    """

    def capacity() -> dict[str, Capacity | None]:
        return {name: ledger.capacity(other) for name, other in groups.items() if other is not None}

    def drills() -> tuple[Drill, ...]:
        return tuple(ledger.drills())

    def release() -> Release | None:
        kept = ledger.release()
        return None if kept is None else of_kept(kept)

    def peer_version() -> str | None:
        said: dict[str, Any] = peer.readiness() or {}
        return said.get("version")

    signals, drilled = ask.send(ledger.signals), ask.send(drills)
    sizes, kept = ask.send(capacity), ask.send(release)
    database = ask.send(lambda: ledger.database(peer_database))
    other, version = ask.send(peer.head), ask.send(peer_version)
    return lambda: LedgerFacts(
        head=head,
        peer_head=ask.told(other),
        signals=ask.told(signals),
        drills=ask.told(drilled),
        capacity=ask.told(sizes),
        database=ask.told(database),
        release=ask.told(kept),
        peer_version=ask.told(version),
    )
