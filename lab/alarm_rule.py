"""The rule of a composite alarm: ALARM(), OK() and INSUFFICIENT_DATA() of other alarms, with AND, OR, NOT and brackets.

NOT binds closest, then AND, then OR. A name may stand in quotes and may be an ARN.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

STATES = frozenset({"ALARM", "OK", "INSUFFICIENT_DATA"})
_TOKEN = re.compile(r'\s*(?:(?P<sign>[()])|"(?P<quoted>[^"]*)"|(?P<word>[^\s()"]+))')

type Holds = Callable[[Callable[[str], str | None]], bool]
"""Told how to find the state of an alarm by its name, whether the rule holds."""


class RuleRefused(Exception):
    """Not a rule that CloudWatch would take."""


@dataclass(frozen=True)
class AlarmRule:
    """A rule that has been read."""

    holds: Holds
    names: frozenset[str]
    """The alarms that it looks at."""


def read(text: str) -> AlarmRule:
    """RuleRefused, with the reason, for what is no rule."""
    reader = _Reader(_tokens(text))
    holds = reader.either()
    if reader.left:
        raise RuleRefused(f"the rule goes on with {reader.left[0]!r} where it should end")
    return AlarmRule(holds, frozenset(reader.names))


def _tokens(text: str) -> list[str]:
    found, at, text = [], 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise RuleRefused(f"the rule cannot be read from {text[at : at + 20]!r} on")
        found.append(match["sign"] or match["word"] or match["quoted"])
        at = match.end()
    return found


@dataclass
class _Reader:
    """Takes the tokens from the left."""

    left: list[str]
    names: set[str] = field(default_factory=set)

    def either(self) -> Holds:
        parts = [self.both()]
        while self._next_is("OR"):
            parts.append(self.both())
        return lambda state: any(part(state) for part in parts)

    def both(self) -> Holds:
        parts = [self.one()]
        while self._next_is("AND"):
            parts.append(self.one())
        return lambda state: all(part(state) for part in parts)

    def one(self) -> Holds:
        if self._next_is("NOT"):
            inner = self.one()
            return lambda state: not inner(state)
        if self._next_is("("):
            inner = self.either()
            self._expect(")")
            return inner
        return self._term()

    def _term(self) -> Holds:
        word = self._take("an alarm's state")
        if word in ("TRUE", "FALSE"):
            return lambda _: word == "TRUE"
        if word not in STATES:
            raise RuleRefused(f"{word!r} is no state of an alarm")
        self._expect("(")
        name = self._take("an alarm's name").rpartition(":alarm:")[2]
        self._expect(")")
        self.names.add(name)
        return lambda state: state(name) == word

    def _next_is(self, word: str) -> bool:
        if self.left[:1] != [word]:
            return False
        self.left.pop(0)
        return True

    def _expect(self, word: str) -> None:
        if not self._next_is(word):
            raise RuleRefused(f"the rule lacks {word!r} before {self.left[0] if self.left else 'its end'!r}")

    def _take(self, what: str) -> str:
        if not self.left:
            raise RuleRefused(f"the rule ends where {what} should stand")
        return self.left.pop(0)
