"""EventBridge and its Scheduler: rules and schedules that really reach their targets, which moto's do not.

All is read from what the stacks made: a rule or a schedule that is DISABLED there does nothing here. A target that
cannot be reached within the target's maximum event age costs the event, which then goes to its dead-letter queue.
Scheduler counts its minutes from its own start, in the lab's time. Not imitated: cron expressions, archives, pipes.
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
from datetime import UTC, datetime
from itertools import count
from typing import Any

from moto.backends import get_backend
from moto.events.models import EventsBackend
from moto.events.utils import EventTemplateParser

from lab.cloud import ACCOUNT
from lab.network import Network, Path
from lab.region import GLOBAL, REGION_NAME, Vantage, place_of, side_of
from lab.seam import Seams
from lab.timings import Timings

_LOG = logging.getLogger(__name__)
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_UNIT = {"minute": 1, "hour": 60, "day": 1440}
_TICK = 0.05

type Invoke = Callable[[str, str, Any], Any]
type Start = Callable[[str, str, Any], Any]


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
        self._waiting: list[tuple[float, int, str, Mapping[str, Any], Any]] = []
        self._number = count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._seams = Seams()
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="events")
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self.dead_letters: list[tuple[str, str]] = []
        """Region and reason, of each event that was given up."""

    def install(self) -> None:
        """Deliver what PutEvents is given. MotoChangedError if moto is not as expected."""

        def put_events(backend: Any, events: list[dict[str, Any]]) -> list[dict[str, str]]:
            entries = []
            for event in events:
                body = {
                    "source": event["Source"],
                    "detail-type": event["DetailType"],
                    "resources": event.get("Resources", []),
                    "detail": json.loads(event["Detail"]),
                }
                bus = str(event.get("EventBusName", "default")).rpartition("/")[2]
                entries.append({"EventId": self.emit(backend.region_name, body, bus)})
            return entries

        self._seams.replace(EventsBackend, "put_events", put_events)

    def start(self) -> None:
        """Run schedules and deliveries from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver nothing more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._seams.undo()

    def lose(self, region: str) -> None:
        """Nothing is scheduled, matched or delivered there any more."""
        self._lost.add(region)

    def emit(self, region: str, event: Mapping[str, Any], bus: str = "default") -> str:
        """Put an event on a Region's bus; its id. Each enabled rule that matches has its targets called."""
        whole = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "account": ACCOUNT,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": region,
            "resources": [],
            **event,
        }
        if region not in self._lost:
            for rule in _rules(region, bus):
                if rule.state == "ENABLED" and rule.event_pattern._pattern and rule.event_pattern.matches_event(whole):
                    for target in list(rule.targets):
                        self._later(region, target, _input(target, whole))
        return str(whole["id"])

    def _later(self, region: str, target: Mapping[str, Any], payload: Any) -> None:
        due = time.monotonic() + self._timings.event_delay
        with self._lock:
            heapq.heappush(self._waiting, (due, next(self._number), region, target, payload))

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            now = time.monotonic()
            for region in (*REGION_NAME.values(), GLOBAL):
                if region not in self._lost:
                    self._schedule(region, now)
            with self._lock:
                ready = [heapq.heappop(self._waiting) for _ in range(len(self._waiting)) if self._waiting[0][0] <= now]
            for _, _, region, target, payload in ready:
                self._pool.submit(self._deliver, region, target, payload)

    def _schedule(self, region: str, now: float) -> None:
        for arn, expression, target, payload in _schedules(region):
            match = _RATE.fullmatch(expression)
            if match is None:
                continue
            period = int(match[1]) * _UNIT[match[2]] * self._timings.minute
            due = self._due.setdefault(arn, now)
            if due <= now:
                self._due[arn] = max(due + period, now)
                self._pool.submit(self._deliver, region, target, payload)

    def _deliver(self, region: str, target: Mapping[str, Any], payload: Any) -> None:
        """Until it is delivered, or too old, or tried too often."""
        policy = target.get("RetryPolicy") or {}
        age = float(policy.get("MaximumEventAgeInSeconds", 86400)) / 60 * self._timings.minute
        deadline = time.monotonic() + age
        attempts = 1 + int(policy.get("MaximumRetryAttempts", 185))
        why = ""
        for attempt in range(attempts):
            if region in self._lost or self._stop.is_set():
                return
            try:
                self._call(region, str(target["Arn"]), payload)
            except Exception as error:
                why = f"{target['Arn']}: {type(error).__name__}: {error}"
            else:
                return
            if time.monotonic() > deadline or self._stop.wait(min(0.2 * 2**attempt, self._timings.minute)):
                break
        self._bury(region, target, payload, why)

    def _call(self, region: str, arn: str, payload: Any) -> None:
        service, place, resource = arn.split(":", 5)[2], arn.split(":")[3], arn.split(":", 5)[5]
        match service:
            case "lambda":
                self._invoke(place, resource.removeprefix("function:"), payload)
            case "states":
                self._start(place, arn, payload)
            case "sns":
                get_backend("sns")[ACCOUNT][place].publish(message=json.dumps(payload), arn=arn)
            case "sqs":
                get_backend("sqs")[ACCOUNT][place].send_message(resource, json.dumps(payload))
            case "events":
                self._forward(region, place, resource.removeprefix("event-bus/"), payload)
            case _:
                raise NotImplementedError(f"the lab has no target of {service}")

    def _forward(self, region: str, place: str, bus: str, payload: Any) -> None:
        """To another Region's bus, if there is a way; AWS keeps the event's own source, detail and time."""
        vantage = Vantage.OUTSIDE if region == GLOBAL else Vantage.of(side_of(region))
        if self._network.state(vantage, place_of(place)) is not Path.OPEN:
            raise ConnectionError(f"{place} cannot be reached from {region}")
        self.emit(place, payload, bus)

    def _bury(self, region: str, target: Mapping[str, Any], payload: Any, why: str) -> None:
        if region in self._lost or self._stop.is_set():
            return
        _LOG.info("an event was given up: %s", why)
        self.dead_letters.append((region, why))
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if queue:
            get_backend("sqs")[ACCOUNT][region].send_message(str(queue).rpartition(":")[2], json.dumps(payload))


