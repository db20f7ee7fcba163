"""Events out: each fits its schema, each schema's example is what the code says, and no failure to put one harms."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
import yaml
from jsonschema import Draft202012Validator
from relight import news
from relight.clients import client
from relight.errors import InputInvalid
from relight.news import Entry, News, Origin
from relight.question import Answer, Reply
from relight.run import Mode

from lab.target_input import target_input
from tests.unit.announcements import (
    AGE,
    ANSWER,
    APPROVED,
    DRILLED,
    FOLDER,
    LAG,
    OF,
    QUESTION,
    QUOTA,
    SHOP,
    UNWELL,
    WELL,
    check,
    detail,
    drilled,
    ending,
    event,
    examples,
    schema,
)
from tests.unit.conftest import Clients
from tests.unit.notices import EMERGENCY, PLANNED, RUN
from tests.unit.standby import HERE, HOME, NOW

type Bus = Callable[..., list[dict[str, Any]]]

EVIL = "\x1b[2J all is well\n<b>" + "x" * 5000


def strict(given: Any) -> Any:
    """The schema without room for a property that it does not name."""
    if isinstance(given, list):
        return [strict(one) for one in given]
    if not isinstance(given, dict):
        return given
    closed = {"additionalProperties": False} if isinstance(given.get("properties"), dict) else {}
    return {key: strict(value) for key, value in given.items()} | closed


def problems(entry: Entry) -> list[str]:
    """How an entry contradicts its schema."""
    validator = Draft202012Validator(strict(schema(News(entry["DetailType"]).schema)))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(detail(entry))]


def changed(before: dict[str, Any] | None, now: dict[str, Any]) -> Entry:
    entry = news.readiness_changed(SHOP, before, now)
    assert entry is not None
    return entry


# Schemas and examples.


def test_each_kind_has_a_schema_and_each_schema_a_kind() -> None:
    assert {file.name for file in FOLDER.glob("*.json")} == {kind.schema for kind in News}
    for kind in News:
        described = schema(kind.schema)
        Draft202012Validator.check_schema(described)
        assert described["title"] == kind.value
        assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert described["required"] == list(described["properties"]), "everything is always there, if only as null"


def test_each_schema_shows_what_the_code_says() -> None:
    """`python -m tests.unit.announcements` brings them up to date."""
    said = {entry["DetailType"]: detail(entry) for entry in examples()}
    assert said.keys() == set(News)
    for kind in News:
        assert schema(kind.schema)["examples"] == [said[kind]], kind


def test_the_page_names_each_kind_with_its_own_properties() -> None:
    page = (FOLDER / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[`([^`]+)`\]\([a-z-]+\.json\) \|[^|]*\| ([^|]*) \|$", page, re.MULTILINE))
    assert rows.keys() == set(News)
    everywhere = {"version", "application", "region", "run", "at", "sentence"}
    for kind in News:
        own = [name for name in schema(kind.schema)["properties"] if name not in everywhere]
        assert re.findall(r"`(\w+)`", rows[kind]) == own, kind


STAYED = Answer(Reply.STAY, EVIL, EVIL, NOW, "way_home_open")
NOBODY = Answer(Reply.UNANSWERED, "nobody", "no answer in time", NOW, "application_lost")
UNSEEN = {"rto_seconds": None, "rpo_seconds": None, "estimated_loss_seconds": None}
FAILED = ending() | UNSEEN | {"status": "FAILED", "finding": "error"}
MANY = {**UNWELL, "checks": [check(f"check_{number}", "FAIL", EVIL, EVIL) for number in range(300)]}


@pytest.mark.parametrize(
    "entry",
    [
        *examples(),
        news.run_started(SHOP, replace(OF, kind="drill"), "manual", EVIL, NOW),
        news.run_decided(SHOP, OF, {**EMERGENCY, "action": "proceed"}, NOW),
        news.run_decided(SHOP, OF, {}, NOW),
        news.run_decided(SHOP, OF, {"estimated_loss_seconds": float("nan"), "sentence": EVIL}, NOW),
        news.question_asked(SHOP, OF, replace(QUESTION, asked=8, sentence=EVIL)),
        news.question_answered(SHOP, OF, STAYED),
        news.question_answered(SHOP, OF, NOBODY),
        news.region_active(SHOP, OF, HOME, None, NOW),
        news.ended(SHOP, RUN, FAILED, "s3://b/k"),
        news.ended(SHOP, RUN, ending() | {"kind": "failback", "rpo_seconds": 3}, "s3://b/k"),
        news.ended(SHOP, RUN, {}, "s3://b/k"),
        news.ended(SHOP, DRILLED, drilled() | {"drill": None, "status": "STOOD_DOWN"}, "s3://b/k"),
        news.ended(
            SHOP, DRILLED, drilled(kind="promote", promote_seconds=61, left_over=["shop-dr-drill-5"]), "s3://b/k"
        ),
        changed(None, WELL),
        changed(UNWELL, WELL),
        changed(WELL, MANY),
    ],
)
def test_each_entry_fits_its_schema_and_the_bus(entry: Entry) -> None:
    assert problems(entry) == []
    assert entry["Source"] == "relight"
    assert len(entry["Detail"].encode()) < 200_000, "an entry may have 256 kB"
    assert detail(entry)["sentence"].isprintable()


# What they say.


def test_an_entry_says_when_where_and_of_which_run() -> None:
    entry = news.run_started(Origin("shop", HERE), OF, "automatic", "both views are DOWN", NOW)
    said = detail(entry)
    assert (said["application"], said["region"], said["at"], said["version"]) == ("shop", HERE, NOW, "1")
    assert said["run"] == {"id": RUN.id, "epoch": 4, "kind": "failover", "mode": "planned"}
    assert entry["Resources"] == [RUN.owner]
    assert event(entry)["time"] == "2026-09-21T14:13:20Z"


def test_no_event_holds_the_token() -> None:
    assert QUESTION.token not in json.dumps(event(news.question_asked(SHOP, OF, QUESTION)))


def test_a_drill_s_end_is_news_of_its_own_kind_and_names_what_is_left() -> None:
    entry = news.ended(SHOP, DRILLED, drilled(left_over=["shop-dr-drill-5"]), "s3://b/k")
    said = detail(entry)
    assert entry["DetailType"] == "Relight Drill Ended"
    assert (said["drill"], said["restore_seconds"], said["promote_seconds"]) == ("restore", 840.5, None)
    assert said["left_over"] == ["shop-dr-drill-5"]
    assert said["run"]["mode"] is None


def test_what_was_not_measured_is_null() -> None:
    said = detail(news.ended(SHOP, RUN, FAILED, "s3://b/k"))
    assert (said["rto_seconds"], said["rpo_seconds"]) == (None, None)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (WELL, WELL),
        (UNWELL, {**UNWELL, "at": NOW + 1800}),
        (WELL, {**WELL, "checks": [{**LAG, "sentence": "the replica is 2 s behind"}]}),
        (UNWELL, {**UNWELL, "checks": [QUOTA, {**AGE, "sentence": "the AMI is 201 days old"}]}),
    ],
)
def test_readiness_that_stays_as_it_was_is_no_news(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert news.readiness_changed(SHOP, before, now) is None
    assert news.readiness_changed(SHOP, news.heard(before), now) is None


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        (WELL, UNWELL, f"{HERE} is NOT ready, score 75 of 100: failing vcpu_quota; warned of image_age"),
        (UNWELL, WELL, f"{HERE} is ready, score 100 of 100"),
        (UNWELL, {**UNWELL, "score": 95, "checks": [AGE]}, f"{HERE} is ready, score 95 of 100: warned of image_age"),
        (None, WELL, f"{HERE} is ready, score 100 of 100"),
        (
            {**UNWELL, "checks": [{**QUOTA, "level": "WARN"}]},
            {**UNWELL, "checks": [QUOTA]},
            f"{HERE} is NOT ready, score 75 of 100: failing vcpu_quota",
        ),
    ],
)
def test_readiness_that_has_changed_is_told(before: dict[str, Any] | None, now: dict[str, Any], sentence: str) -> None:
    said = detail(changed(before, now))
    assert before is None or detail(changed(news.heard(before), now)) == said
    assert said["sentence"] == sentence
    assert said["ready"] is ("NOT" not in sentence)
    assert (said["was"] is None) is (before is None)


def test_in_the_active_region_nothing_is_judged_and_nothing_is_told() -> None:
    active = {**WELL, "on_duty": False, "checks": [check("off_duty", "PASS")]}
    assert news.readiness_changed(SHOP, UNWELL, active) is None
    assert detail(changed(active, WELL))["was"] is None
    assert detail(changed(news.heard(active), WELL))["was"] is None


def test_what_fails_comes_first_and_a_check_that_passes_not_at_all() -> None:
    said = detail(changed(WELL, UNWELL))
    assert [one["name"] for one in said["checks"]] == ["vcpu_quota", "image_age"]
    assert said["was"] == {"score": 100, "ready": True}


# As the state machine has them told.


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"news": "started", "trigger": "automatic", "reason": "alarm: relight-shop-endpoint"}, News.RUN_STARTED),
        ({"news": "started"}, News.RUN_STARTED),
        ({"news": "decided", "decision": APPROVED}, News.RUN_DECIDED),
        ({"news": "active", "decision": PLANNED}, News.REGION_ACTIVE),
        ({"news": "active"}, News.REGION_ACTIVE),
    ],
)
def test_the_state_machine_tells_by_the_input_of_record(given: dict[str, Any], kind: News) -> None:
    entry = news.from_event(SHOP, replace(RUN, mode=Mode.EMERGENCY), given, HOME, NOW)
    assert entry["DetailType"] == kind
    assert problems(entry) == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"news": "decided"},
        {"news": "decided", "decision": 3},
        {"news": "decided", "decision": PLANNED},  # it asks, and that is news of another kind
        {"news": ["active"]},
    ],
)
def test_anything_else_is_bad_input(given: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match="started, decided"):
        news.from_event(SHOP, RUN, given, HOME, NOW)


# On the bus.


@pytest.fixture
def bus(aws: None, clients: Clients) -> Bus:
    """`heard(pattern, *entries)`: what a rule with that pattern hands on of what is put."""
    sqs: Any = boto3.client("sqs", region_name=HERE)
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events: Any = clients("events", HERE)

    def heard(pattern: dict[str, Any], *entries: Entry) -> list[dict[str, Any]]:
        events.put_rule(Name="rule", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="rule", Targets=[{"Id": "queue", "Arn": arn}])
        assert news.put(events, entries) is None
        found: list[dict[str, Any]] = []
        while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            found += [json.loads(message["Body"]) for message in got]
            for message in got:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return heard


def test_more_than_ten_are_put_and_heard_whole(bus: Bus) -> None:
    entries = [*examples(), *examples()]
    heard = bus({"source": ["relight"]}, *entries)
    assert sorted(one["detail-type"] for one in heard) == sorted(entry["DetailType"] for entry in entries)
    ended = next(one for one in heard if one["detail-type"] == News.RUN_ENDED)
    assert ended["detail"] == schema(News.RUN_ENDED.schema)["examples"][0]
    assert ended["resources"] == [RUN.owner]


def rule(name: str) -> dict[str, Any]:
    """The properties of a rule on the page."""
    page = (FOLDER / "README.md").read_text()
    found = re.search(rf"<!-- rule: {name} -->\n```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    (made,) = yaml.safe_load(found[1]).values()
    return dict(made["Properties"])


QUIET = [entry for entry in examples() if entry["DetailType"] != News.READINESS_CHANGED]
LOUD = [
    news.question_asked(SHOP, OF, replace(QUESTION, urgency=type(QUESTION.urgency).LAST)),
    news.ended(SHOP, RUN, FAILED, "s3://b/k"),
    news.ended(SHOP, DRILLED, drilled() | {"status": "FAILED"}, "s3://b/k"),
    changed(WELL, UNWELL),
]


def test_the_pager_of_the_page_is_called_by_what_presses_and_nothing_else(bus: Bus) -> None:
    heard = bus(rule("pager")["EventPattern"], *QUIET, *LOUD, changed(UNWELL, WELL))
    assert sorted(one["detail-type"] for one in heard) == sorted(entry["DetailType"] for entry in LOUD)


def test_the_chat_of_the_page_hears_all_but_drills_that_went_well(bus: Bus) -> None:
    heard = bus(rule("chat")["EventPattern"], *examples(), *LOUD)
    expected = [entry for entry in (*examples(), *LOUD) if entry["DetailType"] != News.DRILL_ENDED] + [LOUD[2]]
    assert sorted(one["detail-type"] for one in heard) == sorted(entry["DetailType"] for entry in expected)


@pytest.mark.parametrize("name", ["pager", "chat"])
def test_what_the_page_makes_of_an_event_is_what_the_tool_takes(name: str) -> None:
    (target,) = rule(name)["Targets"]
    said = news.question_answered(SHOP, OF, replace(ANSWER, because='it says "no"'))
    made = target_input(target, event(said))
    body = json.loads(made) if isinstance(made, str) else made
    assert detail(said)["sentence"] in {body.get("text"), body.get("payload", {}).get("summary")}


def test_what_the_bus_refuses_is_a_sentence(aws: None, clients: Clients) -> None:
    good = news.run_decided(SHOP, OF, APPROVED, NOW)
    broken: Entry = {**good, "Detail": "{"}
    said = news.put(clients("events", HERE), [good, broken])
    assert said is not None
    assert said.startswith("events: 1 of 2 were refused: ")


def test_a_bus_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = news.put(client("events", HERE, connect=1, read=1, attempts=1), examples())
    assert said is not None
    assert said.startswith("events: EndpointConnectionError: ")


def test_nothing_to_put_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert news.put(client("events", HERE, connect=1, read=1, attempts=1), []) is None
