"""What a month is made of: who calls what how often, and what has to be assumed because no template says it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from relight import readiness_gauges
from relight.gauges import gauges
from relight.ledger import head_of
from relight.probe import MEASURED
from relight.signal import View
from relight.switches import switches

from relight_cli.exit_code import Exit, Refused
from relight_cli.inventory import Resource
from relight_cli.samconfig import Slot

HOURS = Decimal(730)
"""Hours of a month, as AWS counts them."""
MINUTES = {"minute": 1, "hour": 60, "day": 1440}
DAYS = HOURS / 24
# What of EventBridge's cron expressions is known: one moment of a day, of each day, of some days of the week, or of the
# first, second ... of one of them in the month.
_CRON = re.compile(r"cron\(\d+ \d+ (?:\? \* (?P<days>[A-Z]{3}(?:,[A-Z]{3})*)(?P<nth>#[1-5])?|\* \* \?) \*\)")
FUNCTION = "AWS::Lambda::Function"
# Published only while something is wrong; CloudWatch charges a metric by the hours in which it gets data.
RARE_METRICS = frozenset(
    {
        "CallBackRefused",
        "Down.outside",
        "IgnoredEvents",
        "MAINTENANCE",
        "OwnerUnknown",
        "PeerCapacityUnknown",
        "UnprotectedSeconds",
    }
)


@dataclass(frozen=True)
class Assumption:
    """A number that no template holds."""

    value: Decimal
    unit: str
    sentence: str


def _assume(value: str, unit: str, sentence: str) -> Assumption:
    return Assumption(Decimal(value), unit, sentence)


ASSUMPTIONS: Mapping[str, Assumption] = {
    "probe_seconds": _assume(
        "1", "s", "a run of the probe beside its pauses: the last sample (17 ms of CPU here, docs/cost.md)"
    ),
    "probe_off_duty_seconds": _assume("0.1", "s", "a run of the probe in the active Region: one read of its ledger"),
    "guard_seconds": _assume("0.8", "s", "a run of guard: two reads, one PutMetricData, one question to dbcheck"),
    "dbcheck_seconds": _assume("0.3", "s", "a call of dbcheck: one connection, one question"),
    "probe_log_bytes": _assume(
        "3000", "bytes", "a run of the probe in the log, with Lambda's own lines and its metrics"
    ),
    "probe_off_duty_log_bytes": _assume("1000", "bytes", "a run of the probe in the active Region in the log"),
    "guard_log_bytes": _assume("1500", "bytes", "a run of guard in the log"),
    "dbcheck_log_bytes": _assume("1200", "bytes", "a call of dbcheck in the log"),
    "retire_seconds": _assume(
        "1", "s", "a daily look at what is kept of old databases: nothing, while nothing happens"
    ),
    "retire_log_bytes": _assume("1200", "bytes", "such a look in the log"),
    "readiness_seconds": _assume("5", "s", "a look at everything, in both Regions; 55 calls, many at once"),
    "readiness_off_duty_seconds": _assume("0.2", "s", "a look in the active Region: at its ledger"),
    "readiness_log_bytes": _assume("1500", "bytes", "such a look in the log"),
    "readiness_off_duty_log_bytes": _assume("1500", "bytes", "a look in the active Region in the log"),
    "readiness_kilobytes": _assume("16", "kB", "all checks with their sentences, as the ledger keeps them"),
    "drill_seconds": _assume("2", "s", "the sweeper's hourly look for what drills have left"),
    "drill_log_bytes": _assume("1200", "bytes", "such a look in the log"),
    "log_months": _assume("12", "months", "how long a log is kept that sets no retention"),
    "ledger_gb": _assume("0.01", "GB", "a ledger with the timelines of many runs"),
    "evidence_gb": _assume("0.01", "GB", "evidence of many runs"),
    "notifications": _assume("20", "a month", "alarms and questions, to one e-mail address"),
    "dead_letters": _assume("1000", "requests a month", "what Lambda, EventBridge and a person do with the queue"),
    "key_requests": _assume("10000", "a month", "requests to each KMS key"),
    "events_forwarded": _assume(
        "20",
        "a month",
        "of each rule that has the other Region's bus: an alarm's changes, or what AWS says of its health",
    ),
    "drill_gb": _assume("0.1", "GB", "what drills write in a month, which is kept for a week"),
    "bucket_gb": _assume("10", "GB", "assets, state and releases of the application, in each Region"),
    "bucket_written_gb": _assume("5", "GB a month", "written to the bucket and replicated"),
    "bucket_writes": _assume("20000", "a month", "objects written to the bucket and replicated"),
    "wal_gb": _assume("20", "GB a month", "changes of the database that stream to the other Region"),
    "database_log_gb": _assume("0.1", "GB a month", "what PostgreSQL logs in each Region"),
    "flow_log_gb": _assume("2", "GB a month", "flow logs of one network, where they are on"),
    "run_call_seconds": _assume("2", "s", "a call of a step in a run"),
    "run_log_bytes": _assume("6000", "bytes", "a state of a run in the log, with its data"),
    "run_ledger_units": _assume("6", "units", "reads and writes of a step in the ledger"),
    "run_messages": _assume("5", "messages", "questions and notifications of a run"),
}

# What one sample of the probe asks of others: the head twice and the signals; the TXT pair.
PROBE_SAMPLE: Mapping[str, int] = {"dynamodb-read": 3, "dns-query": 1}
# A run keeps all signals at first and again when a third of their time has passed, and once the primary's capacity and
# what keeps its database safe.
PROBE_KEPT_ONCE = 2
GUARD_RUN: Mapping[str, int] = {"dynamodb-read": 2, "metric-put": 1}
# In the active Region: the head, and what was kept before, which is little there.
READINESS_OFF_DUTY: Mapping[str, int] = {"dynamodb-read": 2, "dynamodb-write": 1}
# In the standby, beside what goes with the size of what is kept: the head twice, signals, drills, capacity, database,
# release, the other head; lag, switches and connections; alarms; two secrets; releases and rules of two buckets; the
# key; the dead letters. All else that is asked is free.
READINESS_LOOK: Mapping[str, int] = {
    "dynamodb-read": 8,
    "dynamodb-write": 1,
    "metric-get": 5,
    "metric-describe": 1,
    "secret-request": 2,
    "s3-get": 4,
    "kms-request": 1,
    "sqs-request": 1,
}
SWEEP: Mapping[str, int] = {"dynamodb-read": 3}
# What a call of a function asks of other services, by what it has to do; one of the probe's samples.
ASKED: Mapping[str, Mapping[str, int]] = {
    "guard": GUARD_RUN,
    "retire": {"dynamodb-read": 1},
    "drill": SWEEP,
    "readiness": READINESS_LOOK,
    "readiness_off_duty": READINESS_OFF_DUTY,
    "probe": PROBE_SAMPLE,
    "probe_off_duty": {"dynamodb-read": 1},
}
# Every so many seconds readiness tells a metric, which CloudWatch charges for that hour.
READINESS_METRICS: Mapping[str, float] = {
    "ReadinessScore": readiness_gauges.SCORE_SECONDS,
    "DrillAgeDays": readiness_gauges.AGE_SECONDS,
}
HOUR = Decimal(3600)


@dataclass(frozen=True)
class Workings:
    """One environment's month."""

    resources: Sequence[Resource]
    application: str
    home_region: str

    def assumed(self, name: str) -> Decimal:
        return ASSUMPTIONS[name].value

    def short(self, function: Resource) -> str:
        """A function's name without the application's: `probe`."""
        return str(function.value("FunctionName")).removeprefix(f"relight-{self.application}-")

    def _of(self, kind: str, slot: Slot) -> Iterator[Resource]:
        return (resource for resource in self.resources if resource.kind == kind and resource.slot is slot)

    def function(self, slot: Slot, name: str) -> Resource | None:
        """The function of that short name."""
        return next((found for found in self._of(FUNCTION, slot) if self.short(found) == name), None)

    def variable(self, function: Resource, name: str) -> Decimal:
        """A number of a function's environment."""
        return Decimal(str(function.value("Environment")["Variables"][name]))

    def firings(self, schedule: Resource) -> Decimal:
        """How often a schedule fires in a month. Refused where it is no rate and no simple cron expression."""
        if schedule.value("State", "ENABLED") != "ENABLED":
            return Decimal(0)
        written = str(schedule.value("ScheduleExpression"))
        if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", written):
            return HOURS * 60 / (int(rate[1]) * MINUTES[rate[2]])
        if cron := _CRON.fullmatch(written):
            days = Decimal(len(cron["days"].split(","))) if cron["days"] else Decimal(7)
            return days if cron["nth"] else days * DAYS / 7
        raise Refused(
            f"how often {written} fires is not known",
            where=schedule.where,
            do="write it as a rate, or teach relight_cli/workings.py",
            code=Exit.CONFIGURATION,
        )

    def calls(self, function: Resource) -> Decimal:
        """Calls of a function in a month in which nothing happens: by its schedules, by the probe and by the guard."""
        target = f"{function.name}.Arn"
        scheduled = sum(
            (
                self.firings(schedule)
                for schedule in self._of("AWS::Scheduler::Schedule", function.slot)
                if schedule.stack == function.stack and schedule.value("Target")["Arn"] == target
            ),
            Decimal(0),
        )
        if self.short(function) == "dbcheck":
            probe = self.function(function.slot, "probe")
            if probe is not None and not self.is_home(probe):
                scheduled += self.calls(probe) * self.variable(probe, "SAMPLES")
            guard = self.function(function.slot, "guard")
            if guard is not None and self.is_home(function):  # where it is active: are writes stopped there?
                scheduled += self.calls(guard)
            readiness = self.function(function.slot, "readiness")
            if readiness is not None and not self.is_home(function):
                scheduled += self.calls(readiness)
        return scheduled

    def seconds(self, function: Resource) -> Decimal:
        """How long a call takes. Refused for a function that nobody has thought about."""
        name = self.short(function)
        if f"{name}_seconds" not in ASSUMPTIONS:
            raise Refused(
                f"how long a call of {name} takes is not known",
                where=function.where,
                do="assume something in relight_cli/workings.py",
                code=Exit.CONFIGURATION,
            )
        beside = self.assumed(f"{self._duty(function)}_seconds")
        if name != "probe" or self.is_home(function):
            return beside
        return (self.variable(function, "SAMPLES") - 1) * self.variable(function, "SAMPLE_SECONDS") + beside

    def per_call(self, function: Resource) -> Mapping[str, Decimal]:
        """What a call asks of other services while nothing happens, by price."""
        duty = self._duty(function)
        asked = {key: Decimal(number) for key, number in ASKED.get(duty, {}).items()}
        if duty == "readiness":
            kept = self.assumed("readiness_kilobytes")  # a unit writes 1 kB and reads 4; it is read here and there
            asked["dynamodb-write"] += kept
            asked["dynamodb-read"] += 2 * kept / 4
        if duty == "probe":
            samples = self.variable(function, "SAMPLES")
            pause = (samples - 1) * self.variable(function, "SAMPLE_SECONDS")
            kept = 1 + pause // (self.variable(function, "FRESH_SECONDS") / 3)
            asked = {key: number * samples for key, number in asked.items()}
            asked["dynamodb-read"] += 1  # whether it is on duty at all
            asked["dynamodb-write"] = kept * len(View) + PROBE_KEPT_ONCE
        return asked

    def log_bytes(self, function: Resource) -> Decimal:
        """What a call of a function writes to the log."""
        return self.assumed(f"{self._duty(function)}_log_bytes")

    def _duty(self, function: Resource) -> str:
        """What a function is called among the assumptions: two of them have little to do in the active Region."""
        name = self.short(function)
        return f"{name}_off_duty" if name in {"probe", "readiness"} and self.is_home(function) else name

    def log_months(self, function: Resource) -> Decimal:
        """How long a function's log is kept."""
        named = (function.value("LoggingConfig") or {}).get("LogGroup")
        for group in self._of("AWS::Logs::LogGroup", function.slot):
            if group.value("LogGroupName") == named and group.value("RetentionInDays"):
                return Decimal(str(group.value("RetentionInDays"))) / 30
        return self.assumed("log_months")

    def metrics(self, function: Resource) -> Mapping[str, Decimal]:
        """The custom metrics that a function publishes, as its code has them, and the part of a month that has each."""
        match self.short(function):
            case "probe" if not self.is_home(function):
                return dict.fromkeys([*(f"Down.{view.value}" for view in MEASURED), "Ready"], Decimal(1))
            case "guard":
                head, here, home = head_of(None, self.home_region), function.region, self.home_region
                return dict.fromkeys([*switches(head, here, home), *gauges(head, here, home, 0.0)], Decimal(1))
            case "readiness" if not self.is_home(function):
                return {name: HOUR / Decimal(seconds) for name, seconds in READINESS_METRICS.items()}
            case _:
                return {}

    def is_home(self, resource: Resource) -> bool:
        """Whether it stands in the primary."""
        return resource.slot in {Slot.PRIMARY, Slot.KEYS_PRIMARY}

    @cached_property
    def database_gb(self) -> Decimal:
        """The storage of the primary's database, and so of its replica."""
        for database in self._of("AWS::RDS::DBInstance", Slot.PRIMARY):
            return Decimal(str(database.value("AllocatedStorage")))
        return Decimal(0)

    @property
    def replica(self) -> Resource | None:
        """The database of the standby; None where the workload is not Relight's own."""
        return next(self._of("AWS::RDS::DBInstance", Slot.DR), None)

    def schedules(self, slot: Slot, stack: str) -> Iterator[Resource]:
        """The schedules of a stack."""
        return (found for found in self._of("AWS::Scheduler::Schedule", slot) if found.stack == stack)

    def input_of(self, schedule: Resource) -> Mapping[str, Any]:
        """What a schedule hands on."""
        found: Mapping[str, Any] = json.loads(schedule.value("Target").get("Input") or "{}")
        return found

    def instance_type(self, slot: Slot) -> str:
        """What the launch template starts."""
        return str(self._launch(slot)["InstanceType"])

    def volume_gb(self, slot: Slot) -> Decimal:
        """The volumes of one instance."""
        mappings = self._launch(slot).get("BlockDeviceMappings") or []
        return sum((Decimal(str(mapping["Ebs"]["VolumeSize"])) for mapping in mappings), Decimal(0))

    def _launch(self, slot: Slot) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(self._of("AWS::EC2::LaunchTemplate", slot)).value("LaunchTemplateData")
        return found
