"""`relight failback`: which Region it is started in, what is on there already, and what the machine refuses at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from relight.head import Head
from relight_cli.aws import Aws
from relight_cli.command import run
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.failback import To
from relight_cli.going_home import GoingHome, Reading, Wanted, objection, target

from tests.cli.on_call import ME, PATIENCE, document, strangers_credentials
from tests.statemachine.harness import Machine, machine, until
from tests.unit.standby import HERE, HOME, NOW, TABLE, claims, make_ledger, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.ledger import Ledger

ROOT = Path(__file__).parents[2]
WHY = ("--reason", "the Region is back")
THERE = ("--app", "shop", "--region", HOME)
INPUT = {"reason": f"the Region is back (by {ME})", "to": "home"}
AWAY = claims(4, HERE)
DEFINITION = {
    "QueryLanguage": "JSONata",
    "StartAt": "Ready to go home",
    "TimeoutSeconds": 60,
    "States": {
        "Ready to go home": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {
                "FunctionName": "survey",
                "Payload": {
                    "me": "{% $states.context.Execution.Id %}",
                    "name": "{% $states.context.Execution.Name %}",
                    "started": "{% $states.input %}",
                },
            },
            "Output": "{% $states.result.Payload %}",
            "End": True,
        }
    },
}


class Way:
    """The home Region while a failback is on. `end` is what it comes to at once; None: it goes on until let go."""

    def __init__(self) -> None:
        self.home: Ledger
        self.dr: Ledger
        self.machine: Machine
        self.end: dict[str, Any] | None = None
        self.let_go = threading.Event()
        self.inputs: list[Any] = []

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the state machine does: it takes the lock, judges, and goes on or not."""
        self.inputs.append(event["started"])
        if self.end is not None:
            return self.end
        at_work = take_lock(self.home, event["name"], NOW, owner=event["me"])
        self.home.step_began(at_work, "retire", NOW)
        self.let_go.wait(PATIENCE)
        return {"status": "SUCCEEDED", "sentence": "home again"}


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def way() -> Iterator[Way]:
    """DR is active since epoch 4."""
    made = Way()
    with machine(DEFINITION, {"survey": made.handle}, region=HOME, name="relight-shop-failback") as running:
        made.machine = running
        made.home = make_ledger(boto3.client("dynamodb", region_name=HOME))
        made.dr = make_ledger(boto3.client("dynamodb", region_name=HERE))
        for ledger in (made.home, made.dr):
            ledger.mirror(AWAY, 0)
        try:
            yield made
        finally:
            made.let_go.set()


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


# --- Which Region it is for. Pure. ---


def read(dr: Head | None = AWAY, home: Head | None = AWAY) -> list[Reading]:
    trouble = Refused("AWS cannot be reached", code=Exit.NO_ANSWER)
    return [Reading(region, head, None if head else trouble) for region, head in ((HERE, dr), (HOME, home)) if region]


STAYED = Head(**{**AWAY.__dict__, "home": HERE})


@pytest.mark.parametrize(
    ("readings", "to", "region"),
    [
        (read(), To.HOME, HOME),
        (read(dr=None), To.HOME, HOME),
        (read(STAYED, AWAY), To.PROTECTED, HOME),
        (read(), To.PROTECTED, HOME),
        (read(claims(6, HOME), claims(6, HOME)), To.PROTECTED, HERE),
        (read(claims(4, HOME), claims(6, HERE)), To.PROTECTED, HOME),
        (read(STAYED, STAYED), To.HOME, HERE),
        ([Reading(HERE, AWAY)], To.HOME, HERE),
    ],
)
def test_it_is_for_the_home_region_or_for_the_standby(readings: list[Reading], to: To, region: str) -> None:
    assert target(readings, to).region == region


@pytest.mark.parametrize("readings", [read(home=None), read(None, None), [read(home=None)[1]]])
def test_nothing_is_started_where_the_region_s_own_ledger_does_not_answer(readings: list[Reading]) -> None:
    with pytest.raises(Refused) as refused:
        target(readings, To.HOME)
    assert refused.value.code is Exit.NO_ANSWER


