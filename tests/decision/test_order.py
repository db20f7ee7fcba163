"""The table is total, and ordered where order matters: whatever is swapped, left out or widened is noticed."""

from dataclasses import replace
from functools import cache
from itertools import combinations

import pytest
from relight.decision import Action, Case, Finding, Rule, verdict_of
from relight.rules import RULES, decide

from tests.decision import judge
from tests.decision.judge import Rules
from tests.decision.plane import ALL, case_of
from tests.decision.space import AXES, LOST_CELL, Cell

pytestmark = pytest.mark.decision

# Two that say the truth and ask for the same: which of them the person on call reads, and why that one. For all other
# pairs a law or the truth of a finding decides which comes first.
SAID_FIRST = {
    (Finding.FROZEN, Finding.ALREADY_ACTIVE): "the freeze ends, and its reason is the operator's own",
    (Finding.FROZEN, Finding.IN_PROGRESS): "whoever has frozen failover wants to know that it is so, run or no run",
    (Finding.ALREADY_ACTIVE, Finding.IN_PROGRESS): "there is nothing to follow the other run for",
    (Finding.ENGINE_NOT_SUPPORTED, Finding.PLANNED_IMPOSSIBLE): "no mode would help",
    (Finding.ENGINE_NOT_SUPPORTED, Finding.MODE_NEEDED): "no mode would help",
    (Finding.NOT_A_REPLICA, Finding.PLANNED_IMPOSSIBLE): "no mode would help",
    (Finding.NOT_A_REPLICA, Finding.MODE_NEEDED): "no mode would help",
    (Finding.DR_NOT_READY, Finding.PLANNED_IMPOSSIBLE): "no mode would help",
    (Finding.DR_NOT_READY, Finding.MODE_NEEDED): "no mode would help",
    (Finding.ABANDONED, Finding.NEVER_UP): "something is to be undone",
    (Finding.ABANDONED, Finding.PRIMARY_UP): "something is to be undone",
    (Finding.PEER_DATABASE_BUSY, Finding.APPLICATION_DOWN_TOO_SHORT): "it says why the application does not answer",
    (Finding.STOPPED_BY_US, Finding.POLICY_MANUAL): "writes may be stopped for nothing: somebody has to look",
    (Finding.STOPPED_BY_US, Finding.POLICY_APPROVE): "who approves has to know that it may be alive",
}
NUMBER = {rule.finding: number for number, rule in enumerate(RULES)}


@cache
def meeting(first: Finding, then: Finding) -> Cell | None:
    """A cell in which both rules match, and none that comes before them; None where there is none."""
    for group in judge.groups():
        left = group.matches[first] & group.matches[then]
        for rule in RULES[: NUMBER[first]]:
            left &= ~group.matches[rule.finding]
        if left:
            return group.cell(left)
    return None


PAIRS = list(combinations(RULES, 2))
MEET = [(a, b) for a, b in PAIRS if meeting(a.finding, b.finding)]


def swapped(first: Rule, then: Rule) -> Rules:
    """The table with two rows in each other's place."""
    places = {first: then, then: first}
    return [places.get(rule, rule) for rule in RULES]


def finding(rules: Rules, case: Case) -> Finding:
    return verdict_of(next(rule for rule in rules if rule.when(case)), case).finding


def noticed(rules: Rules) -> bool:
    """A law is broken, a finding is not so, or another reason is said first than should be."""
    said = {pair: meeting(*pair) for pair in SAID_FIRST}
    others = (pair for pair, cell in said.items() if cell is None or finding(rules, case_of(cell)) is not pair[0])
    return judge.wrong(rules) is not None or any(others)


def same(rules: Rules) -> bool:
    """Every cell comes to the same finding as in the product's order."""
    return all(
        {rule.finding: hit for rule, hit in group.hits(rules)} == {rule.finding: hit for rule, hit in group.hits()}
        for group in judge.groups()
    )


def test_the_last_row_matches_anything() -> None:
    assert all(group.matches[RULES[-1].finding] == ALL for group in judge.groups())


def test_no_row_but_the_last_matches_everything_and_none_matches_nothing() -> None:
    for rule in RULES[:-1]:
        assert any(group.matches[rule.finding] != ALL for group in judge.groups()), rule.finding
        assert any(group.matches[rule.finding] for group in judge.groups()), rule.finding


@pytest.mark.parametrize("pair", MEET, ids=lambda pair: f"{pair[0].finding}-{pair[1].finding}")
def test_where_two_rules_match_the_first_of_them_wins(pair: tuple[Rule, Rule]) -> None:
    first, then = pair
    cell = meeting(first.finding, then.finding)
    assert cell is not None
    case = case_of(cell)
    assert first.when(case)
    assert then.when(case)
    assert decide(case.facts, case.policy).finding is first.finding


def test_in_its_own_order_nothing_is_noticed() -> None:
    assert not noticed(RULES)
    assert same(list(RULES))


def test_two_rows_that_are_swapped_are_noticed_wherever_it_matters() -> None:
    matters = [(a, b) for a, b in PAIRS if not same(swapped(a, b))]
    assert len(matters) > 400, "nearly each row stands where it must"
    assert [(a.finding, b.finding) for a, b in matters if not noticed(swapped(a, b))] == []


def test_what_is_said_first_is_all_that_the_laws_leave_open() -> None:
    open_pairs = {(a.finding, b.finding) for a, b in MEET if judge.wrong(swapped(a, b)) is None}
    assert open_pairs == set(SAID_FIRST)


@pytest.mark.parametrize("rule", RULES[:-1], ids=lambda rule: str(rule.finding))
def test_a_row_that_is_left_out_is_noticed(rule: Rule) -> None:
    assert noticed([other for other in RULES if other is not rule])


@pytest.mark.parametrize("rule", RULES[:-1], ids=lambda rule: str(rule.finding))
def test_a_row_that_matches_everything_is_noticed(rule: Rule) -> None:
    wider = (replace(group, matches={**group.matches, rule.finding: ALL}) for group in judge.groups())
    assert any(group.wrong(RULES) for group in wider)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.finding))
def test_a_row_that_asks_for_something_else_is_noticed(rule: Rule) -> None:
    quiet = {Action.STAND_DOWN, Action.REFUSE}
    for action in Action:
        same_to_all = rule.action in quiet and action in quiet
        if action is not rule.action and not same_to_all:
            changed = [replace(other, action=action) if other is rule else other for other in RULES]
            assert judge.wrong(changed) is not None, action


def test_a_primary_that_is_lost_beyond_doubt_is_the_first_value_of_each_axis() -> None:
    case = case_of({axis.name: next(iter(axis.values)) for axis in AXES})
    assert case.facts == case_of(LOST_CELL).facts
    assert decide(case.facts, case.policy).finding is Finding.REGION_LOST
