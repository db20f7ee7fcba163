"""What a failover would do from now on, state by state, as its state machine has them. Pure: verdict in, lines out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relight.decision import Action, Finding
from relight.ledger import Capacity
from relight.run import Mode

from relight_cli.execution import kind_of, name_of
from relight_cli.surroundings import relight_here


@dataclass(frozen=True)
class Ahead:
    """One state as the console names it, and what it would do there."""

    state: str
    sentence: str


def goes_on(verdict: Mapping[str, Any]) -> bool:
    """Whether a run would activate the Region without asking anybody."""
    return bool(verdict["action"] == Action.PROCEED)


def ahead(said: Mapping[str, Any], capacity: Mapping[str, Capacity]) -> list[Ahead]:
    """The states in the order in which they would be entered; `said` is what `assess` foresees.

    `capacity` are the last sizes of the active Region's groups.
    """
    steps = [_lock(said), _warm(said, capacity)]
    steps.append(Ahead("Gather and decide", f"{said['action']} ({said['finding']}): {said['sentence']}"))
    return steps + _ends(said) if not goes_on(said) else steps + list(_goes(said))


def _lock(said: Mapping[str, Any]) -> Ahead:
    owner = said.get("takes_over_from")
    lock = f"epoch {int(said['epoch']) + 1} begins in {said['region']}"
    if not owner:
        return Ahead("Take lock", lock)
    what = "is stopped, it makes room" if kind_of(owner) in {"drill", "failback"} else "is over, its lock is taken over"
    return Ahead("Take lock", f"{lock}; {name_of(owner)} {what}")


def _warm(said: Mapping[str, Any], capacity: Mapping[str, Capacity]) -> Ahead:
    sizes = ", ".join(f"{name} has {sizes.desired}" for name, sizes in sorted(capacity.items()))
    known = f"as many instances as {said['active']} had last ({sizes})"
    unknown = f"FailoverCapacity instances: what {said['active']} had was never seen"
    return Ahead("Warm up", f"{known if capacity else unknown}; never fewer than now")


def _ends(said: Mapping[str, Any]) -> list[Ahead]:
    if said["action"] == Action.ASK:
        return [Ahead("Ask a person", "capacity stays warm; nothing is switched and nothing is promoted meanwhile")]
    if said["action"] == Action.WAIT:
        return [Ahead("Hold down", f"it looks again in {said['look_again_seconds']} s, and decides anew")]
    return [Ahead("Stand down", "capacity is put back; nothing was switched and nothing promoted")]


def _goes(said: Mapping[str, Any]) -> Iterator[Ahead]:
    here, active = said["region"], said["active"]
    planned, half_done = said["mode"] == Mode.PLANNED, said["finding"] == Finding.HALF_DONE
    if planned and said["finding"] == Finding.BY_HAND:
        yield Ahead("Bring instances into service", f"first of all, while {active} still takes writes")
    switched = "DNS is switched; the target group holds traffic back until writes work"
    fenced = "its application is let in to its own database again" if active == here else f"{active} is cut off"
    yield Ahead("Switch and fence", f"{switched}; {fenced}")
    if planned and not half_done:
        yield Ahead("Stop writes", f"{active}'s database becomes read-only: from here on nobody can write")
        yield Ahead("See the last write arrive", "not confirmed is not promoted: then all of this is undone")
    door = "THE ONE-WAY DOOR: behind it there is only forward, and no way back but a failback"
    yield Ahead("Promote and bring capacity up", f"goes on with {here}" if half_done else f"{here}: {door}")
    yield Ahead("Prove it", "a write from outside is read back, and clients are answered from here")
    yield Ahead("Harden", "backups, deletion protection, Multi-AZ as they were; the old side's instances go")
    yield Ahead("Record", "evidence, notification; the lock is given back")


def costs(said: Mapping[str, Any]) -> str:
    """What it would cost in data, in a sentence."""
    if not goes_on(said) and said["action"] != Action.ASK:
        return "nothing: nothing would be promoted"
    if said["mode"] == Mode.PLANNED and said["finding"] != Finding.HALF_DONE:
        return "no write is lost; none is taken from the stop until the promotion, on AWS 3 to 10 minutes"
    loss = said.get("estimated_loss_seconds")
    if loss is None:
        return "UNKNOWN: neither a commit nor a heartbeat is known here"
    limit = float(said["max_data_loss_seconds"])
    over = f", more than MaxDataLossSeconds ({limit:.0f})" if loss > limit else ""
    return f"about {loss:.0f} s of writes{over}"


def needs_a_person(said: Mapping[str, Any]) -> str:
    """What somebody would have to answer or do, in a sentence."""
    action = said["action"]
    if action == Action.ASK:
        return "its question: relight approve, or decline"
    if action == Action.WAIT:
        return "nothing yet: it waits, and decides again"
    if action == Action.PROCEED:
        return "nothing until it has ended; then the way home, whenever it suits (relight failback)"
    return (
        f"whoever starts it: it would not go on; {relight_here()} explain --finding {said['finding']} says what to do"
    )
