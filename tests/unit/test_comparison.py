"""What answers mean: pure decisions about schemas, sequences, chunks and rows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relight import comparison
from relight.comparison import Difference, Kind, Range, Suspects, Version


def table(name: str = "t", **changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "schema": "public",
        "name": name,
        "kind": "table",
        "unlogged": False,
        "estimate": 10,
        "readable": True,
        "row_security": False,
        "key": ["id"],
        "columns": ["id", "word"],
        "types": ["integer", "text"],
        "definition": ["column id integer NOT NULL", "column word text"],
    }
    return made | changed


# Schemas


def test_the_same_tables_make_a_plan_and_no_difference() -> None:
    found = comparison.schemas([table("a"), table("b")], [table("b"), table("a")], both=True)
    assert (found.differences, found.not_compared) == ([], [])
    assert [one["name"] for one in found.plan] == ["a", "b"]
    assert found.plan[0] | {"estimate": 0} == {
        "schema": "public",
        "name": "a",
        "key": ["id"],
        "columns": ["id", "word"],
        "as_text": [],
        "estimate": 0,
        "is_there": True,
    }


def test_tables_that_one_side_lacks_are_named() -> None:
    found = comparison.schemas([table("a")], [table("b")], both=True)
    assert [one.name for one in found.differences] == ["missing_table:public.a", "extra_table:public.b"]
    assert found.plan == []
    lost = comparison.schemas([table("a")], [table("b")], both=False)
    assert [(one["name"], one["is_there"]) for one in lost.plan] == [("a", False)]
    assert [one.name for one in lost.differences] == ["missing_table:public.a"]


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"definition": ["column id integer NOT NULL"]}, "lacks column word text"),
        ({"definition": ["column id integer NOT NULL", "column word text", "x"]}, "has x"),
        ({"definition": ["column word text", "column id integer NOT NULL"]}, "in another order"),
        ({"kind": "view"}, "lacks table; has view"),
        ({"unlogged": True}, "has unlogged"),
    ],
)
def test_a_schema_that_differs_says_in_what(changed: dict[str, Any], detail: str) -> None:
    (found,) = comparison.schemas([table()], [table(**changed)], both=True).differences
    assert (found.name, found.detail) == ("schema:public.t", detail)


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"kind": "foreign"}, "foreign"), ({"unlogged": True}, "unlogged")],
)
def test_what_has_no_rows_to_compare_is_said(changed: dict[str, Any], why: str) -> None:
    for pair in ((table(**changed), table(**changed)), (table(), table(**changed))):
        found = comparison.schemas([pair[0]], [pair[1]], both=True)
        assert found.plan == []
        assert why in found.not_compared[0]["why"]


def test_a_partitioned_table_has_no_rows_but_those_of_its_partitions() -> None:
    pair = table(kind="partitioned"), table(kind="partitioned")
    assert comparison.schemas([pair[0]], [pair[1]], both=True) == ([], [], [])
    assert comparison.schemas([pair[0]], [], both=False).not_compared == []
    # What the retired one has in the table itself is compared with nothing where the active one has partitions.
    (said,) = comparison.schemas([table()], [pair[1]], both=False).not_compared
    assert "partitioned in one of the two databases" in said["why"]


def test_columns_that_only_the_retired_one_has_are_not_compared() -> None:
    less = table(columns=["id"], types=["integer"])
    found = comparison.schemas([table()], [less], both=False)
    assert found.not_compared == [
        {"table": "public.t", "why": "of its columns word: the other database has them no more"}
    ]
    assert [one["name"] for one in found.plan] == ["t"]
    assert comparison.schemas([less], [table()], both=False).not_compared == []


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("changed", "why"), [({"readable": False}, "may not"), ({"row_security": True}, "hides rows")])
def test_what_cannot_be_read_is_undecided(changed: dict[str, Any], why: str, side: int) -> None:
    pair = [table(), table()]
    pair[side] = table(**changed)
    (found,) = comparison.schemas([pair[0]], [pair[1]], both=True).differences
    assert (found.name, why in found.detail) == ("undecided:public.t", True)


def test_columns_are_compared_that_both_have_and_as_text_where_types_differ() -> None:
    other = table(columns=["word", "new", "id"], types=["character varying", "text", "integer"])
    (plan,) = comparison.schemas(
        [table(columns=["id", "old", "word"], types=["integer", "date", "text"])], [other], both=False
    ).plan
    assert (plan["columns"], plan["as_text"], plan["key"]) == (["id", "word"], ["word"], ["id"])
    (plan,) = comparison.schemas([table()], [table(columns=["word"], types=["text"])], both=False).plan
    assert plan["key"] == []


def test_two_looks_at_schemas_agree_by_name_and_detail() -> None:
    one, two = (Difference(Kind.SCHEMA, "public.t", None, detail) for detail in ("lacks a", "lacks b"))
    assert comparison.again([], [one]) == ([], [one])
    assert comparison.again([one], [one, two]) == ([one], [two])
    assert comparison.again([one], []) == ([], [])


# Sequences


@pytest.mark.parametrize(
    ("lead", "other", "increment", "is_behind"),
    [
        ("5", "5", "1", False),
        ("5", "37", "1", False),
        ("5", "4", "1", True),
        ("5", None, "1", True),
        (None, None, "1", False),
        (None, "5", "1", False),
        ("-5", "-4", "-1", True),
        ("-5", "-37", "-1", False),
        ("9223372036854775807", "9223372036854775806", "1", True),
    ],
)
def test_a_sequence_may_be_ahead_and_not_behind(
    lead: str | None, other: str | None, increment: str, is_behind: bool
) -> None:
    one = {"schema": "public", "name": "s", "last_value": lead, "increment": increment, "readable": True}
    found = comparison.behind([one], [one | {"last_value": other}])
    assert [each.name for each in found] == (["sequence_behind:public.s"] if is_behind else [])


def test_a_sequence_that_is_not_there_or_not_read_is_not_equal() -> None:
    one = {"schema": "public", "name": "s", "last_value": None, "increment": "1", "readable": True}
    assert [each.name for each in comparison.behind([one], [])] == ["sequence_behind:public.s"]
    assert [each.name for each in comparison.behind([one | {"readable": False}], [one])] == ["undecided:public.s"]


# Chunks


def test_the_ranges_of_chunks_that_differ() -> None:
    lead = [[["10"], 10, "a"], [["20"], 10, "b"], [["30"], 10, "c"]]
    assert comparison.mismatched(None, lead, lead) == []
    assert comparison.mismatched(["0"], lead, [[["10"], 10, "x"], [["20"], 9, "b"], [["30"], 10, "c"]]) == [
        Range(["0"], ["10"], 10),
        Range(["10"], ["20"], 10),
    ]
    assert comparison.mismatched(None, lead, lead[:1]) == [], "the rest has not been answered yet"


def test_buckets_add_up_and_differ() -> None:
    one, two = {"0": [1, "5", "5"]}, {"0": [2, "3", "-7"], "1": [1, "9", "9"]}
    both = comparison.add_buckets(one, two)
    assert both == {"0": [3, "6", "-2"], "1": [1, "9", "9"]}
    assert comparison.add_buckets(two, one) == both
    assert comparison.unequal(one, two) == [0, 1]
    assert comparison.unequal(both, dict(both)) == []


def test_only_so_many_rows_are_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_BUCKETED", 10)
    assert comparison.affordable([1, 2, 3], {"1": [6], "2": [6], "3": [4]}, {"1": [5]}) == ([1, 3], 6)


# Rows

VERSIONS = st.none() | st.tuples(st.sampled_from("ab"), st.sampled_from("12")).map(list)
ROWS = st.dictionaries(st.sampled_from(["[1]", "[2]"]), VERSIONS.filter(bool))


def test_what_two_rounds_agree_on_is_a_difference() -> None:
    seen: Suspects = {"[1]": [["a", "1"], ["b", "1"]], "[2]": [["a", "1"], None], "[3]": [None, ["a", "1"]]}
    assert comparison.decided(seen, dict(seen)) == (seen, {})


@pytest.mark.parametrize(
    "now",
    [
        [["c", "2"], ["b", "1"]],
        [["a", "2"], ["b", "1"]],
        [["a", "1"], ["c", "2"]],
        [None, ["b", "1"]],
    ],
)
def test_what_has_changed_in_between_is_looked_at_again(now: list[Version | None]) -> None:
    assert comparison.decided({"[1]": [["a", "1"], ["b", "1"]]}, {"[1]": now}) == ({}, {"[1]": now})


@given(ROWS, ROWS, ROWS, ROWS)
def test_no_difference_is_decided_that_either_look_did_not_see(
    lead: dict[str, Version], other: dict[str, Version], lead_again: dict[str, Version], other_again: dict[str, Version]
) -> None:
    before, now = comparison.suspects(lead, other), comparison.suspects(lead_again, other_again)
    same, changed = comparison.decided(before, now)
    assert {**same, **changed} == now, "none is dropped that still differs"
    for key in same:
        assert (lead.get(key), other.get(key)) == (lead_again.get(key), other_again.get(key))
    for key in {*lead, *other}:
        hashes = {None if one is None else one[0] for one in (lead.get(key), other.get(key))}
        assert (key in before) == (len(hashes) == 2)


def test_rows_are_named_by_kind_table_and_key() -> None:
    one, pair = {"schema": "public", "name": "t", "key": ["id"]}, {"schema": "Odd", "name": 'a"b', "key": ["a", "b"]}
    found = [
        comparison.row_difference(one, '["7"]', [["a", "1"], None]),
        comparison.row_difference(one, '["7"]', [None, ["a", "1"]]),
        comparison.row_difference(pair, '["7", "x:y"]', [["a", "1"], ["b", "1"]]),
        comparison.undecided(one, '["7"]', "why"),
        comparison.undecided(one, None, "why"),
    ]
    assert [each.name for each in found] == [
        "missing_row:public.t:7",
        "extra_row:public.t:7",
        'differing_row:"Odd"."a""b":["7", "x:y"]',
        "undecided:public.t:7",
        "undecided:public.t",
    ]
    assert found[0].as_dict() == {
        "name": "missing_row:public.t:7",
        "kind": "missing_row",
        "table": "public.t",
        "key": "7",
        "detail": "the row is not there",
    }
    assert len(Difference(Kind.SCHEMA, "t", None, "x" * 5000).as_dict()["detail"]) == 300


@given(st.lists(st.text(max_size=400), min_size=1, max_size=3), st.lists(st.text(max_size=400), min_size=1, max_size=3))
def test_names_of_keys_are_short_and_tell_them_apart(one: list[str], other: list[str]) -> None:
    assert len(comparison.key_text(one)) <= 200
    if len(one) == len(other) and one != other:
        assert comparison.key_text(one) != comparison.key_text(other)
