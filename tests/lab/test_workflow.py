"""Step Functions in the lab: what a state machine may rely on, each point run by moto's executor."""

import hashlib
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.common.timeouts.heartbeat import HeartbeatSeconds, HeartbeatSecondsJSONata
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds, TimeoutSecondsJSONata

from lab.integration import java_name
from lab.query import QueryError, evaluate
from tests.statemachine.harness import (
    REGION,
    Machine,
    Outcome,
    definition_problems,
    machine,
    substitution_problems,
    until,
)

ROLE = "arn:aws:iam::123456789012:role/state-machine"


class RefusedError(Exception):
    """What a handler of these tests refuses with."""


def refuse(event: dict[str, Any]) -> None:
    raise RefusedError(event.get("why", 'the "replica" is\ntoo far behind'))


def one(states: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **more}


def task(function: str, payload: Any = "{% $states.input %}", **more: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": payload},
        "TimeoutSeconds": 5,
        **({} if "Next" in more else {"End": True}),
        **more,
    }


def sdk(action: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return task("", **more) | {"Resource": f"arn:aws:states:::{action}", "Arguments": arguments}


def run(states: dict[str, Any], handlers: dict[str, Any] | None = None, payload: Any = None, **more: Any) -> Outcome:
    with machine(one(states, **more), handlers or {}) as made:
        return made.outcome(made.start(payload or {}))


# JSONata


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$parse('{\"a\":[1,null]}').a", [1, None]),
        ("$range(1, 9, 4)", [1, 5, 9]),
        ("$partition([1,2,3,4,5], 2)", [[1, 2], [3, 4], [5]]),
        ("$hash('relight', 'SHA-256')", hashlib.sha256(b"relight").hexdigest()),
        ("$random(7) = $random(7)", True),
        ("$random() < 1", True),
        ("$length($uuid())", 36),
        ("$text", 'quoted "so"\nand so \\'),
        ("$nothing", None),
        ("$exists($missing)", False),
        ("{'kept': $nothing, 'gone': $missing}", {"kept": None}),
        ("6 / 2", 3),
        ("[0..2]", [0, 1, 2]),
    ],
)
def test_jsonata_gives_what_aws_gives(expression: str, value: Any) -> None:
    assert evaluate(expression, {"text": 'quoted "so"\nand so \\', "nothing": None}) == value


@pytest.mark.parametrize(
    "expression", ["$missing", "$number('x')", "function($x){$x}", "1 +", "$nope()", "$error('no')"]
)
def test_jsonata_that_fails_or_gives_nothing_is_an_error(expression: str) -> None:
    with pytest.raises(QueryError):
        evaluate(expression, {})


