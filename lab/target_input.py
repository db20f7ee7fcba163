"""What a rule's target is given: its constant Input, a part of the event, what a template makes of it, or all of it."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_PLACEHOLDER = re.compile(r"<([^<>]+)>")
_STEP = re.compile(r"[^.\[\]]+")


def target_input(target: Mapping[str, Any], event: Mapping[str, Any]) -> Any:
    """LookupError where an InputPath leads nowhere."""
    if target.get("Input"):
        return json.loads(target["Input"])
    if target.get("InputPath"):
        return _at(event, target["InputPath"])
    transformer = target.get("InputTransformer")
    if transformer:
        return _transformed(transformer["InputTemplate"], transformer.get("InputPathsMap") or {}, event)
    return dict(event)


def moment(when: Any) -> str:
    """A moment as an event has it, of a datetime, of seconds since the epoch, or of what is written so already."""
    if isinstance(when, (int, float)):
        when = datetime.fromtimestamp(when, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(when, datetime) else str(when)


def _at(event: Any, path: str) -> Any:
    """What a JSONPath of names and positions leads to, as in $.detail.groups[0]. LookupError if nowhere."""
    found = event
    for step in _STEP.findall(path.removeprefix("$")):
        if isinstance(found, list):
            found = found[int(step)] if step.isdecimal() else None
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            raise LookupError(path)
    return found


def _transformed(template: str, paths: Mapping[str, str], event: Mapping[str, Any]) -> Any:
    """The template, its placeholders filled in: inside a text as text, elsewhere as JSON; with nothing found, empty."""
    values: dict[str, Any] = {"aws.events.event.json": dict(event), "aws.events.event.ingestion-time": event["time"]}
    for name, path in paths.items():
        try:
            values[name] = _at(event, path)
        except LookupError:
            values[name] = ""

    def fill(placeholder: re.Match[str]) -> str:
        if placeholder[1] not in values:
            return placeholder[0]
        value = values[placeholder[1]]
        before = template[: placeholder.start()].replace("\\\\", "").replace('\\"', "")
        if before.count('"') % 2 == 0:
            return json.dumps(value)
        return json.dumps(value if isinstance(value, str) else json.dumps(value))[1:-1]

    filled = _PLACEHOLDER.sub(fill, template)
    try:
        return json.loads(filled)
    except ValueError:
        return filled
