"""The bill: what the orchestrator, one failover and the pilot light cost, by the templates and the price table."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from relight_cli.inventory import Resource, resources
from relight_cli.laps import Passage, passage
from relight_cli.practice import KINDS, drill, monthly
from relight_cli.prices import Price, Prices
from relight_cli.rates import Use, uses
from relight_cli.samconfig import Environment, Slot
from relight_cli.workings import ASSUMPTIONS, Workings

MOST_A_MONTH = Decimal(20)
"""USD that the orchestrator's own parts may cost in a month, both Regions together: see OWN."""
MOST_ALTOGETHER = Decimal(23)
"""USD that they may cost with what they bring along: logs, keys, messages, evidence."""
MOST_A_FAILOVER = Decimal("0.05")
DEFINITION = "statemachine/failover.asl.yaml"
DRILL_DEFINITION = "statemachine/drill.asl.yaml"
LAMBDA = "AWS::Lambda::Function"


class Owner(StrEnum):
    """Whose a resource is."""

    ORCHESTRATOR = "orchestrator"
    WORKLOAD = "workload"


RULE = (
    "To the orchestrator belongs what stands in template.yaml, watch, failover, drill, ledger, dashboard and global, "
    "the key of the topic, and each alarm but those on a metric of the workload (RDS, balancer, EC2, Auto Scaling, "
    "S3), on such alarms, or only there to silence them. To the pilot light belongs the rest of the DR Region, and in "
    "the primary what is there for the standby's sake alone. The rest of the primary is the application, with Relight "
    "or without."
)
_ORCHESTRATOR = frozenset({"template", "watch", "failover", "drill", "ledger", "dashboard", "global"})
_WORKLOAD_METRICS = frozenset({"AWS/RDS", "AWS/ApplicationELB", "AWS/EC2", "AWS/AutoScaling", "AWS/S3"})
# In a rule an alarm is named by Ref, which the inventory leaves as the logical id.
_CHILD = re.compile(r'ALARM\("?(\w+)"?\)')


# Functions and their schedules, ledger, alarms, metrics, health checks and the queries for them, dashboard.
OWN = frozenset(
    {
        "lambda-arm64",
        "lambda-x86_64",
        "lambda-request",
        "schedule",
        "dynamodb-read",
        "dynamodb-write",
        "dynamodb-storage",
        "alarm",
        "composite-alarm",
        "metric",
        "metric-describe",
        "metric-get",
        "metric-put",
        "health-check",
        "health-check-option",
        "dns-query",
        "dashboard",
    }
)


@dataclass(frozen=True)
class Line:
    """One line of the bill."""

    stack: str
    resource: str
    quantity: Decimal
    price: Price
    because: str

    @property
    def usd(self) -> Decimal:
        return self.quantity * self.price.usd


@dataclass(frozen=True)
class Estimate:
    """The four answers, in USD, and what they rest on."""

    environment: str
    orchestrator: tuple[Line, ...]
    """A month of its own parts, both Regions and DNS."""
    beside: tuple[Line, ...]
    """A month of what they bring along."""
    failover: tuple[Line, ...]
    """One run."""
    drills: Mapping[str, tuple[Line, ...]]
    """One drill, by kind; none where the workload is not Relight's own."""
    drills_a_month: Mapping[str, Decimal]
    """How often each kind is scheduled."""
    pilot_light: tuple[Line, ...]
    """A month of it."""
    passage: Passage
    managed: Price
    prices: Prices

    @property
    def altogether(self) -> Decimal:
        """A month of the orchestrator with everything."""
        return total(self.orchestrator) + total(self.beside)

    @property
    def practice(self) -> Decimal:
        """A month of the drills that are scheduled."""
        return sum((total(self.drills[kind]) * times for kind, times in self.drills_a_month.items()), Decimal(0))

    @property
    def within(self) -> bool:
        """Whether every limit is kept."""
        return (
            total(self.orchestrator) <= MOST_A_MONTH
            and self.altogether <= MOST_ALTOGETHER
            and total(self.failover) < MOST_A_FAILOVER
        )