def test_a_failed_query_can_be_caught_by_its_name() -> None:
    end = run(
        {
            "Ask": task(
                "ask",
                payload={"n": "{% $number($states.input.n) %}"},
                Catch=[{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught"}],
            ),
            "Caught": {"Type": "Pass", "Output": "{% $states.input.Error %}", "End": True},
        },
        {"ask": lambda event: event},
        {"n": "no number"},
    )
    assert (end.status, end.output) == ("SUCCEEDED", "States.QueryEvaluationError")


def test_output_sees_the_variables_as_they_were_on_entering_the_state() -> None:
    end = run(
        {
            "First": {"Type": "Pass", "Assign": {"count": 1}, "Next": "Second"},
            "Second": {
                "Type": "Pass",
                "Assign": {"count": "{% $count + 1 %}", "double": "{% $count * 2 %}"},
                "Output": {"count": "{% $count %}"},
                "Next": "Third",
            },
            "Third": {
                "Type": "Pass",
                "Output": {"then": "{% $states.input.count %}", "now": "{% $count %}", "double": "{% $double %}"},
                "End": True,
            },
        }
    )
    assert end.output == {"then": 1, "now": 2, "double": 2}


# Errors, retries, catches


def test_a_handlers_error_is_caught_by_its_class_with_output_and_assign() -> None:
    end = run(
        {
            "Assess": task(
                "assess",
                Catch=[
                    {
                        "ErrorEquals": ["RefusedError"],
                        "Assign": {"why": "{% $states.errorOutput %}"},
                        "Output": {"sentence": "{% $parse($states.errorOutput.Cause).errorMessage %}"},
                        "Next": "Refused",
                    }
                ],
            ),
            "Refused": {
                "Type": "Pass",
                "Output": {"sentence": "{% $states.input.sentence %}", "error": "{% $why.Error %}"},
                "End": True,
            },
        },
        {"assess": refuse},
    )
    assert end.output == {"sentence": 'the "replica" is\ntoo far behind', "error": "RefusedError"}


@pytest.mark.parametrize("matcher", ["States.ALL", "States.TaskFailed", "RefusedError"])
def test_a_retry_matches_and_stops_after_its_attempts(matcher: str) -> None:
    retry = {
        "ErrorEquals": [matcher],
        "IntervalSeconds": 1,
        "MaxAttempts": 2,
        "BackoffRate": 2,
        "MaxDelaySeconds": 3,
        "JitterStrategy": "FULL",
    }
    end = run({"Try": task("try", Retry=[retry])}, {"try": refuse})
    assert (end.status, end.error, len(end.calls)) == ("FAILED", "RefusedError", 3)


def test_a_retry_that_does_not_match_is_passed_over() -> None:
    retry = [{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 5}, {"ErrorEquals": ["RefusedError"], "MaxAttempts": 1}]
    assert len(run({"Try": task("try", Retry=retry)}, {"try": refuse}).calls) == 2


def test_a_task_that_takes_too_long_is_a_timeout_and_no_failed_task() -> None:
    release = threading.Event()
    catch = [
        {"ErrorEquals": ["States.TaskFailed"], "Next": "Failed"},
        {"ErrorEquals": ["States.Timeout"], "Next": "Late"},
    ]
    definition = one(
        {
            "Slow": task("slow", TimeoutSeconds=1, Catch=catch),
            "Failed": {"Type": "Fail"},
            "Late": {"Type": "Succeed", "Output": "late"},
        }
    )
    with machine(definition, {"slow": lambda _: release.wait(20)}) as made:
        end = made.outcome(made.start({}))
        release.set()
    assert (end.status, end.output) == ("SUCCEEDED", "late")


@pytest.mark.parametrize("catcher", ["States.ALL", "States.Timeout"])
def test_a_timeout_inside_a_parallel_reaches_its_catch(catcher: str) -> None:
    release = threading.Event()
    slow = one({"Slow": task("slow", TimeoutSeconds=1)})
    del slow["QueryLanguage"]
    definition = one(
        {
            "Both": {
                "Type": "Parallel",
                "Branches": [slow],
                "Catch": [{"ErrorEquals": [catcher], "Output": "{% $states.errorOutput.Error %}", "Next": "Over"}],
                "End": True,
            },
            "Over": {"Type": "Succeed"},
        }
    )
    with machine(definition, {"slow": lambda _: release.wait(20)}) as made:
        end = made.outcome(made.start({}))
        release.set()
    assert (end.status, end.output) == ("SUCCEEDED", "States.Timeout")


def test_states_all_does_not_catch_a_runtime_error() -> None:
    choice = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:getItem",
        "TimeoutSeconds": 5,
        "Arguments": {"TableName": "none", "Key": {"pk": {"S": "x"}}},
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        "End": True,
    }
    end = run({"Get": choice, "Caught": {"Type": "Succeed", "Output": "caught"}})
    assert end.output == "caught"  # a service's error is caught
    runtime = one({"Try": task("try", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}])})
    runtime["States"]["Caught"] = {"Type": "Succeed"}
    with machine(runtime, {"try": lambda _: {}}) as made:
        made.workflows._invoke = None  # type: ignore[assignment]  # breaks the executor itself
        assert made.outcome(made.start({})).error == "States.Runtime"


