"""What is true of every definition without running it, and that what is wrong with one is found.

What holds for each file of statemachine/ is tested for each that there is; the rest is about one of them.
"""

import copy
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
import yaml
from cfnlint.api import lint  # type: ignore[import-untyped]
from relight import asking, errors, probe

from lab.template import load as load_template
from tests.statemachine.harness import block_problems, definition_problems, load, substitution_problems
from tests.statemachine.standby import DEFINITION, substitutions
from tests.template.region import region

ROOT = Path(__file__).parents[2]
# Before the name of an error of a service's own, by what a task's Resource begins with.
PREFIXES = {
    "arn:aws:states:::lambda:": "Lambda.",
    "arn:aws:states:::dynamodb:": "DynamoDB.",
    "arn:aws:states:::sns:": "SNS.",
    "arn:aws:states:::aws-sdk:sfn:": "Sfn.",
    "arn:aws:states:::aws-sdk:cloudwatch:": "CloudWatch.",
}
# Where a handler's call to its own Region may fail with an error that boto3 makes from the service's model.
CALLED_BY_HANDLERS = ("autoscaling", "cloudwatch", "rds", "dynamodb")

# A condition that ends a loop in time: a deadline, or the end of another execution, which has a deadline of its own.
_CLOCK = r"\$millis\(\) > \$(deadline|((decide|quiesce|harden|lock)_)?by|ask_until)\b|\$switched\.status = \"RUNNING\""

DEFINITIONS = sorted((ROOT / "statemachine").glob("*.asl.yaml"))
WAY_HOME = DEFINITION.with_name("failback.asl.yaml")
# What each of them does where it cannot go on.
WAYS_BACK = {
    DEFINITION.name: {"Undo"},
    WAY_HOME.name: {"Put capacity back", "Let the other side go"},
    "drill.asl.yaml": {"Take everything away"},
}
each_definition = pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.name.removesuffix(".asl.yaml"))

type State = Mapping[str, Any]


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    return load(DEFINITION, substitutions())


@pytest.fixture(scope="module")
def resources() -> dict[str, dict[str, Any]]:
    return load_template(ROOT / "stacks" / "failover.yaml").resources


