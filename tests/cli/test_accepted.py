"""The list of accepted differences: what is a name, and where it is not."""

import json
from pathlib import Path

import pytest
from relight.comparison import Difference, Kind
from relight_cli.accepted import MOST, accepted
from relight_cli.exit_code import Exit, Refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reviewed"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("missing_row:shop_order:7\n", ["missing_row:shop_order:7"]),
        ("# reviewed by ann\n\n  schema:shop_order  \r\n", ["schema:shop_order"]),
        ("schema:t # an index\nschema:t\n", ["schema:t"]),
        ("missing_row:t:a#b", ["missing_row:t:a#b"]),
        ("\ufeffschema:t\n", ["schema:t"]),
        ('["missing_row:t:a # b", "extra_row:t:x\\ny "]', ["missing_row:t:a # b", "extra_row:t:x\ny "]),
        ('\n ["schema:t"]\n', ["schema:t"]),
    ],
)
def test_names_in_both_forms(file: Path, text: str, names: list[str]) -> None:
    file.write_text(text, encoding="utf-8", newline="")
    assert accepted(file) == names


@pytest.mark.parametrize("key", [None, "7", '["a", "b"]', "Zürich ✓", " ", "x" * 200])
def test_each_name_that_a_report_has_is_taken(file: Path, key: str | None) -> None:
    name = Difference(Kind.DIFFERING_ROW, '"My table"', key, "...").name
    file.write_text(json.dumps([name]))
    assert accepted(file) == [name]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("schema:t\nall of them\n", ", line 2", "'all of them' is no name of a difference"),
        ("# x\n\nschema:\n", ", line 3", "'schema:' is no name"),
        ("Schema:t\n", ", line 1", "'Schema:t' is no name"),
        ("schema::t\n", ", line 1", "is no name"),
        ('["schema:t", 7]', ", item 2", "7 is no text"),
        ('["schema:t",\n ', ", line 2 column 2", "the JSON does not parse"),
        ("[" * 50_000, "", "the JSON does not parse"),
        ("", "", "it names no difference"),
        ("# nothing\n", "", "it names no difference"),
        ("[]", "", "it names no difference"),
        ("x" * 200_000, "", "it has 200,000 bytes"),
        ("\n".join(f"missing_row:t:{n}" for n in range(MOST + 1)), "", "it names 101 differences"),
    ],
)
def test_what_is_no_list_of_names_is_refused_with_its_place(file: Path, text: str, where: str, what: str) -> None:
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        accepted(file)
    assert refused.value.code is Exit.BAD_INPUT
    assert refused.value.where == f"{file}{where}"
    assert what in refused.value.what
    assert len(refused.value.sentence) < 400


def test_what_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"schema:t\n\xff\xfe")
    with pytest.raises(Refused, match=r"no UTF-8 text.*byte 9"):
        accepted(file)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        accepted(tmp_path / name)