def test_an_unknown_function_fails_as_on_aws() -> None:
    end = run({"Call": task("arn:aws:lambda:eu-central-1:123456789012:function:none")})
    assert (end.status, end.error) == ("FAILED", "Lambda.ResourceNotFoundException")


# Waits and deadlines


@pytest.mark.parametrize("seconds", [0, "{% $states.input.seconds %}"])
def test_a_wait_of_nothing_goes_on_at_once(seconds: Any) -> None:
    definition = one({"Wait": {"Type": "Wait", "Seconds": seconds, "Next": "End"}, "End": {"Type": "Succeed"}})
    with machine(definition, {}, pace=1.0) as made:
        assert made.outcome(made.start({"seconds": 0})).status == "SUCCEEDED"


def test_a_fraction_of_a_second_is_refused() -> None:
    end = run({"Wait": {"Type": "Wait", "Seconds": "{% 0.5 %}", "End": True}})
    assert (end.status, end.error) == ("FAILED", "States.QueryEvaluationError")


def test_a_loop_ends_by_a_counter_without_waiting() -> None:
    end = run(
        {
            "Start": {"Type": "Pass", "Assign": {"lap": 0}, "Next": "Look"},
            "Look": task(
                "look", Assign={"lap": "{% $lap + 1 %}", "seen": "{% $states.result.Payload %}"}, Next="Done?"
            ),
            "Done?": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $seen.status = 'DONE' %}", "Next": "End"}],
                "Default": "Wait",
            },
            "Wait": {"Type": "Wait", "Seconds": "{% $seen.look_again_seconds %}", "Next": "Look"},
            "End": {"Type": "Succeed", "Output": "{% $lap %}"},
        },
        {"look": iter_of([{"status": "WAIT", "look_again_seconds": 30}] * 3 + [{"status": "DONE"}])},
    )
    assert end.output == 4


def iter_of(answers: list[Any]) -> Any:
    left = iter(answers)
    return lambda _event: next(left)


def test_a_run_wide_deadline_ends_it_timed_out() -> None:
    definition = one({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}, TimeoutSeconds=1)
    with machine(definition, {}, pace=1.0) as made:
        assert made.outcome(made.start({})).status == "TIMED_OUT"


@pytest.mark.parametrize(
    "limit",
    [
        TimeoutSeconds(60),
        TimeoutSecondsJSONata(StringJSONata("50 + 10")),
        HeartbeatSeconds(60),
        HeartbeatSecondsJSONata(StringJSONata("50 + 10")),
    ],
)
def test_a_task_that_is_scheduled_while_its_run_is_stopped_keeps_its_own_seconds(limit: Any) -> None:
    """moto evaluates nothing of a stopped run, and took what lay there: a history that could not be read any more."""
    definition = one({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}})
    with machine(definition, {}, pace=1.0) as made:
        execution = made.start({})
        made.stop(execution)
        assert made.outcome(execution).status == "ABORTED"
        stopped = made.environment(execution)
        stopped.stack.append(["what a Parallel has left"])
        before = list(stopped.stack)
        limit.eval(env=stopped)
        assert stopped.stack == [*before, 60]


# Service integrations