@pytest.mark.parametrize(
    ("readings", "region", "to", "what"),
    [
        (read(claims(0, HOME), claims(0, HOME)), HOME, To.HOME, f"there never was a failover: {HOME} has no way home"),
        (read(), HERE, To.PROTECTED, f"{HERE} is active, and no standby"),
    ],
)
def test_what_the_ledgers_alone_forbid(readings: list[Reading], region: str, to: To, what: str) -> None:
    refused = objection(readings, region, to)
    assert refused is not None
    assert refused.code is Exit.NO_WAY_HOME
    assert refused.what.startswith(what)


@pytest.mark.parametrize("readings", [read(), read(dr=None), read(claims(5, HOME), claims(5, HOME))])
def test_where_home_is_active_the_machine_says_whether_the_pilot_is_left_to_be_lit(readings: list[Reading]) -> None:
    assert objection(readings, HOME, To.HOME) is None


# --- Begun. ---


def test_it_is_started_and_how_to_follow_it_is_printed(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["failback", *WHY, *THERE]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    owner = way.home.head().owner
    assert owner is not None
    name = owner.rpartition(":")[2]
    assert name.startswith("failback-5-")
    first, *rest = out.splitlines()
    assert first == f"{name} in {HOME} has been started, to go home, because: the Region is back"
    assert f"aws stepfunctions describe-execution --region {HOME} --execution-arn {owner}" in rest[1]
    assert rest[2].endswith(f"#/v2/executions/details/{owner}")
    assert way.inputs == [INPUT]


def test_as_json(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["failback", *WHY, *THERE, "--to", "protected", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["region"], said["to"], said["by"], said["started"]) == (HOME, "protected", ME, True)
    assert said["execution"].endswith(f":relight-shop-failback:{said['run']}")
    assert way.inputs[0]["to"] == "protected"


def test_by_samconfig_the_home_region_is_found(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", "123456789012")
    (tmp_path / "samconfig.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["failback", *WHY, "--env", "prod"]) == Exit.DONE
    assert way.inputs == [INPUT]


def test_what_was_reviewed_goes_along(way: Way, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "reviewed").write_text("# by ann\nmissing_row:shop_order:7\nschema:shop_order  # an index\n")
    assert run(["failback", *WHY, *THERE, "--accept", str(tmp_path / "reviewed")]) == Exit.DONE
    assert way.inputs == [{**INPUT, "accept": ["missing_row:shop_order:7", "schema:shop_order"]}]
    assert "  accepted differences: 2" in capfd.readouterr().out


def test_asked_for_again_in_the_same_words_it_is_the_same_run(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["failback", *WHY, *THERE]) == Exit.DONE
    first = capfd.readouterr().out.split()[0]
    assert run(["failback", *WHY, *THERE]) == Exit.DONE
    assert capfd.readouterr().out.startswith(f"{first} in {HOME} is on already, to go home")
    assert way.inputs == [INPUT]


def test_another_one_is_named_and_nothing_is_started(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["failback", *WHY, *THERE]) == Exit.DONE
    name = capfd.readouterr().out.split()[0]
    assert run(["failback", "--reason", "now", *THERE]) == Exit.RUN_ON
    said = complaint(capfd)
    assert f": {name} (asked for: the Region is back (by {ME}))" in said
    assert "describe-execution" in said
    assert len(way.inputs) == 1


def test_of_two_starts_in_one_minute_before_the_lock_is_taken_one_is_refused(way: Way) -> None:
    """The name is taken, and the ledger does not know it yet."""
    way.end = {"status": "SUCCEEDED", "sentence": "x"}
    shop = Deployed("shop", (HOME,))
    going = GoingHome(shop, Aws(), lambda _: None, clock=lambda: NOW)
    begun = going.begin(Wanted(To.HOME, "first"))
    assert going.begin(Wanted(To.HOME, "first")).execution == begun.execution
    with pytest.raises(Refused) as refused:
        going.begin(Wanted(To.HOME, "second"))
    assert refused.value.code is Exit.RUN_ON
    assert begun.run in refused.value.what


def test_a_dead_run_s_lock_keeps_nobody_from_starting(way: Way) -> None:
    take_lock(way.home, "failback-4-1", NOW, owner=f"{way.machine.arn.replace('stateMachine', 'execution')}:gone")
    assert run(["failback", *WHY, *THERE]) == Exit.DONE


def test_a_drill_is_named_as_such(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    drill = way.machine.beside(DEFINITION, "relight-shop-drill")
    owner = drill.start({}, "drill-1")
    until(lambda: way.home.head().owner == owner, "the drill has the lock", PATIENCE)
    assert run(["failback", *WHY, *THERE]) == Exit.RUN_ON
    assert complaint(capfd).startswith(f"a drill is on in {HOME}")


# --- Refused by the state machine. ---


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"status": "STOOD_DOWN", "finding": "AlreadyActive", "sentence": "it is active"}, Exit.NO_WAY_HOME),
        ({"status": "STOOD_DOWN", "finding": "NeverFailedOver", "sentence": "no run has"}, Exit.NO_WAY_HOME),
        ({"status": "STOOD_DOWN", "finding": "DrillInProgress", "sentence": "a drill"}, Exit.RUN_ON),
        ({"status": "STOOD_DOWN", "finding": "AnotherRunInProgress", "sentence": "another"}, Exit.RUN_ON),
        ({"status": "ALREADY_IN_PROGRESS", "finding": "in_progress", "sentence": "already"}, Exit.RUN_ON),
        ({"status": "STOOD_DOWN", "finding": "PeerUnreachable", "sentence": "no answer"}, Exit.OTHERWISE),
    ],
)
def test_what_it_refuses_at_once_is_told_at_once(
    way: Way, capfd: pytest.CaptureFixture[str], end: dict[str, Any], code: Exit
) -> None:
    way.end = end
    assert run(["failback", *WHY, *THERE]) == code
    assert complaint(capfd).endswith(f"in {HOME} ended {end['status']}: {end['sentence']}")


def test_the_page_names_each_refusal_with_its_exit_code() -> None:
    page = (ROOT / "docs/failback.md").read_text()
    for finding, code in (
        ("AlreadyActive", Exit.NO_WAY_HOME),
        ("NeverFailedOver", Exit.NO_WAY_HOME),
        ("AnotherRunInProgress", Exit.RUN_ON),
        ("DrillInProgress", Exit.RUN_ON),
        ("PeerUnreachable", Exit.OTHERWISE),
    ):
        assert f"| `{finding}` | {code:d} |" in page


def test_without_a_state_machine_there_it_says_so(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    make_ledger(boto3.client("dynamodb", region_name="eu-west-3"))
    assert run(["failback", *WHY, "--app", "shop", "--region", "eu-west-3"]) == Exit.CONFIGURATION
    assert "there is no state machine relight-shop-failback in eu-west-3" in complaint(capfd)


def test_without_a_ledger_there_it_says_so(way: Way, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["failback", *WHY, "--app", "other", "--region", HOME]) == Exit.NO_LEDGER
    assert f"there is no ledger relight-other in {HOME}" in complaint(capfd)
    assert TABLE == "relight-shop"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*WHY], "it is not said which application this is"),
        ([*WHY, *THERE, "--to", "away"], "'away' is no way to go, in --to"),
        (["--reason", " ", *THERE], "the reason is blank"),
        ([*WHY, *THERE, "--accept", "nowhere"], "the list of accepted differences cannot be read (No such file"),
        ([*WHY, "--env", "prod", "--app", "shop"], "--env says the application already"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert run(["failback", *words]) == Exit.BAD_INPUT
    assert said in complaint(capfd)
