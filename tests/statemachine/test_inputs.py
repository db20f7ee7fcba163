"""What a person may start a run with: the first state of each machine takes it, or says in a sentence what is wrong.

The states are those of the definitions; where a run would begin it ends here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.statemachine.harness import Machine, Outcome, load, machine
from tests.template.region import region

ROOT = Path(__file__).parents[2]
MACHINES = ("failover", "failback", "drill")
REFUSED = ["Read the request", "Refuse the request"]
BEGUN = ["Read the request", "Begin"]
LONGEST = 1000
# Whatever is not an object, and what AWS calls it.
NO_OBJECT: list[tuple[Any, str]] = [
    (None, "null"),
    ([], "array"),
    ([{"reason": "real"}], "array"),
    ([{"reason": "real"}, {"reason": "real"}], "array"),
    ("reason", "string"),
    ("", "string"),
    (5, "number"),
    (True, "boolean"),
]
# Of every machine, with what the sentence has to name.
WRONG: list[tuple[Any, str]] = [
    ({}, '"reason" is missing'),
    ({"reason": None}, '"reason" is of the type null'),
    ({"reason": 5}, '"reason" is of the type number'),
    ({"reason": ["real"]}, '"reason" is of the type array'),
    ({"reason": {"why": "real"}}, '"reason" is of the type object'),
    ({"reason": ""}, '"reason" is blank'),
    ({"reason": " \t\n "}, '"reason" is blank'),
    ({"reason": "x" * (LONGEST + 1)}, f'"reason" has {LONGEST + 1} characters; it has {LONGEST} at most'),
    ({"resaon": "real"}, 'does not take "resaon"; enough is {"reason": '),
    ({"Reason": "real"}, 'does not take "Reason"'),
    ({"reason": "real", "mod": "planned", "forse": True}, 'does not take "mod", "forse"'),
    ({"reason": "real", "source": "me"}, 'does not take "source"'),
    ({"reason": "real", "x" * 100_000: 1}, f'does not take "{"x" * 120}"; enough'),
]
ITS_OWN: dict[str, list[tuple[Any, str]]] = {
    "failover": [
        ({"reason": "real", "mode": "plannd"}, '"mode" is plannd; it is "planned" or "emergency", or left out'),
        ({"reason": "real", "mode": None}, '"mode" is null; it is "planned"'),
        ({"reason": "real", "mode": ["planned"]}, '"mode" is ["planned"]; it is'),
        ({"reason": "real", "mode": "x" * 100_000}, f'"mode" is {"x" * 60}; it is'),
        ({"reason": "real", "force": "true"}, '"force" is true; it is true or false, without quotes'),
        ({"reason": "real", "force": 1}, '"force" is 1; it is true or false'),
        ({"reason": "real", "force": None}, '"force" is null; it is true or false'),
        ({"force": True}, '"reason" is missing, and nothing is forced without one; say why'),
        ({"reason": " ", "force": True}, '"reason" is blank'),
        ({"reason": "real", "trigger": "by hand"}, '"trigger" is by hand; it is "manual" or "automatic"'),
        ({"reason": "real", "parent": 5}, '"parent" is 5; it is the ARN of'),
        ({"reason": "real", "to": "home"}, 'does not take "to"'),
    ],
    "failback": [
        ({"reason": "real", "to": "dr"}, '"to" is dr; it is "home" or "protected", or left out'),
        ({"reason": "real", "accept": "all"}, '"accept" is all; it is a list of the names of differences'),
        ({"reason": "real", "accept": ["orders", 1]}, '"accept" is ["orders",1]; it is a list'),
        ({"reason": "real", "accept": None}, '"accept" is null; it is a list'),
        ({"reason": "real", "parent": {}}, '"parent" is {}; it is the ARN of'),
        ({"reason": "real", "force": True}, 'does not take "force"'),
    ],
    "drill": [
        ({"reason": "real", "kind": "fire"}, '"kind" is fire; it is "plan", "restore", "promote" or "gameday"'),
        ({"reason": "real", "keep_minutes": -1}, '"keep_minutes" is -1; it is a whole number from 0 to 480'),
        ({"reason": "real", "keep_minutes": 481}, '"keep_minutes" is 481; it is'),
        ({"reason": "real", "keep_minutes": 1.5}, '"keep_minutes" is 1.5; it is a whole number'),
        ({"reason": "real", "keep_minutes": "60"}, '"keep_minutes" is 60; it is a whole number from 0 to 480, without'),
        ({"reason": "real", "keep_minutes": True}, '"keep_minutes" is true; it is'),
        ({"reason": "real", "keep_minutes": [60]}, '"keep_minutes" is [60]; it is'),
        ({"reason": "real", "keep_minutes": None}, '"keep_minutes" is null; it is'),
        ({"reason": "real", "trigger": "automatic"}, '"trigger" is automatic; it is "manual" or "schedule"'),
        ({"reason": "real", "parent": "arn:x"}, 'does not take "parent"'),
    ],
}
TAKEN: dict[str, list[Any]] = {
    "failover": [
        {"reason": "real"},
        {"reason": "x" * LONGEST},
        {"reason": "real", "mode": "emergency", "force": True, "trigger": "manual"},
        {"reason": "probe: region_lost", "trigger": "automatic"},
        # What a failback was started for, and its own name before it.
        {"reason": "y" * (LONGEST + 200), "trigger": "manual", "mode": "planned", "parent": "arn:aws:states:x"},
    ],
    "failback": [
        {"reason": "real"},
        {"reason": "real", "to": "home", "accept": []},
        {"reason": "real", "to": "protected", "accept": ["orders"], "parent": "arn:aws:states:x"},
    ],
    "drill": [
        {"reason": "real"},
        {"reason": "real", "kind": "gameday", "keep_minutes": 480},
        {"reason": "real", "kind": "restore", "keep_minutes": 0, "trigger": "manual"},
        {"reason": "by schedule", "kind": "plan", "trigger": "schedule"},
    ],
}


@pytest.fixture(scope="module", params=MACHINES)
def first(request: pytest.FixtureRequest) -> Iterator[tuple[str, Machine]]:
    """A machine's name, and the machine, which ends where its run would begin."""
    name = str(request.param)
    with machine(until_begun(name), {}, name=name) as made:
        yield name, made