def table() -> None:
    boto3.client("dynamodb", region_name=REGION).create_table(
        TableName="ledger",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_a_conditional_write_to_dynamodb_is_caught_by_name() -> None:
    put = sdk(
        "dynamodb:putItem",
        {
            "TableName": "ledger",
            "Item": {"pk": {"S": "LOCK"}, "owner": {"S": "{% $states.context.Execution.Name %}"}},
            "ConditionExpression": "attribute_not_exists(pk)",
        },
        Catch=[{"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Taken"}],
        Next="Held",
    )
    definition = one(
        {"Take": put, "Held": {"Type": "Succeed", "Output": "held"}, "Taken": {"Type": "Succeed", "Output": "taken"}}
    )
    with machine(definition, {}) as made:
        table()
        assert [made.outcome(made.start({}, name)).output for name in ("a", "b")] == ["held", "taken"]
        item = boto3.client("dynamodb", region_name=REGION).get_item(TableName="ledger", Key={"pk": {"S": "LOCK"}})
    assert item["Item"]["owner"]["S"] == "a"


def test_sdk_integrations_speak_the_names_of_the_sdk_for_java() -> None:
    describe = sdk("aws-sdk:rds:describeDBInstances", {"DbInstanceIdentifier": "replica"})
    describe["Output"] = "{% $states.result.DbInstances[0].[DbInstanceIdentifier, DbInstanceStatus] %}"
    missing = sdk(
        "aws-sdk:rds:describeDBInstances",
        {"DbInstanceIdentifier": "none"},
        Catch=[{"ErrorEquals": ["Rds.DbInstanceNotFoundException"], "Output": "missing", "Next": "End"}],
    )
    end = {"Type": "Succeed"}
    with machine(one({"Describe": describe, "End": end} | {"Missing": missing}, StartAt="Describe"), {}) as made:
        boto3.client("rds", region_name=REGION).create_db_instance(
            DBInstanceIdentifier="replica", Engine="postgres", DBInstanceClass="db.t4g.micro", AllocatedStorage=20
        )
        assert made.outcome(made.start({})).output == ["replica", "available"]
    with machine(one({"Missing": missing, "End": end}), {}) as made:
        assert made.outcome(made.start({})).output == "missing"


def test_an_executions_owner_that_is_gone_has_its_own_error_name() -> None:
    gone = "arn:aws:states:eu-central-1:123456789012:execution:machine:gone"
    ask = sdk(
        "aws-sdk:sfn:describeExecution",
        {"ExecutionArn": "{% $states.input.owner ? $states.input.owner : $states.context.Execution.Id %}"},
        Output="{% $states.result.Status %}",
        Catch=[{"ErrorEquals": ["Sfn.ExecutionDoesNotExistException"], "Output": "gone", "Next": "End"}],
    )
    with machine(one({"Ask": ask, "End": {"Type": "Succeed"}}), {}) as made:
        assert made.outcome(made.start({"owner": gone})).output == "gone"
        assert made.outcome(made.start({})).output == "RUNNING"


@pytest.mark.parametrize(
    ("boto", "java"),
    [
        ("DBInstanceIdentifier", "DbInstanceIdentifier"),
        ("DNSName", "DnsName"),
        ("AutoScalingGroupARN", "AutoScalingGroupArn"),
        ("executionArn", "ExecutionArn"),
        ("VpcId", "VpcId"),
    ],
)
def test_names_become_those_of_the_sdk_for_java(boto: str, java: str) -> None:
    assert java_name(boto) == java


def ask_a_person(made: Machine) -> tuple[str, str]:
    """Start, and wait for the task token that the topic is sent."""
    execution = made.start({})
    topics = get_backend("sns")["123456789012"][REGION].topics
    deadline = time.monotonic() + 5
    while not (sent := next(iter(topics.values())).sent_notifications):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return execution, json.loads(sent[0][1])["token"]


@pytest.fixture
def approval() -> Any:
    topic = "arn:aws:sns:eu-central-1:123456789012:people"
    ask = sdk(
        "sns:publish.waitForTaskToken",
        {"TopicArn": topic, "Subject": "Fail over?", "Message": {"token": "{% $states.context.Task.Token %}"}},
        Output="{% $states.result.answer %}",
        Catch=[{"ErrorEquals": ["Rejected"], "Output": "{% $states.errorOutput.Cause %}", "Next": "End"}],
    )
    with machine(one({"Ask": ask, "End": {"Type": "Succeed"}}), {}) as made:
        boto3.client("sns", region_name=REGION).create_topic(Name="people")
        yield made


def test_a_person_answers_through_the_task_token(approval: Machine) -> None:
    execution, token = ask_a_person(approval)
    approval.client.send_task_success(taskToken=token, output=json.dumps({"answer": "yes"}))
    assert approval.outcome(execution).output == "yes"


def test_a_person_refuses_with_a_cause(approval: Machine) -> None:
    execution, token = ask_a_person(approval)
    approval.client.send_task_failure(taskToken=token, error="Rejected", cause="not tonight")
    assert approval.outcome(execution).output == "not tonight"


def test_metrics_and_events_are_put_from_a_state_machine() -> None:
    metric = {
        "MetricName": "Runs",
        "Value": "{% $states.input.count %}",
        "Unit": "Count",
        "Timestamp": "{% $states.context.Execution.StartTime %}",
        "Dimensions": [{"Name": "Application", "Value": "shop"}],
    }
    states = {
        "Count": sdk("aws-sdk:cloudwatch:putMetricData", {"Namespace": "Relight", "MetricData": [metric]}, Next="Tell"),
        "Tell": sdk("events:putEvents", {"Entries": [{"Source": "relight", "DetailType": "Run", "Detail": {"a": 1}}]}),
    }
    with machine(one(states), {}) as made:
        assert made.outcome(made.start({"count": 3})).status == "SUCCEEDED"
        cloudwatch: Any = boto3.client("cloudwatch", region_name=REGION)
        (found,) = cloudwatch.list_metrics(Namespace="Relight")["Metrics"]
        now = datetime.now(UTC)
        window = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=1)}
        points = cloudwatch.get_metric_statistics(
            Namespace="Relight",
            MetricName="Runs",
            Dimensions=found["Dimensions"],
            Period=60,
            Statistics=["Sum"],
            **window,
        )["Datapoints"]
    assert found["Dimensions"] == [{"Name": "Application", "Value": "shop"}]
    assert [point["Sum"] for point in points] == [3]


