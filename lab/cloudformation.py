"""CloudFormation as the SAM CLI and boto3 ask for it: stacks with a status, change sets, events, deletion.

What is asked for is carried out by the lab's own engine, in a thread of its own, so that callers have to wait and look
as they do on AWS. Imitated: creation at once and by change set, update by change set, roll-back of a failed creation,
tags of a stack on what it makes (of one that is created at once), deletion with what is retained, also of a stack that
is still being created, termination protection, stack policies, nested stacks as stacks. Not imitated: updates without a
change set, roll-back of what a failed update has changed, drift, stack sets, imports, exports, hooks, what the role of
a stack may do; a template is not validated but by what the engine refuses.
"""

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from moto.backends import get_backend

from lab import change_set
from lab.change_set import NO_CHANGES, ChangeSet
from lab.deployment import ACCOUNT
from lab.errors import LabError
from lab.packaged import Fetch, unpack
from lab.resources.registry import NESTED_STACK
from lab.stack import Stack, Stacks
from lab.stack_policy import StackPolicy

_DELETING = "DELETE_IN_PROGRESS"
_WHERE = re.compile(r"\S+:\d+ (\w+) (AWS::\S+)")


class Invalid(Exception):
    """A ValidationError, as CloudFormation answers it."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        """The message as AWS has it."""
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass
class Event:
    """Something that happened to a stack or one of its resources."""

    stack_id: str
    stack_name: str
    logical_id: str
    physical_id: str
    kind: str
    status: str
    reason: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass
class Kept:
    """A stack as the API tells of it, from its first change set until long after its deletion."""

    stack_id: str
    name: str
    region: str
    status: str
    reason: str = ""
    text: str = ""
    path: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    role: str = ""
    """ARN of the role by which it is made; none: by whoever asks."""
    protected: bool = False
    policy: str = ""
    engine: Stack | None = None
    parent: "Kept | None" = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    events: list[Event] = field(default_factory=list)
    change_sets: list[ChangeSet] = field(default_factory=list)
    working: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Held by what is on its way."""

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def gone(self) -> bool:
        """Whether only its id finds it."""
        return self.status == "DELETE_COMPLETE"

    def say(self, status: str, reason: str = "") -> None:
        """Take on a status, and remember that it did."""
        self.status, self.reason = status, reason
        self.events.append(Event(self.stack_id, self.name, self.name, self.stack_id, NESTED_STACK, status, reason))

    def tell(self, logical_id: str, physical_id: str, kind: str, status: str, reason: str = "") -> None:
        """Remember what happened to a resource."""
        self.events.append(Event(self.stack_id, self.name, logical_id, physical_id, kind, status, reason))

    def resources(self) -> Iterator[tuple[str, str, str, str]]:
        """Logical id, physical id, type and status of each resource."""
        for name, record in list(self.engine.records.items()) if self.engine else []:
            kind = NESTED_STACK if record.kind is None else record.kind.type
            deleted = "DELETE_COMPLETE" if record.deleted else "DELETE_FAILED"
            status = deleted if self.status == "DELETE_FAILED" and not record.retained else "CREATE_COMPLETE"
            yield name, record.made.physical_id, kind, status


@dataclass(frozen=True)
class Wanted:
    """What a change set is asked for with."""

    name: str
    kind: str
    text: str
    parameters: list[dict[str, Any]]
    tags: dict[str, str]

    def values(self, before: Mapping[str, str]) -> dict[str, str]:
        """The parameters, some of which may keep the value that they had."""
        return {
            one["ParameterKey"]: str(
                before.get(one["ParameterKey"], "") if one.get("UsePreviousValue") else one.get("ParameterValue", "")
            )
            for one in self.parameters
        }


