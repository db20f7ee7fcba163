"""A rehearsal in which RDS does not get on with the promotion for a while; prints what was seen, as JSON."""

import io
import json
import threading
from typing import Any

from rich.console import Console

from lab import rehearsal
from lab.attempts import Attempt
from lab.fault import inflict
from lab.options import Options
from lab.region import REGION_NAME, Side, Vantage, alb_address
from lab.score import answered_before
from lab.world import World

# Longer than detection, hold-down and the boot of the instances together: they wait for nothing but the promotion.
PAUSE_SECONDS = 22.0
seen: dict[str, Any] = {"paused_for": PAUSE_SECONDS}
measure = rehearsal._Conduct._measure


def pausing(world: World, *others: Any) -> Any:
    """Pause the promotion before anything is lost, and let it go on later."""
    world.databases.pause_promotion = True
    seen["primary_instances"] = sorted(world.groups.states(Side.PRIMARY))

    def go_on() -> None:
        seen["dr_instances_while_paused"] = len(world.balancers.health(Side.DR))
        world.databases.pause_promotion = False

    timer = threading.Timer(PAUSE_SECONDS, go_on)
    timer.daemon = True
    timer.start()
    return inflict(world, *others)


def measuring(conduct: Any, world: World, evidence: Any, attempts: tuple[Attempt, ...], memory: Any) -> Any:
    """Keep what the result does not tell."""
    result = measure(conduct, world, evidence, attempts, memory)
    promoted = world.databases.promotions[0][1] if world.databases.promotions else None
    answered = answered_before(attempts, REGION_NAME[Side.DR], promoted, {alb_address(Side.DR, Vantage.OUTSIDE)})
    seen["asked_of_dr_before"] = len(answered)
    seen["promoted_after"] = None if promoted is None else promoted - conduct._inflicted.at
    # A run before this one may have stood down, on a busy machine, and taken the capacity that it had warmed with it.
    decided = result.phases["t2"]
    seen["dr_terminations"] = [
        name
        for name, at in world.groups.terminations
        if name not in seen["primary_instances"] and decided is not None and at >= decided
    ]
    seen["executions"] = [f"{run.name} {run.status} {run.cause or ''}" for run in result.executions]
    return result


# The rehearsal itself stays as it is; only these two of its moments are listened to.
setattr(rehearsal, "inflict", pausing)  # noqa: B010
setattr(rehearsal._Conduct, "_measure", measuring)  # noqa: B010
result = rehearsal.rehearse(Options(), Console(file=io.StringIO()))
print(json.dumps(seen | {"status": result.status.value, "problems": result.problems}))
