"""A state machine as a drawing, from its definition alone: what Step Functions is told is what the reader sees.

States stand in the order in which they are written, which is the order of the story. A step and its loop (ensure,
done?, wait) share a line. An arrow leads to the line below; every other way out is said beside its state, because
thirty arrows to one failure path are a thicket. Ways that only an error takes are pale.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lab.svg import FONT, SMALL, Box, Drawing, lines, width

type State = Mapping[str, Any]
type Machine = Mapping[str, Any]

WIDE = 960
_MARGIN, _INDENT, _GAP = 24.0, 22.0, 36.0
_HIGH, _BELOW, _LINE = 40.0, 24.0, 16.0
_BESIDE = 320.0
"""From there on words stand beside a line of states, where it is that short."""
_KINDS = {
    "Task": "part",
    "Choice": "box",
    "Wait": "part",
    "Pass": "pale",
    "Succeed": "good",
    "Fail": "bad",
    "Parallel": "box",
}


@dataclass
class Row:
    """States that share a line: the first of them is where it is entered."""

    names: list[str]
    pale: set[str] = field(default_factory=set)
    """Those that only an error leads to."""


def ways(state: State) -> list[str]:
    """Where it leads to without an error, each once and in the order of the definition."""
    found = [choice["Next"] for choice in state.get("Choices", ())]
    found += [state[key] for key in ("Next", "Default") if key in state]
    return list(dict.fromkeys(found))


def catches(state: State) -> list[tuple[str, str]]:
    """Where errors lead to: their names as people say them, and the state."""
    return [(" or ".join(map(_error, one["ErrorEquals"])), one["Next"]) for one in state.get("Catch", ())]


def _error(name: str) -> str:
    return {"States.ALL": "any error", "States.Timeout": "timeout"}.get(name, name.rpartition(".")[2])


def rows(states: Mapping[str, State]) -> list[Row]:
    """The lines of a machine, or of a branch."""
    taken: set[str] = set()
    found: list[Row] = []
    led_to = {target for state in states.values() for target in ways(state)}
    for name in states:
        if name in taken:
            continue
        row = Row([name])
        if states[name]["Type"] == "Task":
            _add_loop(row, states, taken)
            _add_handlers(row, states, taken, led_to)
        taken.update(row.names)
        found.append(row)
    return found


def _add_loop(row: Row, states: Mapping[str, State], taken: set[str]) -> None:
    """What asks whether the step is done, and the wait that leads back to it."""
    first = row.names[0]
    for name in ways(states[first]):
        back = [one for one in ways(states[name]) if states[one]["Type"] == "Wait" and ways(states[one]) == [first]]
        if states[name]["Type"] == "Choice" and back and not {name, *back} & taken:
            row.names += [name, *back]


def _add_handlers(row: Row, states: Mapping[str, State], taken: set[str], led_to: set[str]) -> None:
    """States that an error of this step leads to, and nothing else."""
    for _, target in catches(states[row.names[0]]):
        alone = not any(
            target == other for name, state in states.items() if name != row.names[0] for _, other in catches(state)
        )
        if alone and target not in led_to | taken | set(row.names):
            row.names.append(target)
            row.pale.add(target)


def below(state: State) -> str:
    """What a task calls, or what a wait waits for: the small line of its box."""
    if state["Type"] == "Wait":
        return "waits"
    if state["Type"] != "Task":
        return ""
    if called := re.fullmatch(r"\$\{(\w+)Function\}", str(state.get("Arguments", {}).get("FunctionName", ""))):
        asks = ", and waits for a person" if "waitForTaskToken" in state["Resource"] else ""
        return called[1].lower() + asks
    service, _, call = state["Resource"].split(":::")[-1].removeprefix("aws-sdk:").partition(":")
    return f"{service}: {call}"


class Picture:
    """A machine that is being drawn, line by line from above."""

    def __init__(self, title: str) -> None:
        """Nothing of it yet."""
        self.drawing = Drawing(title)
        self.y = _MARGIN

    def states(self, states: Mapping[str, State], start: str, left: float, *, end: str = "") -> None:
        """All lines of a machine, or of a branch; `end` is said of what ends there."""
        known = rows(states)
        if known[0].names[0] != start:  # the story may begin with another state than the file
            known.sort(key=lambda row: start not in row.names)
        for row, following in pairwise([*known, Row([])]):
            bottom = self._row(states, row, following.names[:1], left, end)
            self._down(states, row, following, left, bottom)

    def _row(self, states: Mapping[str, State], row: Row, following: Sequence[str], left: float, end: str) -> float:
        top, x = self.y, left
        boxes: dict[str, Box] = {}
        for name in row.names:
            state = states[name]
            size = max(width(name), width(below(state), SMALL)) + (44 if state["Type"] == "Choice" else 26)
            boxes[name] = Box(x, top, max(size, 96), _HIGH)
            x += boxes[name].width + _GAP
        if states[row.names[0]]["Type"] == "Parallel":
            return self._parallel(row.names[0], states, following, left)
        for name in row.names:
            self._state(name, states[name], boxes[name], pale=name in row.pale)
        self._between(row, states, boxes)
        low = top + _HIGH
        if x - _GAP < left + _BESIDE - 20:
            self.y = top - 2
            self._words(states, row, following, left + _BESIDE, end)
            self.y = max(self.y + 4, low) + _BELOW
            return low
        self.y = low
        self._words(states, row, following, left + 20, end)
        bottom = self.y
        self.y += _BELOW
        return bottom

    def _state(self, name: str, state: State, box: Box, *, pale: bool) -> None:
        kind = (
            "pale" if pale else "relight" if "waitForTaskToken" in state.get("Resource", "") else _KINDS[state["Type"]]
        )
        if state["Type"] == "Choice":
            x, y, right, low = box.x, box.y, box.right, box.bottom
            middle = box.middle[1]
            self.drawing.shape(
                [(x, middle), (x + 16, y), (right - 16, y), (right, middle), (right - 16, low), (x + 16, low)], kind
            )
        else:
            ends = state["Type"] in {"Succeed", "Fail", "Wait"}
            self.drawing.box(box, kind, round_by=20 if ends else 6, dashed=state["Type"] == "Wait")
        said, small = below(state), "p" if pale else "t"
        self.drawing.text(box.middle[0], box.y + (18 if said else 25), name, small, centred=True)
        if said:
            self.drawing.text(box.middle[0], box.y + 33, said, "s", centred=True)

    def _between(self, row: Row, states: Mapping[str, State], boxes: Mapping[str, Box]) -> None:
        first = boxes[row.names[0]]
        for name, other in pairwise(row.names):
            middle = first.middle[1]
            kind = "l f d" if other in row.pale else "l"
            if other in row.pale and name != row.names[0]:
                continue
            self.drawing.arrow([(boxes[name].right, middle), (boxes[other].x - 1, middle)], kind)
        back = [name for name in row.names[1:] if states[name]["Type"] == "Wait"]
        for name in back:
            low, x = first.bottom + 10, boxes[name].middle[0]
            home = first.x + first.width - 18
            self.drawing.arrow([(x, first.bottom), (x, low), (home, low), (home, first.bottom + 1)], "l d")

    def _words(self, states: Mapping[str, State], row: Row, following: Sequence[str], left: float, end: str) -> None:
        if any(states[name]["Type"] == "Wait" for name in row.names[1:]):
            self.y += 10
        room = WIDE - left - _MARGIN - _INDENT
        for line in lines(states[row.names[0]].get("Comment", ""), room):
            self.y += _LINE
            self.drawing.text(left, self.y, line, "s")
        for text, kind in self._exits(states, row, following, end):
            for line in lines(text, room):
                self.y += _LINE
                self.drawing.text(left, self.y, line, kind)

    def _exits(
        self, states: Mapping[str, State], row: Row, following: Sequence[str], end: str
    ) -> Iterator[tuple[str, str]]:
        beside = {*row.names, *following}
        plain = [one for name in row.names for one in ways(states[name]) if one not in beside]
        if plain:
            yield "→ " + ", ".join(dict.fromkeys(plain)), "s b"
        if end and any(states[name].get("End") for name in row.names if name not in row.pale):
            yield f"→ {end}", "s b"
        grouped: dict[str, list[str]] = {}
        for name in row.names:
            for error, target in catches(states[name]):
                grouped.setdefault(target, []).append(error)
        said = [f"{' or '.join(dict.fromkeys(errors))} → {target}" for target, errors in grouped.items()]
        if said:
            yield " · ".join(said), "s p"

    def _parallel(self, name: str, states: Mapping[str, State], following: Sequence[str], left: float) -> float:
        state, top = states[name], self.y
        at = len(self.drawing.parts)
        self.drawing.text(left + 14, top + 24, name, "t b")
        self.drawing.text(left + 14 + width(name) + 26, top + 24, "at the same time:", "s")
        self.y = top + 28
        self._words(states, Row([name]), following, left + 14, "")
        self.y += 16
        for number, branch in enumerate(state["Branches"]):
            if number:
                y = self.y - 10
                self.drawing.rule(left + 14, WIDE - _MARGIN - 14, y)
                self.y += 6
            self.states(branch["States"], branch["StartAt"], left + _INDENT, end="done")
        frame = Box(left, top, WIDE - _MARGIN - left, self.y - top - 8)
        behind = Drawing("")
        behind.box(frame, "box", round_by=10)
        self.drawing.parts[at:at] = behind.parts
        bottom = self.y - 8
        self.y = bottom + _BELOW
        return bottom

    def _down(self, states: Mapping[str, State], row: Row, following: Row, left: float, bottom: float) -> None:
        if not following.names:
            return
        target, x = following.names[0], left + 10
        plain = any(target in ways(states[name]) for name in row.names)
        caught = any(target == other for name in row.names for _, other in catches(states[name]))
        if plain or caught:
            self.drawing.arrow([(x, bottom), (x, self.y - 1)], "l" if plain else "l f d")


def drawn(name: str, machine: Machine) -> str:
    """The whole state machine as the text of an SVG file."""
    picture = Picture(f"The state machine {name}: {machine['Comment']}")
    picture.drawing.text(_MARGIN, picture.y + FONT, name, "t b")
    for line in lines(machine["Comment"], WIDE - 2 * _MARGIN):
        picture.y += _LINE + 2
        picture.drawing.text(_MARGIN, picture.y + FONT, line, "s")
    picture.y += 34
    picture.states(machine["States"], machine["StartAt"], _MARGIN)
    return picture.drawing.svg(WIDE, picture.y)
