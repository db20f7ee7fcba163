"""What differs from what there was, and which calls count as changes."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.hooks import HierarchicalEmitter

from lab.calls import Calls
from lab.cloud import Cloud
from lab.drift import drift, is_retired


def test_what_differs_is_said_by_name() -> None:
    before = {"primary: switch HOLD": 0, "database shop-dr: MultiAZ": False, "record A": {"Failover": "PRIMARY"}}
    assert drift(before, dict(before)) == ()
    after = {"primary: switch HOLD": 1, "record A": {"Failover": "PRIMARY"}, "database other": "there"}
    assert drift(before, after) == (
        'database other is "there"; it was not there',
        "database shop-dr: MultiAZ is not there; it was false",
        "primary: switch HOLD is 1; it was 0",
    )


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("shop-primary", False),
        ("shop-primary-retired-3", True),
        ("shop-dr-retired-12-final", True),
        ("shop-retired", False),
    ],
)
def test_what_a_failback_keeps_is_known_by_its_name(name: str, kept: bool) -> None:
    assert is_retired(name) is kept


def test_calls_that_change_something_are_kept_while_somebody_asks() -> None:
    events = HierarchicalEmitter()
    client = SimpleNamespace(meta=SimpleNamespace(events=events))
    calls = Calls(cast("Cloud", SimpleNamespace(client=lambda *_: client)))

    def call(service: str, name: str) -> None:
        model: Any = SimpleNamespace(name=name, service_model=SimpleNamespace(service_name=service))
        events.emit(f"before-call.{service}.{name}", model=model)

    assert calls.client("rds", "eu-west-1") is calls.client("rds", "eu-west-1") is client
    call("rds", "ModifyDBInstance")
    with calls.changing() as kept:
        call("rds", "DescribeDBInstances")
        call("rds", "ModifyDBInstance")
        call("dynamodb", "GetItem")
        call("dynamodb", "PutItem")
    call("rds", "DeleteDBInstance")
    assert kept == ["rds ModifyDBInstance", "dynamodb PutItem"]
