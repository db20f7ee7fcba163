"""Looking at the active Region: each function takes one look and returns one sample. Nothing here decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relight import endpoint, names
from relight.signal import Sample, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def outside(seen_name: str, servers: Sequence[str], timeout: float, at: float) -> Sample:
    """What Route 53's checkers see of the peer, through the TXT pair of that name: `up` or `down`."""
    try:
        texts = names.ask(seen_name, "TXT", servers, timeout)
    except names.NoAnswer as error:
        return Sample(at, Seen.UNKNOWN, f"no name server of the zone answered ({error})")
    match texts:
        case ["up"]:
            return Sample(at, Seen.UP, "Route 53's checkers reach the active Region")
        case ["down"]:
            return Sample(at, Seen.DOWN, "Route 53's checkers do not reach the active Region")
        case _:
            return Sample(at, Seen.UNKNOWN, f"{seen_name} says {texts!r}, which is neither up nor down")


def told_by_alarm(sample: Sample, unseen_at: float | None) -> Sample:
    """The same view, later: where DNS says nothing, Route 53's alarm of `unseen_at` (epoch seconds) does.

    It is as old as it is: once it is stale, the view is UNKNOWN again.
    """
    if sample.seen is not Seen.UNKNOWN or unseen_at is None:
        return sample
    return Sample(unseen_at, Seen.DOWN, f"Route 53's alarm says that its checkers do not reach it ({sample.sentence})")


def from_dr(url: str, servers: Sequence[str], timeout: float, at: float, *, deep: bool = True) -> Sample:
    """Our own look at the peer's readiness page, by a connection of its own, body checked.

    A page that is not `deep` has no words of its own: of it 200 says that the application answers, and is ready.
    """
    try:
        answer = endpoint.request(url, lambda host: names.ask(host, "A", servers, timeout)[0], timeout)
    except names.NoAnswer as error:
        return Sample(at, Seen.UNKNOWN, f"the peer's name did not resolve ({error})")
    except IndexError:
        return Sample(at, Seen.UNKNOWN, "the peer's name has no address")
    except endpoint.Unreachable as error:
        return Sample(at, Seen.DOWN, f"no answer from here: {error}")
    if not deep:
        up = answer.status == 200
        said = "the peer answers" if up else f"the peer answers {answer.status}"
        return Sample(at, Seen.UP if up else Seen.DOWN, said, answered=up)
    try:
        status = json.loads(answer.body).get("status")
    except (ValueError, AttributeError):
        status = None
    # A balancer without targets answers too, so only the application's own body counts as its answer.
    spoke = status in {"ready", "not ready"}
    if answer.status == 200 and status == "ready":
        return Sample(at, Seen.UP, "the peer says that it is ready", answered=True)
    return Sample(at, Seen.DOWN, f"the peer answers {answer.status}, not ready", answered=spoke)


def control(targets: Sequence[str], resolve: Callable[[str], str], timeout: float, at: float) -> Sample:
    """This Region's own connectivity: any HTTP answer of any target proves it."""
    why = "no control target is configured"
    for target in targets:
        try:
            endpoint.request(target, resolve, timeout)
        except endpoint.Unreachable as error:
            why = str(error)
            continue
        return Sample(at, Seen.UP, f"{target} answers")
    return Sample(at, Seen.DOWN, f"no control target answers ({why})")


def stream(state: dict[str, Any] | None, silence_seconds: float, at: float) -> Sample:
    """The replication stream, from what `dbcheck` says of this Region's database.

    A receiver that says `streaming` but has heard nothing for `silence_seconds` is DOWN: on a path that swallows
    packets it goes on saying so until its own timeout.
    """
    if state is None:
        return Sample(at, Seen.UNKNOWN, "the database of this Region could not be asked")
    if not state["in_recovery"]:
        return Sample(at, Seen.UNKNOWN, "the database of this Region is no replica")
    receiver = state["receiver"]
    if receiver is None:
        return Sample(at, Seen.DOWN, "the replica receives nothing: it has no WAL receiver")
    heard = receiver["last_message_at"]
    silent = at - heard if heard is not None else None
    if receiver["status"] == "streaming" and silent is not None and silent <= silence_seconds:
        return Sample(at, Seen.UP, "the replica streams")
    since = "never" if silent is None else f"{silent:.0f} s ago"
    return Sample(at, Seen.DOWN, f"the WAL receiver is {receiver['status']} and last heard {since}")
