"""Each command that the docs show is run here, or is parsed by what would run it; what needs AWS says so.

One collection of tests for all pages: a page is not known here by its name, so a new one is held to the same.
"""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from relight_cli.command import app, run
from relight_cli.surroundings import hoisted
from typer.exceptions import Exit, TyperException
from typer.main import get_command

from lab.options import Fault, Lost, Options, Step, listed, option
from lab.rehearsals import CASES, chosen
from tests.docs.aws_cli import complaint
from tests.docs.pages import MARK, ROOT, Command, Page, pages

pytestmark = pytest.mark.docs

# What `relight` can do with neither AWS nor a rehearsal: here it is done.
ALONE = frozenset({"explain", "cost"})
ALONE_WITH = {"deploy": "--plan", "readiness": "--markdown"}
MANUAL = frozenset({"-h", "--help", "--version"})
LONG = frozenset({"rehearse"})
"""Those that take minutes: they are parsed here, and run by tests/rehearsal, or by `make rehearse-all`."""
RUN_BY = {
    "setup": "Makefile",
    "check": ".ci/run",
    "test": ".ci/run",
    "test-deploy": ".ci/run",
    "test-sam-local": ".ci/run",
    "local-env": "tests/sam_local/test_packaging.py",
    "build": "lab/sam_functions.py",  # `sam build` with folders of its own, as tests/sam_local runs it
    "release": "tests/app/test_release.py",
    "rehearse": "tests/rehearsal",
    "rehearse-all": "docs/rehearsals.md",
    "local-invoke": "tests/sam_local/test_packaging.py",
    "diagrams": "tests/docs/test_diagrams.py",
    "help": "tests/docs/test_commands.py",
}
"""What runs a target's recipe, or leaves the proof that somebody has."""


@cache
def shown() -> tuple[Command, ...]:
    """All of them."""
    return tuple(command for page in pages() for command in page.commands())


def only(program: str) -> list[Command]:
    return [command for command in shown() if command.program == program]


def name_of(words: tuple[str, ...]) -> str:
    """Which command of `relight` it is."""
    rest = [word for word in hoisted(words[1:]) if not word.startswith("-")]
    return next((word for word in rest if word in commands_of_relight()), "")


@cache
def commands_of_relight() -> frozenset[str]:
    return frozenset(command.name or "" for command in app.registered_commands)


def needs_aws(command: Command) -> bool:
    """Whether it comes to nothing without an account, or a rehearsal in its place."""
    if command.program != "relight":
        return command.program == "aws"
    words, name = set(command.words), name_of(command.words)
    return not (
        words & MANUAL
        or "--lab" in words  # it says itself what it needs
        or name in ALONE | LONG
        or (name in ALONE_WITH and ALONE_WITH[name] in words)
    )


@cache
def whole() -> Any:
    """All of `relight`, put together once: that takes longer than to parse."""
    return get_command(app)


def parsed(words: tuple[str, ...]) -> str:
    """What typer has against it; empty where it would call the command."""
    group = whole()
    try:
        outer = group.make_context("relight", hoisted(words[1:]))
        rest = [*outer._protected_args, *outer.args]
        if not rest:  # an option of all commands, named alone
            return ""
        name, command, rest = group.resolve_command(outer, rest)
        command.make_context(name, rest, parent=outer)
    except Exit:  # --help, --version
        return ""
    except TyperException as error:
        return " ".join(error.format_message().split())
    return ""


def test_the_pages_show_commands_of_each_kind() -> None:
    for program, least in (("relight", 60), ("make", 10), ("aws", 100), ("pytest", 3)):
        assert len(only(program)) >= least, program


def test_each_command_of_relight_is_one_that_it_would_take() -> None:
    said = {str(command): parsed(command.words) for command in only("relight")}
    assert {where: why for where, why in said.items() if why} == {}


def test_each_command_of_relight_in_a_sentence_exists_with_its_options() -> None:
    wrong = []
    for page in pages():
        for number, words in page.inline():
            if words[0] != "relight" or "..." in words or any(re.search(r"[<|\[…]", word) for word in words):
                continue
            why = parsed(words)
            if why and not re.match(r"Missing|.*requires an argument", why):
                wrong.append(f"{page.path}:{number}: {shlex.join(words)}: {why}")
    assert wrong == []


