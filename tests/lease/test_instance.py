"""An instance as the templates make it: what it is told of the lease, and that it may ask for it."""

import base64
from typing import Any

import pytest

from app.environment import Lease, read
from lab.instance import environment_of
from tests.template.reading import REGIONS, as_list, statements
from tests.template.region import ACCOUNT, region

ROLES = list(REGIONS)


def told(role: str, **parameters: str) -> Lease | None:
    """The lease as the shop reads it from the user data's environment."""
    data: dict[str, Any] = region(role, **parameters)["Compute/Template"]["LaunchTemplateData"]
    variables = environment_of(base64.b64decode(data["UserData"]).decode())
    return read({**variables, "DATABASE_PORT": "5432", "DATABASE_USER": "u", "DATABASE_PASSWORD": "p"}).lease


@pytest.mark.parametrize("role", ROLES)
def test_it_is_off_unless_a_parameter_says_otherwise(role: str) -> None:
    assert told(role) is None


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("term", ["15", "2.5"])
def test_both_regions_ask_the_ledger_of_dr(role: str, term: str) -> None:
    found = told(role, LeaseTermSeconds=term, LongestTransactionSeconds="7.5")
    assert found == Lease(REGIONS["primary"], REGIONS["dr"], "relight-shop", float(term), 7.5)


@pytest.mark.parametrize("role", ROLES)
def test_it_may_read_the_head_of_that_ledger_and_nothing_else_there(role: str) -> None:
    (allowed,) = [
        statement
        for statement in statements(region(role)["Compute/InstanceRole"])
        if any(action.startswith("dynamodb:") for action in as_list(statement["Action"]))
    ]
    assert allowed["Action"] == "dynamodb:GetItem"
    assert f"arn:aws:dynamodb:{REGIONS['dr']}:{ACCOUNT}:table/relight-shop" in allowed["Resource"]
    assert allowed["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["region"]}}
