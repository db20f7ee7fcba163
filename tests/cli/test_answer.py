"""`relight approve` and `relight decline`: a run that waits for a token, answered by the command in this process."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from relight.question import Reply
from relight_cli.answering import Answering, Wish
from relight_cli.aws import Aws
from relight_cli.command import run
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused

from tests.cli.on_call import ME, SENTENCE, Night, document, night, strangers_credentials
from tests.unit.loopback import WebServer, closed_port
from tests.unit.standby import HERE, HOME, NOW, make_ledger, release_lock, take_lock

ROOT = Path(__file__).parents[2]
RUN = "failover-4-1"
THERE = ("--app", "shop", "--region", HERE)
WHY = ("--reason", "nobody can order")
GOES_ON = "it looks at the facts once more and goes on; follow it with"
SHOP = Deployed("shop", (HERE,))


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def on_call() -> Iterator[Night]:
    with night() as made:
        yield made


@pytest.fixture
def asking(on_call: Night) -> Night:
    """A run that has asked."""
    on_call.begin()
    return on_call


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; nothing was said to be done."""
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


# --- Answered ---


def test_what_is_answered_is_shown_before_and_what_was_answered_after(asking: Night) -> None:
    said: list[str] = []
    Answering(SHOP, Aws(), said.append, clock=lambda: NOW + 75).give(Wish(RUN, Reply.APPROVED, "nobody can order"))
    execution = f"arn:aws:states:{HERE}:123456789012:execution:relight-shop-failover:{RUN}"
    times = "asked 2026-09-21T14:13:20Z, open until 2026-09-21T14:23:20Z, 8 min 45 s left"
    assert said == [
        f"run {RUN} in {HERE}, question 1 (first): {times}",
        f"  {SENTENCE}",
        "  finding application_lost, mode planned, estimated loss 12 s of writes",
        f"approved by {ME}, because: nobody can order",
        f"{GOES_ON}: aws stepfunctions describe-execution --region {HERE} --execution-arn {execution}",
    ]
    assert not any(token in line for line in said for token in asking.tokens)


def test_approved_the_run_goes_on_with_who_and_why(on_call: Night, capfd: pytest.CaptureFixture[str]) -> None:
    execution = on_call.begin()
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    assert f"approved by {ME}, because: nobody can order" in out
    assert on_call.end(execution) == {"answer": "approved", "by": ME, "because": "nobody can order"}


def test_declined_the_run_catches_it_by_its_name_with_who_and_why(on_call: Night) -> None:
    execution = on_call.begin()
    assert run(["decline", RUN, "--reason", 'a "known" fault', *THERE]) == Exit.DONE
    assert on_call.end(execution) == {"answer": "declined", "by": ME, "because": 'a "known" fault'}


def test_a_reason_is_kept_on_one_line_of_what_can_be_printed(on_call: Night) -> None:
    execution = on_call.begin()
    assert run(["decline", RUN, "--reason", " we\n mend\x1b it ", *THERE]) == Exit.DONE
    assert on_call.end(execution)["because"] == "we mend it"


def test_as_json_without_the_token(asking: Night, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["approve", RUN, *WHY, *THERE, "--json"]) == Exit.DONE
    out = capfd.readouterr().out
    assert asking.tokens[0] not in out
    said = document(out)
    assert (said["run"], said["region"], said["answer"], said["by"], said["because"]) == (
        RUN,
        HERE,
        "approved",
        ME,
        "nobody can order",
    )
    assert said["question"] == {
        "asked": 1,
        "asked_at": NOW,
        "expires_at": NOW + 600,
        "finding": "application_lost",
        "sentence": SENTENCE,
        "mode": "planned",
        "urgency": "first",
        "estimated_loss_seconds": 12.4,
    }


def test_with_the_notifications_token_and_the_executions_arn(on_call: Night) -> None:
    execution = on_call.begin()
    assert run(["approve", execution, *WHY, *THERE, "--token", on_call.tokens[0]]) == Exit.DONE
    assert on_call.end(execution)["answer"] == "approved"