def test_an_execution_stops_another_one(waiting: Any) -> None:
    made, entered, _ = waiting
    drill = made.start({})
    assert entered.wait(5)
    stop = {"ExecutionArn": "{% $states.input.drill %}", "Error": "Preempted", "Cause": "the Region is lost"}
    definition = one({"Stop": sdk("aws-sdk:sfn:stopExecution", stop, Output="{% $exists($states.result.StopDate) %}")})
    created = made.client.create_state_machine(name="real", definition=json.dumps(definition), roleArn=ROLE)
    started = made.client.start_execution(
        stateMachineArn=created["stateMachineArn"], name="real", input=json.dumps({"drill": drill})
    )
    assert made.outcome(started["executionArn"]).output is True
    stopped = made.outcome(drill, seconds=0)
    assert (stopped.status, stopped.error, stopped.cause) == ("ABORTED", "Preempted", "the Region is lost")


def test_an_execution_that_is_not_there_cannot_be_stopped() -> None:
    gone = "arn:aws:states:eu-central-1:123456789012:execution:machine:gone"
    catch = [{"ErrorEquals": ["Sfn.ExecutionDoesNotExistException"], "Output": "gone", "Next": "End"}]
    stop = sdk("aws-sdk:sfn:stopExecution", {"ExecutionArn": gone}, Catch=catch)
    assert run({"Stop": stop, "End": {"Type": "Succeed"}}).output == "gone"


# A question to a person, which a Lambda function sends on and the task token answers


