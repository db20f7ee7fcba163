"""The ledger of one Region: lock, epoch, active, state, signals, capacity and the timeline of each run.

One DynamoDB table, keyed by `pk` and `sk`. The head (`region`/`head`) carries everything that a late or a second
writer could spoil, in one item, so that one condition guards it. The state machine takes, takes over and releases the
lock itself (SDK integrations); this module reads it and makes every other write conditional on owner and epoch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from relight.errors import RunSuperseded
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from relight.run import Run

HEAD = {"pk": "region", "sk": "head"}
CAPACITY = {"pk": "capacity"}  # and each Auto Scaling group of the primary by name
OWNED = "#owner = :owner AND epoch = :epoch"

_pack = TypeSerializer().serialize
_unpack = TypeDeserializer().deserialize


class State(StrEnum):
    """`steady`: nothing is on its way. `promoting`: a run has decided to activate this Region."""

    STEADY = "steady"
    PROMOTING = "promoting"


@dataclass(frozen=True)
class Capacity:
    """The sizes of an Auto Scaling group."""

    minimum: int
    desired: int
    maximum: int


@dataclass(frozen=True)
class Promotion:
    """The one-way door was opened for this instance, by this run; the call was made at `called_at`, if it was."""

    instance: str
    run: str
    epoch: int
    called_at: float | None


@dataclass(frozen=True)
class Head:
    """What the ledger says about its Region. `written` is False where nobody has written anything yet."""

    written: bool
    epoch: int
    active: str
    state: State
    owner: str | None = None
    expires_at: float = 0.0
    promotion: Promotion | None = None
    go_withheld: bool = False  # GO waits for `verify`; never written where it does not, so that nothing takes GO away
    capacity_before: Mapping[str, Capacity] | None = None  # of each Auto Scaling group, by name
    ended_at: float | None = None
    frozen_until: float | None = None
    frozen_because: str | None = None

    @property
    def door_opened(self) -> bool:
        """A promotion was begun and its run has not been brought to its end: only forward from here (rule 6)."""
        return self.promotion is not None and self.state is State.PROMOTING


def _dynamo(value: Any) -> Any:
    """A Python value as DynamoDB takes it: floats become exact decimals."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: _dynamo(item) for key, item in value.items()}
    return value


def _item(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _pack(_dynamo(value)) for key, value in values.items()}


def _values(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _unpack(value) for key, value in item.items()}


def _capacity(values: Mapping[str, Any]) -> Capacity:
    return Capacity(*(int(values[key]) for key in ("minimum", "desired", "maximum")))


def head_of(item: Mapping[str, Any] | None, home_region: str) -> Head:
    """The head as written, or the one of a Region whose ledger is still empty: home is active, epoch 0."""
    if not item:
        return Head(False, 0, home_region, State.STEADY)
    values = _values(item)
    promotion, before = values.get("promotion"), values.get("capacity_before")
    return Head(
        written="active" in values or "epoch" in values,
        epoch=int(values.get("epoch", 0)),
        active=str(values.get("active", home_region)),
        state=State(values.get("state", State.STEADY)),
        owner=values.get("owner"),
        expires_at=float(values.get("expires_at", 0)),
        promotion=promotion
        and Promotion(
            promotion["instance"],
            promotion["run"],
            int(promotion["epoch"]),
            float(promotion["called_at"]) if promotion.get("called_at") is not None else None,
        ),
        go_withheld=bool(values.get("go_withheld", False)),
        capacity_before=before and {group: _capacity(sizes) for group, sizes in before.items()},
        ended_at=float(values["ended_at"]) if values.get("ended_at") is not None else None,
        frozen_until=float(values["frozen_until"]) if values.get("frozen_until") is not None else None,
        frozen_because=values.get("frozen_because"),
    )


