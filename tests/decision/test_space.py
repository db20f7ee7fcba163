"""The decision over its whole space: what holds of it, that it always comes to one, and that it says why."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relight.decision import Action, Case, Finding, Rule, Verdict
from relight.facts import BUSY
from relight.rules import RULES, decide

from tests.decision import judge
from tests.decision.oracle import CAN_BE_PROMOTED, LAWS, TRUTHS, Law
from tests.decision.plane import BITS, Predicate, case_of, inner_cell, number_of, plane, settle, tree_of
from tests.decision.space import AXES, OUTER, SIZE, Cell

pytestmark = pytest.mark.decision


def test_the_space_is_covered_to_the_last_cell() -> None:
    assert judge.size() == SIZE
    assert SIZE > 2_000_000_000


def test_every_cell_is_decided() -> None:
    for group in judge.groups():
        assert sum(hit.bit_count() for _, hit in group.hits()) == BITS


def test_every_finding_is_come_to() -> None:
    assert {rule.finding for group in judge.groups() for rule, _ in group.hits()} == set(Finding)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: str(law.sentence))
def test_the_law_holds_in_every_cell_of_which_it_speaks(law: Law) -> None:
    spoken_of = 0
    for group in judge.groups():
        spoken_of += group.count * group.spoken_of[law.sentence].bit_count()
        if broken := group.broken(law):
            verdict = decide_cell(cell := group.cell(broken))
            pytest.fail(f"{cell} comes to {verdict.action} ({verdict.finding}): {verdict.sentence}")
    assert spoken_of > 5_000, "it speaks of next to nothing"


@pytest.mark.parametrize("finding", Finding)
def test_what_a_finding_says_is_so(finding: Finding) -> None:
    for group in judge.groups():
        for rule, hit in group.hits():
            wrong = hit & group.untrue[finding]
            assert rule.finding is not finding or not wrong, group.cell(wrong)


def test_each_finding_has_a_truth_of_its_own() -> None:
    assert set(TRUTHS) == set(Finding)


# The sets of cells are those of the product's own `decide`.


def decide_cell(cell: Cell) -> Verdict:
    case = case_of(cell)
    return decide(case.facts, case.policy)


def test_the_product_decides_as_the_sets_say() -> None:
    """Of every group and every rule that wins somewhere in it, one cell."""
    for group in judge.groups():
        for rule, hit in group.hits():
            verdict = decide_cell(cell := group.cell(hit))
            assert (verdict.finding, verdict.action) == (rule.finding, rule.action), cell


@given(st.fixed_dictionaries({axis.name: st.sampled_from(list(axis.values)) for axis in AXES}))
def test_any_cell_is_decided_as_the_sets_say(cell: Cell) -> None:
    case, verdict = case_of(cell), decide_cell(cell)
    (rule,) = (rule for rule, hit in judge.group_of(cell).hits() if hit >> number_of(cell) & 1)
    assert verdict.finding is rule.finding
    spoken_of = [law for law in LAWS if law.when.holds(case.facts, case.policy)]
    assert not [law.sentence for law in spoken_of if law.breaks(verdict.action, verdict.mode)]
    assert TRUTHS[verdict.finding].holds(case.facts, case.policy)
    json.dumps(verdict.as_dict(), allow_nan=False)


@given(st.integers(0, BITS - 1))
def test_a_bit_is_a_cell_and_a_cell_a_bit(number: int) -> None:
    assert number_of(inner_cell(number)) == number


# No silent refusal: each verdict has words, and each wait an end to it.


def has_no_words(rule: Rule) -> Predicate:
    def says(case: Case) -> bool:
        try:
            sentence = rule.because(case)
        except Exception:  # whatever it is, it is no sentence
            return True
        ill = any(word in sentence for word in ("None", "nan", "inf", "\n", "Seen.", "View."))
        return ill or len(sentence) < 15 or sentence != sentence.strip() or sentence[0].isspace()

    return says


def waits_wrongly(rule: Rule) -> Predicate:
    def says(case: Case) -> bool:
        return not 0 < rule.look_again(case) <= case.policy.look_again_seconds

    return says


def loses_nonsense(case: Case) -> bool:
    return case.loss is not None and not 0 <= case.loss < 1e9


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.finding))
def test_every_verdict_has_its_words_and_every_wait_its_end(rule: Rule) -> None:
    ill = [has_no_words(rule), loses_nonsense, *([waits_wrongly(rule)] if rule.action is Action.WAIT else [])]
    trees = [tree_of(predicate) for predicate in ill]
    for group in judge.groups():
        for other, hit in group.hits():
            if other is rule:
                for tree in trees:
                    found = hit & plane(settle(tree, group.outer))
                    assert not found, decide_cell(group.cell(found))


# The space is about the product's own words.


def test_the_space_knows_what_the_product_calls_busy_and_promotable() -> None:
    assert "rebooting" in BUSY
    assert "modifying" in BUSY & CAN_BE_PROMOTED


def test_the_oracle_finds_a_rule_that_goes_too_far() -> None:
    """A table whose last row comes first promotes whatever happens; the laws notice."""
    reckless = (RULES[-1], *RULES[:-1])
    broken = {law.sentence for law in LAWS for group in judge.groups() if group.broken(law, reckless)}
    assert len(broken) > len(LAWS) / 2
    assert judge.wrong(tuple(replace(rule, action=Action.WAIT) for rule in RULES)) is not None


def test_outer_and_inner_axes_are_all_there_is() -> None:
    assert {axis.name for axis in OUTER} < {axis.name for axis in AXES}
    assert len({axis.name for axis in AXES}) == len(AXES)