def until_begun(name: str) -> dict[str, Any]:
    """The definition as it is deployed, up to the state in which a run begins."""
    path = ROOT / "statemachine" / f"{name}.asl.yaml"
    (found,) = [
        each
        for each in region("dr").of("AWS::StepFunctions::StateMachine").values()
        if (ROOT / each["DefinitionS3Location"]["Key"]) == path
    ]
    definition = load(path, found["DefinitionSubstitutions"])
    states = definition["States"]
    assert states["Read the request"]["Default"] == "Begin"
    begun = {"Type": "Succeed", **({"Output": "{% $request %}"} if name == "failover" else {})}
    alarms = {each for each in states if "event" in each or "alarm of ours" in each}
    kept = {each: states[each] for each in (*REFUSED, *sorted(alarms))}
    return definition | {"States": kept | {"Begin": begun}}


def ran(on: Machine, given: Any) -> Outcome:
    return on.outcome(on.start(given))


def test_what_is_wrong_is_said_in_the_first_state(first: tuple[str, Machine]) -> None:
    name, on = first
    no_object = [
        (given, f"The input is of the type {kind}; it is an object, and enough is") for given, kind in NO_OBJECT
    ]
    for given, sentence in [*no_object, *WRONG, *ITS_OWN[name]]:
        ended = ran(on, given)

        assert (ended.status, ended.error, ended.states) == ("FAILED", "InputInvalid", REFUSED), given
        assert ended.cause is not None
        assert sentence in ended.cause, (given, ended.cause)
        # One sentence, which a console shows whole.
        assert "\n" not in ended.cause
        assert len(ended.cause) < 400, ended.cause


def test_what_is_right_begins(first: tuple[str, Machine]) -> None:
    name, on = first
    for given in TAKEN[name]:
        ended = ran(on, given)
        assert (ended.status, ended.states) == ("SUCCEEDED", BEGUN), (given, ended.cause)
        if name == "failover":
            left_out = {"trigger": "manual", "mode": None, "force": False, "unseen_at": None, "approved": None}
            assert ended.output == left_out | {key: value for key, value in given.items() if key != "parent"}


def test_what_the_schedules_of_drills_give_is_taken() -> None:
    given = [
        json.loads(schedule["Target"]["Input"])
        for schedule in region("dr").of("AWS::Scheduler::Schedule").values()
        if "stateMachine" in schedule["Target"]["Arn"]
    ]
    assert given
    with machine(until_begun("drill"), {}, name="scheduled") as on:
        assert [ran(on, each).states for each in given] == [BEGUN] * len(given)


def test_the_event_of_an_alarm_comes_whole() -> None:
    """Its keys are EventBridge's, and no business of a person's input."""
    event = {
        "version": "0",
        "id": "e0000000-0000-0000-0000-000000000001",
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "account": "123456789012",
        "region": "eu-central-1",
        "time": "2020-01-01T00:00:00Z",
        "resources": [],
        "detail": {"alarmName": "relight-shop-primary-down", "state": {"value": "ALARM"}},
    }
    with machine(until_begun("failover"), {}, name="alarmed") as on:
        ended = ran(on, event)
        assert ended.states[:2] == ["Read the request", "Is it an alarm of ours"], ended
        assert ended.error != "InputInvalid"
        # As it would be of an event that lacks one of the two.
        del event["source"]
        assert ran(on, event).states[1] == "Is it an alarm of ours"


# What the documentation says.

DOCUMENT = (ROOT / "docs" / "manual-runs.md").read_text()


def documented(name: str) -> Iterator[tuple[Any, str]]:
    """The inputs that the page shows for a machine, and what it says of each: the sentence, or "taken"."""
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    assert section is not None, name
    for given, said in re.findall(r"^\| `([{\[][^`]*)` \| (.+) \|$", section[1], re.MULTILINE):
        yield json.loads(given), said


def test_the_page_shows_what_the_machine_says(first: tuple[str, Machine]) -> None:
    name, on = first
    shown = list(documented(name))
    assert len(shown) >= 4
    assert {"reason"} in [set(given) for given, _ in shown]
    for given, said in shown:
        ended = ran(on, given)
        if said.startswith("taken"):
            assert ended.states == BEGUN, given
        else:
            assert f"`{ended.cause}`" == said, given


def test_a_name_is_one_run() -> None:
    """With another input it is refused. That the same input is the same execution, on AWS, moto does not imitate."""
    definition = until_begun("drill")
    definition["States"]["Begin"] = {"Type": "Wait", "Seconds": 3600, "End": True}
    with machine(definition, {}, pace=1.0, name="named") as on:
        once = on.start({"reason": "real"}, name="drill-by-ann")
        with pytest.raises(ClientError) as refused:
            on.start({"reason": "another"}, name="drill-by-ann")
        assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"
        assert on.executions() == [once]
        on.stop(once)
