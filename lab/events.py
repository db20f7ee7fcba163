"""EventBridge and its Scheduler: rules and schedules that really reach their targets, which moto's do not.

All is read from what the stacks made: a rule or a schedule that is DISABLED there does nothing here. A target that
cannot be reached is tried again, until the event is older than the target's maximum age or has been retried often
enough; then the event goes to its dead-letter queue. Scheduler counts its minutes from its own start, in the lab's
time: what has a rate of less than half an hour begins at once, as on AWS, and what is rarer after its first period.
No hour of a day and no day of a week comes round in the lab: a cron
expression waits for `fire`. Not imitated: time zones, flexible windows, archives, pipes, bus policies.
"""

import heapq
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from moto.backends import get_backend
from moto.events.models import EventsBackend, Rule

from lab.cloud import ACCOUNT
from lab.network import Network, Path
from lab.region import place_of, region_names, vantage_in
from lab.seam import Seams
from lab.target_input import moment, target_input
from lab.timings import Timings
from lab.workflow import function_name

_LOG = logging.getLogger(__name__)
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\(\S+( \S+){5}\)")
_UNIT = {"minute": 1, "hour": 60, "day": 1440}
_TICK_SECONDS = 0.2
_SELDOM_MINUTES = 30
"""What comes as seldom comes first when its first period is over: all at once they would be a boot's whole load."""
_FIRST_PAUSE_SECONDS = 0.2
_WORKERS = 32
_NOT_AUTHORIZED = {
    "ErrorCode": "NotAuthorizedForSourceException",
    "ErrorMessage": "Not authorized for the source.",
}

type Invoke = Callable[[str, str, Any], Any]
type Start = Callable[[str, str, Any], Any]


@dataclass(frozen=True, order=True)
class _Delivery:
    """One event on its way to one target. Times are of the monotonic clock."""

    due: float
    number: int
    region: str = field(compare=False)
    target: Mapping[str, Any] = field(compare=False)
    payload: Any = field(compare=False)
    deadline: float = field(compare=False)
    retries: int = field(compare=False)
    attempt: int = field(compare=False, default=0)


