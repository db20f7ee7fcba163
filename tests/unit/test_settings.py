"""A function's environment: every problem in one message, and what template.yaml gives is what each function needs."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from relight import settings as known
from relight.errors import SettingsInvalid
from relight.policy import Approval
from relight.settings import Settings

from lab.template import load
from tests.template.region import region

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
# What the Lambda runtime sets by itself.
GIVEN_BY_LAMBDA = {"AWS_REGION": "eu-central-1"}


@dataclass(frozen=True, kw_only=True)
class Every(Settings):
    """One of every kind of setting."""

    name: str
    count: int
    seconds: float
    tls: bool
    servers: tuple[str, ...]
    policy: Approval
    resolver: str | None
    limit: float | None


FULL = {
    "NAME": "shop",
    "COUNT": "3",
    "SECONDS": "1.5",
    "TLS": "True",
    "SERVERS": "a:53, b ,,c",
    "POLICY": "approve",
    "RESOLVER": "",
    "LIMIT": "2",
    "SOMETHING_ELSE": "is not ours",
}


def test_each_kind_is_read() -> None:
    assert Every.from_env(FULL) == Every(
        name="shop",
        count=3,
        seconds=1.5,
        tls=True,
        servers=("a:53", "b", "c"),
        policy=Approval.APPROVE,
        resolver=None,
        limit=2.0,
    )


def test_every_missing_name_is_in_one_message() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Every.from_env({"NAME": "", "COUNT": "3", "RESOLVER": ""})
    assert str(caught.value) == ("environment of this function: missing: NAME, SECONDS, TLS, SERVERS, POLICY, LIMIT")


def test_every_malformed_value_is_in_the_same_message() -> None:
    wrong = FULL | {"COUNT": "three", "SECONDS": "soon", "TLS": "yes", "POLICY": "perhaps", "LIMIT": "none"}
    del wrong["NAME"]
    with pytest.raises(SettingsInvalid) as caught:
        Every.from_env(wrong)
    said = str(caught.value)
    assert said.startswith("environment of this function: missing: NAME; COUNT='three' is no int; ")
    for part in ("SECONDS='soon' is no float", "TLS='yes' is no bool", "POLICY='perhaps' is no Approval", "LIMIT="):
        assert part in said


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_seconds_that_are_no_number_are_malformed(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="SECONDS"):
        Every.from_env(FULL | {"SECONDS": text})


def test_a_list_without_an_entry_is_missing() -> None:
    with pytest.raises(SettingsInvalid, match="missing: SERVERS"):
        Every.from_env(FULL | {"SERVERS": " , "})


# -- what the templates give ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["dr", "primary"])
def environments(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """Function name to its variables, as the templates give them in that role."""
    return {
        each["FunctionName"].removeprefix("relight-shop-"): {
            name: str(text) for name, text in each["Environment"]["Variables"].items()
        }
        for each in region(request.param).of("AWS::Lambda::Function").values()
    }


def settings_of(function: str) -> type[Settings]:
    """The settings class that a handler parses its environment with."""
    code = (ROOT / "functions" / function / "handler.py").read_text()
    classes: list[type[Settings]] = [
        kind
        for kind in vars(known).values()
        if isinstance(kind, type) and issubclass(kind, Settings) and f"settings = {kind.__name__}.from_env(" in code
    ]
    assert len(classes) == 1, f"functions/{function} should parse its environment once"
    return classes[0]


@pytest.fixture
def environment(function: str, environments: dict[str, dict[str, str]]) -> dict[str, str]:
    numbers = {"DATABASE_PORT": "5432"}  # RDS says it
    return GIVEN_BY_LAMBDA | environments[function] | (numbers if function == "dbcheck" else {})


def test_each_function_of_the_template_has_its_code_and_the_other_way_round(
    environments: dict[str, dict[str, str]],
) -> None:
    assert sorted(environments) == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_templates_environment_with_its_defaults_satisfies_the_settings(
    function: str, environment: dict[str, str]
) -> None:
    parsed = settings_of(function).from_env(environment)
    assert {field.name.upper() for field in fields(parsed)} <= environment.keys()


def test_every_variable_of_the_template_is_read_by_some_function(environments: dict[str, dict[str, str]]) -> None:
    read = {field.name.upper() for function in FUNCTIONS for field in fields(settings_of(function))}
    given = {name for variables in environments.values() for name in variables if not name.startswith("POWERTOOLS_")}
    assert given <= read


def test_a_functions_own_variables_are_read_by_it() -> None:
    for stack in ("watch", "failover", "failback"):
        for resource in load(ROOT / "stacks" / f"{stack}.yaml").resources.values():
            if resource["Type"] == "AWS::Serverless::Function":
                function = resource["Properties"]["CodeUri"].rpartition("/")[2]
                own = resource["Properties"].get("Environment", {"Variables": {}})["Variables"]
                assert own.keys() <= {field.name.upper() for field in fields(settings_of(function))}, function


@pytest.fixture
def imported(function: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The handler's module, as Lambda imports it when a sandbox starts."""
    for name in list(os.environ):
        if not name.startswith(("AWS_", "PATH", "HOME")):
            monkeypatch.delenv(name)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    spec = importlib.util.spec_from_file_location(
        f"handler_of_{function}", ROOT / "functions" / function / "handler.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_handler_starts_with_the_templates_environment(function: str, imported: Any) -> None:
    assert callable(imported.handler)
    assert isinstance(imported.settings, settings_of(function))


def test_the_template_allows_each_policy_and_no_other() -> None:
    allowed = load(ROOT / "template.yaml").body["Parameters"]["Policy"]["AllowedValues"]
    assert set(allowed) == {approval.value for approval in Approval}