def total(lines: Iterable[Line]) -> Decimal:
    """Their sum in USD."""
    return sum((line.usd for line in lines), Decimal(0))


def owner(resource: Resource, beside: Iterable[Resource]) -> Owner:
    """Whose that resource is, by RULE; `beside` holds all resources."""
    if resource.stack == "keys":
        return Owner.ORCHESTRATOR if resource.name.startswith("Topic") else Owner.WORKLOAD
    if resource.stack == "observability":
        alarms = [other for other in beside if other.slot is resource.slot and other.stack == resource.stack]
        suppressing = [alarm for alarm in alarms if alarm.value("ActionsSuppressor") == resource.name]
        on = set[str]().union(*(_namespaces(alarm, alarms) for alarm in [resource, *suppressing]))
        return Owner.WORKLOAD if on & _WORKLOAD_METRICS else Owner.ORCHESTRATOR
    return Owner.ORCHESTRATOR if resource.stack in _ORCHESTRATOR else Owner.WORKLOAD


def _namespaces(alarm: Resource, beside: Iterable[Resource]) -> set[str]:
    """Of the metrics that an alarm reads, itself or through the alarms in its rule, which are `beside` it."""
    found = {str(alarm.value("Namespace", ""))}
    for entry in alarm.value("Metrics") or []:
        found.add(str(entry.get("MetricStat", {}).get("Metric", {}).get("Namespace", "")))
    children = set(_CHILD.findall(str(alarm.value("AlarmRule", ""))))
    for other in beside:
        if other.name in children:
            found |= _namespaces(other, beside)
    return found


def estimate(environment: Environment, prices: Prices) -> Estimate:
    """Reckon it all up. Refused, or a LabError, where a template or the price table does not say enough."""
    found = resources(environment)
    workings = Workings(found, environment.application, environment.home_region)
    lines: dict[Owner, list[Line]] = {whose: [] for whose in Owner}
    for resource in found:
        whose = owner(resource, found)
        for use in uses(resource, workings):
            if use.quantity and _counts(resource, use, whose, workings):
                lines[whose].append(_line(resource, use, prices))
    way, run = _failover(environment, workings, prices)
    drills = _drills(environment, workings, prices)
    return Estimate(
        environment=environment.name,
        orchestrator=tuple(line for line in lines[Owner.ORCHESTRATOR] if line.price.key in OWN),
        beside=tuple(line for line in lines[Owner.ORCHESTRATOR] if line.price.key not in OWN),
        failover=tuple(run),
        drills=drills,
        drills_a_month={kind: times for kind, times in monthly(workings).items() if kind in drills},
        pilot_light=tuple(lines[Owner.WORKLOAD]),
        passage=way,
        managed=prices.of("region-switch", environment.stacks[Slot.DR].region),
        prices=prices,
    )


def _counts(resource: Resource, use: Use, whose: Owner, workings: Workings) -> bool:
    return whose is Owner.ORCHESTRATOR or use.for_dr or not workings.is_home(resource)


def _line(resource: Resource, use: Use, prices: Prices) -> Line:
    price = prices.of(use.key, resource.region)
    return Line(f"{resource.stack}, {resource.region}", resource.name, use.quantity, price, use.because)


def _failover(environment: Environment, workings: Workings, prices: Prices) -> tuple[Passage, list[Line]]:
    region = environment.stacks[Slot.DR].region
    steps = [found for found in workings.resources if found.kind == LAMBDA and found.slot is Slot.DR]
    assess = next(found for found in steps if workings.short(found) == "assess")
    way = passage(environment.folder / DEFINITION, workings.variable(assess, "LOOK_AGAIN_SECONDS"))
    memory = max(Decimal(found.value("MemorySize")) for found in steps if found.stack == assess.stack)
    used = _run(way, f"lambda-{assess.value('Architectures')[0]}", memory, workings)
    return way, [
        Line(f"failover, {region}", "run", use.quantity, prices.of(use.key, region), use.because) for use in used
    ]


