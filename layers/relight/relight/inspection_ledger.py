"""What both ledgers say, for readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight.readiness_facts import LedgerFacts, Unseen
from relight.release import of_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.drill import Drill
    from relight.head import Head
    from relight.inquiry import Inquiry
    from relight.ledger import Ledger
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
    others = {name: other for name, other in groups.items() if other is not None}

    def drills() -> tuple[Drill, ...]:
        return tuple(ledger.drills())

    def peer_version() -> str | None:
        said: dict[str, Any] = peer.readiness() or {}
        return said.get("version")

    signals, drilled = ask.send(ledger.signals), ask.send(drills)
    kept = ask.send(lambda: ledger.kept(others.values(), peer_database))
    peer_head, version = ask.send(peer.head), ask.send(peer_version)

    def collect() -> LedgerFacts:
        found = ask.told(kept)
        return LedgerFacts(
            head=head,
            peer_head=ask.told(peer_head),
            signals=ask.told(signals),
            drills=ask.told(drilled),
            capacity=found
            if isinstance(found, Unseen)
            else {name: found.capacity[other] for name, other in others.items()},
            database=found if isinstance(found, Unseen) else found.database,
            release=found if isinstance(found, Unseen) else _release(found.release),
            peer_version=ask.told(version),
        )

    return collect


def _release(kept: Mapping[str, Any] | None) -> Release | None:
    return None if kept is None else of_kept(kept)
