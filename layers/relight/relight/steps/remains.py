"""What is there of drills in this Region, found by name and by tag and never by memory, and its deletion.

Whatever has started a drill may be dead, and its ledger lost: what lives for it says so itself. Nothing is ever deleted
whose name is another's, or that does not carry both tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.drill import TAG, site_name, throwaway
from relight.drill_plan import APPLICATION_TAG, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_rds import RDSClient

    from relight.settings import DrillSettings

_EPOCH = re.compile(r"-drill-(\d+)$")
# Its deletion is under way: there is nothing to be asked for once more.
_GOING = frozenset({"deleting", "DELETE_IN_PROGRESS"})


class Thing(StrEnum):
    """What a drill is made of, in the words of a sentence."""

    STACK = "stack"
    TEMPLATE = "launch template"
    DATABASE = "database"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True)
class Found:
    """One thing of one drill."""

    thing: Thing
    name: str
    run: str
    epoch: int
    status: str = ""

    def __str__(self) -> str:
        return f"{self.thing} {self.name}"

    @property
    def going(self) -> bool:
        """Whether AWS deletes it already."""
        return self.status in _GOING


@dataclass(frozen=True)
class Sight:
    """What was found, and of which kinds it could not be seen, each with the reason."""

    found: tuple[Found, ...]
    unseen: tuple[str, ...]

    def sees(self, thing: Thing) -> bool:
        """Whether AWS has told of that kind."""
        return not any(unseen.startswith(f"{thing}s ") for unseen in self.unseen)

    def of(self, run_id: str) -> tuple[Found, ...]:
        """What there is of that drill."""
        return tuple(one for one in self.found if one.run == run_id)


def stack_of(stacks: Any, name: str) -> Mapping[str, Any] | None:
    """The stack of that name that is not deleted; None where there is none. BotoCoreError, ClientError."""
    # By name CloudFormation answers for a stack that is not there with an error that nothing but its text tells apart.
    pages = stacks.get_paginator("describe_stacks").paginate()
    return next((stack for page in pages for stack in page["Stacks"] if stack["StackName"] == name), None)


@dataclass(frozen=True)
class Remains:
    """The Region's drills, as their things tell of them."""

    settings: DrillSettings
    rds: RDSClient
    ec2: EC2Client
    stacks: Any  # CloudFormation

    def look(self) -> Sight:
        """Everything of any drill of this application; one kind that AWS does not tell does not hide the others."""
        found: list[Found] = []
        unseen: list[str] = []
        lists: Mapping[Thing, Callable[[], Iterator[Found]]] = {
            Thing.STACK: self._stacks,
            Thing.TEMPLATE: self._templates,
            Thing.DATABASE: self._databases,
            Thing.SNAPSHOT: self._snapshots,
        }
        for thing, those in lists.items():
            try:
                found += those()
            except (BotoCoreError, ClientError) as error:
                unseen.append(f"{thing}s ({type(error).__name__}: {error})")
        return Sight(tuple(found), tuple(unseen))

    def delete(self, those: Iterable[Found], *, stacks_seen: bool) -> dict[Found, str]:
        """Have each of them deleted, whatever becomes of the others; why AWS would not just now, of those it refused.

        What is being deleted already is not asked for again. All that was refused is asked for at the next look. A
        launch template stays for as long as its stack: CloudFormation scales the group to nothing by it.
        """
        refused: dict[Found, str] = {}
        given = tuple(those)
        built = {one.run for one in given if one.thing is Thing.STACK}
        for one in given:
            if one.going:
                continue
            if one.thing is Thing.TEMPLATE and (one.run in built or not stacks_seen):
                refused[one] = "its stack goes first"
                continue
            try:
                self._delete(one)
            except ClientError as error:
                refused[one] = str(error.response["Error"].get("Message") or error)
            except BotoCoreError as error:
                refused[one] = f"{type(error).__name__}: {error}"
        return refused

    def _delete(self, one: Found) -> None:
        match one.thing:
            case Thing.STACK:
                self.stacks.delete_stack(StackName=one.name)
            case Thing.TEMPLATE:
                self.ec2.delete_launch_template(LaunchTemplateName=one.name)
            case Thing.DATABASE:
                self.rds.delete_db_instance(
                    DBInstanceIdentifier=one.name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True
                )
            case Thing.SNAPSHOT:
                self.rds.delete_db_snapshot(DBSnapshotIdentifier=one.name)

    # By name and tag.

    def _ours(self, thing: Thing, name: str, told: Mapping[str, Any], status: str = "") -> Iterator[Found]:
        number = _EPOCH.search(name)
        if number is None:
            return
        epoch, s, tags = int(number[1]), self.settings, tags_of(told)
        of_a_database = thing in {Thing.DATABASE, Thing.SNAPSHOT}
        wanted = throwaway(s.replica_id, epoch) if of_a_database else site_name(s.application, epoch)
        if name == wanted and TAG in tags and tags.get(APPLICATION_TAG) == s.application:
            yield Found(thing, name, tags[TAG], epoch, status)

    def _stacks(self) -> Iterator[Found]:
        for page in self.stacks.get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                yield from self._ours(Thing.STACK, stack["StackName"], stack, stack["StackStatus"])

    def _templates(self) -> Iterator[Found]:
        tagged = [{"Name": "tag-key", "Values": [TAG]}]
        for page in self.ec2.get_paginator("describe_launch_templates").paginate(Filters=tagged):  # type: ignore[arg-type]
            for template in page["LaunchTemplates"]:
                yield from self._ours(Thing.TEMPLATE, template["LaunchTemplateName"], template)

    def _databases(self) -> Iterator[Found]:
        for page in self.rds.get_paginator("describe_db_instances").paginate():
            for instance in page["DBInstances"]:
                status = instance["DBInstanceStatus"]
                yield from self._ours(Thing.DATABASE, instance["DBInstanceIdentifier"], instance, status)

    def _snapshots(self) -> Iterator[Found]:
        for page in self.rds.get_paginator("describe_db_snapshots").paginate(SnapshotType="manual"):
            for snapshot in page["DBSnapshots"]:
                status = snapshot.get("Status", "")
                yield from self._ours(Thing.SNAPSHOT, snapshot["DBSnapshotIdentifier"], snapshot, status)