def test_each_plain_aws_command_is_one_that_the_aws_cli_would_take() -> None:
    said = {str(command): complaint(command.words) for command in only("aws")}
    assert {where: why for where, why in said.items() if why} == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("aws rds promote-read-replicas --db-instance-identifier a", "no operation"),
        ("aws rds promote-read-replica --db-instance a", "knows no --db-instance"),
        ("aws rds promote-read-replica --region a", "needs --db-instance-identifier"),
        ("aws nothing at-all", "no service"),
        ("aws stepfunctions start-execution --state-machine-arn a --input '{\"reason\"}'", "no JSON"),
        ("aws lambda invoke --function-name a --payload '{}'", "stand alone"),
        ("aws rds describe-db-instances --query 'a['", "--query"),
    ],
)
def test_a_plain_aws_command_that_would_fail_is_found(line: str, why: str) -> None:
    assert why in complaint(tuple(shlex.split(line)))


def test_functions_and_state_machines_in_plain_aws_commands_exist() -> None:
    functions = {path.name for path in (ROOT / "functions").iterdir()}
    machines = {path.name.partition(".")[0] for path in (ROOT / "statemachine").iterdir()}
    wrong = []
    for command in only("aws"):
        text = " ".join(command.words)
        names = re.findall(r"--function-name relight-(?:\$\{?APP\}?|APP|shop(?:-staging)?)-(\S+)", text)
        arns = re.findall(r"stateMachine:relight-(?:\$\{?APP\}?|APP|shop(?:-staging)?)-?(\S*)", text)
        if not set(names) <= functions or not {name or "failover" for name in arns} <= machines:
            wrong.append(str(command))
    assert wrong == []


def test_what_needs_aws_is_marked() -> None:
    assert [str(one) for one in shown() if needs_aws(one) and not one.marked] == []


def test_what_needs_no_aws_is_not_marked_on_its_line() -> None:
    assert [str(one) for one in shown() if one.on_its_line and not needs_aws(one)] == []


def targets() -> dict[str, str]:
    """The rule of each target of the Makefile, up to the next one."""
    found = re.findall(r"^([a-z-]+):(.*?)(?=^\S+.*:|\Z)", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    return dict(found)


def made() -> list[tuple[str, tuple[str, ...]]]:
    inline = [(f"{page.path}:{at}", words) for page in pages() for at, words in page.inline() if words[0] == "make"]
    return [*((str(command), command.words) for command in only("make")), *inline]


def names(path: Path, target: str) -> bool:
    """Whether the file, or one of those in that folder, has the target's name, or that of the module that it runs."""
    modules = re.findall(r"python -m ([\w.]+)", targets()[target])
    word = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, (target, *modules)))})(?![\w-])")
    return any(word.search(file.read_text()) for file in (sorted(path.rglob("*.py")) if path.is_dir() else (path,)))


def test_each_target_that_is_made_exists_takes_its_variables_and_is_run_by_something() -> None:
    known, wrong = targets(), []
    makefile = (ROOT / "Makefile").read_text()
    for where, words in made():
        for word in words[1:]:
            name, is_variable, _ = word.partition("=")
            if is_variable:
                if f"$({name})" not in makefile:
                    wrong.append(f"{where}: no variable {name}")
            elif word not in known or (word in RUN_BY and not names(ROOT / RUN_BY[word], word)):
                wrong.append(f"{where}: {word}")
    assert wrong == []
    assert {one for _, words in made() for one in words[1:] if "=" not in one} - RUN_BY.keys() <= {"clean", "lock"}


def test_what_make_says_of_itself() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {name for name, rule in targets().items() if "## " in rule} <= set(re.findall(r"make ([a-z-]+)", said))


def rehearsed() -> list[tuple[str, str, list[str]]]:
    """Each `make rehearse ARGS=...` and `relight rehearse ...`: where, the target, the options."""
    found = []
    for where, words in made():
        given = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        for target in words[1:]:
            if target in {"rehearse", "rehearse-all"}:
                found.append((where, target, shlex.split(given.get("ARGS", ""))))
    return found


def test_each_rehearsal_is_one_that_can_be_made() -> None:
    for where, target, words in rehearsed():
        if target == "rehearse" and "..." not in words:
            assert parsed(("relight", "rehearse", *words)) == "", where
        for sort, kind in (("--fault", Fault), ("--lost", Lost)):
            if sort in words:
                option(sort, kind, words[words.index(sort) + 1])
        if "--kill-orchestrator-at" in words:
            listed("--kill-orchestrator-at", Step, words[words.index("--kill-orchestrator-at") + 1])
        if "--only" in words:
            chosen(words[words.index("--only") + 1])
    Options()