def test_by_samconfig_the_dr_region_is_found(
    on_call: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    execution = on_call.begin()
    text = (ROOT / "samconfig.toml").read_text()
    (tmp_path / "samconfig.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["approve", RUN, *WHY, "--env", "prod"]) == Exit.WRONG_ACCOUNT
    assert "account 123456789012, and not of 111122223333" in capfd.readouterr().err
    (tmp_path / "samconfig.toml").write_text(text.replace("111122223333", "123456789012"))
    assert run(["approve", RUN, *WHY, "--env", "prod"]) == Exit.DONE
    assert on_call.end(execution)["answer"] == "approved"


def test_a_run_of_the_way_home_is_found_in_the_other_region(asking: Night) -> None:
    home = make_ledger(boto3.client("dynamodb", region_name=HOME))
    take_lock(home, "failback-1", NOW)
    with pytest.raises(Refused) as refused:
        both = Deployed("shop", (HERE, HOME))
        Answering(both, Aws(), print).give(Wish("failback-1", Reply.APPROVED, "home"))
    assert refused.value.what.startswith(f"run failback-1 in {HOME} asks nothing now")


# --- Not answered, and why ---


def test_a_question_that_was_answered_says_by_whom(asking: Night, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["decline", RUN, "--reason", "we mend it", *THERE]) == Exit.DONE
    asking.settled()
    capfd.readouterr()
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.ANSWERED
    assert complaint(capfd) == (
        f"run {RUN} in {HERE} was declined already at 2026-09-21T14:14:50Z by {ME}, because: we mend it"
    )


def test_of_two_people_at_once_one_is_told_who_was_faster(asking: Night, capfd: pytest.CaptureFixture[str]) -> None:
    asking.keeps.clear()  # Step Functions has the answer, and the ledger does not yet

    def answer_first(line: str) -> None:
        if line.startswith("run "):
            run(["decline", RUN, "--reason", "we mend it", *THERE])
            asking.keeps.set()

    with pytest.raises(Refused) as refused:
        Answering(SHOP, Aws(), answer_first).give(Wish(RUN, Reply.APPROVED, "nobody can order"))
    assert refused.value.code is Exit.ANSWERED
    assert "was declined already" in refused.value.what
    assert capfd.readouterr().err == ""


def test_an_answer_whose_reply_was_lost_is_no_refusal_when_it_is_sent_again(asking: Night) -> None:
    wish = Wish(RUN, Reply.APPROVED, "nobody can order")

    def answer_first(line: str) -> None:
        if line.startswith("run "):
            run(["approve", RUN, *WHY, *THERE])

    said = Answering(SHOP, Aws(), answer_first).give(wish)
    assert (said["answer"], said["by"]) == ("approved", ME)


def test_a_closed_question_that_nobody_has_recorded(asking: Night) -> None:
    asking.keeps.clear()
    run(["approve", RUN, "--reason", "one", *THERE])
    with pytest.raises(Refused) as refused:
        Answering(SHOP, Aws(), print, recorded_seconds=0).give(Wish(RUN, Reply.DECLINED, "other"))
    assert refused.value.code is Exit.TOKEN
    assert "is closed: somebody has answered this moment, or it is over, or called back" in refused.value.what


def test_a_newer_question_takes_the_place_of_the_one_before(capfd: pytest.CaptureFixture[str]) -> None:
    with night(answered_within=1) as on_call:
        execution = on_call.begin()
        on_call.wait()
        old = on_call.tokens[0]
        assert run(["approve", RUN, *WHY, *THERE, "--token", old]) == Exit.TOKEN
        assert complaint(capfd).startswith("this is not the token of question ")
        on_call.made.client.stop_execution(executionArn=execution)


def test_asked_anew_while_a_person_was_answering() -> None:
    with night(answered_within=2) as on_call:
        execution = on_call.begin()

        def dawdle(line: str) -> None:
            if line.startswith("run "):
                on_call.wait()

        with pytest.raises(Refused) as refused:
            Answering(SHOP, Aws(), dawdle).give(Wish(RUN, Reply.APPROVED, "late"))
        assert refused.value.code is Exit.TOKEN
        assert "has asked anew meanwhile" in refused.value.what
        on_call.made.client.stop_execution(executionArn=execution)


@pytest.mark.parametrize("command", ["approve", "decline"])
def test_a_token_of_ones_own_making(asking: Night, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([command, RUN, *WHY, *THERE, "--token", "AAAA"]) == Exit.TOKEN
    told = f"this is not the token of question 1, the newest of run {RUN} in {HERE}"
    assert complaint(capfd) == f"{told}, leave --token out to answer the newest"


def test_a_token_that_step_functions_does_not_know(asking: Night) -> None:
    question = asking.ledger.question(RUN)
    assert question is not None
    key = {"pk": {"S": f"run#{RUN}"}, "sk": {"S": "question"}}
    asking.ledger.dynamodb.update_item(
        TableName=asking.ledger.table,
        Key=key,
        UpdateExpression="SET #token = :token",
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues={":token": {"S": "of another account"}},
    )
    with pytest.raises(Refused) as refused:
        Answering(SHOP, Aws(), print, recorded_seconds=0).give(Wish(RUN, Reply.APPROVED, "x"))
    assert refused.value.code is Exit.TOKEN


def test_a_run_that_has_ended_says_its_last_words(on_call: Night, capfd: pytest.CaptureFixture[str]) -> None:
    execution = on_call.begin()
    on_call.made.client.stop_execution(executionArn=execution)
    release_lock(on_call.ledger)
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.ENDED
    assert complaint(capfd) == (
        f"run {RUN} in {HERE} has ended (it said last: the application is lost), "
        "a primary that stays dead makes another run ask"
    )


def test_a_run_that_was_stopped_with_its_lock_has_ended(on_call: Night) -> None:
    on_call.made.client.stop_execution(executionArn=on_call.begin())
    with pytest.raises(Refused) as refused:
        Answering(SHOP, Aws(), print, recorded_seconds=0).give(Wish(RUN, Reply.APPROVED, "x"))
    assert refused.value.code is Exit.ENDED


def test_a_run_that_was_superseded_has_ended(asking: Night, capfd: pytest.CaptureFixture[str]) -> None:
    take_lock(asking.ledger, "failover-5-1", NOW)
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.ENDED


def test_a_run_that_asks_nothing(on_call: Night, capfd: pytest.CaptureFixture[str]) -> None:
    made = take_lock(on_call.ledger, RUN, NOW)
    on_call.ledger.step_began(made, "promote", NOW)
    on_call.ledger.step_says(made, "promote", NOW, "the replica is being promoted", done=False)
    assert run(["decline", RUN, *WHY, *THERE]) == Exit.NOTHING_ASKED
    assert complaint(capfd) == (
        f"run {RUN} in {HERE} asks nothing now (it said last: the replica is being promoted), wait for a question"
    )


def test_an_unknown_run_names_the_one_that_is_on(asking: Night, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["approve", "failover-9-9", *WHY, *THERE]) == Exit.UNKNOWN_RUN
    assert complaint(capfd) == f"there is no run failover-9-9 in {HERE}, the run that is on there is {RUN}"


def test_an_empty_ledger_and_none_at_all(on_call: Night, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.NO_LEDGER
    assert complaint(capfd) == f"the ledger of {HERE} is empty: no run was ever there, check application and Region"
    assert run(["approve", RUN, *WHY, "--app", "shop", "--region", HOME]) == Exit.NO_LEDGER
    assert f"there is no ledger relight-shop in {HOME}" in complaint(capfd)
    assert run(["approve", RUN, *WHY, "--app", "shoe", "--region", HERE]) == Exit.NO_LEDGER
    assert f"there is no ledger relight-shoe in {HERE}" in complaint(capfd)


def test_nobody_listens_in_that_region(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.NO_ANSWER
    told = complaint(capfd)
    assert told.startswith("AWS cannot be reached (")
    assert told.endswith(f", ask the ledger in {HERE}, look from another network; relight doctor says what is missing")


def test_aws_denies_the_call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    said = "User: guest is not authorized to perform: dynamodb:GetItem"
    denial = json.dumps({"__type": "com.amazon.coral.service#AccessDeniedException", "Message": said})
    with WebServer(pages={"/": (400, denial)}) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{api.port}")
        assert run(["approve", RUN, *WHY, *THERE]) == Exit.DENIED
    told = complaint(capfd)
    assert told.startswith("AWS denies the call (")
    assert f"{said}), ask the ledger in {HERE}, use the operator's role; relight doctor lists" in told


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    assert run(["approve", RUN, *WHY, *THERE]) == Exit.NO_CREDENTIALS
    assert "sign in" in complaint(capfd)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["approve", RUN, *THERE], "--reason"),
        (["approve", RUN, "--reason", " \n", *THERE], "the reason is blank"),
        (["decline", RUN, "--reason", "x" * 501, *THERE], "the reason has 501 characters"),
        (["approve", *WHY, *THERE], "RUN"),
        (["approve", " ", *WHY, *THERE], "no run's id"),
        (["approve", RUN, *WHY], "give --env NAME, or --app NAME and --region REGION"),
        (["approve", RUN, *WHY, "--app", "shop"], "give --env NAME, or --app NAME and --region REGION"),
        (["approve", RUN, *WHY, "--region", HERE], "give --env NAME, or --app NAME and --region REGION"),
        (["approve", RUN, *WHY, "--app", "shop", "--region", "Frankfurt"], "'Frankfurt' is no Region's name"),
        (["approve", RUN, *WHY, "--app", "../shop", "--region", HERE], "'../shop' is no application's name"),
        (["approve", RUN, *WHY, "--env", "prod", "--app", "shop"], "--env says the application already"),
        (["approve", RUN, *WHY, "--env", "prod", "--region", "us-east-1"], "us-east-1 is no Region of prod"),
        (["approve", RUN, *WHY, "--env", "prod", "--config", "none.toml"], "samconfig.toml cannot be read"),
    ],
)
def test_bad_input_reaches_no_region(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    assert run(words) == Exit.BAD_INPUT
    assert said in complaint(capfd)


def test_an_old_setting_does_not_lead_the_call_to_us_east_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    with mock_aws():
        from relight_cli.reaching import identity  # noqa: PLC0415

        aws = Aws()
        assert identity(SHOP, aws, (HERE,)) == ME
        assert aws.client("sts", HERE).meta.endpoint_url == f"https://sts.{HERE}.amazonaws.com"
