"""Composite alarms: what their rules come to, and when their actions may be taken.

moto has no API for them; `install` gives it one. What happens to actions while the suppressor is in ALARM, and for
the wait and the extension around that, is read from AWS's documentation: when it is over, the actions of the state
that then holds are taken, unless they were the last that were taken.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse

from lab.alarm_rule import AlarmRule, RuleRefused, read
from lab.seam import require

# In the order in which an alarm gets them; the last one says that it has them all.
_SUPPRESSION = {
    "ActionsSuppressorWaitPeriod": "actions_suppressor_wait_period",
    "ActionsSuppressorExtensionPeriod": "actions_suppressor_extension_period",
    "ActionsSuppressor": "actions_suppressor",
}


@dataclass
class Suppression:
    """The actions of one composite alarm. Times are in seconds, of any one clock."""

    wait: float = 0.0
    """How long a change waits for the suppressor to go into ALARM."""
    extension: float = 0.0
    """How long actions stay suppressed after it has left ALARM."""
    state: str = "INSUFFICIENT_DATA"
    _told: str = "INSUFFICIENT_DATA"
    _suppressed: bool = False
    _quiet_until: float = float("-inf")

    def due(self, now: float, state: str, *, suppressed: bool) -> str | None:
        """The state whose actions are to be taken now, if any; `suppressed` is whether the suppressor is in ALARM."""
        if state != self.state:
            self.state = state
            self._quiet_until = max(self._quiet_until, now + self.wait)
        if self._suppressed and not suppressed:
            self._quiet_until = now + self.extension
        self._suppressed = suppressed
        if suppressed or now < self._quiet_until or state == self._told:
            return None
        self._told = state
        return state


@dataclass(frozen=True)
class Judged:
    """What one look at a composite alarm came to."""

    alarm: Any
    state: str
    act: str | None
    """The state whose actions are to be taken now."""


class Composites:
    """The composite alarms of all Regions, between two looks."""

    def __init__(self, minute: float) -> None:
        """`minute` is what 60 s of their periods last here."""
        self._minute = minute
        self._known: dict[tuple[str, str], Suppression] = {}

    def judge(self, region: str, alarms: Mapping[str, Any], now: float) -> Iterator[Judged]:
        """Each composite alarm of a Region, by the states that the others have now."""

        def state_of(name: str) -> str | None:
            return alarms[name].state_value if name in alarms else None

        for alarm in [alarm for alarm in alarms.values() if hasattr(alarm, "actions_suppressor")]:
            state = "ALARM" if read(alarm.rule).holds(state_of) else "OK"
            suppressor = suppressor_of(alarm)
            known = self._known.setdefault((region, alarm.name), Suppression())
            known.wait = self._period(alarm, "actions_suppressor_wait_period")
            known.extension = self._period(alarm, "actions_suppressor_extension_period")
            suppressed = suppressor is not None and state_of(suppressor) == "ALARM"
            yield Judged(alarm, state, known.due(now, state, suppressed=suppressed))

    def _period(self, alarm: Any, name: str) -> float:
        return float(getattr(alarm, name, None) or 0) / 60 * self._minute


def suppressor_of(alarm: Any) -> str | None:
    """The name of a composite alarm's suppressor; None if it has none."""
    given: str | None = alarm.actions_suppressor
    return given.rpartition(":alarm:")[2] if given else None


def install() -> Callable[[], None]:
    """Give moto a PutCompositeAlarm; returns what takes it away. MotoChangedError if moto is not as expected."""
    require(CloudWatchResponse, "put_metric_alarm", "_get_param", "cloudwatch_backend")
    require(CloudWatchBackend, "put_metric_alarm", "delete_alarms")

    def put_composite_alarm(response: Any) -> Any:
        rule = _rule(response._get_param("AlarmRule"))
        given = {attribute: response._get_param(name) for name, attribute in _SUPPRESSION.items()}
        alarms = response.cloudwatch_backend.alarms
        _refuse(response._get_param("AlarmName"), rule, given, alarms)
        answer = response.put_metric_alarm()
        for attribute, value in given.items():
            setattr(alarms[response._get_param("AlarmName")], attribute, value)
        return answer

    before = getattr(CloudWatchResponse, "put_composite_alarm", None)
    CloudWatchResponse.put_composite_alarm = put_composite_alarm

    def undo() -> None:
        if before is None:
            del CloudWatchResponse.put_composite_alarm
        else:
            CloudWatchResponse.put_composite_alarm = before

    return undo


def _rule(text: str) -> AlarmRule:
    try:
        return read(text)
    except RuleRefused as error:
        raise ValidationError(str(error)) from None


def _refuse(name: str, rule: AlarmRule, given: Mapping[str, Any], alarms: Mapping[str, Any]) -> None:
    """ValidationError for an alarm that looks at itself or at none, and for a suppressor without its periods."""
    suppressor = str(given["actions_suppressor"] or "").rpartition(":alarm:")[2]
    unknown = sorted((rule.names | ({suppressor} if suppressor else set())) - alarms.keys() | (rule.names & {name}))
    if unknown:
        raise ValidationError(f"the rule of {name} names {unknown[0]}, which is no other alarm of this Region")
    periods = [value for attribute, value in given.items() if attribute != "actions_suppressor"]
    if any((value is None) is bool(suppressor) for value in periods):
        raise ValidationError(f"{name}: a suppressor needs a wait period and an extension period, and they need it")