def states(block: Mapping[str, Any], caught: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Each state, and whether a Parallel around it catches what it does not catch itself."""
    for name, state in block["States"].items():
        yield name, state, caught
        for branch in state.get("Branches", []):
            yield from states(branch, caught or "Catch" in state)


def blocks(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield block
    for state in block["States"].values():
        for branch in state.get("Branches", []):
            yield from blocks(branch)


def habit_problems(definition: Mapping[str, Any]) -> list[str]:
    """What Step Functions would accept, and the person on call would not."""
    return [f"{name}: {problem}" for name, state, caught in states(definition) for problem in _habits(state, caught)]


def _habits(state: State, caught: bool) -> Iterator[str]:
    if not state.get("Comment"):
        yield "no Comment"
    if state["Type"] != "Task":
        return
    if not state.get("Retry"):
        yield "no Retry"
    if any("JitterStrategy" not in retry for retry in state.get("Retry", [])):
        yield "a Retry without JitterStrategy"
    if any("States.ALL" in retry["ErrorEquals"] for retry in state.get("Retry", [])):
        yield "a Retry of States.ALL would repeat refusals too"
    catches = [name for catch in state.get("Catch", []) for name in catch["ErrorEquals"]]
    if "States.ALL" not in catches and not caught:
        yield "nothing catches what is not foreseen"


def error_problems(definition: Mapping[str, Any]) -> list[str]:
    """Names in Catch and Retry that nothing raises."""
    return [
        f"{name}: nothing raises {error}"
        for name, state, _ in states(definition)
        for clause in [*state.get("Catch", []), *state.get("Retry", [])]
        for error in clause["ErrorEquals"]
        if not _is_raised(error, state)
    ]


def _is_raised(error: str, state: State) -> bool:
    if error.startswith("States."):
        return error in {"States.ALL", "States.Timeout"}
    resource = state.get("Resource", "")
    if any(error.startswith(prefix) for start, prefix in PREFIXES.items() if resource.startswith(start)):
        return True
    if resource.endswith(".waitForTaskToken") and error in _answered_with():
        return True
    return resource.startswith("arn:aws:states:::lambda:") and error in _raised_by_handlers()


@cache
def _answered_with() -> frozenset[str]:
    """What a person is told to answer a question with, and what `probe` calls one back with."""
    told = re.findall(r"--error (\w+)", inspect.getsource(asking))
    return frozenset(told + re.findall(r'error="(\w+)"', inspect.getsource(probe)))


@cache
def _raised_by_handlers() -> frozenset[str]:
    own = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    boto = {name for name, kind in vars(botocore.exceptions).items() if isinstance(kind, type)}
    session = botocore.session.get_session()
    modelled = {
        str(shape.name) for name in CALLED_BY_HANDLERS for shape in session.get_service_model(name).error_shapes
    }
    return frozenset(own | boto | modelled | {"Sandbox.Timedout"})


def endless_loops(definition: Mapping[str, Any]) -> list[str]:
    """States on a loop that no deadline ends."""
    return [name for block in blocks(definition) for name in _looping(block)]


def _looping(block: Mapping[str, Any]) -> list[str]:
    ahead = {name: _next(state) for name, state in block["States"].items() if not _watches_the_clock(state)}
    while leaves := [name for name, targets in ahead.items() if not targets & ahead.keys()]:
        for name in leaves:
            del ahead[name]
    return sorted(ahead)


def _next(state: State) -> set[str]:
    clauses = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {clause["Next"] for clause in clauses if "Next" in clause} | (
        {state["Default"]} if "Default" in state else set()
    )


def _watches_the_clock(state: State) -> bool:
    conditions = [str(choice.get("Condition")) for choice in state.get("Choices", [])]
    return any(re.search(_CLOCK, condition) for condition in conditions)


def lint_problems(definition: Mapping[str, Any]) -> list[str]:
    """What cfn-lint says of it as a CloudFormation resource; in AWS::Serverless::StateMachine it does not look."""
    known = copy.deepcopy(dict(definition))
    # Its schema has only numbers there; Step Functions takes JSONata that evaluates to one.
    for _, state, _ in states(known):
        for name in ("TimeoutSeconds", "HeartbeatSeconds"):
            if str(state.get(name)).startswith("{%"):
                state[name] = 1
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"Definition": known, "RoleArn": "arn:aws:iam::123456789012:role/machine"},
    }
    return [
        f"{match.rule.id} {match.message}"
        for match in lint(json.dumps({"Resources": {"Machine": machine}}), regions=["eu-central-1"])
        if match.rule.id == "E3601"
    ]


def substitutions_of(resources: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = resources["Failover"]["Properties"]["DefinitionSubstitutions"]
    return given


def machines_of(path: Path) -> list[Mapping[str, Any]]:
    """The properties of the state machines that the DR Region makes of that file."""
    found = region("dr").of("AWS::StepFunctions::StateMachine").values()
    return [each for each in found if (ROOT / each["DefinitionS3Location"]["Key"]) == path]


def as_deployed(path: Path) -> dict[str, Any]:
    (machine,) = machines_of(path)
    return load(path, machine["DefinitionSubstitutions"])


def repeated_keys(text: str) -> list[str]:
    """Keys that a mapping of the YAML has twice: the last one would win, without a word."""
    found: list[str] = []
    ahead = [yaml.compose(text, yaml.SafeLoader)]
    while ahead:
        node = ahead.pop()
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            found += sorted({name for name in names if names.count(name) > 1})
            ahead += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            ahead += node.value
    return found


# Each definition as it is deployed.


def test_there_are_definitions() -> None:
    assert {DEFINITION, WAY_HOME} <= set(DEFINITIONS)


@each_definition
def test_a_definition_is_deployed_by_one_state_machine(path: Path) -> None:
    assert len(machines_of(path)) == 1


@each_definition
def test_the_definition_has_no_problems(path: Path) -> None:
    assert repeated_keys(path.read_text()) == []
    assert definition_problems(as_deployed(path)) == []


@each_definition
def test_it_has_the_habits_that_each_state_must_have(path: Path) -> None:
    assert habit_problems(as_deployed(path)) == []


@each_definition
def test_each_error_that_it_waits_for_is_raised_by_something(path: Path) -> None:
    assert error_problems(as_deployed(path)) == []


@each_definition
def test_each_loop_has_a_deadline(path: Path) -> None:
    assert endless_loops(as_deployed(path)) == []


@each_definition
def test_cloudformation_accepts_it(path: Path) -> None:
    assert lint_problems(as_deployed(path)) == []


@each_definition
def test_the_template_gives_each_substitution_and_no_other(path: Path) -> None:
    (machine,) = machines_of(path)
    assert substitution_problems(path.read_text(), machine["DefinitionSubstitutions"]) == []


@each_definition
def test_no_branch_assigns_a_variable_of_what_is_around_it(path: Path) -> None:
    """Step Functions refuses a definition whose inner scope shadows an outer one; the executor in here does not."""
    outer, *inner = (
        {name for state in block["States"].values() for name in assigned(state)} for block in blocks(as_deployed(path))
    )
    assert [shadowed for names in inner if (shadowed := names & outer)] == []


@each_definition
def test_an_expired_lock_has_no_living_owner(path: Path) -> None:
    """The lock outlives the longest execution that may hold it."""
    definition = as_deployed(path)
    for name in ("Take lock", "Take over the lock"):
        expiry = definition["States"][name]["Arguments"]["ExpressionAttributeValues"][":expires"]["N"]
        assert int(re.findall(r"\+ (\d+)", expiry)[0]) > definition["TimeoutSeconds"]


@each_definition
def test_every_error_after_the_lock_reaches_the_release(path: Path) -> None:
    """From each state behind the lock every way leads through `Release lock` to its end, or to another's lock."""
    top = as_deployed(path)["States"]
    seen: set[str] = set()
    ahead = ["Open the run"]
    while ahead:
        name = ahead.pop()
        if name in seen or name in {"Release lock", "Take lock"}:
            continue
        seen.add(name)
        assert top[name]["Type"] not in ("Succeed", "Fail"), f"{name} ends the run with the lock held"
        ahead.extend(_next(top[name]))
    assert {"Record", "Ask a person", *WAYS_BACK[path.name]} <= seen


# The failback's.


def test_a_failback_waits_for_as_long_as_a_step_asked_for_and_less_and_less_often() -> None:
    """No timing of its own, so that the lab can scale all of them; and an execution holds 25,000 events."""
    found = {name: state["Seconds"] for name, state, _ in states(as_deployed(WAY_HOME)) if state["Type"] == "Wait"}
    tenth, thirtieth = (f"$floor(($millis() - $began) / {part}000)" for part in (10, 30))
    assert found == {
        "Wait": f"{{% $min([900, $max([$said.look_again_seconds, {tenth}])]) %}}",
        "Wait for the lock": f"{{% $max([1, {tenth}]) %}}",
        "Wait for the switchover": f"{{% $max([1, {thirtieth}]) %}}",
    }


def test_a_failback_changes_nothing_before_it_has_looked_at_both_sides() -> None:
    """Each thing that it does for good comes behind `Ready to go home`, whichever way leads there."""
    top = as_deployed(WAY_HOME)["States"]
    seen: set[str] = set()
    ahead = [as_deployed(WAY_HOME)["StartAt"]]
    while ahead:
        name = ahead.pop()
        # Behind the switchover the lock is taken once more: that comes after all of this.
        if name not in seen and name not in {"Ready to go home", "How did the switchover end"}:
            seen.add(name)
            ahead.extend(_next(top[name]))
    tasks = {name for name in seen if top[name]["Type"] == "Task"}
    assert tasks == {
        "Hear the other side",
        "Take lock",
        "Who holds the lock",
        "Is its owner alive",
        "Take over the lock",
        "Say that it has begun",
    }


# The failover's.


def test_each_wait_is_a_substitution_or_what_a_step_asked_for(definition: dict[str, Any]) -> None:
    """No timing of its own, so that the lab can scale all of them."""
    waits = [state["Seconds"] for _, state, _ in states(definition) if state["Type"] == "Wait"]
    assert waits
    asked = r"\$\w+\.look_again_seconds"
    hundredth = r"\$floor\(\(\$millis\(\) - \$(started|decided|proven)\) / 100000\)"
    scaled = rf"\$max\(\[{asked}, {hundredth}\]\)"
    strictly = rf"\(\$asked_for := {asked}; \$grown := {hundredth}; \$grown > \$asked_for \? \$grown : \$asked_for\)"
    assert all(re.fullmatch(rf"\{{% ({asked}|{scaled}|{strictly}) %\}}", str(seconds)) for seconds in waits)


def assigned(state: State) -> set[str]:
    clauses = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {name for clause in clauses for name in clause.get("Assign", {})}


def test_only_these_states_touch_the_peer(definition: dict[str, Any], resources: dict[str, Any]) -> None:
    """Nothing else of the failover needs the lost Region (rule 1); these do so at best effort."""
    given = substitutions_of(resources)
    function_of = {substitutions()[name]: json.dumps(value) for name, value in given.items()}
    reaching = {
        name
        for name, state, _ in states(definition)
        if state["Type"] == "Task" and ":::lambda:invoke" in state["Resource"]
        for logical_id in re.findall(r"\w+", function_of[state["Arguments"]["FunctionName"]])
        if "PeerRegion" in json.dumps(resources.get(logical_id, {}).get("Properties", {}).get("Policies", []))
    }
    scale = {
        "Warm up",
        "Bring instances into service",
        "Bring capacity up",
        "Restore capacity",
    }  # of these none does; `settle` on the way home
    switch = {"Switch to this Region", "Let traffic come", "Clear the switches"}  # nor of these; `release` there
    fence = {"Cut the old side off", "Lift the fence", "Empty the old side", "Let this side's application in"}
    quiesce = {"Stop writes", "See the last write arrive", "Let writes in"}
    record = {"Ask a person", "Note the answer", "Say that this Region serves", "Record"}
    news = {"Say that it has begun", "Say what was decided"}
    assert reaching == {"Gather and decide", "Harden the database"} | fence | quiesce | record | news | scale | switch


# What is wrong is found.


def dangle(definition: dict[str, Any]) -> None:
    definition["States"]["What was decided"]["Choices"][0]["Next"] = "Swich and fence"


def strand(definition: dict[str, Any]) -> None:
    choices = definition["States"]["What was decided"]["Choices"]
    choices.remove(next(choice for choice in choices if choice["Next"] == "Ask a person"))


def forget_timeout(definition: dict[str, Any]) -> None:
    del definition["States"]["Record"]["TimeoutSeconds"]


def break_query(definition: dict[str, Any]) -> None:
    definition["States"]["How did it end"]["Choices"][0]["Condition"] = "{% $end.status = ( %}"


def break_query_in_a_branch(definition: dict[str, Any]) -> None:
    branch = definition["States"]["Prove it"]["Branches"][0]["States"]
    branch["Wait for a write"]["Seconds"] = "{% $verified..{ %}"


def forget_the_machines_timeout(definition: dict[str, Any]) -> None:
    del definition["TimeoutSeconds"]


def forget_default(definition: dict[str, Any]) -> None:
    del definition["States"]["How did it end"]["Default"]


def begin_elsewhere(definition: dict[str, Any]) -> None:
    definition["States"]["Undo"]["Branches"][0]["StartAt"] = "Restore"


def say_it_in_a_sentence(definition: dict[str, Any]) -> None:
    definition["States"]["Failed"]["Cause"] = "because {% $end.sentence %}"


def misspell_a_variable(definition: dict[str, Any]) -> None:
    definition["States"]["Failed"]["Cause"] = "{% $ende.sentence %}"


def look_into_a_branch(definition: dict[str, Any]) -> None:
    definition["States"]["Failed"]["Cause"] = "{% $verdict.sentence %}"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (forget_the_machines_timeout, "top level: no TimeoutSeconds"),
        (forget_default, "How did it end: Choice without Default"),
        (begin_elsewhere, "Undo, branch 1: StartAt names no state Restore"),
        (say_it_in_a_sentence, "JSONata is not the whole of it"),
        (misspell_a_variable, "Failed: nothing assigns $ende"),
        (look_into_a_branch, "Failed: nothing assigns $verdict"),
        (dangle, "What was decided: no such state Swich and fence"),
        (strand, "Ask a person: unreachable"),
        (forget_timeout, "Record: Task without TimeoutSeconds"),
        (break_query, "$end.status = ("),
        (break_query_in_a_branch, "$verified..{"),
    ],
)
def test_a_broken_definition_is_found(
    definition: dict[str, Any], spoil: Callable[[dict[str, Any]], None], problem: str
) -> None:
    broken = copy.deepcopy(definition)
    spoil(broken)
    assert any(problem in found for found in definition_problems(broken))


