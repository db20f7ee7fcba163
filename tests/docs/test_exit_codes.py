"""docs/exit-codes.md is the one table of exit codes, and it is whole."""

import re

import pytest
from relight_cli.exit_code import Exit

from tests.docs.pages import page, pages

pytestmark = pytest.mark.docs

ROW = re.compile(r"\| (\d+) \| `([A-Z_]+)` \| \S.* \|")


def test_each_exit_code_is_listed_with_its_name() -> None:
    listed = [(int(row[1]), row[2]) for line in page("docs/exit-codes.md").lines if (row := ROW.fullmatch(line))]
    assert listed == [(code.value, code.name) for code in Exit]


def test_no_other_page_has_the_table_too() -> None:
    """Some pages list the few codes that they are about, beside what is seen and what to do."""
    for other in pages():
        if other.path != "docs/exit-codes.md":
            assert [line for line in other.lines if ROW.fullmatch(line)] == [], other.path
            assert "| code | |" not in other.lines, other.path


def test_each_code_that_a_page_names_in_a_sentence_exists() -> None:
    for one in pages():
        for number, line in one.prose():
            for code in re.findall(r"exit code (?:is )?(\d+)", line):
                assert int(code) in {*map(int, Exit), 130, 143}, f"{one.path}:{number}"