@dataclass(frozen=True)
class StepStory:
    """One step of a run as the timeline keeps it; times are epoch seconds, `ended` is None while it is not done."""

    name: str
    started: float
    ended: float | None
    sentence: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """The ledger table of one Region. Times are epoch seconds."""

    dynamodb: DynamoDBClient
    table: str
    home_region: str

    def head(self) -> Head:
        """The head, strongly consistent."""
        answer = self.dynamodb.get_item(TableName=self.table, Key=_item(HEAD), ConsistentRead=True)
        return head_of(answer.get("Item"), self.home_region)

    def require(self, run: Run) -> Head:
        """The head, or RunSuperseded where the run does not hold the lock at its epoch any more."""
        head = self.head()
        if head.owner != run.owner or head.epoch != run.epoch:
            holder = f"{head.owner} holds it" if head.owner else "nobody holds it"
            raise RunSuperseded(f"run {run.id} lost its lock (epoch {run.epoch}; now {head.epoch}, {holder})")
        return head

    def _change(self, run: Run, expression: str, values: Mapping[str, Any], *, only_if: str = "") -> None:
        """Change the head on behalf of a run that still owns it, and `only_if` holds; RunSuperseded otherwise."""
        condition = f"{OWNED} AND {only_if}" if only_if else OWNED
        names = {"#owner": "owner"} | ({"#state": "state"} if "#state" in expression + only_if else {})
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_item(HEAD),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_item({**values, ":owner": run.owner, ":epoch": run.epoch}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            raise RunSuperseded(f"run {run.id} lost its lock, or was called back, before it could write") from None

    def set_state(self, run: Run, state: State) -> None:
        """Say that this Region is being activated, or that nothing is on its way any more and no GO waits."""
        forget = " REMOVE go_withheld" if state is State.STEADY else ""
        self._change(run, f"SET #state = :state{forget}", {":state": state.value})

    def begin_promoting(self, run: Run, here: str, *, withhold_go: bool) -> None:
        """Say that this Region is being activated, and whether GO waits for `verify`.

        Withheld is a GO that was never given: once this Region is being activated, a run that goes on where another
        one died, or a handler that comes late, does not take it back from traffic that may have come already.
        """
        steady = "(attribute_not_exists(#state) OR #state = :steady)"
        first = f"{steady} AND (attribute_not_exists(active) OR active <> :here)"
        promoting = {":promoting": State.PROMOTING.value}
        if not withhold_go:
            self._change(run, "SET #state = :promoting REMOVE go_withheld", promoting)
            return
        begin = "SET #state = :promoting, go_withheld = :yes"
        values = {":yes": True, ":steady": State.STEADY.value, ":here": here, **promoting}
        try:
            self._change(run, begin, values, only_if=first)
        except RunSuperseded:  # or under way already
            self._change(run, "SET #state = :promoting", promoting)

    def give_go(self, run: Run, here: str) -> None:
        """GO waits no longer. RunSuperseded where this Region is not the one that is being activated, and active."""
        self._change(
            run,
            "REMOVE go_withheld",
            {":promoting": State.PROMOTING.value, ":here": here},
            only_if="#state = :promoting AND active = :here",
        )

    def open_door(self, run: Run, instance: str, called_at: float | None) -> None:
        """Remember, before and after the call, that this run promotes this instance.

        RunSuperseded where the Region is not being activated (any more): the state machine bars the door by that
        before it undoes a run, and a handler that was under way must not open it behind its back.
        """
        promotion = {"instance": instance, "run": run.id, "epoch": run.epoch, "called_at": called_at}
        values = {":promotion": promotion, ":promoting": State.PROMOTING.value}
        self._change(run, "SET promotion = :promotion", values, only_if="#state = :promoting")

    def close_door(self, run: Run) -> None:
        """Forget a promotion that was refused before anything of it began."""
        self._change(run, "REMOVE promotion", {})

    def activate(self, run: Run, region: str) -> None:
        """This Region's database takes writes now."""
        self._change(run, "SET active = :region", {":region": region})

    def remember_capacity(self, run: Run, before: Mapping[str, Capacity]) -> None:
        """Keep each group's sizes of before the first scale-up, so that standing down restores them; the first stay."""
        sizes = {group: asdict(capacity) for group, capacity in before.items()}
        self._change(run, "SET capacity_before = if_not_exists(capacity_before, :before)", {":before": sizes})

    def forget_capacity(self, run: Run) -> None:
        """The sizes of before are in force again."""
        self._change(run, "REMOVE capacity_before", {})

    def finish(self, run: Run, *, succeeded: bool, now: float) -> None:
        """End a run: steady; after a completed failover the door is closed behind it and the cooldown begins."""
        if succeeded:
            expression = "SET #state = :steady, ended_at = :now REMOVE promotion, capacity_before, go_withheld"
            self._change(run, expression, {":steady": State.STEADY.value, ":now": now})
        else:
            self.set_state(run, State.STEADY)

    def mirror(self, epoch: int, active: str, state: State) -> None:
        """Write another Region's `active` and `state` into this ledger, unless it knows a later epoch."""
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_item(HEAD),
                UpdateExpression="SET active = :active, #state = :state, epoch = :epoch",
                ConditionExpression="attribute_not_exists(epoch) OR epoch <= :epoch",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues=_item({":active": active, ":state": state.value, ":epoch": epoch}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    # Signals and capacity: facts about the world, not about a run; the latest writer is right.

    def signals(self) -> dict[View, Signal]:
        """All views; one that nobody has written is UNKNOWN."""
        answer = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=_item({":pk": "signal"}),
            ConsistentRead=True,
        )
        found = {View(values["sk"]): values for values in map(_values, answer["Items"])}
        return {view: self._signal(view, found.get(view)) for view in View}

    @staticmethod
    def _signal(view: View, values: Mapping[str, Any] | None) -> Signal:
        if values is None:
            return Signal.unknown(view)
        return Signal(
            view,
            Seen(values["seen"]),
            float(values["since"]),
            float(values["last_seen"]),
            values["sentence"],
            bool(values["answered"]),
            bool(values.get("ever_up", True)),
        )

    def keep_signals(self, signals: Iterable[Signal]) -> None:
        """Write the views."""
        requests = [
            {
                "PutRequest": {
                    "Item": _item(
                        {**asdict(s), "view": s.view.value, "seen": s.seen.value, "pk": "signal", "sk": s.view.value}
                    )
                }
            }
            for s in signals
        ]
        self.dynamodb.batch_write_item(RequestItems={self.table: requests})  # type: ignore[dict-item]

    def capacity(self, group: str) -> Capacity | None:
        """The last known sizes of a group of the primary, or None where they were never seen."""
        key = {**CAPACITY, "sk": group}
        item = self.dynamodb.get_item(TableName=self.table, Key=_item(key), ConsistentRead=True).get("Item")
        return _capacity(_values(item)) if item else None

    def keep_capacity(self, group: str, capacity: Capacity, now: float) -> None:
        """Remember the sizes of a group of the primary, so that a failover needs nothing from the primary."""
        item = {**CAPACITY, "sk": group, **asdict(capacity), "seen": now}
        self.dynamodb.put_item(TableName=self.table, Item=_item(item))

    # The timeline: the first mark of a kind stays, so a repeated step cannot move it.

    def mark(self, run: Run, name: str, at: float) -> None:
        """Note when something really happened (t0 .. t8 of rule 10)."""
        self._timeline(run.id, f"mark#{name}", "SET happened = if_not_exists(happened, :at)", {":at": at})

    def step_began(self, run: Run, name: str, at: float) -> None:
        """Note that a step was entered."""
        self._timeline(run.id, f"step#{name}", "SET started = if_not_exists(started, :at)", {":at": at})

    def step_says(
        self, run: Run, name: str, at: float, sentence: str, *, done: bool, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Note what a step said last, and when it was done."""
        expression = "SET sentence = :sentence, facts = :facts"
        values = {":sentence": sentence, ":facts": json.dumps(facts or {}, sort_keys=True)}
        if done:
            self._timeline(run.id, f"step#{name}", expression + ", ended = :at", {**values, ":at": at})
        else:
            self._timeline(run.id, f"step#{name}", expression, values)

    def _timeline(self, run_id: str, key: str, expression: str, values: Mapping[str, Any]) -> None:
        self.dynamodb.update_item(
            TableName=self.table,
            Key=_item({"pk": f"run#{run_id}", "sk": key}),
            UpdateExpression=expression,
            ExpressionAttributeValues=_item(values),
        )

    def timeline(self, run_id: str) -> tuple[dict[str, float], list[StepStory]]:
        """The marks and the steps of a run, steps in the order in which they began."""
        answer = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=_item({":pk": f"run#{run_id}"}),
            ConsistentRead=True,
        )
        marks: dict[str, float] = {}
        steps: list[StepStory] = []
        for values in map(_values, answer["Items"]):
            kind, name = values["sk"].split("#", 1)
            if kind == "mark":
                marks[name] = float(values["happened"])
            else:
                ended = values.get("ended")
                steps.append(
                    StepStory(
                        name,
                        float(values["started"]),
                        None if ended is None else float(ended),
                        values.get("sentence", "it began, and nothing more is known"),
                        json.loads(values.get("facts", "{}")),
                    )
                )
        return marks, sorted(steps, key=lambda step: (step.started, step.name))
