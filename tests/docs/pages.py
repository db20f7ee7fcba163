"""The pages for people, read as a person reads them: headings, links, and the commands that one would type."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("relight", "make", "aws", "pytest")
MARK = "# AWS"
"""At the end of a command line: this line needs AWS."""
SENTENCE = "**Needs AWS**"
"""Before the first heading it is said of the whole page, below a heading of all that stands under it."""

_PROGRAM = r"(?:\.venv/bin/)?(relight|make|aws|pytest)"
_BEGINS = re.compile(rf"\s*(?:\$ )?{_PROGRAM}\s+\S")
_WITHIN = re.compile(rf"(?:^|[\s(]){_PROGRAM}\s+\S")
_INDENTED = re.compile(rf"(?: {{4,}}|\t)(?:\$ )?{_PROGRAM}\s+\S")
_NO_COMMANDS = frozenset({"json", "yaml", "python", "sql", "toml"})
_LEADING = frozenset({"do", "then", "else", "while", "until", "if", "!", "time", "export"})
_MOST_LINES = 12


@dataclass(frozen=True)
class Command:
    """One command that a page shows."""

    page: str
    line: int
    words: tuple[str, ...]
    """As the shell hands them on, `.venv/bin/` taken from the first."""
    marked: bool
    """It is said that it needs AWS, on its line or of where it stands."""
    on_its_line: bool

    @property
    def program(self) -> str:
        """One of PROGRAMS."""
        return self.words[0]

    def __str__(self) -> str:
        """Where it is, and what it says: for whoever reads a failed test."""
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


@dataclass
class Page:
    """A Markdown file; its path is relative to the repository."""

    path: str
    lines: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Read it."""
        if not self.lines:
            self.lines = tuple((ROOT / self.path).read_text(encoding="utf-8").splitlines())

    @property
    def title(self) -> str:
        """What its first heading says."""
        return next(line.removeprefix("# ") for line in self.lines if line.startswith("# "))

    def fenced(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """Each fenced block: the number of its first line, its language, its lines."""
        begun, language = 0, ""
        for number, line in enumerate(self.lines, 1):
            if line.lstrip().startswith("```"):
                if begun:
                    yield begun + 1, language, self.lines[begun : number - 1]
                    begun = 0
                else:
                    begun, language = number, line.strip().removeprefix("```").partition(" ")[0]

    def prose(self) -> list[tuple[int, str]]:
        """Its numbered lines outside of fenced blocks."""
        taken: set[int] = set()
        for first, _, lines in self.fenced():
            taken.update(range(first - 1, first + len(lines) + 1))
        return [(number, line) for number, line in enumerate(self.lines, 1) if number not in taken]

    def anchors(self) -> frozenset[str]:
        """What may follow a `#` in a link to it, by GitHub's rule."""
        found: dict[str, int] = {}
        for _, line in self.prose():
            if heading := re.match(r"#{1,6} (.+)", line):
                text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
                slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
                again = found.get(slug, -1) + 1
                found[slug] = again
                if again:
                    found[f"{slug}-{again}"] = 0
        return frozenset(found)

    def links(self) -> list[tuple[int, str]]:
        """Where it leads to inside this repository, with the line."""
        found: list[tuple[int, str]] = []
        # A link may be broken across two lines.
        numbers = [number for number, _ in self.prose()]
        text = "\n".join(line for _, line in self.prose())
        for match in re.finditer(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)\"", text):
            target = match[1] or match[2]
            if not re.match(r"[a-z]+:", target):
                found.append((numbers[text.count("\n", 0, match.start())], target))
        return found

    def commands(self) -> list[Command]:
        """Each command of a fenced or an indented block."""
        return [command for number, line in self._logical() for command in self._split(number, line)]

    def inline(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """What stands between backticks in a sentence and begins as a command of `relight` or `make` does."""
        for number, line in self.prose():
            for text in re.findall(r"`([^`]+)`", line):
                if re.match(r"(?:\.venv/bin/)?(?:relight|make) [a-z-]", text):
                    try:
                        words = shlex.split(text)
                    except ValueError:  # broken across two lines
                        continue
                    yield number, (words[0].removeprefix(".venv/bin/"), *words[1:])

    def needs_aws(self, number: int) -> bool:
        """Whether SENTENCE is said of that line."""
        said = [at for at, line in self.prose() if SENTENCE in line]
        headings = [(at, len(line) - len(line.lstrip("#"))) for at, line in self.prose() if re.match(r"#{1,6} ", line)]
        second = next((at for at, depth in headings if depth > 1), len(self.lines) + 1)
        for at in said:
            if at < second:
                return True
            depth = next(deep for above, deep in reversed(headings) if above < at)
            end = next((below for below, deep in headings if below > at and deep <= depth), len(self.lines) + 1)
            if at < number < end:
                return True
        return False

    def _logical(self) -> Iterator[tuple[int, str]]:
        for first, language, lines in self.fenced():
            if language in _NO_COMMANDS:
                continue
            shell = _WITHIN if language == "sh" else _BEGINS
            yield from _joined(first, lines, shell)
        prose = dict(self.prose())
        for number, line in prose.items():
            above = prose.get(number - 1, "")
            if _INDENTED.match(line) and (not above.strip() or above.startswith("    ")):
                yield from _joined(number, self.lines[number - 1 : number + _MOST_LINES], _BEGINS, only_first=True)

    def _split(self, number: int, line: str) -> Iterator[Command]:
        text, sign, _ = line.partition(MARK)
        for words in _simple(text if sign else line):
            where = self.needs_aws(number)
            yield Command(self.path, number, words, marked=bool(sign) or where, on_its_line=bool(sign))


def _joined(
    first: int, lines: tuple[str, ...], begins: re.Pattern[str], *, only_first: bool = False
) -> Iterator[tuple[int, str]]:
    """The command lines among these, each joined where it goes on below."""
    at = 0
    while at < len(lines):
        if not begins.search(lines[at]):
            at += 1
            continue
        begun, text = at, _bare(lines[at])
        while not _whole(text) and at + 1 < len(lines) and at - begun < _MOST_LINES:
            at += 1
            text = f"{text.removesuffix('\\')}\n{lines[at].strip()}"
        yield first + begun, text.replace("\\\n", " ")
        at += 1
        if only_first:
            return


def _bare(line: str) -> str:
    """Without what is explained behind it: three spaces and a sentence, or a comment that is no mark."""
    text = re.split(r"(?<=\S) {3,}(?=[^#\s\\])", line.strip(), maxsplit=1)[0]
    return re.sub(r"\s#(?! AWS)\s[^'\"]*$", "", text).rstrip()


def _whole(text: str) -> bool:
    if text.endswith("\\"):
        return False
    try:
        shlex.split(text.partition(MARK)[0])
    except ValueError:
        return False
    return True


def _simple(text: str) -> Iterator[tuple[str, ...]]:
    """The simple commands of a line that begin with one of PROGRAMS; those in `"$(...)"` are not looked for."""
    lexer = shlex.shlex(text.replace("\n", " "), posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token and set(token) <= set("();|&"):
            yield from _named(words)
            words = []
        else:
            words.append(token)


def _named(words: list[str]) -> Iterator[tuple[str, ...]]:
    rest = list(words)
    while rest and (rest[0] in _LEADING or rest[0] == "$" or re.match(r"[A-Za-z_]+=", rest[0])):
        rest.pop(0)
    for at, word in enumerate(rest):  # `>` and `<` end what is handed on
        if word in {">", ">>", "<", "2>"}:
            rest = rest[:at]
            break
    if rest and (program := rest[0].removeprefix(".venv/bin/")) in PROGRAMS:
        yield (program, *rest[1:])


@cache
def pages() -> tuple[Page, ...]:
    """README, and all under docs."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(Page(str(path.relative_to(ROOT))) for path in found)


def page(path: str) -> Page:
    """One of them, by its path from the root."""
    return next(one for one in pages() if one.path == path)


def twice(items: list[str]) -> list[str]:
    """Which of these come more than once."""
    ordered = sorted(items)
    return sorted({one for one, other in pairwise(ordered) if one == other})