class Question:
    """What the function was given, and the answers to it."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.asked = threading.Semaphore(0)
        self.release = threading.Event()
        self.release.set()
        self.made: Machine

    def handle(self, event: dict[str, Any]) -> dict[str, str]:
        self.tokens.append(event["token"])
        self.asked.release()
        self.release.wait(20)
        return {"this": "is nobody's result"}

    def ask(self) -> str:
        execution = self.made.start({})
        self.wait()
        return execution

    def wait(self) -> None:
        assert self.asked.acquire(timeout=5)

    def approve(self, output: str = '{"by": "a person"}', token: str | None = None) -> None:
        self.made.client.send_task_success(taskToken=token or self.tokens[-1], output=output)

    def decline(self) -> None:
        self.made.client.send_task_failure(taskToken=self.tokens[-1], error="Declined", cause="not tonight")

    def refusal(self, answer: Any) -> str:
        """The code of the error with which an answer is refused."""
        with pytest.raises(ClientError) as refused:
            answer()
        return str(refused.value.response["Error"]["Code"])


def question_of(seconds: int, *more: tuple[str, Any]) -> dict[str, Any]:
    ask = task("record", payload={"token": "{% $states.context.Task.Token %}"}, TimeoutSeconds=seconds)
    ask["Resource"] += ".waitForTaskToken"
    ask["Output"] = "{% $states.result %}"
    ask["Catch"] = [
        {"ErrorEquals": [name], "Output": f"{{% '{name}: ' & $states.errorOutput.Cause %}}", "Next": "End"}
        for name in ("Declined", "States.Timeout", "RefusedError")
    ]
    return one({"Ask": ask | dict(more), "End": {"Type": "Succeed"}})


@pytest.fixture
def question(request: pytest.FixtureRequest) -> Any:
    made = Question()
    with machine(question_of(*getattr(request, "param", [20])), {"record": made.handle}) as running:
        made.made = running
        yield made
        made.release.set()


def test_the_answer_and_not_the_functions_own_is_the_result(question: Question) -> None:
    execution = question.ask()
    question.approve()
    assert question.made.outcome(execution).output == {"by": "a person"}


def test_a_refusal_is_caught_by_its_name(question: Question) -> None:
    execution = question.ask()
    question.decline()
    assert question.made.outcome(execution).output == "Declined: not tonight"


def test_the_first_answer_counts(question: Question) -> None:
    question.release.clear()  # the task cannot end before the second answer
    execution = question.ask()
    question.approve()
    assert question.refusal(question.decline) == "TaskTimedOut"
    assert question.refusal(question.approve) == "TaskTimedOut"
    question.release.set()
    assert question.made.outcome(execution).output == {"by": "a person"}


def test_an_answer_to_a_task_that_has_ended_is_too_late(question: Question) -> None:
    execution = question.ask()
    question.approve()
    question.made.outcome(execution)
    assert question.refusal(question.approve) == "TaskTimedOut"
    stopped = question.ask()
    question.made.client.stop_execution(executionArn=stopped)
    assert question.refusal(question.decline) == "TaskTimedOut"


@pytest.mark.parametrize("question", [[1]], indirect=True)
def test_a_question_that_nobody_answers_times_out(question: Question) -> None:
    execution = question.ask()
    assert question.made.outcome(execution).output == "States.Timeout: "
    assert question.refusal(question.approve) == "TaskTimedOut"


@pytest.mark.parametrize("question", [[1]], indirect=True)
@pytest.mark.parametrize(("answer", "output"), [("approve", {"by": "a person"}), ("decline", "Declined: not tonight")])
def test_an_answer_that_was_taken_counts_though_the_task_times_out(
    question: Question, answer: str, output: Any
) -> None:
    question.release.clear()  # the function is not back before the timeout
    execution = question.ask()
    getattr(question, answer)()
    assert question.made.outcome(execution).output == output


def test_a_token_that_nobody_handed_out_and_an_output_that_is_no_json_are_refused(question: Question) -> None:
    execution = question.ask()
    assert question.refusal(lambda: question.approve(token="no token")) == "InvalidToken"
    assert question.refusal(lambda: question.approve(output="yes")) == "InvalidOutput"
    question.approve()
    assert question.made.outcome(execution).status == "SUCCEEDED"


@pytest.mark.parametrize(
    "question", [[1, ("Retry", [{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}])]], indirect=True
)
def test_a_retry_asks_with_a_token_of_its_own(question: Question) -> None:
    execution = question.ask()
    question.wait()
    assert question.refusal(lambda: question.approve(token=question.tokens[0])) == "TaskTimedOut"
    question.approve()
    assert question.made.outcome(execution).output == {"by": "a person"}


def test_a_function_that_cannot_ask_fails_the_task() -> None:
    with machine(question_of(5), {"record": refuse}) as made:
        assert "too far behind" in made.outcome(made.start({})).output


def test_a_function_may_answer_before_it_is_back() -> None:
    def answer(event: dict[str, Any]) -> None:
        boto3.client("stepfunctions", region_name=REGION).send_task_success(taskToken=event["token"], output="1")

    with machine(question_of(5), {"record": answer}) as made:
        assert made.outcome(made.start({})).output == 1


def test_an_execution_that_is_stopped_waits_for_no_answer(question: Question) -> None:
    def tasks() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if "_exec_and_notify" in thread.name]

    before = tasks()
    execution = question.ask()
    (waits,) = [thread for thread in tasks() if thread not in before]
    question.made.client.stop_execution(executionArn=execution)
    waits.join(5)
    assert not waits.is_alive()


# Executions


@pytest.fixture
def waiting() -> Any:
    """A machine whose one task runs until the test releases it."""
    release = threading.Event()
    entered = threading.Event()

    def handler(_event: Any) -> dict[str, str]:
        entered.set()
        release.wait(20)
        return {}

    with machine(one({"Work": task("work")}), {"work": handler}) as made:
        yield made, entered, release
        release.set()


def test_executions_without_a_name_are_each_their_own(waiting: Any) -> None:
    made, _, release = waiting
    executions = {made.client.start_execution(stateMachineArn=made.arn)["executionArn"] for _ in range(3)}
    release.set()
    assert len(executions) == 3
    assert {made.outcome(execution).status for execution in executions} == {"SUCCEEDED"}


def test_a_name_is_taken_once(waiting: Any) -> None:
    made, _, release = waiting
    execution = made.start({"a": 1}, "once")
    assert made.start({"a": 1}, "once") == execution
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        made.start({"a": 2}, "once")
    release.set()
    made.outcome(execution)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        made.start({"a": 1}, "once")
    assert len(made.workflows.executions(REGION)) == 1


def test_an_input_that_is_no_json_starts_nothing(waiting: Any) -> None:
    made, _, _ = waiting
    with pytest.raises(ClientError) as refused:
        made.client.start_execution(stateMachineArn=made.arn, name="named", input="{")
    assert refused.value.response["Error"]["Code"] == "InvalidExecutionInput"
    assert "Invalid State Machine Execution Input" in refused.value.response["Error"]["Message"]
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert made.executions() == []


def test_an_execution_that_has_ended_is_not_redriven_and_stays_as_it_ended(waiting: Any) -> None:
    made, entered, _ = waiting
    execution = made.start({})
    assert entered.wait(timeout=5)
    made.stop(execution)
    with pytest.raises(ClientError, match="the lab redrives nothing; start a new run") as refused:
        made.client.redrive_execution(executionArn=execution)
    assert refused.value.response["Error"]["Code"] == "ExecutionNotRedrivable"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert made.client.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_what_is_no_execution_is_not_redriven(waiting: Any) -> None:
    made, _, _ = waiting
    for arn, code in (
        (f"{made.arn.replace(':stateMachine:', ':execution:')}:none", "ExecutionDoesNotExist"),
        (f"arn:aws:states:{REGION}:123456789012:execution:none:none", "ExecutionDoesNotExist"),
        ("none", "InvalidArn"),
    ):
        with pytest.raises(ClientError) as refused:
            made.client.redrive_execution(executionArn=arn)
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_two_starts_of_a_name_at_once_are_one_execution(waiting: Any) -> None:
    made, _, _ = waiting
    threads = [threading.Thread(target=made.start, args=({}, "same")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.name for record in made.workflows.executions(REGION)] == ["same"]


def test_an_execution_that_is_stopped_in_a_task_is_aborted_at_once_and_stays_so(waiting: Any) -> None:
    made, entered, release = waiting
    execution = made.start({})
    assert entered.wait(5)
    made.client.stop_execution(executionArn=execution)
    assert made.outcome(execution, seconds=0).status == "ABORTED"
    release.set()
    worker = next(iter(made.workflows._running_and_ended(REGION))).exec_worker
    deadline = time.monotonic() + 5
    while worker.env.is_running() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [record.status for record in made.workflows.executions(REGION)] == ["ABORTED"]


def test_the_executions_of_a_lost_region_end_and_none_starts(waiting: Any) -> None:
    made, entered, _ = waiting
    made.start({})
    assert entered.wait(5)
    made.workflows.lose(REGION)
    with pytest.raises(ConnectionRefusedError):
        made.workflows.start(REGION, made.arn, {})
    assert [record.status for record in made.workflows.executions(REGION)] == ["ABORTED"]
    made.workflows.restore(REGION)
    made.workflows.start(REGION, made.arn, {"after": True}, "after")
    assert made.workflows.executions(REGION)[-1].status == "RUNNING"


def test_each_start_and_end_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    with machine(one({"End": {"Type": "Succeed"}}), {}) as made:
        made.workflows._on_status = lambda region, record: told.append((region, record.status))
        made.outcome(made.start({}))
        deadline = time.monotonic() + 5
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert told == [(REGION, "RUNNING"), (REGION, "SUCCEEDED")]


# What the harness leaves behind, and what it finds wrong with a definition


def test_a_handler_that_is_at_work_when_its_test_is_over_has_ended_before_the_next_begins() -> None:
    begun, left = threading.Event(), []

    def linger(event: dict[str, Any]) -> None:
        begun.set()
        until(lambda: made.has_ended(event["me"]), "its test is over")
        left.append("done")

    with machine(
        one({"Linger": task("linger", {"me": "{% $states.context.Execution.Id %}"})}), {"linger": linger}
    ) as made:
        made.start({})
        assert begun.wait(10)
    assert left == ["done"]


def test_a_sound_definition_has_no_problems() -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}]
    sound = one({"Work": task("work", Catch=catch), "Failed": {"Type": "Fail"}}, TimeoutSeconds=60)
    assert definition_problems(sound) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"Next": "Nowhere", "End": None}, "no such state Nowhere"),
        ({"Catch": [{"ErrorEquals": ["A"], "Next": "Gone"}]}, "no such state Gone"),
        ({"TimeoutSeconds": None}, "Task without TimeoutSeconds"),
        ({"Output": "{% $states.result. + %}"}, "{% $states.result. + %}"),
        ({"Catch": []}, "Failed: unreachable"),
        ({"End": None}, "neither Next nor End"),
    ],
)
def test_what_is_wrong_with_a_definition_is_found(change: dict[str, Any], problem: str) -> None:
    work = task("work", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Failed"}]) | change
    definition = one(
        {"Work": {key: value for key, value in work.items() if value is not None}, "Failed": {"Type": "Fail"}}
    )
    assert any(problem in found for found in definition_problems(definition))


def test_a_loop_that_nothing_enters_is_unreachable() -> None:
    a, b = {"Type": "Pass", "Next": "B"}, {"Type": "Pass", "Next": "A"}
    lost = one({"End": {"Type": "Succeed"}, "A": a, "B": b}, TimeoutSeconds=60)
    assert definition_problems(lost) == ["A: unreachable", "B: unreachable"]


def test_substitutions_are_compared_both_ways() -> None:
    assert substitution_problems("${A} ${B}", {"B": 1, "C": 2}) == [
        "${A} has no substitution",
        "the substitution C is not used",
    ]
