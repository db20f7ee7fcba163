"""The report of a run, one page of HTML from its run.json alone. Pure, but for reading its template.

It loads nothing, runs nothing and asks nobody. Of a document that is damaged it shows what is there, and says what is
missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from relight import page
from relight.evidence import PHASES, SCHEMA, UNDONE
from relight.failback_reports import Reports
from relight.moment import told
from relight.part import Part
from relight.telling import one_line
from relight.timeline_chart import Bar, Kind, Mark, Window, chart, duration, window_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = "report.html.jinja"
LARGEST = 300_000  # bytes
MOST_STEPS, MOST_LISTED = 300, 50
UNREADABLE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)

MEANING = {
    "t0": "first bad sample",
    "t1": "detected",
    "t2": "decided",
    "t3": "fenced, or given up on it",
    "t4": "promoted",
    "t5": "capacity healthy",
    "t6": "writes verified",
    "t7": "DNS answers this Region",
    "t8": "first good answer outside",
}
BETWEEN = (
    ("t0", "t1", "detect"),
    ("t1", "t2", "decide"),
    ("t2", "t3", "fence"),
    ("t2", "t4", "promote"),
    ("t4", "t5", "capacity healthy"),
    ("t5", "t6", "verify writes"),
    ("t5", "t7", "DNS"),
    ("t7", "t8", "first good answer"),
)
VIEWS = {
    "outside": "Route 53's checkers, from outside",
    "from_dr": "this Region's own samples",
    "stream": "the replication stream",
    "control": "this Region's own connectivity",
}
TITLES = {"failover": "Failover", "failback": "Failback", "drill": "Drill"}
ENDS = {"SUCCEEDED": "succeeded", "STOOD_DOWN": "stood down", "FAILED": "failed"}

TEXT, NUMBER, OBJECT, LIST = (str,), (int, float), (dict,), (list,)
# What a document holds: the field, of which kind, whether it may be null, and what it is.
FIELDS: tuple[tuple[str, tuple[type, ...], bool, str], ...] = (
    ("schema", TEXT, False, "the version of this document"),
    ("relight", TEXT, False, "the version of Relight that wrote it"),
    ("versions", OBJECT, False, "the versions of Relight and of Python"),
    ("kind", TEXT, False, "failover, failback or drill"),
    ("application", TEXT, False, "the application"),
    ("region", TEXT, False, "the Region that ran it"),
    ("run", OBJECT, False, "which run it was"),
    ("run.id", TEXT, False, "the run's name"),
    ("run.epoch", NUMBER, False, "the run's epoch"),
    ("run.mode", TEXT, False, "emergency or planned"),
    ("run.started", NUMBER, False, "when the run began"),
    ("run.ended", NUMBER, False, "when it was recorded"),
    ("status", TEXT, False, "how the run ended"),
    ("finding", TEXT, True, "the finding of the verdict"),
    ("sentence", TEXT, False, "why it ended so"),
    ("who", OBJECT, False, "who started it, why, and who approved it"),
    ("phases", OBJECT, False, "when each phase really happened"),
    *((f"phases.{phase}", NUMBER, True, MEANING[phase]) for phase in PHASES),
    ("objectives", OBJECT, False, "what it is held against"),
    ("rto_seconds", NUMBER, True, "the RTO"),
    ("rpo_seconds", NUMBER, True, "the RPO"),
    ("estimated_loss_seconds", NUMBER, True, "the loss as estimated before the promotion"),
    ("read_only_seconds", NUMBER, True, "how long nothing took writes"),
    ("verdict", OBJECT, True, "the verdict"),
    ("views", LIST, True, "what each view said when it was decided"),
    ("views_after", LIST, True, "what each view said last"),
    ("lag_seconds", OBJECT, False, "the replica's lag before and after"),
    ("question", OBJECT, True, "the question that was asked last"),
    ("answer", OBJECT, True, "the answer"),
    ("fence", TEXT, True, "the fence around the other Region's database"),
    ("emptied", TEXT, True, "the other Region's capacity"),
    ("capacity", OBJECT, True, "capacity before and after"),
    ("lease", OBJECT, True, "what the write lease has cost"),
    ("harden", OBJECT, True, "what hardening came to"),
    ("undone", OBJECT, True, "what was undone"),
    ("alarms", LIST, True, "alarms that changed"),
    ("health", LIST, True, "what AWS said of its health"),
    ("steps", LIST, False, "the steps"),
    ("calls", OBJECT, True, "how much was called"),
    ("cost_usd", NUMBER, True, "what that cost"),
    ("drill", OBJECT, True, "what a drill found"),
)


def problems(document: Any) -> list[str]:
    """What is missing from a document, or is not what it should be, one sentence each; none where it is whole."""
    if not isinstance(document, dict):
        return [f"this is no record of a run: it is {Part(document).kind}, and should be an object"]
    whole = Part(document)
    return [*_wrong_version(whole), *_wrong_fields(whole), *_wrong_steps(whole), *_contradictions(whole)]


def _wrong_version(whole: Part) -> Iterator[str]:
    said = whole["schema"].text
    if said is not None and said != SCHEMA:
        yield f"it is of the version {one_line(said, 80)}; this report knows {SCHEMA}"


def _wrong_fields(whole: Part) -> Iterator[str]:
    for name, kinds, nullable, meaning in FIELDS:
        above, _, last = name.rpartition(".")
        holder = whole[above] if above else whole
        if above and not isinstance(holder.value, dict):
            continue  # said once, of what holds it
        part = holder[last]
        if not isinstance(holder.value, dict) or last not in holder.value:
            yield f"{name} is missing: {meaning}"
        elif not part.seen:
            if not nullable:
                yield f"{name} is null: {meaning}"
        elif not isinstance(part.value, kinds) or isinstance(part.value, bool):
            yield f"{name} is {part.kind}, and should be {Part(kinds[0]()).kind}: {meaning}"
        elif kinds is NUMBER and part.number is None:
            yield f"{name} is no number that means anything: {meaning}"


def _wrong_steps(whole: Part) -> Iterator[str]:
    for index, step in enumerate(whole["steps"].items(), 1):
        name = "" if step["name"].text is None else f" ({one_line(str(step['name'].text), 80)})"
        lacks = [what for what, there in (("name", step["name"].text), ("start", step["started"].moment)) if not there]
        if lacks:
            yield f"step {index}{name} has no {' and no '.join(lacks)}"


def _contradictions(whole: Part) -> Iterator[str]:
    first, last, rto = whole["phases.t0"].moment, whole["phases.t8"].moment, whole["rto_seconds"].number
    if first is not None and last is not None and rto is not None and abs(last - first - rto) > 0.01:
        yield f"rto_seconds says {rto:g} s, and from t0 to t8 it was {last - first:g} s"
    began, ended = whole["run.started"].moment, whole["run.ended"].moment
    if began is not None and ended is not None and ended < began:
        yield "the run ended before it began"


def render(document: Any) -> str:
    """The page, for any JSON value; it stays under 300 kB however long the run was."""
    limits = Limits.of(len(list(Part(document)["steps"].items())))
    for _ in range(6):
        made = page.fill(TEMPLATE, report=Report(Part(document), limits))
        if len(made.encode()) < LARGEST:
            break
        limits = limits.tighter
    return made


@dataclass(frozen=True)
class Limits:
    """How much of a long run is told: characters of a sentence and of a step's facts, steps, entries of lists."""

    sentence: int
    facts: int
    steps: int = MOST_STEPS
    listed: int = MOST_LISTED

    @classmethod
    def of(cls, steps: int) -> Limits:
        """For a run of so many steps."""
        each = max(1, steps)
        return cls(min(3000, max(120, 50_000 // each)), min(600, max(60, 20_000 // each)))

    @property
    def tighter(self) -> Limits:
        """Half of it."""
        return replace(
            self, sentence=self.sentence // 2, facts=self.facts // 2, steps=self.steps // 2, listed=self.listed // 2
        )


@dataclass(frozen=True)
class Few[T]:
    """As much of a list as the page tells; `more` are left out."""

    told: list[T]
    more: int


@dataclass(frozen=True)
class Told:
    """A step as the page tells it."""

    part: Part
    offset: str
    took: str
    facts: str


@dataclass(frozen=True)
class Seen:
    """A view when it was decided, and at the end."""

    name: str
    meaning: str
    before: Part
    after: Part


@dataclass(frozen=True)
class Report:
    """A document as its page asks for it."""

    doc: Part
    limits: Limits

    @cached_property
    def problems(self) -> list[str]:
        """What is missing or wrong; a document that is nothing but wrong is not told field by field."""
        found = problems(self.doc.value)
        more = len(found) - MOST_LISTED
        return [*found[:MOST_LISTED], f"and {more} more"] if more > 0 else found

    @property
    def title(self) -> str:
        """`Failover of shop: succeeded`."""
        kind = TITLES.get(self.doc["kind"].text or "", "Run")
        return f"{kind} of {page.words(self.doc['application'], 80) or 'an unknown application'}: {self.end}"

    @property
    def end(self) -> str:
        """How it ended, in words."""
        return ENDS.get(self.doc["status"].text or "", "its end is not known")

    @property
    def badge(self) -> str:
        """The class of the end."""
        return {"SUCCEEDED": "good", "FAILED": "bad"}.get(self.doc["status"].text or "", "plain")

    @cached_property
    def origin(self) -> float | None:
        """Where the timeline counts from: the first bad sample, else the start of the run, or of its first step."""
        started = [at for step in self.doc["steps"].items() if (at := step["started"].moment) is not None]
        first = (self.doc["phases.t0"].moment, self.doc["run.started"].moment, min(started, default=None))
        return next((at for at in first if at is not None), None)

    def offset(self, part: Part) -> str:
        """How long after the origin."""
        at, origin = part.moment, self.origin
        if at is None or origin is None:
            return ""
        return f"{'-' if at < origin else '+'}{duration(abs(at - origin))}"

    @property
    def phases(self) -> list[tuple[str, str, Part, str]]:
        """Each phase: its name, what it means, when it was, and how long after the origin."""
        parts = ((name, meaning, self.doc[f"phases.{name}"]) for name, meaning in MEANING.items())
        return [(name, meaning, part, self.offset(part)) for name, meaning, part in parts]

    def kept(self, value: str, objective: str) -> str:
        """Whether a figure has kept its objective, in words."""
        measured, allowed = self.doc[value].number, self.doc[objective].number
        if allowed is None:
            return "no objective is set"
        if measured is None:
            return "not measured"
        return "kept" if measured <= allowed else "missed"

    @cached_property
    def steps(self) -> list[Told]:
        """The steps that the page tells."""
        facts = self.limits.facts
        return [
            Told(step, self.offset(step["started"]), self._took(step), page.brief(step["facts"], facts))
            for step in self._all_steps[: self.limits.steps]
        ]

    @cached_property
    def _all_steps(self) -> list[Part]:
        """All but the writing of this record, which has not ended when it is written."""
        steps = self.doc["steps"].items()
        return [step for step in steps if step["name"].text != "record" or step["ended"].moment is not None]

    @staticmethod
    def _took(step: Part) -> str:
        began, ended = step["started"].moment, step["ended"].moment
        return duration(ended - began) if began is not None and ended is not None else ""

    @property
    def untold(self) -> int:
        """Steps that stand in run.json alone."""
        return max(0, len(self._all_steps) - self.limits.steps)

    def _few[T](self, entries: list[T]) -> Few[T]:
        return Few(entries[: self.limits.listed], max(0, len(entries) - self.limits.listed))

    @property
    def views(self) -> Few[Seen]:
        """Each view, in the order in which the document names them."""
        before, after = (
            {view["view"].text: view for view in self.doc[name].items()} for name in ("views", "views_after")
        )
        nothing = Part(None)
        names = [name for name in dict.fromkeys([*before, *after]) if name is not None]
        return self._few(
            [
                Seen(one_line(name, 60), VIEWS.get(name, ""), before.get(name, nothing), after.get(name, nothing))
                for name in names
            ]
        )

    @property
    def undone(self) -> list[tuple[str, Part]]:
        """What was undone, by what it is."""
        if not isinstance(self.doc["undone"].value, dict):
            return []
        return [(name, self.doc["undone"][key]) for key, name in UNDONE.items()]

    @property
    def groups(self) -> Few[tuple[str, str, str]]:
        """Each Auto Scaling group: its name, what it was before, and after."""
        before, after = self.doc["capacity.before"], self.doc["capacity.after"]
        names = dict.fromkeys(name for part in (before, after) for name, _ in part.named())
        kept = self._few(list(names))
        told = [
            (one_line(name, 120), page.brief(self._group(before, name), 200), page.brief(self._group(after, name), 200))
            for name in kept.told
        ]
        return Few(told, kept.more)

    @staticmethod
    def _group(part: Part, name: str) -> Part:
        return Part(part.value.get(name) if isinstance(part.value, dict) else None)

    @property
    def compared(self) -> list[str]:
        """What a failback has compared, in sentences."""
        return self._told(Reports.compared)

    @property
    def lost(self) -> list[str]:
        """What a failback has found to be lost, in sentences."""
        return self._told(Reports.lost)

    def _told(self, sentences: Any) -> list[str]:
        given = self.doc.value if isinstance(self.doc.value, dict) else {}
        try:
            return [one_line(said.removeprefix("- "), self.limits.sentence) for said in sentences(Reports.of(given))]
        except UNREADABLE as error:
            return [f"what the document says of it cannot be read ({type(error).__name__})"]

    @property
    def lost_rows(self) -> Few[tuple[str, Part]]:
        """Rows that were lost, by table."""
        named = self.doc["reconciliation.tables"].named()
        return self._few([(one_line(name, 120), part) for name, part in named])

    def listed(self, name: str) -> list[Part]:
        """The entries of a list that the page tells."""
        return list(self.doc[name].items())[: self.limits.listed]

    def hidden(self, name: str) -> int:
        """How many more there are."""
        return max(0, len(list(self.doc[name].items())) - self.limits.listed)

    @property
    def hardened(self) -> Few[tuple[str, str]]:
        """What hardening came to, by name."""
        kept = self._few(list(self.doc["harden"].named()))
        told = [(one_line(name, 80), page.brief(Part({"": part.value}), 300)) for name, part in kept.told]
        return Few(told, kept.more)

    @property
    def charts(self) -> list[tuple[str, Markup]]:
        """The timeline: all of it, and where the phases take less than half of it, those alone as well."""
        origin = self.origin
        if origin is None:
            return []
        marks = [Mark(name, at) for name in PHASES if (at := self.doc[f"phases.{name}"].moment) is not None]
        bars = [*self._phase_bars(), *self._step_bars()]
        if not bars and not marks:
            return []
        whole = window_of(bars, marks, origin)
        found = [self._chart("timeline", "The whole run", bars, marks, whole)]
        if len(marks) > 1:
            near = Window(marks[0].at, max(mark.at for mark in marks), origin)
            if near.seconds < whole.seconds / 2:
                found.append(self._chart("phases", "From the first to the last phase", bars, marks, near))
        return found

    def _chart(self, name: str, title: str, bars: list[Bar], marks: list[Mark], window: Window) -> tuple[str, Markup]:
        said = (
            f"Gantt chart from {told(window.begins)} to {told(window.ends)}: {len(marks)} moments, and bars for the "
            f"phases and the steps of the run. The same figures are in the tables of phases and steps."
        )
        return title, Markup(chart(bars, marks, window, name, f"{title}, as a chart", said))  # noqa: S704 - escaped there

    def _phase_bars(self) -> Iterator[Bar]:
        for first, last, label in BETWEEN:
            began, ended = self.doc[f"phases.{first}"].moment, self.doc[f"phases.{last}"].moment
            if began is not None and ended is not None and ended >= began:
                yield Bar(f"{first} to {last}: {label}", Kind.PHASE, began, ended)

    def _step_bars(self) -> Iterator[Bar]:
        for step in self._all_steps[: self.limits.steps]:
            began, ended = step["started"].moment, step["ended"].moment
            if began is not None:
                yield Bar(page.words(step["name"], 60) or "a step without a name", Kind.STEP, began, ended)