def _rules(region: str, bus: str) -> list[Any]:
    buses = get_backend("events")[ACCOUNT][region].event_buses
    return list(buses[bus].rules.values()) if bus in buses else []


def _input(target: Mapping[str, Any], event: Mapping[str, Any]) -> Any:
    """What the target is given: its constant input, a part of the event, what its template makes of it, or all."""
    if target.get("Input"):
        return json.loads(target["Input"])
    if target.get("InputPath"):
        found: Any = event
        for part in str(target["InputPath"]).removeprefix("$").strip(".").split("."):
            found = found[part] if part else found
        return found
    transformer = target.get("InputTransformer")
    if transformer:
        made = EventTemplateParser.parse(
            input_template=transformer["InputTemplate"],
            input_paths_map=transformer.get("InputPathsMap", {}),
            event=dict(event),
        )
        return json.loads(made) if isinstance(made, str) else made
    return dict(event)


def _schedules(region: str) -> Iterator[tuple[str, str, Mapping[str, Any], Any]]:
    """Enabled schedules and scheduled rules: ARN, expression, target, what it is given."""
    for group in list(get_backend("scheduler")[ACCOUNT][region].schedule_groups.values()):
        for schedule in list(group.schedules.values()):
            if schedule.state == "ENABLED":
                given = schedule.target.get("Input")
                yield schedule.arn, schedule.schedule_expression, schedule.target, json.loads(given) if given else {}
    for rule in _rules(region, "default"):
        if rule.scheduled_expression and rule.state == "ENABLED":
            for target in list(rule.targets):
                event = {"source": "aws.events", "detail-type": "Scheduled Event", "region": region, "detail": {}}
                yield f"{rule.arn}/{target['Id']}", rule.scheduled_expression, target, _input(target, event)
