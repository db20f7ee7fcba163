"""What holds for all templates together: they lint, they fit each other, and samconfig.toml fits them."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lab.errors import StackRefused
from lab.parameter import check
from tests.template.reading import REGIONS, ROOT, STACKS, mentions, of_type, text, written

TEMPLATE_OF = {"primary": "template", "dr": "template", "global": "global"}


def test_cfn_lint_finds_nothing() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    found = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["template", *STACKS])
def test_each_parameter_is_used(name: str) -> None:
    body = written(name).body
    using = [body.get(section) for section in ("Globals", "Conditions", "Rules", "Resources", "Outputs")]
    assert [parameter for parameter in body.get("Parameters", {}) if not mentions(using, parameter)] == []


def nested() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, properties in of_type(written(), "AWS::CloudFormation::Stack").items():
        yield name, properties["TemplateURL"].removeprefix("stacks/").removesuffix(".yaml"), properties["Parameters"]


def test_each_stack_is_deployed_once() -> None:
    assert sorted([*(stack for _, stack, _ in nested()), "global"]) == STACKS


@pytest.mark.parametrize(("stack", "given"), [(stack, given) for _, stack, given in nested()])
def test_a_nested_stack_gets_the_parameters_that_it_declares(stack: str, given: dict[str, Any]) -> None:
    declared = written(stack).body["Parameters"]
    required = {name for name, parameter in declared.items() if "Default" not in parameter}
    assert required <= given.keys() <= declared.keys()


def test_each_output_that_is_asked_for_exists() -> None:
    outputs = {name: written(stack).body.get("Outputs", {}) for name, stack, _ in nested()}
    asked = set(outputs_asked_for(written().body))
    assert asked
    assert [f"{name}.{output}" for name, output in sorted(asked) if output not in outputs[name]] == []


def outputs_asked_for(value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case {"Fn::GetAtt": [name, str(attribute)]} if attribute.startswith("Outputs."):
            yield name, attribute.removeprefix("Outputs.")
        case dict():
            for item in value.values():
                yield from outputs_asked_for(item)
        case list():
            for item in value:
                yield from outputs_asked_for(item)


# Names


@pytest.mark.parametrize(
    ("name", "taken"),
    [("shop", True), ("my-shop-2", True), ("shop-", False), ("my--shop", False), ("a", False), ("Shop", False)],
)
def test_an_application_is_called_what_all_services_take(name: str, taken: bool) -> None:
    """RDS takes neither two hyphens in a row nor one at the end."""
    with nullcontext() if taken else pytest.raises(StackRefused):
        check(written(), {"Application": name}, lambda _: None)


def test_the_longest_name_fits_the_buckets() -> None:
    longest = written().body["Parameters"]["Application"]["MaxLength"] * "a"
    names = [
        text(properties["BucketName"])
        for stack in ("template", "compute")
        for properties in of_type(written(stack), "AWS::S3::Bucket").values()
    ]
    assert names
    for name in names:
        filled = name.replace("${Application}", longest).replace("${AWS::AccountId}", 12 * "1")
        assert len(filled.replace("${AWS::Region}", "ap-southeast-1")) <= 63, name


# samconfig.toml


@pytest.fixture(scope="module")
def environments() -> dict[str, dict[str, Any]]:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    return {name: config[name]["deploy"]["parameters"] for name in TEMPLATE_OF}


def overrides(environment: dict[str, Any]) -> dict[str, str]:
    return dict(override.split("=", 1) for override in environment["parameter_overrides"])


def left_to_fill_in(name: str) -> set[str]:
    """The parameters that the comment above the environment's overrides leaves to the person who deploys."""
    section = (ROOT / "samconfig.toml").read_text().split(f"[{name}.deploy.parameters]")[1].split("\n[")[0]
    comments = " ".join(line.removeprefix("#") for line in section.splitlines() if line.startswith("#"))
    return set(re.findall(r"\b[A-Z][A-Za-z]+\b", comments.partition("Add yours:")[2]))


@pytest.mark.parametrize("name", TEMPLATE_OF)
def test_each_required_parameter_is_given_or_said_to_be_yours(name: str, environments: dict[str, Any]) -> None:
    declared = written(TEMPLATE_OF[name]).body["Parameters"]
    required = {parameter for parameter, rules in declared.items() if "Default" not in rules}
    if TEMPLATE_OF[name] == "template":  # Rules: https is the default, and a replica has a source
        required |= {"CertificateArn"} | ({"SourceDatabaseArn"} if name == "dr" else set())
    given = overrides(environments[name])
    assert required - given.keys() <= left_to_fill_in(name) <= declared.keys()
    assert not left_to_fill_in(name) & given.keys()


@pytest.mark.parametrize("name", TEMPLATE_OF)
def test_each_given_parameter_is_allowed(name: str, environments: dict[str, Any]) -> None:
    check(written(TEMPLATE_OF[name]), overrides(environments[name]), lambda _: None)


def test_the_environments_describe_one_pair_of_regions(environments: dict[str, Any]) -> None:
    primary, dr = overrides(environments["primary"]), overrides(environments["dr"])
    assert {role: environments[role]["region"] for role in REGIONS} == REGIONS
    assert (primary["Role"], dr["Role"]) == ("primary", "dr")
    assert (primary["PeerRegion"], dr["PeerRegion"]) == (REGIONS["dr"], REGIONS["primary"])
    assert (primary["NetworkPrefix"], primary["PeerNetworkPrefix"]) == (dr["PeerNetworkPrefix"], dr["NetworkPrefix"])
    site = overrides(environments["global"])
    assert (site["PrimaryRegion"], site["DrRegion"]) == (REGIONS["primary"], REGIONS["dr"])
    assert primary["Domain"] == dr["Domain"] == site["Domain"]
    assert environments["global"]["region"] == "us-east-1"


def test_the_environments_of_the_regions_have_the_same_keys(environments: dict[str, Any]) -> None:
    assert environments["primary"].keys() == environments["dr"].keys()
    assert overrides(environments["primary"]).keys() == overrides(environments["dr"]).keys()
    assert all(environment["confirm_changeset"] for environment in environments.values())


def test_the_pilot_light_costs_no_instance(environments: dict[str, Any]) -> None:
    sizes = {name: overrides(environments[name]) for name in REGIONS}
    assert (sizes["dr"]["MinSize"], sizes["dr"]["DesiredCapacity"]) == ("0", "0")
    assert int(sizes["primary"]["DesiredCapacity"]) >= int(sizes["primary"]["MinSize"]) >= 1
