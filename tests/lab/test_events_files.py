"""The events in events/: each is accepted by whoever gets it, and nothing that is called or triggered has none."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.events.models import EventPattern
from relight import assess
from relight.answering import answer_of
from relight.asking import Request
from relight.dbcheck import Check
from relight.drill import Kind
from relight.drill_question import DrillRequest
from relight.evidence import End
from relight.failback_question import FailbackRequest
from relight.health import health_event
from relight.run import Run
from relight.steps import drill, fence, quiesce, scale, survey, switch
from relight.steps.compare import Retired
from relight.walk import What

from lab.local_invoke import wanted
from lab.query import evaluate
from lab.sam_functions import ROOT, functions
from lab.template import Template, load

EVENTS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}
DR, ACCOUNT = "eu-central-1", "123456789012"
KNOWN = frozenset(functions())
BY_RULE = {"drill-over": "drill", "health-issue": "record"}
MACHINE_OF = {
    "alarm-primary-down": "failover",
    "alarm-route53-forwarded": "failover",
    "failover-manual": "failover",
    "failover-manual-planned": "failover",
    "failover-manual-forced": "failover",
    "failback-manual": "failback",
    "failback-manual-protected": "failback",
    "drill-manual": "drill",
    "drill-manual-promote": "drill",
    "schedule-drill-plan": "drill",
    "schedule-drill-restore": "drill",
}
ANSWERS = ("approval-approve", "approval-decline")
"""What a person sends to a run that waits."""

type Event = Mapping[str, Any]


def function_of(name: str) -> str | None:
    """The function that gets that event, by its name; None for what a state machine, or a waiting task, gets."""
    if name in BY_RULE:
        return BY_RULE[name]
    if name in MACHINE_OF or name in ANSWERS:
        return None
    bare = name.removeprefix("schedule-")
    found = max((of for of in KNOWN if bare == of or bare.startswith(f"{of}-")), key=len, default=None)
    assert found, f"events/{name}.json says by its name neither a function nor a trigger"
    return found


def a_question(event: Event) -> object:
    match event.get("kind"):
        case "failback":
            return FailbackRequest.from_event(event)
        case "drill":
            return DrillRequest.from_event(event)
        case _:
            return Request.from_event(event)


def record(event: Event) -> object:
    if event.get("source") == "aws.health":
        return health_event(event)
    Run.from_event(event)
    match event["what"]:
        case "ask":
            return a_question(event)
        case "answer":
            return answer_of(event, 0.0)
        case "end":
            return End(event["end"]), event["sentence"]
        case what:
            assert what in {"tell", "news"}
            assert event["news"] in {"started", "decided", "active"}
            return None


def preview_or(event: Event, of_a_run: Callable[[Event], object]) -> object:
    return None if event.get("intent") in {"preview", "sweep", "hear", "watch", "delete"} else of_a_run(event)


def judged(event: Event) -> object:
    asked = assess.asked(event, None)
    return asked if assess.is_preview(event) else Run.from_event(event)


def drilled(event: Event) -> object:
    if event.get("source") == "aws.states":  # the rule gives a constant in its place
        return None
    drill.Intent(event["intent"])
    return preview_or(event, lambda of: (Run.from_event(of), Kind(of.get("kind", "restore"))))


def surveyed(event: Event) -> object:
    survey.Intent(event["intent"])
    survey.To(event.get("to", "home"))
    return preview_or(event, Run.from_event)


def retired(event: Event) -> object:
    assert event["intent"] in {"keep", "watch", "delete"}
    return preview_or(event, Run.from_event)


def with_a_word(words: Callable[[str], object], key: str) -> Callable[[Event], object]:
    return lambda event: (Run.from_event(event), words(event[key]))


PARSERS: Mapping[str, Callable[[Event], object]] = {
    "assess": judged,
    "compare": lambda event: (Run.from_event(event), What(event["what"]), Retired.from_event(event.get("retired"))),
    "dbcheck": lambda event: Check(event.get("check", "heartbeat")),
    "drill": drilled,
    "fence": with_a_word(fence.Intent, "intent"),
    "guard": lambda event: event["source"],
    "harden": Run.from_event,
    "objects": Run.from_event,
    "probe": lambda event: event["source"],
    "promote": Run.from_event,
    "quiesce": with_a_word(quiesce.Intent, "intent"),
    "readiness": lambda event: event["source"],
    "record": record,
    "reprotect": Run.from_event,
    "retire": retired,
    "scale": with_a_word(scale.Intent, "intent"),
    "survey": surveyed,
    "switch": with_a_word(switch.Intent, "intent"),
    "verify": with_a_word(lambda what: {"writes", "traffic"}.__contains__(what) or 1 / 0, "what"),
}


@pytest.mark.parametrize("name", [name for name in EVENTS if function_of(name)])
def test_its_function_accepts_it(name: str) -> None:
    """By the function's own parsing: an error of it fails the test."""
    PARSERS[str(function_of(name))](EVENTS[name])


def test_every_function_has_an_event_and_so_has_each_of_its_intents() -> None:
    """What a function can be asked is an enum, or the words of its handler; each has a file."""
    assert {function_of(name) for name in EVENTS} - {None} == KNOWN == set(PARSERS)
    asked: dict[str, set[str]] = {}
    for name, event in EVENTS.items():
        asked.setdefault(str(function_of(name)), set()).update(
            str(event[key]) for key in ("intent", "check", "what") if key in event
        )
    for function, words in {
        "dbcheck": Check,
        "drill": drill.Intent,
        "fence": fence.Intent,
        "quiesce": quiesce.Intent,
        "scale": scale.Intent,
        "survey": survey.Intent,
        "switch": switch.Intent,
        "compare": What,
    }.items():
        assert {str(word) for word in words} <= asked[function], function
    assert asked["record"] == {"ask", "answer", "tell", "news", "end"}
    assert asked["verify"] == {"writes", "traffic"}
    assert asked["retire"] == {"keep", "watch", "delete"}