@each_definition
def test_each_task_that_has_no_timeout_is_found(path: Path) -> None:
    sound = as_deployed(path)
    tasks = [name for name, state, _ in states(sound) if state["Type"] == "Task"]
    assert tasks
    for task in tasks:
        broken = copy.deepcopy(sound)
        for name, state, _ in states(broken):
            if name == task:
                state.pop("TimeoutSeconds")
        assert [problem for problem in block_problems(broken) if problem.startswith(task)] == [
            f"{task}: Task without TimeoutSeconds"
        ]


def test_a_key_that_is_given_twice_is_found() -> None:
    assert repeated_keys("States:\n  One: {Type: Pass}\n  Two: [{a: 1, a: 2}]\n  One: {Type: Fail}\n") == ["One", "a"]


def forget_comment(definition: dict[str, Any]) -> None:
    del definition["States"]["Undo"]["Branches"][0]["States"]["Not restored"]["Comment"]


def forget_jitter(definition: dict[str, Any]) -> None:
    del definition["States"]["Record"]["Retry"][0]["JitterStrategy"]


def forget_catch(definition: dict[str, Any]) -> None:
    del definition["States"]["Prove it"]["Catch"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (forget_comment, "Not restored: no Comment"),
        (forget_jitter, "Record: a Retry without JitterStrategy"),
        (forget_catch, "Verify writes: nothing catches what is not foreseen"),
    ],
)
def test_a_missing_habit_is_found(
    definition: dict[str, Any], spoil: Callable[[dict[str, Any]], None], problem: str
) -> None:
    broken = copy.deepcopy(definition)
    spoil(broken)
    assert problem in habit_problems(broken)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("Record", "RecordIncomplet"),
        ("Take lock", "Dynamo.ConditionalCheckFailedException"),
        ("Ask a person", "Refused"),
        ("Prove it", "RunSuperseded"),  # a Parallel ends with what its branches raise; only States.ALL is foreseen
    ],
)
def test_a_catch_of_an_error_that_nothing_raises_is_found(definition: dict[str, Any], state: str, error: str) -> None:
    broken = copy.deepcopy(definition)
    broken["States"][state]["Catch"][0]["ErrorEquals"] = [error]
    assert error_problems(broken) == [f"{state}: nothing raises {error}"]


def test_a_loop_without_a_deadline_is_found(definition: dict[str, Any]) -> None:
    broken = copy.deepcopy(definition)
    broken["States"]["Prove it"]["Branches"][1]["States"]["Is traffic here"]["Choices"].pop(1)
    assert endless_loops(broken) == ["Confirm traffic", "Is traffic here", "Wait for DNS"]


def test_a_missing_and_an_unused_substitution_are_found(resources: dict[str, Any]) -> None:
    given = {**substitutions_of(resources), "Idle": "0"}
    del given["RunSeconds"]
    assert substitution_problems(DEFINITION.read_text(), given) == [
        "${RunSeconds} has no substitution",
        "the substitution Idle is not used",
    ]


def test_what_cloudformation_refuses_is_found(definition: dict[str, Any]) -> None:
    broken = copy.deepcopy(definition)
    broken["States"]["Stand down"]["Type"] = "Passs"
    assert lint_problems(broken)