def _drills(environment: Environment, workings: Workings, prices: Prices) -> dict[str, tuple[Line, ...]]:
    """What each kind of drill makes, and its run."""
    region, function = environment.stacks[Slot.DR].region, workings.function(Slot.DR, "drill")
    if function is None:
        return {}
    definition, look_again = environment.folder / DRILL_DEFINITION, workings.variable(function, "LOOK_AGAIN_SECONDS")
    key, memory = f"lambda-{function.value('Architectures')[0]}", Decimal(function.value("MemorySize"))
    found = {}
    for kind in KINDS:
        used = drill(kind, workings)
        if used is not None:
            way = passage(definition, look_again, waiting=bool(used))
            found[kind] = tuple(
                Line(f"drill, {region}", kind, use.quantity, prices.of(use.key, region), use.because)
                for use in (*used, *_run(way, key, memory, workings))
                if use.quantity
            )
    return found


def _run(way: Passage, functions: str, memory: Decimal, workings: Workings) -> list[Use]:
    """What a run of that length uses by itself; `functions` is the price of theirs."""
    seconds = workings.assumed("run_call_seconds")
    calls = 2 * Decimal(way.calls)
    log = workings.assumed("run_log_bytes") * way.transitions / 10**9
    return [
        Use("transition", Decimal(way.transitions), f"{way.states} states once, and the laps of the loops"),
        Use(functions, calls * seconds * memory / 1024, f"{seconds:g} s, {memory:f} MB"),
        Use("lambda-request", calls, f"{way.calls} calls, and as many of dbcheck"),
        Use("dynamodb-write", workings.assumed("run_ledger_units") * way.calls, "timeline, signals, lock"),
        Use("dynamodb-read", workings.assumed("run_ledger_units") * way.calls, "head, signals, timeline"),
        Use("sns-publish", workings.assumed("run_messages"), "questions, notification"),
        Use("sns-email", workings.assumed("run_messages"), "to one person"),
        Use("s3-put", Decimal(4), "the evidence"),
        Use("log-ingest", log, "each state with its data"),
    ]


def as_document(found: Estimate) -> dict[str, Any]:
    """The estimate as JSON holds it. Amounts are text, so that they stay exact."""
    return {
        "schema": 1,
        "environment": found.environment,
        "currency": "USD",
        "prices_looked_up": found.prices.looked_up.isoformat(),
        "orchestrator_a_month": _section(found.orchestrator) | {"at_most": str(MOST_A_MONTH)},
        "beside_it_a_month": _section(found.beside),
        "altogether_a_month": {"usd": str(round(found.altogether, 4)), "at_most": str(MOST_ALTOGETHER)},
        "one_failover": _section(found.failover)
        | {"at_most": str(MOST_A_FAILOVER), "states": found.passage.states, "transitions": found.passage.transitions},
        "one_drill": {kind: _section(lines) for kind, lines in found.drills.items()},
        "drills_a_month": {
            "usd": str(round(found.practice, 4)),
            "times": {kind: str(round(times, 2)) for kind, times in found.drills_a_month.items()},
        },
        "pilot_light_a_month": _section(found.pilot_light),
        "region_switch_a_month": _price(found.managed),
        "rule": RULE,
        "assumptions": {
            name: {"value": str(a.value), "unit": a.unit, "sentence": a.sentence} for name, a in ASSUMPTIONS.items()
        },
    }


def _section(lines: tuple[Line, ...]) -> dict[str, Any]:
    return {
        "usd": str(round(total(lines), 4)),
        "lines": [
            {
                "stack": line.stack,
                "resource": line.resource,
                "quantity": str(round(line.quantity, 6)),
                "usd": str(round(line.usd, 6)),
                "because": line.because,
                "price": _price(line.price),
            }
            for line in lines
        ],
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "what": price.what,
        "unit": price.unit,
        "region": price.region,
        "usd": f"{price.usd:f}",
        "as_of": price.as_of.isoformat(),
        "checked": price.checked,
        "source": price.source,
    }
