"""docs/failure-modes.md, the rules and the tests agree: what a row's views say leads to its finding."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from relight.decision import Finding
from relight.facts import Facts, Replica, Trigger
from relight.head import Head, Promotion, Quiesce, State
from relight.policy import Approval, Policy
from relight.rules import RULES, decide
from relight.run import Mode
from relight.signal import Seen, Signal, View

from lab.ending import FINDINGS
from lab.options import Fault
from tests.unit.situation import LOST, OTHER_RUN, POLICY, READY, signal
from tests.unit.standby import HERE, NOW

pytestmark = pytest.mark.decision

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/failure-modes.md"
HEADING = [
    "what broke",
    "outside",
    "from here",
    "stream",
    "RDS",
    "and",
    "finding",
    "action",
    "what Relight does",
    "proof",
]
LONG = 400.0
VIEW = re.compile(r"(UP|DOWN|UNKNOWN)(?: (\d+))?(?:, (answers|stale))?")


@dataclass(frozen=True)
class Row:
    """One failure mode, cell by cell."""

    broke: str
    views: dict[View, str]
    rds: str
    also: tuple[str, ...]
    finding: str
    action: str
    does: str
    proofs: tuple[str, ...]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows() -> Iterator[Row]:
    for line in PAGE.read_text().splitlines():
        cells = cells_of(line)
        if line.startswith("|") and len(cells) == len(HEADING) and cells != HEADING and set(cells[0]) != {"-"}:
            broke, outside, here, stream, rds, also, finding, action, does, proof = cells
            views = {View.OUTSIDE: outside, View.FROM_DR: here, View.STREAM: stream}
            words = tuple(word.strip() for word in also.split(";") if word.strip())
            proofs = tuple(re.findall(r"`([^`]+)`", proof))
            yield Row(broke, views, rds, words, finding.strip("`"), action, does, proofs)


ROWS = list(rows())


def seen(view: View, said: str) -> Signal:
    """`DOWN 70`, `UP`, `DOWN, answers`, `DOWN, stale`."""
    found = VIEW.fullmatch(said)
    assert found, f"{view}: {said!r} is nothing that a view can say"
    state, age, more = found.groups()
    silent = POLICY.fresh_seconds + 1 if more == "stale" else 1.0
    return signal(view, Seen(state), float(age or LONG), answered=more == "answers", silent=silent)


type World = tuple[Facts, Policy]


def _head(**changed: Any) -> Callable[[Facts, Policy], World]:
    return lambda facts, policy: (replace(facts, head=replace(facts.head, **changed)), policy)


def _facts(**changed: Any) -> Callable[[Facts, Policy], World]:
    return lambda facts, policy: (replace(facts, **changed), policy)


def _signal(view: View, change: Callable[[Signal], Signal]) -> Callable[[Facts, Policy], World]:
    def world(facts: Facts, policy: Policy) -> World:
        return replace(facts, signals={**facts.signals, view: change(facts.signals[view])}), policy

    return world


def _loss(seconds: float) -> Callable[[Facts, Policy], World]:
    """As much as would be lost: clients were served until both views of the application were DOWN."""

    def world(facts: Facts, policy: Policy) -> World:
        served = max(facts.signals[view].since for view in (View.OUTSIDE, View.FROM_DR))
        return replace(facts, last_replayed_at=served - seconds), policy

    return world


PROMOTING = {"state": State.PROMOTING, "epoch": 4}
WORDS: dict[str, Callable[[Facts, Policy], World]] = {
    "control DOWN": _signal(View.CONTROL, lambda _: signal(View.CONTROL, Seen.DOWN)),
    "never up": _signal(View.FROM_DR, lambda at: replace(at, ever_up=False)),
    "frozen": _head(frozen_until=NOW + 60),
    "active here": _head(active=HERE),
    "locked": _head(owner=OTHER_RUN, expires_at=NOW + 60),
    "failed over lately": _head(ended_at=NOW - 60),
    "run abandoned": _head(**PROMOTING),
    "writes stopped": _head(quiesce=Quiesce(NOW - 60, "0/1")),
    "promotion begun": _head(**PROMOTING, promotion=Promotion("shop-dr", "failover-4-1", 4, NOW - 50)),
    "replica missing": _facts(replica=Replica(None, None)),
    "no replica": _facts(replica=replace(READY, source=None)),
    "RDS here silent": _facts(replica=None),
    "loss unknown": _facts(last_replayed_at=None),
}


def word(said: str) -> Callable[[Facts, Policy], World]:
    """What one word of the column `and` makes of the facts."""
    match said.split():
        case ["replica", status] if said not in WORDS:
            return _facts(replica=replace(READY, status=status))
        case ["engine", engine]:
            return _facts(replica=replace(READY, engine=engine))
        case ["loss", seconds, "s"]:
            return _loss(float(seconds))
        case ["policy", approval]:
            return lambda facts, policy: (facts, replace(policy, approval=Approval(approval)))
        case ["by", "hand", *how]:
            mode = next((Mode(each) for each in how if each != "forced"), None)
            return _facts(trigger=Trigger.MANUAL, mode=mode, forced="forced" in how)
    return WORDS[said]


def world_of(row: Row) -> World:
    signals = {view: seen(view, said) for view, said in row.views.items()}
    peer = None if row.rds == "silent" else row.rds
    facts = replace(LOST, signals={**LOST.signals, **signals}, peer_database=peer)
    world = _loss(5)(facts, POLICY)
    for said in row.also:
        world = word(said)(*world)
    return world


by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.broke)[:60])


@by_row
def test_what_the_views_say_leads_to_the_finding(row: Row) -> None:
    facts, policy = world_of(row)
    verdict = decide(facts, policy)
    assert (verdict.finding, verdict.action) == (row.finding, row.action), verdict.sentence


@by_row
def test_the_finding_asks_for_that_action(row: Row) -> None:
    assert row.action == {rule.finding: rule.action for rule in RULES}[Finding(row.finding)]


def test_every_finding_is_in_some_row() -> None:
    assert {row.finding for row in ROWS} == {finding.value for finding in Finding}


def test_each_failure_mode_is_told_once_and_whole() -> None:
    assert len({row.broke for row in ROWS}) == len(ROWS) > 60
    for row in ROWS:
        assert row.broke
        assert row.does
        assert row.proofs, row.broke


@cache
def names_in(file: Path) -> frozenset[str]:
    """The names of the tests in a file, those in classes included."""
    if not file.is_file():
        return frozenset()
    functions = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@by_row
def test_each_proof_exists(row: Row) -> None:
    for proof in row.proofs:
        if proof.startswith("--fault "):
            assert proof.removeprefix("--fault ") in set(Fault)
        else:
            file, _, name = proof.partition("::")
            assert name in names_in(ROOT / file), f"there is no {proof}"


def test_a_rehearsal_that_is_named_ends_with_the_finding_of_its_row() -> None:
    waits = {(Fault.DATABASE_REBOOTING, Finding.PEER_DATABASE_BUSY.value)}
    for row in ROWS:
        for fault in (Fault(proof.removeprefix("--fault ")) for proof in row.proofs if proof.startswith("--fault ")):
            assert row.finding in FINDINGS[fault] or (fault, row.finding) in waits, (fault, row.finding)


def test_each_fault_proves_something() -> None:
    named = {proof.removeprefix("--fault ") for row in ROWS for proof in row.proofs if proof.startswith("--fault ")}
    assert named == {fault.value for fault in Fault} - {"none"}


def test_each_word_is_in_the_list_above_the_tables() -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE))
    kinds = {said.split()[0] if said.split()[0] in {"replica", "engine", "policy", "by"} else said for said in listed}
    for row in ROWS:
        for said in row.also:
            first = said.split()[0]
            assert said in listed or first in kinds or re.fullmatch(r"loss \d+ s", said), said
    used = {said for row in ROWS for said in row.also}
    assert {said for said in listed if said in WORDS} <= used


def test_a_head_is_changed_and_not_made_anew() -> None:
    """What `word` does to a ledger is what a ledger can say."""
    for name in WORDS:
        facts, _ = word(name)(LOST, POLICY)
        assert isinstance(facts.head, Head)
        assert decide(facts, POLICY).finding in set(Finding)
