"""`relight cut-over`: an existing simple record gives way to the failover pair, in one batch, with the way back."""

import json
import time
from dataclasses import dataclass

from rich.console import Console

from lab.template import Template
from relight_cli import account, configuration, records, standing, zone
from relight_cli.aws import Aws, asking
from relight_cli.configuration import GLOBAL_REGION
from relight_cli.deploying import agree
from relight_cli.document import progress, show
from relight_cli.exit_code import Exit, Refused
from relight_cli.records import CutOver, Target
from relight_cli.samconfig import Environment, Slot
from relight_cli.stack import Stacks, require_ready
from relight_cli.surroundings import aws_here, relight_here

# The template's own records say which health check belongs to which of the pair.
_PAIR = {"SitePrimary": "Primary", "SiteSecondary": "Dr"}


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for beside the environment."""

    plan: bool = False
    yes: bool = False
    look_every: float = 5.0
    minutes: float = 10.0
    json: bool = False


def batch(environment: Environment, aws: Aws) -> tuple[zone.Zone, CutOver | None]:
    """The zone and what to send to it. Refused where the world is not as a cut-over needs it."""
    account.check(environment, aws)
    readings = standing.read(environment, aws)
    standing.judge(readings, environment.home_region, time.time(), heed_freeze=False).require_home()
    found = zone.find(environment, aws)
    template = configuration.templates(environment)[Slot.GLOBAL]
    primary, dr = _targets(environment, template, Stacks(aws))
    return found, records.cut_over(zone.at_domain(environment, found, aws), environment.domain, primary, dr)


def _targets(environment: Environment, template: Template, stacks: Stacks) -> list[Target]:
    """Balancers and health checks as the global stack has them."""
    found = stacks.look(environment.stacks[Slot.GLOBAL])
    require_ready(found)
    if found is None or not found.exists:
        do = f"set SiteRecords=false and run {relight_here()} deploy --env {environment.name} first"
        raise Refused("the global stack does not exist yet", do=do, code=Exit.STACK)
    if found.parameters.get("SiteRecords", "true") == "true":
        do = "set SiteRecords=false and deploy, or leave it as it is"
        raise Refused("the global stack makes the failover pair itself", where=found.name, do=do, code=Exit.RECORD)
    made = {one.logical_id: one.physical_id for one in stacks.resources(found, nested=False)}
    return [
        Target(
            found.parameters[f"{side}BalancerName"],
            found.parameters[f"{side}BalancerZoneId"],
            made[template.resources[record]["Properties"]["HealthCheckId"]["Ref"]],
        )
        for record, side in _PAIR.items()
    ]


def conduct(environment: Environment, wishes: Wishes) -> int:
    """Show the batch, and send it unless only the plan was asked for: the exit code."""
    console, aws = progress(as_json=wishes.json), Aws()
    found, made = batch(environment, aws)
    known: dict[str, object] = {"environment": environment.name, "domain": environment.domain, "zone": found.id}
    if made is None:
        sentence = f"nothing to do: {environment.domain} has the failover pair already"
        _end(console, sentence, {**known, "forward": None, "back": None, "undo": None, "sent": False}, wishes)
        return Exit.DONE
    known |= {"forward": made.forward, "back": made.back}
    back = environment.folder / "build" / f"cut-over-{environment.name}-back.json"
    change = f"{aws_here()} route53 change-resource-record-sets --hosted-zone-id {found.id}"
    undo = f"{change} --change-batch file://{back}"
    console.out(json.dumps(made.forward, indent=2), highlight=False)
    console.out(f"\nThe way back, one batch too:\n{json.dumps(made.back, indent=2)}", highlight=False)
    if wishes.plan:
        if wishes.json:
            show({**known, "undo": None, "sent": False, "sentence": "nothing was sent"})
        return Exit.DONE
    agree(f"send this to the zone {found.name}?", wishes.yes)
    try:
        back.parent.mkdir(parents=True, exist_ok=True)
        back.write_text(json.dumps(made.back, indent=2), encoding="utf-8")
    except OSError as error:
        what = f"the way back cannot be kept: {error.strerror}; nothing was sent"
        raise Refused(what, where=str(back), do="run it in a folder that you may write", code=Exit.BAD_INPUT) from error
    _send(found.id, made, aws, wishes)
    sentence = f"done; {environment.domain} is a failover pair now. The way back: {undo}"
    _end(console, sentence, {**known, "undo": undo, "sent": True}, wishes)
    return Exit.DONE


def _end(console: Console, sentence: str, document: dict[str, object], wishes: Wishes) -> None:
    console.print(sentence, markup=False)
    if wishes.json:
        show({**document, "sentence": sentence})


def _send(zone_id: str, made: CutOver, aws: Aws, wishes: Wishes) -> None:
    route53 = aws.client("route53", GLOBAL_REGION)
    with asking("change the records"):
        answer = route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=made.forward)
    deadline = time.monotonic() + wishes.minutes * 60
    while answer["ChangeInfo"]["Status"] != "INSYNC":
        if time.monotonic() > deadline:
            change = answer["ChangeInfo"]["Id"]
            do = f"ask again with {aws_here()} route53 get-change --id {change}"
            raise Refused(f"the change {change} is not in force everywhere yet", do=do, code=Exit.AWS)
        time.sleep(wishes.look_every)
        with asking("ask whether the change is in force"):
            answer = route53.get_change(Id=answer["ChangeInfo"]["Id"])