@pytest.mark.parametrize("name", MACHINE_OF)
def test_its_state_machine_takes_it_for_a_request(name: str) -> None:
    """The first choices of the machine, as they stand; whether an alarm's event is fresh is the last of them."""
    states = yaml.safe_load((ROOT / "statemachine" / f"{MACHINE_OF[name]}.asl.yaml").read_text())["States"]
    owner = f"arn:aws:states:{DR}:{ACCOUNT}:execution:relight-shop-{MACHINE_OF[name]}:one"
    context = {"Execution": {"Id": owner}}
    path = list(_path(states, {"input": EVENTS[name], "context": context}))
    if name.startswith("alarm-"):
        assert "Is the event fresh" in path
    else:
        assert states[path[-1]]["Type"] != "Fail"
        assert states[[*_path(states, {"input": {}, "context": context})][-1]]["Type"] == "Fail"


def _path(states: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """The states from the first one on, up to the first that is no choice."""
    name = "Read the request"
    yield name
    while states[name]["Type"] == "Choice":
        held = (choice["Next"] for choice in states[name]["Choices"] if _holds(choice["Condition"], given))
        name = next(held, states[name]["Default"])
        yield name


def _holds(condition: str, states: Mapping[str, Any]) -> bool:
    text = condition.strip().removeprefix("{%").removesuffix("%}").replace("${Application}", "shop")
    return evaluate(text, {"states": states}) is True


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_one_that_a_run_takes(name: str) -> None:
    """`aws stepfunctions send-task-success --task-output file://events/...`."""
    answer = answer_of({"answer": EVENTS[name]["answer"], "said": EVENTS[name], "finding": "application_lost"}, 0.0)
    assert (answer.by, answer.because) == (EVENTS[name]["by"], EVENTS[name]["because"])


def triggers() -> Iterator[tuple[str, Template, dict[str, Any]]]:
    """Each rule and schedule of the templates: where it stands, and its properties."""
    for path in (ROOT / "template.yaml", *sorted((ROOT / "stacks").glob("*.yaml"))):
        template = load(path)
        for name, resource in template.resources.items():
            properties = resource.get("Properties") or {}
            if resource["Type"] == "AWS::Events::Rule":
                yield f"{path.name} {name}", template, {"Pattern": properties["EventPattern"]}
            if resource["Type"] in {"AWS::Serverless::Function", "AWS::Serverless::StateMachine"}:
                for key, event in (properties.get("Events") or {}).items():
                    yield f"{path.name} {name}.{key}", template, event["Properties"]


@pytest.mark.parametrize(("where", "template", "properties"), list(triggers()), ids=lambda given: str(given)[:40])
def test_each_rule_and_schedule_has_an_event(where: str, template: Template, properties: dict[str, Any]) -> None:
    """A rule's event matches its pattern; a schedule's is its constant input, or names it."""
    if "Pattern" in properties:
        region = "us-east-1" if where.startswith("global") else DR
        pattern = EventPattern.load(json.dumps(_resolved(properties["Pattern"], template, region)))
        assert any(pattern.matches_event(event) for event in EVENTS.values() if "detail-type" in event), where
        assert not pattern.matches_event({**EVENTS["alarm-primary-down"], "source": "aws.ec2"})
    elif "Input" in properties:
        assert json.loads(properties["Input"]) in EVENTS.values(), where
    else:
        name = str(_resolved(properties["Name"], template, DR))
        assert any(str(event.get("resources", "")).endswith(f"/{name}']") for event in EVENTS.values()), where


def _resolved(value: Any, template: Template, region: str) -> Any:
    known = {"AWS::AccountId": ACCOUNT, "AWS::Region": region, "AWS::Partition": "aws", "Application": "shop"}
    match value:
        case {"Ref": name}:
            return known.get(name) or _resolved(template.resources[name]["Properties"]["AlarmName"], template, region)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([A-Za-z:]+)\}", lambda found: known[found[1]], text)
        case dict():
            return {key: _resolved(each, template, region) for key, each in value.items()}
        case list():
            return [_resolved(each, template, region) for each in value]
        case _:
            return value


def test_an_alarm_is_given_to_assess_as_the_state_machine_would_ask() -> None:
    """A preview with the trigger automatic; when Route 53's checkers were heard, since when they see nothing."""
    here, checkers = (wanted("assess", EVENTS[name]) for name in ("alarm-primary-down", "alarm-route53-forwarded"))
    assert here.event == {"preview": True, "trigger": "automatic"}
    assert checkers.event == {"preview": True, "trigger": "automatic", "unseen_at": 1794739267.0}
    assert "relight-shop-endpoint" in checkers.note
    assert wanted("record", EVENTS["health-issue"]).event == EVENTS["health-issue"]
    assert not wanted("assess", EVENTS["assess"]).note


def test_no_event_names_this_machine() -> None:
    """They lie in everybody's repository."""
    assert not [path for path in Path(ROOT / "events").iterdir() if re.search(r"127\.|localhost", path.read_text())]
