"""What holds for all templates together: they lint, and they fit each other."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from lab.errors import StackRefused
from lab.parameter import check
from tests.template.reading import STACKS, mentions, of_type, text, written


@pytest.mark.parametrize("name", ["template", "global", "keys"])
def test_what_a_person_gives_has_limits_and_a_word_for_whoever_goes_past_them(name: str) -> None:
    for parameter, declared in written(name).body["Parameters"].items():
        assert {"AllowedValues", "AllowedPattern", "MinValue"} & declared.keys(), parameter
        assert declared["ConstraintDescription"], parameter


@pytest.mark.parametrize("name", ["template", *STACKS])
def test_each_parameter_is_used(name: str) -> None:
    body = written(name).body
    using = [body.get(section) for section in ("Globals", "Conditions", "Rules", "Resources", "Outputs")]
    assert [parameter for parameter in body.get("Parameters", {}) if not mentions(using, parameter)] == []


def nested() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, properties in of_type(written(), "AWS::CloudFormation::Stack").items():
        yield name, properties["TemplateURL"].removeprefix("stacks/").removesuffix(".yaml"), properties["Parameters"]


def test_each_stack_is_deployed_once() -> None:
    assert sorted([*(stack for _, stack, _ in nested()), "global", "keys"]) == STACKS


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


@pytest.mark.parametrize("name", ["template", *STACKS])
def test_what_joins_a_list_is_written_out(name: str) -> None:
    """CloudFormation takes no function as the delimiter of Fn::Join; neither cfn-lint nor moto says so."""
    assert [joined for joined in joins(written(name).body) if not isinstance(joined[0], str)] == []


def joins(value: Any) -> Iterator[list[Any]]:
    match value:
        case {"Fn::Join": [delimiter, items]}:
            yield [delimiter, items]
            yield from joins(items)
        case dict():
            for item in value.values():
                yield from joins(item)
        case list():
            for item in value:
                yield from joins(item)


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
    [
        ("shop", True),
        ("my-shop-2", True),
        ("shop-", False),
        ("my--shop", False),
        ("a", False),
        ("Shop", False),
        ("internal-shop", False),
        ("internals", True),
    ],
)
def test_an_application_is_called_what_all_services_take(name: str, taken: bool) -> None:
    """RDS takes neither two hyphens in a row nor one at the end."""
    with nullcontext() if taken else pytest.raises(StackRefused):
        check(written(), {"Application": name}, lambda _: None)


def test_the_longest_name_fits_the_buckets() -> None:
    longest = written().body["Parameters"]["Application"]["MaxLength"] * "a"
    names = [
        text(properties["BucketName"])
        for stack in STACKS
        for properties in of_type(written(stack), "AWS::S3::Bucket").values()
    ]
    assert names
    for name in names:
        filled = name.replace("${Application}", longest).replace("${AWS::AccountId}", 12 * "1")
        assert len(filled.replace("${AWS::Region}", "ap-southeast-1")) <= 63, name
