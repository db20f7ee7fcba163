"""The pages for the first person with an account name only what is there: files, parameters, commands, options."""

import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache

import pytest
import yaml
from botocore import xform_name
from botocore.session import get_session
from relight_cli.command import app
from relight_cli.workings import READINESS_METRICS

from tests.template.reading import ROOT, STACKS, written

PAGES = ("first-run", "never-run-on-aws", "cost")
EXPERIMENTS = ("Expect", "Depends on it", "Otherwise", "Clean up", "Price")
# Of the AWS CLI itself, for every command.
GLOBAL_OPTIONS = frozenset({"region", "query", "output", "max-items", "cli-binary-format"})
S3_COMMANDS = frozenset({"cp", "ls", "rm"})
# Options that the CLI has and the service has not.
CLI_ONLY = {
    ("rds", "create-db-instance-read-replica"): {"source-region"},
    ("ec2", "create-network-acl-entry"): {"ingress"},
    ("ec2", "delete-network-acl-entry"): {"ingress"},
}


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def quoted(text: str) -> list[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", re.sub(r"\n +", " ", prose))


def commands(text: str, program: str) -> Iterator[list[str]]:
    """Each call of a program, in the blocks and in the sentences, word by word."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    for line in [*blocks.splitlines(), *quoted(text)]:
        for part in re.split(r" (?:&&|\|) |; (?:do )?", line):
            if re.match(rf"{program} \S", part):
                yield shlex.split(part)


def options(words: list[str]) -> set[str]:
    return {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}


@cache
def names_in_templates() -> frozenset[str]:
    """Every parameter, condition, resource, output and property that a template has."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            found.update(map(str, value))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for name in ("template", *STACKS):
        walk(written(name).body)
    return frozenset(found)


@pytest.mark.parametrize("name", PAGES)
def test_each_file_that_is_named_exists(name: str) -> None:
    text = page(name)
    files = [word for word in quoted(text) if re.fullmatch(r"[a-z_]+(/[A-Za-z0-9_.-]+)+\.[a-z.]+", word)]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_each_parameter_and_resource_that_is_named_exists(name: str) -> None:
    said = {word.partition("=")[0] for word in quoted(page(name)) if re.match(r"[A-Z][a-z]+[A-Z]?[A-Za-z]*(=|$)", word)}
    not_ours = {"ReplicationStatus", "Retain", "UsePreviousValue", "SiteNotBuilt"}
    assert said - not_ours - READINESS_METRICS.keys() <= names_in_templates()


@pytest.mark.parametrize("name", PAGES)
def test_each_value_that_is_given_is_allowed(name: str) -> None:
    declared = written().body["Parameters"]
    for word in quoted(page(name)):
        key, sign, value = word.partition("=")
        if sign and key in declared:
            assert value in declared[key].get("AllowedValues", [value]), word


@pytest.mark.parametrize("name", PAGES)
def test_each_command_of_relight_and_of_make_exists(name: str) -> None:
    known = {command.name: command for command in app.registered_commands}
    for words in commands(page(name), "relight"):
        assert words[1] in known, words
        source = inspect.getsource(inspect.getmodule(known[words[1]].callback)) + "--env --config"  # type: ignore[arg-type]
        for option in options(words):
            spelt = f"--{option}" in source or re.search(rf"\b{option.replace('-', '_')}: Annotated", source)
            assert spelt, f"{words[1]} --{option}"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words[1] for words in commands(page(name), "make")} <= targets


@pytest.mark.parametrize("name", PAGES)
def test_each_command_of_the_aws_cli_exists_with_its_options(name: str) -> None:
    session = get_session()
    for words in commands(page(name), "aws"):
        service, operation = words[1:3]
        if service == "s3":
            assert operation in S3_COMMANDS
            continue
        model = session.get_service_model("s3" if service == "s3api" else service)
        operations = {xform_name(one, "-"): one for one in model.operation_names}
        assert operation in operations, words
        shape = model.operation_model(operations[operation]).input_shape
        members = shape.members if shape is not None else {}
        allowed = {xform_name(member, "-") for member in members} | CLI_ONLY.get((service, operation), set())
        booleans = {f"no-{xform_name(one, '-')}" for one, kind in members.items() if kind.type_name == "boolean"}
        assert options(words) <= allowed | booleans | GLOBAL_OPTIONS, words


def test_the_environment_of_the_experiments_is_the_one_of_samconfig() -> None:
    config = (ROOT / "samconfig.toml").read_text()
    for said in ("shop-staging", "shop-staging.example.com", "Z0123456789EXAMPLE", "111122223333"):
        assert said in page("first-run")
        assert said in config


def test_each_experiment_says_all_that_it_should_and_has_its_number() -> None:
    experiments = page("first-run").split("\n## ")[1:]
    assert [int(text.split(".")[0]) for text in experiments] == list(range(1, len(experiments) + 1))
    for text in experiments:
        assert "```sh" in text, text[:40]
        for part in EXPERIMENTS:
            assert text.count(f"\n- {part}: ") == 1, f"{text[:40]}: {part}"


def test_each_part_that_never_ran_has_an_experiment_that_exists() -> None:
    last = page("first-run").count("\n## ")
    rows = [line.split("|")[1:-1] for line in page("never-run-on-aws").splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 20
    settled = {number for row in rows for number in map(int, re.findall(r"\d+", row[3]))}
    assert settled == set(range(1, last + 1))
    for row in rows:
        assert row[1].strip(), row[0]


def test_alarms_functions_and_schedules_that_are_named_exist() -> None:
    text = "".join(page(name) for name in PAGES)
    said = {word.rstrip("-") for word in re.findall(r"relight-(?:\$APP|shop-staging)-([a-z-]+)", text)}
    source = "".join(yaml.safe_dump(written(name).body) for name in ("template", *STACKS))
    stacks = {"keys"}
    assert {word for word in said - stacks if f"relight-${{Application}}-{word}" not in source} == set()
