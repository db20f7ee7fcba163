"""README as a stranger reads it: what it says to type is what is tried here, and it stays short."""

from pathlib import Path

import pytest
from rich.console import Console

from lab.report import Result, Status, closing
from lab.score import PHASES
from tests.stranger.path import HEADING, ONLY_LOOKED_FOR, ROOT, commands, environment, follow, missing

pytestmark = pytest.mark.stranger
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST = 130


def test_the_first_command_is_the_rehearsal_and_all_are_targets_of_make() -> None:
    assert commands(README) == ["make rehearse", "make test"]
    assert set(commands(README)) - ONLY_LOOKED_FOR == {"make rehearse"}


def test_nothing_that_has_to_be_typed_comes_before_them() -> None:
    assert "```" not in README.partition(f"\n{HEADING}\n")[0]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) < LONGEST


def test_readme_shows_both_pictures_and_leads_to_what_matters_next() -> None:
    shown = ("architecture.svg", "rehearsal.svg")
    pages = ("architecture", "runbook", "security", "comparison", "limits", "developing", "exit-codes", "deploying")
    for name in (*shown, *(f"{page}.md" for page in pages)):
        assert f"(docs/{name})" in README, name


@pytest.mark.parametrize("readme", ["# A\n", f"# A\n\n{HEADING}\n\nwords\n\n## Other\n\n```\nmake no\n```\n"])
def test_a_readme_without_commands_is_no_readme(readme: str) -> None:
    with pytest.raises(ValueError, match="no fenced block"):
        commands(readme)


def test_the_stranger_has_only_what_an_installation_needs() -> None:
    given = {
        "PATH": "/here/.venv/bin:/usr/bin",
        "HOME": "/home/ann",
        "AWS_PROFILE": "ann",
        "VIRTUAL_ENV": "/here/.venv",
        "PYTHONPATH": "/here",
        "RELIGHT_ENV": "prod",
        "PIP_CERT": "/c",
        "UV_OFFLINE": "1",
        "https_proxy": "http://p",
    }
    told = environment(Path("/h"), given, {"PIP_CERT": "/other", "PIP_RETRIES": "1"})
    assert told == {
        "PATH": "/usr/bin",
        "HOME": "/h",
        "TMPDIR": "/h",
        "TERM": "dumb",
        "PIP_CERT": "/c",
        "PIP_RETRIES": "1",
        "UV_OFFLINE": "1",
        "https_proxy": "http://p",
    }


def test_the_closing_table_is_recognised_and_half_of_one_is_not() -> None:
    phases: dict[str, float | None] = {phase: 1000.0 + n for n, phase in enumerate(PHASES)}
    whole = Result(
        status=Status.SUCCEEDED,
        expected=Status.SUCCEEDED,
        finding="region_lost",
        fault="primary-lost",
        lost="refused",
        timings="lab",
        started=990.0,
        ended=1060.0,
        rto_seconds=20.5,
        phases=phases,
    )
    console = Console(width=80, color_system=None)
    with console.capture() as shown:
        console.print(closing(whole))
    said = shown.get()
    assert missing(said) == []
    assert len(missing(said.replace(" t4 ", " x4 ").replace("SUCCEEDED", "FAILED"))) == 2


@pytest.mark.rehearsal
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_stranger_comes_as_far_as_the_first_rehearsal() -> None:
    assert follow() == []