def test_each_fault_that_is_shown_is_rehearsed() -> None:
    shown_faults = {words[words.index("--fault") + 1] for _, _, words in rehearsed() if "--fault" in words}
    assert shown_faults
    assert shown_faults <= {words[words.index("--fault") + 1] for words in CASES.values() if "--fault" in words}


def test_each_call_of_pytest_names_what_there_is(pytestconfig: pytest.Config) -> None:
    markers = {line.partition(":")[0].partition("(")[0] for line in pytestconfig.getini("markers")}
    for command in only("pytest"):
        words = list(command.words[1:])
        while words:
            word = words.pop(0)
            if word == "-m":
                named = set(re.findall(r"\w+", words.pop(0))) - {"not", "and", "or"}
                assert named <= markers, command
            elif word in {"-n", "-k", "-o", "-p"}:
                words.pop(0)
            elif not word.startswith("-"):
                path, _, test = word.partition("::")
                assert (ROOT / path).exists(), command
                assert not test or f"def {test}(" in Path(ROOT / path).read_text(), command


@cache
def harmless() -> tuple[tuple[str, ...], ...]:
    """Those that need nothing, each once."""
    found = [one.words for one in only("relight") if not needs_aws(one) and "--lab" not in one.words]
    return tuple(sorted({words for words in found if name_of(words) not in LONG or set(words) & MANUAL}))


def test_there_are_some_that_are_run() -> None:
    assert {name_of(words) for words in harmless()} >= {"explain", "cost", "deploy"}


@pytest.mark.parametrize("words", harmless(), ids=" ".join)
def test_each_command_that_needs_no_aws_is_run(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As somebody without an account would; a plan says then what it could not look at."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code = run(words[1:])
    said = capfd.readouterr()
    assert code == 0, said.err
    assert said.out.strip()


def shop(text: str) -> Page:
    return Page("docs/none.md", tuple(text.splitlines()))


def test_marks_count_for_their_page_their_section_or_their_line() -> None:
    block = "```\nrelight status --env prod\nrelight history --env prod     # AWS: both Regions\n```"
    assert [one.marked for one in shop(f"# A\n\n{block}").commands()] == [False, True]
    assert [one.marked for one in shop(f"# A\n\n**Needs AWS**: all.\n\n## B\n{block}").commands()] == [True, True]
    beside = f"# A\n\n## B\n\n**Needs AWS**: all.\n\n## C\n{block}"
    assert [one.marked for one in shop(beside).commands()] == [False, True]
    below = f"# A\n\n## B\n\n**Needs AWS**: all.\n\n### C\n{block}"
    assert [one.marked for one in shop(below).commands()] == [True, True]


def test_commands_are_read_as_the_shell_reads_them() -> None:
    text = (
        "```sh\nX=$(aws sts get-caller-identity --query Arn)\nwhile sleep 1; do date; aws s3 ls a > b; done\n```\n"
        "```\n.venv/bin/relight explain           the table; first match wins\n"
        "aws a b --c '{\"d\":\n  1}' \\\n  --e\n```\n"
        f"\n    make check\n\nplain words: make sure\n\n```json\nmake nothing\n```\n{MARK}\n"
    )
    assert [one.words for one in shop(text).commands()] == [
        ("aws", "sts", "get-caller-identity", "--query", "Arn"),
        ("aws", "s3", "ls", "a"),
        ("relight", "explain"),
        ("aws", "a", "b", "--c", '{"d": 1}', "--e"),
        ("make", "check"),
    ]


def test_ci_is_described_as_it_is() -> None:
    """The workflow calls the one script that RUN_BY names."""
    script = (ROOT / ".ci/run").read_text()
    for target in ("check", "test", "test-deploy", "test-sam-local"):
        assert re.search(rf"^make (?:-\S+ |[a-z-]+ )*{target}\b", script, re.MULTILINE), target
    for path in (ROOT / ".ci" / "workflows", ROOT / ".github" / "workflows"):
        for file in path.glob("*.y*ml") if path.exists() else ():
            yaml.safe_load(file.read_text())