class Events:
    """Every Region's rules and schedules. `install`, `start`; `stop` undoes both."""

    def __init__(self, timings: Timings, network: Network, invoke: Invoke, start: Start) -> None:
        """`invoke(region, function, payload)` runs a function; `start(region, machine_arn, payload)` an execution."""
        self._timings = timings
        self._network = network
        self._invoke = invoke
        self._start = start
        self._lost: set[str] = set()
        self._due: dict[str, float] = {}
        self._refused: set[str] = set()
        self._waiting: list[_Delivery] = []
        self._number = count()
        self._changed = threading.Condition()
        self._stopped = False
        self._seams = Seams()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="events")
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self.dead_letters: list[tuple[str, str]] = []
        """Region and reason, of each event that was given up."""

    def install(self) -> None:
        """Deliver what PutEvents is given, but in the name of AWS. MotoChangedError if moto is not as expected."""

        def send(rule: Any, original_event: Mapping[str, Any], transform_input: bool = True) -> None:
            del transform_input
            event = {key: value for key, value in original_event.items() if key != "ingestion-time"}
            self._offer(rule, event | {"time": moment(event["time"])})

        self._seams.replace(Rule, "send_to_targets", send)
        self._seams.wrap(EventsBackend, "put_events", _of_own_sources)

    def start(self) -> None:
        """Run schedules and deliveries from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver nothing more. Idempotent."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._seams.undo()

    def lose(self, region: str) -> None:
        """Nothing is scheduled, matched or delivered there any more."""
        self._lost.add(region)

    def restore(self, region: str) -> None:
        """Events and schedules of that Region run again; what was on its way is lost."""
        self._lost.discard(region)

    def emit(self, region: str, event: Mapping[str, Any], bus: str = "default") -> str:
        """Put an event on a Region's bus; its id. Each enabled rule that matches has its targets called.

        `event` has its source, detail-type and detail, and may have an id, a time (a datetime, seconds since the epoch,
        or text), an account and a Region other than those of the moment and the bus: an event may be old, or delivered
        twice.
        """
        whole = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "account": ACCOUNT,
            "time": moment(datetime.now(UTC)),
            "region": region,
            "resources": [],
            **event,
        }
        whole["time"] = moment(whole["time"])
        for rule in _rules(region, bus):
            self._offer(rule, whole)
        return str(whole["id"])

    def fire(self, region: str, schedule: str) -> None:
        """The moment of that schedule of Scheduler has come. KeyError where there is none of that name that is on."""
        for arn, _, target, event in _schedules(region):
            if ":schedule/" in arn and arn.rpartition("/")[2] == schedule:
                self._send(region, target, event, 0.0)
                return
        raise KeyError(f"{region} has no schedule {schedule} that is on")

    def _offer(self, rule: Any, event: Mapping[str, Any]) -> None:
        region = rule.region_name
        if region in self._lost or rule.state != "ENABLED" or not rule.event_pattern.get_pattern():
            return
        if rule.event_pattern.matches_event(event):
            for target in list(rule.targets):
                self._send(region, target, event, self._timings.event_delay)

    def _send(self, region: str, target: Mapping[str, Any], event: Mapping[str, Any], delay: float) -> None:
        try:
            payload = target_input(target, event)
        except LookupError as error:
            self._bury(region, target, event, f"{target['Arn']}: the event has no {error}")
        else:
            self._push(region, target, payload, delay)

    def _push(self, region: str, target: Mapping[str, Any], payload: Any, delay: float) -> None:
        policy = target.get("RetryPolicy") or {}
        age = float(policy.get("MaximumEventAgeInSeconds", 86400)) / 60 * self._timings.minute
        now = time.monotonic()
        retries = int(policy.get("MaximumRetryAttempts", 185))
        self._wait(_Delivery(now + delay, next(self._number), region, target, payload, now + age, retries))

    def _wait(self, delivery: _Delivery) -> None:
        with self._changed:
            heapq.heappush(self._waiting, delivery)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            for region in region_names():
                if region not in self._lost:
                    self._schedule(region, time.monotonic())
            with self._changed:
                if self._stopped:
                    return
                now = time.monotonic()
                while self._waiting and self._waiting[0].due <= now:
                    self._pool.submit(self._deliver, heapq.heappop(self._waiting))
                self._changed.wait(min([_TICK_SECONDS, *(delivery.due - now for delivery in self._waiting[:1])]))

    def _schedule(self, region: str, now: float) -> None:
        for arn, expression, target, event in _schedules(region):
            match = _RATE.fullmatch(expression)
            if match is None:
                if arn not in self._refused and not _CRON.fullmatch(expression):
                    self._refused.add(arn)
                    _LOG.error("%s: the lab knows rates and cron expressions, not %s", arn, expression)
                continue
            minutes = int(match[1]) * _UNIT[match[2]]
            period = minutes * self._timings.minute
            due = self._due.setdefault(arn, now if minutes < _SELDOM_MINUTES else now + period)
            if due <= now:
                self._due[arn] = max(due + period, now)
                self._send(region, target, event, 0.0)

    def _deliver(self, delivery: _Delivery) -> None:
        """One attempt. The worker does not wait for the next: a dead target must not hold up the others."""
        region, target = delivery.region, delivery.target
        if region in self._lost or self._stopped:
            return
        try:
            self._call(region, target, delivery.payload)
        except Exception as error:  # whatever a target refuses with is a reason to try again
            now = time.monotonic()
            pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(delivery.attempt, 16), self._timings.minute)
            if delivery.attempt >= delivery.retries or now + pause > delivery.deadline:
                why = f"{target['Arn']}: {type(error).__name__}: {error}"
                self._bury(region, target, delivery.payload, why)
            else:
                self._wait(replace(delivery, due=now + pause, attempt=delivery.attempt + 1))

    def _call(self, region: str, target: Mapping[str, Any], payload: Any) -> None:
        arn = str(target["Arn"])
        _, _, service, place, _, resource = arn.split(":", 5)
        match service:
            case "lambda":
                self._invoke(place, function_name(arn), payload)
            case "states":
                self._start(place, arn, payload)
            case "sns":
                get_backend("sns")[ACCOUNT][place].publish(message=json.dumps(payload), arn=arn)
            case "sqs":
                get_backend("sqs")[ACCOUNT][place].send_message(resource, json.dumps(payload))
            case "events":
                if place != region and not target.get("RoleArn"):
                    raise PermissionError("a bus in another Region takes events from a role only")
                self._forward(region, place, resource.removeprefix("event-bus/"), payload)
            case _:
                raise NotImplementedError(f"the lab has no target of {service}")

    def _forward(self, region: str, place: str, bus: str, payload: Any) -> None:
        """To another Region's bus, if there is a way; AWS keeps the event's own source, detail, Region and time."""
        if place in self._lost or self._network.state(vantage_in(region), place_of(place)) is not Path.OPEN:
            raise ConnectionError(f"{place} cannot be reached from {region}")
        self.emit(place, payload, bus)

    def _bury(self, region: str, target: Mapping[str, Any], payload: Any, why: str) -> None:
        if region in self._lost or self._stopped:
            return
        _LOG.info("an event was given up: %s", why)
        self.dead_letters.append((region, why))
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if queue:
            get_backend("sqs")[ACCOUNT][region].send_message(str(queue).rpartition(":")[2], json.dumps(payload))


def _of_own_sources(original: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """Nobody but AWS puts an event of a source that begins with aws; moto takes it."""

    def put_events(backend: Any, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        foreign = [str(event.get("Source") or "").startswith("aws.") for event in events]
        own = [event for event, refused in zip(events, foreign, strict=True) if not refused]
        told = iter(original(backend, own))
        return [dict(_NOT_AUTHORIZED) if refused else next(told) for refused in foreign]

    return put_events


def _rules(region: str, bus: str) -> list[Any]:
    buses = get_backend("events")[ACCOUNT][region].event_buses
    return list(buses[bus].rules.values()) if bus in buses else []


def _schedules(region: str) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Enabled schedules and scheduled rules: ARN, expression, target, event."""
    for group in list(get_backend("scheduler")[ACCOUNT][region].schedule_groups.values()):
        for schedule in list(group.schedules.values()):
            if schedule.state == "ENABLED":
                yield schedule.arn, schedule.schedule_expression, schedule.target, {}
    for rule in _rules(region, "default"):
        if rule.scheduled_expression and rule.state == "ENABLED":
            event = {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": ACCOUNT,
                "time": moment(datetime.now(UTC)),
                "region": region,
                "resources": [rule.arn],
                "detail": {},
            }
            for target in list(rule.targets):
                yield f"{rule.arn}/{target['Id']}", rule.scheduled_expression, target, event
