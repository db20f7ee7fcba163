"""`relight explain`: the table as the rules have it, in each form, and the page that is made from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from relight.decision import Finding
from relight.rules import RULES
from relight_cli.command import run
from relight_cli.exit_code import Exit
from relight_cli.explaining import markdown, rich_table, rows
from rich.console import Console

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/verdict.md"


def explained(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["explain", *words]) == Exit.DONE
    out, complaint = capfd.readouterr()
    assert complaint == ""
    return out


def test_in_a_pipe_each_rule_is_one_aligned_line(capfd: pytest.CaptureFixture[str]) -> None:
    heading, *lines = explained(capfd).splitlines()
    assert heading.split() == ["#", "finding", "action", "when"]
    begins = heading.index("when")
    assert [line[begins:] for line in lines] == [rule.condition for rule in RULES]
    assert [line.split()[:3] for line in lines] == [
        [str(number), rule.finding.value, rule.action.value] for number, rule in enumerate(RULES, start=1)
    ]
    assert {line[begins - 1] for line in lines} == {" "}


def test_on_a_terminal_nothing_of_it_is_cut_off() -> None:
    console = Console(width=100, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(rich_table(rows()))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in captured.get()
    for rule in RULES:
        assert sum(f" {rule.finding.value} " in line for line in lines) == 1


def test_as_json_it_is_the_rules(capfd: pytest.CaptureFixture[str]) -> None:
    assert json.loads(explained(capfd, "--json")) == [
        {
            "number": number,
            "finding": rule.finding.value,
            "action": rule.action.value,
            "condition": rule.condition,
            "means": rule.means,
        }
        for number, rule in enumerate(RULES, start=1)
    ]


def test_one_finding_in_full(capfd: pytest.CaptureFixture[str]) -> None:
    assert explained(capfd, "--finding", "Half-Done").splitlines() == [
        f"half_done (4 of {len(RULES)})",
        "  action  proceed: the run goes on by itself",
        "  when    A promotion was begun, and its run did not come to an end.",
        "  means   The run goes on from where the other one stopped; behind the promotion there is only",
        "          forward.",
        "  order   Only if none of these matches: frozen, already_active, in_progress.",
    ]
    assert "Nothing comes before it." in explained(capfd, "--finding", "frozen")


@pytest.mark.parametrize("finding", Finding)
def test_every_finding_is_explained(finding: Finding, capfd: pytest.CaptureFixture[str]) -> None:
    out = explained(capfd, "--finding", finding.value)
    (rule,) = [rule for rule in RULES if rule.finding is finding]
    words = " ".join(out.split())
    assert out.startswith(f"{finding.value} (")
    assert rule.condition in words
    assert rule.means in words
    (found,) = json.loads(explained(capfd, "--finding", finding.value, "--json"))
    assert found["finding"] == finding.value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--finding", "flood"], "there is no finding 'flood', in --finding, one of: frozen "),
        (["--markdown", "--finding", "frozen"], "--markdown is the whole page"),
    ],
)
def test_bad_input(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *words]) == Exit.BAD_INPUT
    out, complaint = capfd.readouterr()
    assert out == ""
    assert complaint.startswith(f"relight: {said}")
    assert complaint.count("\n") == 1


def test_the_page_is_made_from_the_rules_as_they_are_now(capfd: pytest.CaptureFixture[str]) -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(rows()), "relight explain --markdown > docs/verdict.md"
    assert explained(capfd, "--markdown") == markdown(rows())


def test_the_commands_for_people_on_call_cost_the_others_nothing() -> None:
    listing = "import sys; sys.argv = ['relight', '--help']\nfrom relight_cli.main import main\n"
    watched = "\ntry:\n    main()\nfinally:\n    print(sorted(sys.modules), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", listing + watched], check=True, capture_output=True, text=True)
    for command in ("approve", "decline", "freeze", "unfreeze", "explain"):
        assert f"  {command} " in ended.stdout
    for heavy in ("boto3", "botocore", "rich.table", "relight.ledger", "relight.rules"):
        assert f"'{heavy}'" not in ended.stderr
