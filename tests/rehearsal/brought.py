"""A rehearsal beside a workload that was made elsewhere, with GO after verify; prints what came of it, as JSON."""

import io
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moto.backends import get_backend
from rich.console import Console

from lab import environment, rehearsal
from lab.attempts import Attempt
from lab.cloud import ACCOUNT
from lab.options import Options
from lab.region import REGION_NAME, Side
from lab.stack import Stack
from lab.world import World

ELSEWHERE = Path(__file__).with_name("elsewhere.yaml")
PREFIX = {Side.PRIMARY: "10.10", Side.DR: "10.20"}
# What is made elsewhere is nothing that template.yaml may be asked to make.
MADE_ELSEWHERE = ("SourceDatabaseArn", "DataKeyArn", "PeerDataKeyArn", "MinSize", "DesiredCapacity", "NetworkPrefix")
seen: dict[str, Any] = {}
measure = rehearsal._Conduct._measure


def cidrs(side: Side) -> str:
    return f"{PREFIX[side]}.16.0/20,{PREFIX[side]}.32.0/20"


def groups(side: Side) -> list[str]:
    return [f"shop-{side}", f"workers-{side}"]


def sizes(side: Side) -> dict[str, int]:
    """What each group of that Region wants now."""
    known = get_backend("autoscaling")[ACCOUNT][REGION_NAME[side]].autoscaling_groups
    return {name: int(known[name].desired_capacity) for name in groups(side)}


class Brought(World):
    """The orchestrator alone is made of template.yaml."""

    def _create(self, side: Side, more: Mapping[str, str]) -> Stack:
        given = environment.regional(side, self.surroundings, self.timings, self._keys, more)
        made = self._make_workload(side, given).outputs
        region = REGION_NAME[side]
        arn = f"arn:aws:autoscaling:{region}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/"
        parameters = {name: value for name, value in given.items() if name not in MADE_ELSEWHERE} | {
            "CreateWorkload": "false",
            "GoAfter": "verify",
            "ExistingDatabaseId": f"shop-{side}",
            "PeerDatabaseId": f"shop-{side.other}",
            "ExistingDatabaseHost": made["DatabaseHost"],
            "ExistingDatabasePort": made["DatabasePort"],
            "ExistingDatabaseName": "shop",
            "ExistingGroupArns": ",".join(arn + name for name in groups(side)),
            "PeerGroupNames": ",".join(groups(side.other)),
            "ExistingNetworkAclId": made["NetworkAclId"],
            "ExistingAppCidrs": cidrs(side),
            "PeerAppCidrs": cidrs(side.other),
            "ExistingCheckSubnetIds": made["CheckSubnetIds"],
            "ExistingCheckSecurityGroupId": made["CheckSecurityGroupId"],
            "ExistingBalancerName": made["BalancerName"],
            "ExistingBalancerZoneId": made["BalancerZoneId"],
            "ExistingBalancerFullName": made["BalancerFullName"],
            "ExistingTargetGroupFullName": made["TargetsFullName"],
        }
        stack = self._make(environment.stack_name(), region, self.template, parameters)
        self.stacks_made[side] = stack
        seen.setdefault("stacks", {})[side] = sorted(stack.records)
        return replace(stack, outputs=stack.outputs | {"DatabaseArn": made["DatabaseArn"]})

    def _make_workload(self, side: Side, given: Mapping[str, str]) -> Stack:
        parameters = {name: given[name] for name in (*MADE_ELSEWHERE, "SitePort") if name in given} | {
            "Role": side.value,
            "PeerRegion": REGION_NAME[side.other],
            "HomeRegion": REGION_NAME[Side.PRIMARY],
        }
        return self._make("elsewhere", REGION_NAME[side], ELSEWHERE, parameters)


def measuring(conduct: Any, world: World, evidence: Any, attempts: tuple[Attempt, ...], memory: Any) -> Any:
    """Keep what the result does not tell."""
    seen["primary"], seen["dr"] = sizes(Side.PRIMARY), sizes(Side.DR)
    seen["environments"] = {
        name: world.function_environment(name)
        for name in ("assess", "dbcheck", "fence", "guard", "probe", "promote", "record", "scale", "switch", "verify")
    }
    return measure(conduct, world, evidence, attempts, memory)


# The rehearsal itself stays as it is; only its world is another one.
setattr(rehearsal, "World", Brought)  # noqa: B010
setattr(rehearsal._Conduct, "_measure", measuring)  # noqa: B010
said = io.StringIO()
result = rehearsal.rehearse(Options(), Console(file=said))
if "--tell" in sys.argv:
    print(said.getvalue(), file=sys.stderr)
steps = [[step.name, step.sentence] for step in result.steps]
found = {"status": result.status.value, "problems": result.problems, "steps": steps, "rto": result.rto_seconds}
print(json.dumps(seen | found))
