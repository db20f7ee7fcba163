"""The ledger of one Region: lock, epoch, active, state, signals, capacity and the timeline of each run.

One DynamoDB table, keyed by `pk` and `sk`. The head (`region`/`head`) carries everything that a late or a second
writer could spoil, in one item, so that one condition guards it. The state machine takes, takes over and releases the
lock itself (SDK integrations); this module reads it and makes every other write conditional on owner and epoch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from relight.drill import Drill, Kind
from relight.errors import RunSuperseded
from relight.head import Capacity, Head, Promotion, Quiesce, State, capacity_of, head_of
from relight.head import item as _item
from relight.head import values_of as _values
from relight.health import KEPT_SECONDS, HealthEvent
from relight.question import Answer, Question, Reply, Urgency
from relight.retired import Retired
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from relight.run import Run

__all__ = ["Capacity", "DatabaseProperties", "Head", "Ledger", "Promotion", "Quiesce", "State", "StepStory", "head_of"]

HEAD = {"pk": "region", "sk": "head"}
CAPACITY = {"pk": "capacity"}  # and each Auto Scaling group of the primary by name
OWNED = "#owner = :owner AND epoch = :epoch"


@dataclass(frozen=True)
class DatabaseProperties:
    """What keeps a database safe, as RDS describes it."""

    multi_az: bool
    backup_retention_days: int
    deletion_protection: bool


@dataclass(frozen=True)
class StepStory:
    """One step of a run as the timeline keeps it; times are epoch seconds, `ended` is None while it is not done."""

    name: str
    started: float
    ended: float | None
    sentence: str
    facts: dict[str, Any]


def _properties(values: Mapping[str, Any] | None) -> DatabaseProperties | None:
    if values is None:
        return None
    return DatabaseProperties(
        bool(values["multi_az"]), int(values["backup_retention_days"]), bool(values["deletion_protection"])
    )


def _release(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {"key": values["key"], "etag": values["etag"], "seen": float(values["seen"])}


@dataclass(frozen=True)
class Kept:
    """What is kept of the primary, None for what was never seen: each group's sizes, its database, its release."""

    capacity: Mapping[str, Capacity | None]
    database: DatabaseProperties | None
    release: dict[str, Any] | None


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
        """Say that this Region is being activated, or that nothing is on its way any more: leases are granted again."""
        forget = " REMOVE go_withheld, granting_stopped_at" if state is State.STEADY else ""
        self._change(run, f"SET #state = :state{forget}", {":state": state.value})

    def begin_promoting(self, run: Run, here: str, *, withhold_go: bool, hold: bool = False) -> None:
        """Say that this Region is being activated, whether GO waits for `verify`, and whether HOLD draws traffic home.

        Withheld is a GO that was never given: once this Region is being activated, a run that goes on where another
        one died, or a handler that comes late, does not take it back from traffic that may have come already.
        """
        steady = "(attribute_not_exists(#state) OR #state = :steady)"
        first = f"{steady} AND (attribute_not_exists(active) OR active <> :here)"
        promoting: dict[str, Any] = {":promoting": State.PROMOTING.value} | ({":held": True} if hold else {})
        also = ", held = :held" if hold else ""
        if not withhold_go:
            self._change(run, f"SET #state = :promoting{also} REMOVE go_withheld", promoting)
            return
        begin = f"SET #state = :promoting, go_withheld = :yes{also}"
        values = {":yes": True, ":steady": State.STEADY.value, ":here": here, **promoting}
        try:
            self._change(run, begin, values, only_if=first)
        except RunSuperseded:  # or under way already
            self._change(run, f"SET #state = :promoting{also}", promoting)

    def hold(self, run: Run) -> None:
        """HOLD is 1 (again): DNS answers the home Region, whatever the other one publishes."""
        self._change(run, "SET held = :held", {":held": True})

    def release_hold(self, run: Run) -> None:
        """HOLD is 0: the other Region's own switches say the same, or nothing was promoted here."""
        self._change(run, "REMOVE held", {})

    def concede(self, run: Run, other: Head) -> None:
        """Take over from the other Region's ledger who is active, on behalf of the run that holds the lock.

        Nothing is left of what this Region was in the middle of when it was lost: neither its switches, nor a
        promotion that the next run would take for half done.
        """
        values = {":active": other.active, ":since": other.active_epoch, ":steady": State.STEADY.value}
        forget = "REMOVE promotion, quiesce, granting_stopped_at, go_withheld, held"
        self._change(run, f"SET active = :active, active_epoch = :since, #state = :steady {forget}", values)

    def make_home(self, run: Run, region: str) -> None:
        """A person has decided that this Region is home from now on."""
        self._change(run, "SET home = :home", {":home": region})

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
        promotion["mode"] = run.mode.value
        values = {":promotion": promotion, ":promoting": State.PROMOTING.value}
        self._change(run, "SET promotion = :promotion", values, only_if="#state = :promoting")

    def close_door(self, run: Run) -> None:
        """Forget a promotion that was refused before anything of it began."""
        self._change(run, "REMOVE promotion", {})

    def activate(self, run: Run, region: str) -> None:
        """This Region's database takes writes now, since the epoch of this run."""
        self._change(run, "SET active = :region, active_epoch = :epoch", {":region": region})

    def remember_capacity(self, run: Run, before: Mapping[str, Capacity]) -> None:
        """Keep each group's sizes of before the first scale-up, so that standing down restores them; the first stay."""
        sizes = {group: asdict(capacity) for group, capacity in before.items()}
        self._change(run, "SET capacity_before = if_not_exists(capacity_before, :before)", {":before": sizes})

    def forget_capacity(self, run: Run) -> None:
        """The sizes of before are in force again."""
        self._change(run, "REMOVE capacity_before", {})

    def finish(self, run: Run, *, succeeded: bool, now: float) -> None:
        """End a run: steady; after a completed failover the door is closed behind it and the cooldown begins.

        RunSuperseded where it did not succeed and its promotion has begun: that is left open for the next run.
        """
        if succeeded:
            gone = "promotion, capacity_before, go_withheld, granting_stopped_at, quiesce, refused_at, failed_at"
            expression = f"SET #state = :steady, ended_at = :now REMOVE {gone}"
            self._change(run, expression, {":steady": State.STEADY.value, ":now": now})
        else:
            # In one write: a handler that is under way may open the door between a look and this.
            shut = "NOT (attribute_exists(promotion) AND #state = :promoting)"
            values = {":steady": State.STEADY.value, ":promoting": State.PROMOTING.value}
            self._change(run, "SET #state = :steady REMOVE go_withheld, granting_stopped_at", values, only_if=shut)

    # A planned run: the peer's writes, and the old side's lease.

    def stop_granting(self, run: Run, now: float) -> None:
        """Note since when the old side gets no lease from here: read after `promoting` was written; the first stays."""
        granting = "granting_stopped_at = if_not_exists(granting_stopped_at, :now)"
        promoting = {":now": now, ":promoting": State.PROMOTING.value}
        self._change(run, f"SET {granting}", promoting, only_if="#state = :promoting")

    def begin_quiesce(self, run: Run, now: float) -> None:
        """Note, before anything is stopped, that the peer's writes are to end; a position noted before is forgotten."""
        values = {":quiesce": {"began": now, "lsn": None}, ":promoting": State.PROMOTING.value}
        self._change(run, "SET quiesce = :quiesce", values, only_if="#state = :promoting")

    def note_quiesced(self, run: Run, lsn: str) -> None:
        """The peer's writes have ended, and none of them lies behind that position."""
        self._change(run, "SET quiesce.lsn = :lsn", {":lsn": lsn}, only_if="attribute_exists(quiesce)")

    def end_quiesce(self, run: Run) -> None:
        """The peer takes writes again."""
        self._change(run, "REMOVE quiesce", {})

    # The way home. The lock of the other Region's ledger is held as a guest: no epoch grows by that.

    def lock_as_guest(self, owner: str, now: float, seconds: float, *, instead_of: str | None = None) -> bool:
        """Take this ledger's lock, or keep it for longer; False where somebody else holds it.

        `instead_of` is an owner that is known to be dead.
        """
        values = {":owner": owner, ":now": int(now), ":expires": int(now + seconds)}
        free = "attribute_not_exists(#owner) OR #owner = :owner OR expires_at < :now"
        if instead_of is not None:
            free, values[":dead"] = f"{free} OR #owner = :dead", instead_of
        return self._write_if(HEAD, "SET #owner = :owner, expires_at = :expires", free, values, {"#owner": "owner"})

    def unlock_as_guest(self, owner: str) -> None:
        """Give it back, where it is still held."""
        names = {"#owner": "owner"}
        self._write_if(HEAD, "REMOVE #owner, expires_at", "#owner = :owner", {":owner": owner}, names)

    def make_home_as_guest(self, owner: str, region: str) -> bool:
        """Say in this ledger, too, which Region a person has made home; False where the lock is lost."""
        values = {":owner": owner, ":home": region}
        return self._write_if(HEAD, "SET home = :home", "#owner = :owner", values, {"#owner": "owner"})

    def note_well(self, since: float | None) -> None:
        """Since when this Region could be gone home to; None where it cannot."""
        if since is None:
            self._write_head("REMOVE well_since", {})
        else:
            self._write_head("SET well_since = if_not_exists(well_since, :since)", {":since": since})

    def note_offered(self, epoch: int) -> bool:
        """The way home has been offered for that activation; False where somebody has just done so."""
        once = "attribute_not_exists(offered_epoch) OR offered_epoch < :epoch"
        return self._write_if(HEAD, "SET offered_epoch = :epoch", once, {":epoch": epoch}, {})

    def keep_progress(self, run: Run, name: str, document: Mapping[str, Any]) -> None:
        """Keep how far something long has come; RunSuperseded where the run lost its lock. At most 300 kB of JSON."""
        self.require(run)
        self._put(f"run#{run.id}", f"progress#{name}", {"document": json.dumps(document, sort_keys=True)})

    def progress(self, run_id: str, name: str) -> dict[str, Any] | None:
        """How far it had come; None where it has not begun."""
        values = self._get(f"run#{run_id}", f"progress#{name}")
        return None if values is None else dict(json.loads(values["document"]))

    def keep_shape(self, identifier: str, shape: Mapping[str, Any], now: float) -> None:
        """Remember what a database was like before it was hardened or retired; what is kept already stays."""
        key = {"pk": "shape", "sk": identifier}
        values = {":shape": json.dumps(shape, sort_keys=True), ":now": now}
        self._write_if(key, "SET shape = :shape, seen = :now", "attribute_not_exists(pk)", values, {})

    def shape(self, identifier: str) -> dict[str, Any] | None:
        """What a database was like; None where nothing is kept."""
        values = self._get("shape", identifier)
        return None if values is None else dict(json.loads(values["shape"]))

    def forget_shape(self, identifier: str) -> None:
        """Its successor is like that now."""
        self._delete("shape", identifier)

    def keep_retired(self, retired: Retired) -> None:
        """Remember a retired database; the first time stays."""
        values = {f":{name}": value for name, value in asdict(retired).items()}
        names = {f"#{name}": name for name in asdict(retired)}
        said = "SET " + ", ".join(f"#{name} = :{name}" for name in asdict(retired))
        key = {"pk": "retired", "sk": retired.instance}
        self._write_if(key, said, "attribute_not_exists(pk)", values, names)

    def retired(self) -> list[Retired]:
        """The retired databases of this Region, oldest first."""
        answer = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=_item({":pk": "retired"}),
            ConsistentRead=True,
        )
        found = [
            Retired(
                instance=values["instance"],
                of=values["of"],
                epoch=int(values["epoch"]),
                run=values["run"],
                retired_at=float(values["retired_at"]),
                snapshot=values["snapshot"],
            )
            for values in map(_values, answer["Items"])
        ]
        return sorted(found, key=lambda one: one.retired_at)

    def forget_retired(self, instance: str) -> None:
        """It has been deleted, by a person's word."""
        self._delete("retired", instance)

    # What is found out beside the runs.

    def keep_readiness(self, readiness: Mapping[str, Any], now: float) -> None:
        """Remember what the last look at everything has come to."""
        self._put("readiness", "latest", {"readiness": json.dumps(readiness), "seen": now})

    def readiness(self) -> dict[str, Any] | None:
        """What was found at the last look; None before the first."""
        values = self._get("readiness", "latest")
        return None if values is None else dict(json.loads(values["readiness"]))

    def keep_told(self, told: Mapping[str, Any], now: float) -> None:
        """Remember of which look the event bus has heard last; a look that came to nobody's ears is not that one."""
        self._put("readiness", "told", {"told": json.dumps(told), "seen": now})

    def told(self) -> dict[str, Any] | None:
        """What the event bus has heard of readiness last (`news.heard`); None before anything."""
        values = self._get("readiness", "told")
        return None if values is None else dict(json.loads(values["told"]))

    def keep_release(self, key: str, etag: str, now: float) -> None:
        """Remember which release the other Region serves, so that nobody has to ask it when it is lost."""
        self._put("release", "last", {"key": key, "etag": etag, "seen": now})

    def release(self) -> dict[str, Any] | None:
        """The "key", "etag" and time ("seen") of the release that the other Region served last; None where unseen."""
        return _release(self._get("release", "last"))

    def keep_drill(self, drill: Drill) -> None:
        """Remember how far a drill has come."""
        self._put("drill", drill.run, {"drill": json.dumps({**asdict(drill), "kind": drill.kind.value})})

    def drills(self) -> list[Drill]:
        """The drills of this Region, oldest first."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=_item({":pk": "drill"}),
            ConsistentRead=True,
        )
        kept = [json.loads(_values(found)["drill"]) for page in pages for found in page["Items"]]
        drills = [Drill(**{**one, "kind": Kind(one["kind"]), "left": tuple(one["left"])}) for one in kept]
        return sorted(drills, key=lambda drill: drill.began_at)

    def forget_drill(self, run_id: str) -> None:
        """It is no longer of interest."""
        self._delete("drill", run_id)

    def _delete(self, pk: str, sk: str) -> None:
        self.dynamodb.delete_item(TableName=self.table, Key=_item({"pk": pk, "sk": sk}))

    # An operator's freeze, which belongs to no run.

    def freeze(self, begins: float, until: float, because: str, by: str) -> None:
        """No automatic run between the two moments (epoch seconds); replaces a freeze that is there."""
        expression = "SET frozen_from = :begins, frozen_until = :until, frozen_because = :because, frozen_by = :by"
        self._write_head(expression, {":begins": begins, ":until": until, ":because": because, ":by": by})

    def unfreeze(self) -> None:
        """Take a freeze back."""
        self._write_head("REMOVE frozen_from, frozen_until, frozen_because, frozen_by", {})

    def _write_head(self, expression: str, values: Mapping[str, Any]) -> None:
        given = {"ExpressionAttributeValues": _item(values)} if values else {}
        self.dynamodb.update_item(
            TableName=self.table,
            Key=_item(HEAD),
            UpdateExpression=expression,
            **given,  # type: ignore[arg-type]
        )

    # What a person is asked, and answers.

    def keep_question(self, run: Run, question: Question) -> None:
        """Keep the newest question of a run; the one before can be answered no more."""
        self._put(f"run#{run.id}", "question", {**asdict(question), "urgency": question.urgency.value})

    def question(self, run_id: str) -> Question | None:
        """The newest question of a run, or None where it has asked nothing."""
        values = self._get(f"run#{run_id}", "question")
        if values is None:
            return None
        return Question(
            asked=int(values["asked"]),
            token=values["token"],
            asked_at=float(values["asked_at"]),
            expires_at=float(values["expires_at"]),
            finding=values["finding"],
            sentence=values["sentence"],
            mode=values["mode"],
            urgency=Urgency(values["urgency"]),
        )

    def keep_answer(self, run: Run, answer: Answer) -> None:
        """Keep who answered what."""
        self._put(f"run#{run.id}", "answer", {**asdict(answer), "answer": answer.answer.value})

    def answer(self, run_id: str) -> Answer | None:
        """How the newest question of a run ended, or None while it is open."""
        values = self._get(f"run#{run_id}", "answer")
        if values is None:
            return None
        given = values["by"], values["because"], float(values["at"]), values["finding"]
        return Answer(Reply(values["answer"]), *given)

    def refuse(self, run: Run, by: str, because: str, now: float) -> None:
        """Remember that a question was declined or left unanswered, so that the next one is not asked at once."""
        expression = "SET refused_at = :now, refused_by = :by, refused_because = :because"
        self._change(run, expression, {":now": now, ":by": by, ":because": because})

    def _put(self, pk: str, sk: str, values: Mapping[str, Any]) -> None:
        self.dynamodb.put_item(TableName=self.table, Item=_item({**values, "pk": pk, "sk": sk}))

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        answer = self.dynamodb.get_item(TableName=self.table, Key=_item({"pk": pk, "sk": sk}), ConsistentRead=True)
        return _values(answer["Item"]) if "Item" in answer else None

    # What AWS says about its own health, kept for the evidence.

    def keep_health(self, event: HealthEvent) -> None:
        """Keep an event of AWS Health; the same one again replaces itself."""
        seen = datetime.fromisoformat(event.time).timestamp()
        self._put("health", f"{event.time}#{event.arn}", {**asdict(event), "expires": int(seen + KEPT_SECONDS)})

    def health(self, since: float, until: float) -> list[HealthEvent]:
        """The events between two moments (epoch seconds), oldest first."""
        low, high = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (since, until))
        answer = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=_item({":pk": "health", ":low": low, ":high": f"{high}#~"}),
        )
        names = HealthEvent.__dataclass_fields__
        return [HealthEvent(**{name: values[name] for name in names}) for values in map(_values, answer["Items"])]

    def failed(self, run: Run, now: float) -> None:
        """Remember that this run could not be brought to a good end before the door."""
        self._change(run, "SET failed_at = :now", {":now": now})

    def mirror(self, other: Head, now: float) -> None:
        """Write what another Region's ledger says of who is active into this one, unless this one knows better.

        It does where a run of its own is at work, or where it knows of a later run that changed who is active. A lock
        that has expired is nobody's. The epoch only grows, so that the next run here comes after whatever happened
        there.
        """
        values = {":active": other.active, ":since": other.active_epoch, ":state": other.state.value, ":now": int(now)}
        forget = " REMOVE granting_stopped_at" if other.state is State.STEADY else ""
        free = "(attribute_not_exists(#owner) OR expires_at < :now)"
        later = "attribute_not_exists(active_epoch) OR active_epoch < :since"
        same = "active_epoch = :since AND active = :active"
        self._write_if(
            HEAD,
            f"SET active = :active, active_epoch = :since, #state = :state{forget}",
            f"{free} AND ({later} OR ({same}))",
            values,
            {"#state": "state", "#owner": "owner"},
        )
        newer = f"{free} AND (attribute_not_exists(epoch) OR epoch < :epoch)"
        told = {":epoch": other.epoch, ":now": int(now)}
        self._write_if(HEAD, "SET epoch = :epoch", newer, told, {"#owner": "owner"})

    def _write_if(
        self,
        key: Mapping[str, str],
        expression: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str],
    ) -> bool:
        """Write on nobody's behalf, where the condition holds; False where it does not."""
        named = {"ExpressionAttributeNames": names} if names else {}
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_item(key),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=_item(values),
                **named,  # type: ignore[arg-type]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

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
            float(values.get("mute_since", values["since"])),
        )

    def move_signal(self, signal: Signal, read: Signal) -> bool:
        """Move a signal on from what was read of it; False where somebody else has moved it meanwhile.

        Two probes at once, or a run that looks too: without that, the one that writes last would undo what the other
        has seen.
        """
        values = {**asdict(signal), "view": signal.view.value, "seen": signal.seen.value}
        written = read.last_seen > 0
        was = {":was_since": read.since, ":was_last_seen": read.last_seen} if written else {}
        names = {f"#{name}": name for name in values}
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_item({"pk": "signal", "sk": signal.view.value}),
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
                ConditionExpression="#since = :was_since AND #last_seen = :was_last_seen"
                if written
                else "attribute_not_exists(pk)",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_item({f":{name}": value for name, value in values.items()} | was),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def capacity(self, group: str) -> Capacity | None:
        """The last known sizes of a group of the primary, or None where they were never seen."""
        key = {**CAPACITY, "sk": group}
        item = self.dynamodb.get_item(TableName=self.table, Key=_item(key), ConsistentRead=True).get("Item")
        return capacity_of(_values(item)) if item else None

    def keep_capacity(self, group: str, capacity: Capacity, now: float) -> None:
        """Remember the sizes of a group of the primary, so that a failover needs nothing from the primary."""
        item = {**CAPACITY, "sk": group, **asdict(capacity), "seen": now}
        self.dynamodb.put_item(TableName=self.table, Item=_item(item))

    def keep_database(self, identifier: str, properties: DatabaseProperties, now: float) -> None:
        """Remember what the primary's database was like, so that hardening needs nothing from the primary."""
        self._put("database", identifier, {**asdict(properties), "seen": now})

    def database(self, identifier: str) -> DatabaseProperties | None:
        """The last known properties of the primary's database, or None where they were never seen."""
        return _properties(self._get("database", identifier))

    def kept(self, groups: Iterable[str], database: str) -> Kept:
        """All that is kept of the primary, in one call: who asks after everything has no call to spare.

        TimeoutError where DynamoDB gives a part of it only, as it does where it is asked too much.
        """
        capacity = {group: (CAPACITY["pk"], group) for group in groups}
        wanted = dict.fromkeys([*capacity.values(), ("database", database), ("release", "last")])
        keys = [_item({"pk": pk, "sk": sk}) for pk, sk in wanted]
        answer = self.dynamodb.batch_get_item(RequestItems={self.table: {"Keys": keys, "ConsistentRead": True}})
        if answer.get("UnprocessedKeys"):
            raise TimeoutError(f"DynamoDB gave a part only of what is kept in {self.table}")
        found = {(one["pk"], one["sk"]): one for one in map(_values, answer["Responses"][self.table])}
        sizes = {group: capacity_of(found[key]) if key in found else None for group, key in capacity.items()}
        return Kept(sizes, _properties(found.get(("database", database))), _release(found.get(("release", "last"))))

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
        # Page by page: the progress of something long lies beside them, and a page ends at one megabyte.
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=_item({":pk": f"run#{run_id}"}),
            ConsistentRead=True,
        )
        marks: dict[str, float] = {}
        steps: list[StepStory] = []
        for values in (_values(found) for page in pages for found in page["Items"]):
            kind, _, name = values["sk"].partition("#")
            if kind == "mark":
                marks[name] = float(values["happened"])
            elif kind == "step":
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