class CloudFormation:
    """All stacks of the lab behind the API. Safe in any thread."""

    def __init__(
        self, stacks: Stacks, folder: Path, fetch: Callable[[str], Fetch], *, seconds_per_step: float = 0.0
    ) -> None:
        """`folder` is for templates and code out of S3; `fetch` gets a Region's objects; `seconds_per_step` is how long
        an operation is on its way before it does anything.
        """
        self._stacks = stacks
        self._folder = folder
        self._fetch = fetch
        self._seconds = seconds_per_step
        self._kept: dict[str, Kept] = {}
        self._lock = threading.RLock()
        self._workers: list[threading.Thread] = []

    def join(self, seconds: float) -> None:
        """Wait until nothing is on its way."""
        for worker in list(self._workers):
            worker.join(seconds)

    # -- looking ------------------------------------------------------------------------------------------------

    def find(self, region: str, name_or_id: str) -> Kept:
        """The stack of that id, or the one of that name that is not deleted. Invalid when there is none."""
        with self._lock:
            for kept in self._kept.values():
                if kept.region == region and (
                    kept.stack_id == name_or_id or (kept.name == name_or_id and not kept.gone)
                ):
                    return kept
        raise Invalid(f"Stack with id {name_or_id} does not exist")

    def all(self, region: str) -> list[Kept]:
        """Every stack of a Region that is not deleted."""
        with self._lock:
            return [kept for kept in self._kept.values() if kept.region == region and not kept.gone]

    def change_set(self, region: str, name_or_id: str, stack: str | None) -> tuple[Kept, ChangeSet]:
        """That change set and its stack. Invalid when there is none."""
        with self._lock:
            for kept in self._kept.values():
                if kept.region != region or (stack and stack not in {kept.name, kept.stack_id}):
                    continue
                for one in kept.change_sets:
                    if name_or_id in {one.id, one.name}:
                        return kept, one
        raise Invalid(f"ChangeSet [{name_or_id}] does not exist", code="ChangeSetNotFound")

    def take_over(self, stack: Stack) -> None:
        """Know a stack that the engine has made, or has updated since, without having been asked for it here."""
        with self._lock:
            kept = self._kept.get(stack.stack_id)
            status = "CREATE_COMPLETE" if kept is None else "UPDATE_COMPLETE"
            if kept is None:
                kept = self._kept[stack.stack_id] = Kept(stack.stack_id, stack.name, stack.region, "")
            self._tell_whole(kept, stack, status)

    # -- change sets --------------------------------------------------------------------------------------------

    def prepare(self, region: str, stack_name: str, asked: Wanted) -> tuple[str, str]:
        """Make a change set: its ARN, and the stack's. Invalid for whatever CloudFormation or the engine refuses."""
        kept = self._subject(region, stack_name, asked.kind)
        parameters = asked.values(kept.parameters)
        path = self._checked(region, asked.text, parameters)
        after = change_set.read(path)
        if kept.path is None:
            found, empty = change_set.additions(after), False
        else:
            before = change_set.read(kept.path)
            found = change_set.changes(before, after, kept.parameters, parameters)
            empty = change_set.is_empty(before, after, found)
        made = ChangeSet(
            ChangeSet.new_id(region, ACCOUNT, asked.name), asked.name, asked.kind, asked.text, path, parameters, found
        )
        if empty:
            made.status, made.execution, made.reason = "FAILED", "UNAVAILABLE", NO_CHANGES
        with self._lock:
            self._kept[kept.stack_id] = kept
            kept.change_sets.append(made)
            kept.tags |= asked.tags
        return made.id, kept.stack_id

    def _subject(self, region: str, name: str, kind: str) -> Kept:
        """The stack that a change set is for; a new one, under review, for a creation."""
        try:
            kept = self.find(region, name)
        except Invalid:
            if kind != "CREATE":
                raise
            kept = Kept(_new_id(region, name), name, region, "REVIEW_IN_PROGRESS")
            kept.say("REVIEW_IN_PROGRESS", "User Initiated")
            return kept
        if kind == "CREATE" and kept.status != "REVIEW_IN_PROGRESS":
            raise Invalid(f"Stack [{name}] already exists and cannot be created again with the changeSet.")
        ready = kept.status.endswith("_COMPLETE") and kept.status != "ROLLBACK_COMPLETE"
        if kind == "UPDATE" and not ready:
            raise Invalid(f"Stack:{kept.stack_id} is in {kept.status} state and can not be updated.")
        return kept

    def execute(self, region: str, name_or_id: str, stack: str | None) -> None:
        """Begin to carry a change set out. Invalid when it cannot be."""
        kept, made = self.change_set(region, name_or_id, stack)
        with self._lock:
            if made.execution != "AVAILABLE" or kept.busy:
                message = f"ChangeSet [{made.id}] cannot be executed in its current status of [{made.status}]"
                raise Invalid(message, code="InvalidChangeSetStatus")
            made.execution = "EXECUTE_IN_PROGRESS"
            kept.say(f"{made.kind}_IN_PROGRESS", "User Initiated")
        self._begin(lambda: self._carry_out(kept, made))

    def create(self, region: str, stack_name: str, asked: Wanted, role: str = "") -> str:
        """Begin to make a stack at once: its id. Its tags go to what it makes, as far as that takes tags.

        Invalid for whatever CloudFormation or the engine refuses.
        """
        if any(kept.name == stack_name for kept in self.all(region)):
            raise Invalid(f"Stack [{stack_name}] already exists", code="AlreadyExistsException")
        if role:
            _require_role(role)
        parameters = asked.values({})
        path = self._checked(region, asked.text, parameters)
        kept = Kept(_new_id(region, stack_name), stack_name, region, "", tags=dict(asked.tags), role=role)
        made = ChangeSet("", asked.name, "CREATE", asked.text, path, parameters, [])
        with self._lock:
            self._kept[kept.stack_id] = kept
            kept.text, kept.path, kept.parameters = asked.text, path, parameters
            kept.say("CREATE_IN_PROGRESS", "User Initiated")
        self._begin(lambda: self._carry_out(kept, made, asked.tags))
        return kept.stack_id

    def _checked(self, region: str, text: str, parameters: Mapping[str, str]) -> Path:
        """The template as a file. Invalid where the engine would refuse it."""
        try:
            path = unpack(text, self._folder, self._fetch(region))
            self._stacks.check(region, path, parameters)
        except LabError as error:
            raise Invalid(error.sentence) from error
        return path

    def _carry_out(self, kept: Kept, made: ChangeSet, tags: Mapping[str, str] | None = None) -> None:
        creating = made.kind == "CREATE"
        known = set() if kept.engine is None else set(kept.engine.records)
        with kept.working:
            if kept.gone or kept.status == _DELETING:
                return
            try:
                if creating:
                    kept.engine = self._stacks.create(kept.name, kept.region, made.path, made.parameters, tags)
                else:
                    kept.engine = self._stacks.update(kept.name, kept.region, made.path, made.parameters)
            except Exception as error:  # whatever it is, the stack says so and does not stay on its way
                with self._lock:
                    made.execution = "EXECUTE_FAILED"
                    self._tell_failure(kept, error, "CREATE_FAILED" if creating else "UPDATE_FAILED")
                    if kept.status != _DELETING:
                        kept.say("ROLLBACK_COMPLETE" if creating else "UPDATE_ROLLBACK_COMPLETE", _said(error))
                if not isinstance(error, LabError):
                    raise
                return
            with self._lock:
                self._tell_made(kept, made, known)

    def _tell_made(self, kept: Kept, made: ChangeSet, known: set[str]) -> None:
        """Tell of what was made, but nothing of the stack itself where it is to be deleted already."""
        kept.text, kept.path, kept.parameters = made.text, made.path, made.parameters
        kept.change_sets.clear()
        for logical_id, physical_id, kind, _ in kept.resources():
            kept.tell(logical_id, physical_id, kind, f"{'UPDATE' if logical_id in known else 'CREATE'}_COMPLETE")
        self._adopt(kept, f"{made.kind}_COMPLETE")
        if kept.status != _DELETING:
            kept.say(f"{made.kind}_COMPLETE")

    def _adopt(self, kept: Kept, status: str) -> None:
        """Tell of the stacks nested in this one as of stacks."""
        for record in kept.engine.records.values() if kept.engine else []:
            child = record.nested
            if child is None:
                continue
            told = self._kept.get(child.stack_id)
            if told is None:
                told = Kept(child.stack_id, child.name, kept.region, "", parent=kept)
                self._kept[child.stack_id] = told
            self._tell_whole(told, child, status)

    def _tell_whole(self, kept: Kept, stack: Stack, status: str) -> None:
        """Tell of a stack, and of those nested in it, what the engine knows."""
        kept.engine, kept.path = stack, stack.template_path
        kept.text = stack.template_path.read_text(encoding="utf-8")
        kept.parameters = {name: str(value) for name, value in stack.parameters.items()}
        self._adopt(kept, status)
        kept.say(status)

    @staticmethod
    def _tell_failure(kept: Kept, error: Exception, status: str) -> None:
        where = _WHERE.search(str(getattr(error, "where", "")))
        logical_id, kind = (where[1], where[2]) if where else (kept.name, "Unknown")
        kept.tell(logical_id, "", kind, status, _said(error))

    def forget(self, region: str, name_or_id: str, stack: str | None) -> None:
        """Delete a change set."""
        kept, made = self.change_set(region, name_or_id, stack)
        with self._lock:
            kept.change_sets.remove(made)

    # -- deletion -----------------------------------------------------------------------------------------------

    def delete(self, region: str, name_or_id: str, retain: list[str]) -> None:
        """Begin to delete a stack; nothing happens where there is none. Invalid when it is protected."""
        try:
            kept = self.find(region, name_or_id)
        except Invalid:
            return
        with self._lock:
            if kept.gone or kept.status == _DELETING:
                return
            if kept.protected or (kept.parent is not None and kept.parent.protected):
                message = f"Stack [{kept.name}] cannot be deleted while TerminationProtection is enabled"
                raise Invalid(message)
            if retain and kept.status != "DELETE_FAILED":
                raise Invalid("RetainResources is for stacks whose deletion has failed")
            for name in retain:
                if kept.engine is not None:
                    kept.engine.records[name].retained = True
            kept.say(_DELETING, "User Initiated")
        self._begin(lambda: self._take_down(kept))

    def _take_down(self, kept: Kept) -> None:
        """Delete what there is, once what is still being created is there: this engine does not stop half-way."""
        with kept.working:
            try:
                # What a nested stack still has goes with its root.
                if kept.engine is not None and kept.parent is None:
                    self._stacks.delete(kept.name, kept.region)
            except Exception as error:  # whatever it is, the stack says so and does not stay on its way
                with self._lock:
                    self._tell_left(kept, _said(error))
                if not isinstance(error, LabError):
                    raise
                return
            with self._lock:
                self._tell_deleted(kept)

    def _tell_left(self, kept: Kept, said: str) -> None:
        """Tell of what a failed deletion has left, down to the nested stack that it failed in."""
        for name, record in reversed(kept.engine.records.items()) if kept.engine else []:
            if record.deleted or record.retained:
                continue
            child = self._kept.get(record.nested.stack_id) if record.nested else None
            if child is not None:
                self._tell_left(child, said)
            kind = NESTED_STACK if record.kind is None else record.kind.type
            kept.tell(name, record.made.physical_id, kind, "DELETE_FAILED", said)
        kept.say("DELETE_FAILED", said)

    def _tell_deleted(self, kept: Kept) -> None:
        for name, record in reversed(kept.engine.records.items()) if kept.engine else []:
            child = self._kept.get(record.nested.stack_id) if record.nested else None
            if child is not None and not child.gone:
                self._tell_deleted(child)
            kind = NESTED_STACK if record.kind is None else record.kind.type
            kept.tell(name, record.made.physical_id, kind, "DELETE_SKIPPED" if record.retained else "DELETE_COMPLETE")
        kept.say("DELETE_COMPLETE")

    # -- settings -----------------------------------------------------------------------------------------------

    def protect(self, region: str, name: str, protected: bool) -> str:
        """Set or lift termination protection: the stack's ARN. Invalid for a nested stack."""
        kept = self.find(region, name)
        if kept.parent is not None:
            raise Invalid("Termination protection is that of the root stack")
        kept.protected = protected
        return kept.stack_id

    def set_policy(self, region: str, name: str, text: str) -> None:
        """Give one stack, not those nested in it, a stack policy. Invalid when it is none."""
        kept = self.find(region, name)
        try:
            parsed = StackPolicy.parse(text)
        except LabError as error:
            raise Invalid(error.sentence) from error
        kept.policy = text
        if kept.engine is not None:
            kept.engine.policy = parsed

    def _begin(self, work: Callable[[], None]) -> None:
        def later() -> None:
            time.sleep(self._seconds)
            work()

        worker = threading.Thread(target=later, name="cloudformation", daemon=True)
        with self._lock:
            self._workers = [one for one in self._workers if one.is_alive()] + [worker]
        worker.start()


def _new_id(region: str, name: str) -> str:
    suffix = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-4000-8000-{secrets.token_hex(6)}"
    return f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{name}/{suffix}"


def _require_role(arn: str) -> None:
    """Invalid where there is no such role, or CloudFormation may not assume it."""
    roles = get_backend("iam")[ACCOUNT]["aws"].roles.values()
    found = next((role for role in list(roles) if role.arn == arn), None)
    if found is None or "cloudformation.amazonaws.com" not in str(found.assume_role_policy_document):
        raise Invalid(f"Role {arn} is invalid or cannot be assumed")


def _said(error: Exception) -> str:
    return error.sentence if isinstance(error, LabError) else f"{type(error).__name__}: {error}"


def parameters_of(kept: Kept) -> Mapping[str, Mapping[str, Any]]:
    """What the template of a stack declares."""
    return {} if kept.path is None else _declared(kept.path, kept.text)


@lru_cache(maxsize=64)
def _declared(path: Path, _text: str) -> Mapping[str, Mapping[str, Any]]:
    """Read once for each text: a list of all stacks is asked for each minute, and would parse every template."""
    declared: Mapping[str, Mapping[str, Any]] = change_set.read(path).body.get("Parameters") or {}
    return declared
