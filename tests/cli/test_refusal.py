"""What AWS does instead of answering, as one sentence: AWS's own words in it, and what to do next."""

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from relight_cli.aws import refusal
from relight_cli.command import run
from relight_cli.exit_code import Exit

from tests.cli.on_call import strangers_credentials
from tests.unit.loopback import closed_port
from tests.unit.standby import HERE

URL = "https://dynamodb.eu-west-1.amazonaws.com/"


def said(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "it is\nso"}}, "GetItem")


def words(code: str) -> str:
    return f"(An error occurred ({code}) when calling the GetItem operation: it is so), ask the ledger"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            EndpointConnectionError(endpoint_url=URL),
            (
                f'AWS cannot be reached (Could not connect to the endpoint URL: "{URL}"), ask the ledger, '
                "look from another network; relight doctor says what is missing"
            ),
        ),
        *(
            (
                said(code),
                (
                    f"AWS denies the call {words(code)}, "
                    "use the operator's role; relight doctor lists what these credentials may not do"
                ),
            )
            for code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "KmsAccessDeniedException")
        ),
        *(
            (said(code), f"AWS throttles the call {words(code)}, try again in a few seconds")
            for code in (
                "Throttling",
                "ThrottlingException",
                "TooManyRequestsException",
                "RequestLimitExceeded",
                "ProvisionedThroughputExceededException",
            )
        ),
        (
            said("ValidationException"),
            f"AWS refuses {words('ValidationException')}, see what relight doctor says is missing",
        ),
    ],
)
def test_each_refusal_has_aws_s_words_and_the_next_step_on_one_line(
    error: BotoCoreError | ClientError, sentence: str
) -> None:
    refused = refusal(error, "ask the ledger")
    assert refused.sentence == sentence
    assert refused.code is Exit.AWS
    assert "An error occurred" not in refused.do


@pytest.mark.parametrize(
    "words",
    [
        ["failover", "--plan"],
        ["failover", "--reason", "it burns"],
        ["drill", "--plan", "--kind", "restore"],
        ["drill", "--kind", "restore", "--reason", "a try"],
        ["readiness"],
        ["readiness", "--last"],
    ],
    ids=" ".join,
)
def test_where_the_region_that_would_act_is_silent_it_is_said_what_that_means(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    strangers_credentials(monkeypatch)
    url = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert run([*words, "--app", "shop", "--region", HERE]) == Exit.NO_ANSWER
    error = capfd.readouterr().err
    assert error.startswith("relight: AWS cannot be reached (")
    assert error.endswith(
        f", a failover to {HERE} is not possible while it does not answer; "
        f"relight --endpoint-url {url} status says who is active; "
        "look from another network; relight doctor says what is missing\n"
    )
    assert error.count("\n") == 1
