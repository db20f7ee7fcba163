"""`relight destroy`: the stacks in reverse order. What holds data stays, and is named, unless one says otherwise."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import typer
from rich.console import Console

from relight_cli import account, standing
from relight_cli.aws import Aws, asking
from relight_cli.deploying import agree
from relight_cli.document import progress, show
from relight_cli.exit_code import Exit, Refused
from relight_cli.remains import Remains, command
from relight_cli.samconfig import REGIONAL, Environment, Slot
from relight_cli.stack import NESTED, Found, Resource, Stacks

ORDER = (Slot.GLOBAL, Slot.DR, Slot.PRIMARY, Slot.KEYS_DR, Slot.KEYS_PRIMARY)
_MOST_ROUNDS = 6


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for beside the environment."""

    delete_data: bool = False
    yes: bool = False
    confirm: str = ""
    """The application's name, typed by whoever wants its data deleted."""
    force: bool = False
    stack_minutes: float = 120.0
    look_every: float = 5.0
    json: bool = False


@dataclass(frozen=True)
class Left:
    """Something that stays."""

    region: str
    resource: Resource
    why: str


@dataclass
class Destruction:
    """One call of `relight destroy`."""

    environment: Environment
    wishes: Wishes
    aws: Aws
    console: Console
    """Where the progress is told."""
    left: list[Left] = field(default_factory=list)
    deleted: list[dict[str, str]] = field(default_factory=list)
    """The stacks that are gone, as JSON has them."""

    def __post_init__(self) -> None:
        """What asks AWS for the stacks, and for what remains of them."""
        self.stacks = Stacks(self.aws, look_every=self.wishes.look_every)
        self.remains = Remains(self.aws, self.wishes.look_every, self.wishes.stack_minutes * 60)

    def run(self) -> Exit:
        """Delete what there is. Refused where it must not, or where a stack will not go."""
        account.check(self.environment, self.aws)
        if not self.wishes.force:
            readings = standing.read(self.environment, self.aws)
            standing.judge(readings, self.environment.home_region, time.time(), heed_freeze=False).require_home()
        found = {slot: self.stacks.look(self.environment.stacks[slot]) for slot in ORDER}
        there = {slot: stack for slot, stack in found.items() if stack is not None}
        if not there:
            self._tell("nothing to do: there are no stacks", [])
            return Exit.DONE
        for stack in there.values():
            if stack.status.endswith("_IN_PROGRESS") and stack.exists:
                do = "wait until the operation has ended"
                raise Refused(f"{stack.name} in {stack.region} is {stack.status}", do=do, code=Exit.STACK)
        for slot, stack in there.items():
            self._say(f"{slot}: {stack.name} in {stack.region}, {stack.status}")
        self._consent(there)
        if self.wishes.delete_data:
            self._delete_databases(there)
        for slot, stack in there.items():
            self._delete(slot, stack)
            self.deleted.append({"slot": slot.value, "stack": stack.name, "region": stack.region})
        self._end()
        return Exit.DONE

    def _say(self, sentence: str) -> None:
        self.console.print(sentence, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _tell(self, sentence: str, staying: list[Left]) -> None:
        """The last that is said; as JSON all of it."""
        self._say(sentence)
        if self.wishes.json:
            names = {"environment": self.environment.name, "application": self.environment.application}
            left = [document_of(one) for one in staying]
            show({**names, "deleted": self.deleted, "left": left, "sentence": sentence})

    def _consent(self, there: dict[Slot, Found]) -> None:
        if Slot.GLOBAL in there and there[Slot.GLOBAL].parameters.get("SiteRecords", "true") == "true":
            self._say(f"{self.environment.domain} will lead nowhere: its records belong to the global stack")
        if not self.wishes.delete_data:
            self._say("databases, buckets, ledgers, secrets and data keys stay")
            agree(f"delete the stacks of {self.environment.name}?", self.wishes.yes)
            return
        self._say("databases, buckets with every version in them, ledgers and secrets are DELETED WITH THEIR DATA")
        typed = self.wishes.confirm
        if not typed and sys.stdin.isatty():
            typed = typer.prompt(f"type {self.environment.application} to delete its data", default="", err=True)
        if typed != self.environment.application:
            what = f"the data of {self.environment.application} is deleted only if its name is typed"
            do = f"give --confirm {self.environment.application}, or leave --delete-data out"
            raise Refused(what, do=do, code=Exit.NO_CONSENT)

    def _delete_databases(self, there: dict[Slot, Found]) -> None:
        """The replica first. Before the stacks, because a database holds on to its subnets."""
        for slot in reversed(REGIONAL):
            for one in self.stacks.resources(there[slot]) if slot in there and there[slot].exists else []:
                if one.kind == "AWS::RDS::DBInstance" and one.physical_id:
                    self._say(f"delete the database {one.physical_id} in {there[slot].region}")
                    self.remains.delete(one, there[slot].region)

    def _delete(self, slot: Slot, found: Found) -> None:
        self._say(f"{slot}: delete {found.name} in {found.region}")
        client, since = self.stacks.client(found.region), time.time() - 5
        nested = [
            stack
            for one in self.stacks.resources(found)
            if one.kind == NESTED and (stack := self.stacks.describe(one.physical_id, found.region)) is not None
        ]
        with asking(f"delete {found.name}"):
            if found.protected:
                client.update_termination_protection(EnableTerminationProtection=False, StackName=found.stack_id)
        self._unprotect_balancers(found)
        for _ in range(_MOST_ROUNDS):
            held = self._held(found)
            with asking(f"delete {found.name}"):
                # Only what a deletion has failed on before may be named as retained.
                client.delete_stack(StackName=found.stack_id, **({"RetainResources": held} if held else {}))
            now = self.stacks.wait(found, lambda said: self._say(f"  {said}"), self.wishes.stack_minutes * 60)
            if now is None:
                break
            self._let_go(now, nested, since)
        else:
            what = f"{found.name} in {found.region} cannot be deleted"
            raise Refused(what, do="look at its events", code=Exit.STACK)
        for stack in [found, *nested]:
            self.left += [Left(found.region, one, "its template keeps it") for one in self.stacks.skipped(stack, since)]

    def _unprotect_balancers(self, found: Found) -> None:
        """A protected load balancer would end the deletion half-way, and it holds no data."""
        for one in self.stacks.resources(found):
            if one.kind == "AWS::ElasticLoadBalancingV2::LoadBalancer" and one.physical_id:
                with asking(f"lift the protection of {one.physical_id}"):
                    self.aws.client("elbv2", found.region).modify_load_balancer_attributes(
                        LoadBalancerArn=one.physical_id,
                        Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
                    )

    def _held(self, found: Found) -> list[str]:
        now = self.stacks.describe(found.stack_id, found.region)
        if now is None or now.status != "DELETE_FAILED":
            return []
        here = self.stacks.resources(now, nested=False)
        return [one.logical_id for one in here if one.status == "DELETE_FAILED" and one.kind != NESTED]

    def _let_go(self, found: Found, nested: list[Found], since: float) -> None:
        """Leave standing what a kept database holds on to: its subnets, their group, their network. Refused where
        nothing was to be kept, because then something else is wrong.
        """
        failures = self.stacks.failures(found, since)
        if self.wishes.delete_data or not failures:
            why = failures[0].sentence if failures else found.reason
            what = f"{found.name} in {found.region} is {found.status}: {why}"
            raise Refused(what, do="mend the cause and run this again", code=Exit.OTHERWISE)
        for stack in [*nested, found]:
            held = set(self._held(stack))
            here = self.stacks.resources(stack, nested=False) if held else []
            kept = [one for one in here if one.logical_id in held]
            self.left += [Left(stack.region, one, "something that stays still needs it") for one in kept]
            if kept and stack is not found:
                with asking(f"delete {stack.name}"):
                    client = self.stacks.client(stack.region)
                    client.delete_stack(StackName=stack.stack_id, RetainResources=sorted(held))
                self.stacks.wait(stack, lambda said: self._say(f"  {said}"), self.wishes.stack_minutes * 60)

    def _end(self) -> None:
        """Delete, or name, what the stacks have left."""
        staying = []
        for left in unique(self.left):
            if self.wishes.delete_data and self.remains.knows(left.resource.kind):
                self._say(f"delete {left.resource.kind} {left.resource.physical_id} in {left.region}")
                ends = self.remains.delete(left.resource, left.region)
                if ends:
                    self._say(f"  {ends}")
            else:
                staying.append(left)
        if not staying:
            self._tell("deleted; nothing is left", [])
            return
        self._tell(
            "deleted. What stays, and how to remove it (a new deployment collides with names that are taken):", staying
        )
        for left in staying:
            self._say(f"  {left.resource.kind} {left.resource.physical_id} in {left.region}: {left.why}")
            self._say(f"    {command(left.resource, left.region)}")


def document_of(left: Left) -> dict[str, str]:
    """As JSON has it, with the command that removes it."""
    one = left.resource
    remove = command(one, left.region)
    return {"region": left.region, "kind": one.kind, "id": one.physical_id, "why": left.why, "remove": remove}


def unique(left: list[Left]) -> list[Left]:
    """Each thing once, in the order in which it was met."""
    found: dict[tuple[str, str], Left] = {}
    for one in left:
        found.setdefault((one.region, one.resource.physical_id), one)
    return list(found.values())


def conduct(environment: Environment, wishes: Wishes, aws: Callable[[], Aws] = Aws) -> int:
    """Destroy: the exit code."""
    return Destruction(environment, wishes, aws(), progress(as_json=wishes.json)).run()
