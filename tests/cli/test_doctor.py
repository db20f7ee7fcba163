"""`relight doctor`: what an operator needs, and that it is learnt beforehand which of it is lost with the primary."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
import typer
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import SSOProvider
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.awslambda.models import LambdaFunction
from moto.moto_api._internal import moto_api_backend
from moto.stepfunctions.exceptions import ExecutionDoesNotExist
from moto.stepfunctions.responses import StepFunctionResponse
from relight.moment import told as at
from relight.readiness_check import Level
from relight_cli import doctoring, machine
from relight_cli.allowance import Judgement, Verdict, called, simulated
from relight_cli.blockade import Blockade, Blocked, region_of
from relight_cli.clock import Reading, judge, reading
from relight_cli.deployed import Deployed
from relight_cli.doctor import doctor
from relight_cli.estate import Held, compare, digest, judge_stack, standing
from relight_cli.exit_code import Exit, Refused
from relight_cli.needs import FUNCTIONS, MACHINES, NEEDS, OUTPUTS, On, Place, markdown
from relight_cli.operating import Operator
from relight_cli.signin import SignedIn, credentials, dependences, depends, misled
from relight_cli.stack import Found

from lab import iam_simulation
from lab.cloud import Cloud
from lab.network import Network
from lab.network import Path as Way
from lab.region import Side, Vantage
from lab.seam import Seams
from tests.cli.on_call import strangers_credentials
from tests.unit.standby import HERE, HOME, NOW, TABLE, claims, make_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"
DEPLOYED = Deployed("shop", (HERE, HOME))
BLOCKADE = Blockade(HOME, HERE)
WORDS = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
TEMPLATE = {
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    "Outputs": {name: {"Value": name} for name in OUTPUTS},
}


@pytest.fixture(autouse=True)
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setattr(machine, "resolve", lambda _: True)
    # moto knows no redrive, and would run a function in a container for a dry run.
    monkeypatch.setattr(StepFunctionResponse, "redrive_execution", _redrive, raising=False)
    monkeypatch.setattr(LambdaFunction, "invoke", lambda *_, **__: "")


def _redrive(_: Any) -> None:
    raise ExecutionDoesNotExist("Execution Does Not Exist")


def make(region: str, client: Callable[[str, str], Any], *, ledger: bool = True) -> None:
    """Everything that the stack of a Region makes, as far as it is looked at."""
    table = make_ledger(client("dynamodb", region))
    if ledger:
        table.keep_readiness({"at": NOW, "version": "0.1.0+x"}, NOW)
    client("s3", region).create_bucket(
        Bucket=f"relight-evidence-shop-{ACCOUNT}-{region}", CreateBucketConfiguration={"LocationConstraint": region}
    )
    client("cloudformation", region).create_stack(StackName="relight-shop", TemplateBody=json.dumps(TEMPLATE))
    states = client("stepfunctions", region)
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    for name in MACHINES:
        role = f"arn:aws:iam::{ACCOUNT}:role/states"
        states.create_state_machine(name=f"relight-shop-{name}", definition=definition, roleArn=role)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("app.py", "")
    role = client("iam", region).get_role(RoleName="functions")["Role"]["Arn"]
    for name in FUNCTIONS:
        client("lambda", region).create_function(
            FunctionName=f"relight-shop-{name}",
            Runtime="python3.13",
            Role=role,
            Handler="app.handler",
            Code={"ZipFile": archive.getvalue()},
        )


def make_both(client: Callable[[str, str], Any], *, ledger: bool = True) -> None:
    client("iam", HERE).create_role(RoleName="functions", AssumeRolePolicyDocument=json.dumps(TRUST))
    for region in (HERE, HOME):
        make(region, client, ledger=ledger)


@pytest.fixture
def moto() -> Iterator[None]:
    """An account in which nothing is deployed."""
    seams = Seams()
    # Also where a lab of this process has let it execute.
    with mock_aws(config={"stepfunctions": {"execute_state_machine": False}}):
        iam_simulation.install(seams)
        yield
    seams.undo()


@pytest.fixture
def aws(moto: None) -> None:
    """Both Regions, as they are after a deployment."""
    make_both(boto3.session.Session().client)  # type: ignore[arg-type]  # its overloads are of literal names


@dataclass
class Trouble:
    """What AWS answers instead, by botocore's name of the call."""

    said: dict[str, str] = field(default_factory=dict)

    def __call__(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        call = event_name.removeprefix("before-send.")
        code = next((code for name, code in self.said.items() if call.startswith(name)), None)
        if code is None:
            return None
        headers = {"date": "Mon, 21 Sep 2026 13:33:20 GMT"}
        answer = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPHeaders": headers}}
        raise ClientError(answer, call.rpartition(".")[2])  # type: ignore[arg-type]


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """Stands before moto, as AWS would answer."""
    made = Trouble()
    session = Operator.session

    def troubled(operator: Operator) -> Any:
        new = operator._session is None
        found = session(operator)
        if new:
            found.get_component("event_emitter").register_first("before-send", made)
        return found

    monkeypatch.setattr(Operator, "session", troubled)
    return made


def relight(*words: str) -> int:
    """The command alone, as `relight` registers it."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(doctor)
    code = app(args=list(words), standalone_mode=False)
    assert isinstance(code, int)
    return code


def looked(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = relight(*(words or WORDS), "--json")
    out, error = capfd.readouterr()
    assert error == ""
    return code, json.loads(out)


def of(found: dict[str, Any], name: str, *, without: bool = False) -> list[tuple[str, str | None]]:
    """The level and Region of each check of that name."""
    return [
        (one["level"], one["region"])
        for one in found["checks"]
        if one["name"] == name and (one["without"] is not None) is without
    ]


def sentences(found: dict[str, Any], level: str) -> str:
    return "\n".join(f"{one['name']}: {one['sentence']}" for one in found["checks"] if one["level"] == level)


BOTH = [("PASS", HERE), ("PASS", HOME)]


# All well.


def test_all_well(aws: None, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = looked(capfd)
    assert sentences(found, "FAIL") == ""
    assert code == Exit.DONE
    assert found["well"]
    for name in ("Region answers", "stack", "stack outputs", "ledger", "state machines", "functions", "permissions"):
        assert of(found, name) == BOTH, name
    for name in ("credentials", "sign-in depends on", "account", "clock", "template", "version"):
        assert of(found, name) == [("PASS", None)], name
    assert of(found, "sign-in", without=True) == [("PASS", HERE)]
    for name in ("ledger", "permissions"):
        assert of(found, name, without=True) == [("PASS", HERE)], name
    assert found["caller"] == f"arn:aws:sts::{ACCOUNT}:user/moto"
    states = boto3.client("stepfunctions", region_name=HERE)
    for one in states.list_state_machines()["stateMachines"]:
        assert states.list_executions(stateMachineArn=one["stateMachineArn"])["executions"] == []
    for region in (HERE, HOME):  # nor is anything written
        assert boto3.client("dynamodb", region_name=region).scan(TableName=TABLE)["Count"] == 1


def test_a_ledger_that_no_run_has_written_says_so(aws: None, capfd: pytest.CaptureFixture[str]) -> None:
    _, found = looked(capfd)
    told = [one["sentence"] for one in found["checks"] if one["name"] == "ledger" and one["without"] is None]
    assert told == [f"it says that no run has been yet, readiness was looked at last at {at(NOW)}"] * 2
    without = [one["sentence"] for one in found["checks"] if one["name"] == "ledger" and one["without"]]
    assert without == ["it says that no run has been yet"]


def test_a_ledger_names_the_active_region_once_a_run_has_been() -> None:
    activated = replace(claims(4, HOME), active_epoch=3)
    assert standing(activated) == f"it says that {HOME} is active (steady), epoch 4"
    stood_down = replace(activated, active_epoch=0)
    assert standing(stood_down) == "it says that no run has activated a Region yet (steady), epoch 4"


# What is not well.


def test_without_credentials_the_regions_are_asked_all_the_same(
    moto: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert relight(*WORDS) == Exit.UNWELL
    out = " ".join(capfd.readouterr().out.split())
    assert "NOT WELL" in out
    code, found = looked(capfd)
    assert code == Exit.UNWELL
    assert of(found, "credentials") == [("FAIL", None)]
    assert of(found, "Region answers") == BOTH
    assert of(found, "clock") == [("PASS", None)]
    assert of(found, "sign-in", without=True) == [("FAIL", None)]
    assert of(found, "ledger") == []


def test_expired_credentials_and_a_clock_that_is_off(
    moto: None, trouble: Trouble, capfd: pytest.CaptureFixture[str]
) -> None:
    trouble.said = {"sts.": "ExpiredToken"}
    code, found = looked(capfd)
    assert code == Exit.UNWELL
    assert "account: the AWS credentials have expired" in sentences(found, "FAIL")
    assert "sign-in: the AWS credentials have expired" in sentences(found, "FAIL")
    assert of(found, "Region answers") == BOTH
    assert of(found, "clock") == [("FAIL", None)]  # a refusal tells the time, too


def test_the_wrong_account_and_nothing_of_it_is_looked_at(moto: None, capfd: pytest.CaptureFixture[str]) -> None:
    examination = doctoring.Examination(Deployed("shop", (HERE, HOME), "999988887777"), HOME)
    checks = examination.make()
    wrong = next(check for check in checks if check.name == "account")
    assert wrong.level is Level.FAIL
    assert wrong.sentence == f"these credentials are of account {ACCOUNT}, and not of 999988887777"
    assert not [check for check in checks if check.name == "stack"]


def test_denied_throttled_and_missing(aws: None, trouble: Trouble, capfd: pytest.CaptureFixture[str]) -> None:
    trouble.said = {
        "dynamodb.": "AccessDeniedException",
        "cloudformation.": "Throttling",
        "sfn.StartExecution": "AccessDeniedException",
        "s3.ListObjectsV2": "SlowDown",
    }
    boto3.client("lambda", region_name=HOME).delete_function(FunctionName="relight-shop-verify")
    code, found = looked(capfd)
    assert code == Exit.UNWELL
    assert of(found, "ledger") == [("FAIL", HERE), ("FAIL", HOME)]
    assert of(found, "ledger", without=True) == [("FAIL", HERE)]
    assert of(found, "stack") == [("WARN", HERE), ("WARN", HOME)]
    assert of(found, "template") == of(found, "version") == [("WARN", None)]
    assert of(found, "functions") == [("PASS", HERE), ("FAIL", HOME)]
    failures, warnings = sentences(found, "FAIL"), sentences(found, "WARN")
    assert f"states:StartExecution is denied on arn:aws:states:{HERE}:{ACCOUNT}:stateMachine:relight-sh" in failures
    assert "relight-shop-verify does not exist" in failures
    assert "s3:ListBucket (AWS throttles)" in warnings
    assert "AWS throttles" in next(one["sentence"] for one in found["checks"] if one["name"] == "stack")


def test_an_empty_ledger_and_no_stack_at_all(moto: None, capfd: pytest.CaptureFixture[str]) -> None:
    make_ledger(boto3.client("dynamodb", region_name=HERE))
    code, found = looked(capfd)
    assert code == Exit.UNWELL
    assert of(found, "ledger") == [("WARN", HERE), ("FAIL", HOME)]
    assert of(found, "stack") == [("FAIL", HERE), ("FAIL", HOME)]
    assert "there is no ledger relight-shop" in sentences(found, "FAIL")


def test_an_option_that_names_no_region_of_the_application() -> None:
    with pytest.raises(Refused, match="us-east-2 is no Region of shop") as refused:
        relight(*WORDS, "--without", "us-east-2")
    assert refused.value.code is Exit.BAD_INPUT


# A Region that is dead, on real sockets.


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def cloud(network: Network) -> Iterator[Cloud]:
    moto_api_backend.reset()
    made = Cloud(network)
    make_both(made.client)
    yield made
    made.stop()


@pytest.fixture
def lab(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for name, value in cloud.environment(Vantage.OUTSIDE).items():
        monkeypatch.setenv(name, value)
    return cloud


@pytest.mark.parametrize("how", [Way.REFUSED, Way.BLACK_HOLED])
def test_the_primary_is_dead(how: Way, lab: Cloud, network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    network.lose(Side.PRIMARY, how)
    try:
        began = time.monotonic()
        code, found = looked(capfd)
        seconds = time.monotonic() - began
    finally:
        network.restore(Side.PRIMARY)
    assert code == Exit.UNWELL
    assert of(found, "Region answers") == [("PASS", HERE), ("FAIL", HOME)]
    assert of(found, "ledger") == of(found, "stack") == [("PASS", HERE)]
    assert of(found, "ledger", without=True) == [("PASS", HERE)]
    assert found["not_meaningful_here"]
    assert seconds < 30  # twice what is promised: this machine may be busy


def test_in_the_lab_the_dr_region_may_be_the_one_that_is_refused(
    lab: Cloud, network: Network, capfd: pytest.CaptureFixture[str]
) -> None:
    code, found = looked(capfd, *WORDS, "--without", HERE)
    assert of(found, "ledger", without=True) == [("PASS", HOME)]
    assert of(found, "sign-in", without=True) == [("PASS", HOME)]
    assert found["without"] == HERE
    assert (code == Exit.DONE) is found["well"]


def test_the_blockade_judges_a_lab_by_the_region_of_the_signature(lab: Cloud) -> None:
    blockade = Blockade(HOME, HERE)
    operator = Operator(blockade)
    assert operator.client("dynamodb", HERE).list_tables()["TableNames"] == [TABLE]
    with pytest.raises(Blocked):
        operator.client("dynamodb", HOME).list_tables()
    with pytest.raises(Blocked):
        operator.client("iam", HERE).list_roles()
    assert blockade.refused == {HOME: HOME, "us-east-1": "us-east-1"}


def test_what_does_not_end_is_told_of_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = threading.Event()
    for part in ("_aws", "_without"):
        monkeypatch.setattr(doctoring.Examination, part, lambda _: endless.wait(30))
    checks = doctoring.Examination(DEPLOYED, HOME, seconds=0.3).make()
    assert [check.name for check in checks if "not all of it was done" in check.sentence] == ["AWS", f"without {HOME}"]
    assert [check.region for check in checks if check.name == "name resolution"] == [HERE, HOME]
    endless.set()


def test_what_goes_wrong_in_a_part_is_not_swallowed() -> None:
    def wrong() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        doctoring.together(5, {"a": wrong})


# The blockade, on real sockets and by AWS's own host names.


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that answers for all of STS, and what it was asked for: no name is resolved on this machine."""
    asked: list[str] = []
    identity = f"<UserId>U</UserId><Account>{ACCOUNT}</Account><Arn>arn:aws:iam::{ACCOUNT}:user/ann</Arn>"
    answer = f"<GetCallerIdentityResponse><GetCallerIdentityResult>{identity}</GetCallerIdentityResult>"
    body = f"{answer}<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>".encode()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_call_to_the_primary_fails_at_once_and_one_to_dr_arrives() -> None:
    blockade = Blockade(HOME, HERE)
    with proxy() as (url, asked):
        session = botocore.session.Session()
        blockade.stand_before(session)
        config = Config(proxies={"http": url}, retries={"total_max_attempts": 3, "mode": "standard"})

        def account(region: str) -> str:
            client: Any = session.create_client("sts", region_name=region, use_ssl=False, config=config)
            return str(client.get_caller_identity()["Account"])

        for region in (HOME, "us-east-1"):
            with pytest.raises(Blocked):
                account(region)
        assert asked == []
        assert account(HERE) == ACCOUNT
    assert asked == [f"http://sts.{HERE}.amazonaws.com/"]
    assert blockade.refused == {f"sts.{one}.amazonaws.com": one for one in (HOME, "us-east-1")}


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sts.eu-west-1.amazonaws.com/", "eu-west-1"),
        ("https://sts.amazonaws.com/", "us-east-1"),
        ("https://iam.amazonaws.com/", "us-east-1"),
        ("https://route53.amazonaws.com/2013-04-01/hostedzone", "us-east-1"),
        ("https://portal.sso.eu-west-1.amazonaws.com/federation/credentials", "eu-west-1"),
        ("https://oidc.eu-west-1.amazonaws.com/token", "eu-west-1"),
        ("https://eu-west-1.signin.aws.amazon.com/v1/token", "eu-west-1"),
        ("https://dynamodb.eu-central-1.api.aws/", "eu-central-1"),
        ("https://123456789012.ddb.eu-central-1.amazonaws.com/", "eu-central-1"),
        ("https://relight-evidence-shop-1-eu-west-1.s3.eu-central-1.amazonaws.com/x", "eu-central-1"),
        ("https://b.s3-eu-west-1.amazonaws.com/x", "eu-west-1"),
        ("https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
        ("http://127.0.0.1:5000/", None),
    ],
)
def test_the_region_of_an_address(url: str, region: str | None) -> None:
    assert region_of(url) == region


def test_where_dr_is_in_us_east_1_that_is_not_refused() -> None:
    blockade = Blockade("eu-west-1", "us-east-1")
    assert blockade.why("us-east-1") == ""
    assert blockade.why("eu-west-1") != ""


# Whose sign-in is lost with the Region.


def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str = "night") -> None:
    config = tmp_path / "config"
    config.write_text(text)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", name)


def sso(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    start = "https://shop.awsapps.com/start"
    given = f"sso_start_url = {start}\nsso_region = {region}\nsso_account_id = {ACCOUNT}\nsso_role_name = Ops\n"
    profiles(tmp_path, monkeypatch, f"[profile night]\nregion = {HERE}\n{given}")
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path))
    token = {"startUrl": start, "region": region, "accessToken": "t", "expiresAt": "2999-01-01T00:00:00Z"}
    # botocore's own name for it.
    (tmp_path / f"{hashlib.sha1(start.encode()).hexdigest()}.json").write_text(json.dumps(token))


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body


def _role_credentials(request: Any, **_: Any) -> AWSResponse:
    """What IAM Identity Center answers."""
    keys = {"accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T", "expiration": 32472144000000}
    body = json.dumps({"roleCredentials": keys}).encode()
    headers: Any = {"content-type": "application/json"}
    return AWSResponse(request.url, 200, headers, _Raw(body))


def sign_in(blockade: Blockade) -> SignedIn:
    operator = Operator(blockade)
    operator.session().get_component("event_emitter").register("before-send.sso", _role_credentials)
    return operator.sign_in()


def test_identity_center_in_the_primary_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sso(tmp_path, monkeypatch, HOME)
    blockade = Blockade(HOME, HERE)
    with pytest.raises(Refused) as refused:
        sign_in(blockade)
    assert blockade.refused == {f"portal.sso.{HOME}.amazonaws.com": HOME}
    check = doctoring.shut_out(refused.value, blockade)
    assert check.level is Level.FAIL
    assert f"portal.sso.{HOME}.amazonaws.com" in check.sentence
    assert "break-glass" in check.todo


def test_identity_center_elsewhere_lets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sso(tmp_path, monkeypatch, HERE)
    found = sign_in(Blockade(HOME, HERE))
    assert found.method == "sso"
    assert found.expires_at == pytest.approx(32472144000)
    sso(tmp_path, monkeypatch, "us-east-1")
    blockade = Blockade(HOME, HERE)
    with pytest.raises(Refused) as refused:
        sign_in(blockade)
    assert doctoring.shut_out(refused.value, blockade).level is Level.WARN


def test_a_role_is_assumed_where_its_profile_says(moto: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role = f"role_arn = arn:aws:iam::{ACCOUNT}:role/functions\nsource_profile = keys\n"
    keys = "[profile keys]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
    iam = boto3.client("iam", region_name=HERE)
    iam.create_role(RoleName="functions", AssumeRolePolicyDocument=json.dumps(TRUST))
    profiles(tmp_path, monkeypatch, f"[profile night]\nregion = {HERE}\n{role}{keys}")
    assert sign_in(Blockade(HOME, HERE)).method == "assume-role"
    profiles(tmp_path, monkeypatch, f"[profile night]\nregion = {HOME}\n{role}{keys}")
    blockade = Blockade(HOME, HERE)
    with pytest.raises(Refused):
        sign_in(blockade)
    assert blockade.refused == {f"sts.{HOME}.amazonaws.com": HOME}


def levels(config: dict[str, Any], *, sts: str | None = HERE, method: str = "x") -> list[str]:
    found = dependences(config, SignedIn(method, "p", temporary=True), "p", sts)
    return [check.level.value for check in depends(found, BLOCKADE)]


def test_what_a_profile_depends_on() -> None:
    session = {"sso_sessions": {"s": {"sso_region": HOME, "sso_start_url": "u"}}}
    assert levels({"profiles": {"p": {"sso_session": "s"}}, **session}) == ["FAIL"]
    assert levels({"profiles": {"p": {"sso_session": "s"}}, **session}, method="env") == ["PASS"]
    assert levels({"profiles": {"p": {"role_arn": "r", "source_profile": "q"}, "q": {"sso_region": HOME}}}) == [
        "PASS",
        "FAIL",
    ]
    circle = {"profiles": {"p": {"role_arn": "r", "source_profile": "q"}, "q": {"source_profile": "p"}}}
    assert set(levels(circle, sts="us-east-1")) == {"WARN"}
    assert levels({"profiles": {"p": {"role_arn": "r"}}}, sts=None) == ["WARN"]
    assert levels({"profiles": {"p": {"credential_process": "get-keys"}}}) == ["WARN"]
    assert levels({"profiles": {"p": {"credential_process": f"get-keys --region {HOME}"}}}) == ["FAIL"]
    assert levels({"profiles": {"p": {"login_session": "x", "region": HOME}}}) == ["FAIL"]
    assert levels({"profiles": {"p": {"aws_access_key_id": "A"}}}) == ["PASS"]
    assert levels({}) == ["PASS"]


def test_what_leads_calls_into_the_lost_region() -> None:
    urls = {"AWS_ENDPOINT_URL_STS": f"https://sts.{HOME}.amazonaws.com", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1"}
    found = [(check.name, check.level.value) for check in misled(urls | {"AWS_REGION": HOME}, HERE, BLOCKADE)]
    assert found == [("endpoint", "FAIL"), ("default Region", "WARN")]
    assert list(misled({}, HERE, BLOCKADE)) == list(misled({}, None, BLOCKADE)) == []


@pytest.mark.parametrize(
    ("method", "temporary", "left", "level"),
    [
        ("env", False, None, Level.PASS),
        ("env", True, None, Level.WARN),
        ("sso", True, 3601, Level.PASS),
        ("sso", True, 3599, Level.WARN),
        ("sso", True, -1, Level.FAIL),
        ("assume-role", True, 600, Level.PASS),
    ],
)
def test_how_long_credentials_last(method: str, temporary: bool, left: float | None, level: Level) -> None:
    expires = None if left is None else NOW + left
    assert credentials(SignedIn(method, "p", temporary, expires), NOW).level is level


# Permissions.


def test_the_table_names_what_is_there() -> None:
    folders = {path.name for path in (ROOT / "functions").iterdir() if (path / "handler.py").exists()}
    assert set(FUNCTIONS) == folders
    assert {path.name.removesuffix(".asl.yaml") for path in (ROOT / "statemachine").glob("*.yaml")} == set(MACHINES)
    template = (ROOT / "template.yaml").read_text()
    assert all(f"  {name}: {{" in template for name in OUTPUTS)
    assert markdown() in (ROOT / "docs/doctor.md").read_text()


def test_each_resource_has_its_arn() -> None:
    place = Place.of("shop", HERE, f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/ann")
    assert place.resource(On.MACHINE, "drill") == f"arn:aws:states:{HERE}:{ACCOUNT}:stateMachine:relight-shop-drill"
    assert place.resource(On.BUCKET) == f"arn:aws:s3:::relight-evidence-shop-{ACCOUNT}-{HERE}"
    assert place.resource(On.ANY) == "*"


def test_iam_simulates_what_a_role_may(moto: None, monkeypatch: pytest.MonkeyPatch) -> None:
    iam = boto3.client("iam", region_name=HERE)
    iam.create_role(RoleName="ops", Path="/people/", AssumeRolePolicyDocument=json.dumps(TRUST))
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "states:StartExecution", "Resource": f"arn:aws:states:{HOME}:*:*:*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})
    iam.put_role_policy(RoleName="ops", PolicyName="p", PolicyDocument=document)
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/ann"
    here, home = simulated(Operator(), caller, [Place.of("shop", region, caller) for region in (HERE, HOME)])
    assert [check.level for check in here.checks()] == [Level.PASS]
    denied = next(iter(home.checks()))
    assert denied.level is Level.FAIL
    assert "failover" in denied.todo
    assert {one.need.action for one in home.of(Verdict.DENIED)} == {"states:StartExecution"}
    assert len(home.of(Verdict.DENIED)) == len(MACHINES)


def test_calls_that_change_nothing_tell_the_rest(aws: None) -> None:
    place = Place("shop", HERE, ACCOUNT)
    found: Judgement = called(Operator(), place, NEEDS)
    assert [(one.need.action, one.why) for one in found.of(Verdict.UNKNOWN)] == []
    assert found.of(Verdict.DENIED) == []
    unknown = called(Operator(Blockade(HERE, HOME)), place, NEEDS)
    assert {one.why for one in unknown.of(Verdict.UNKNOWN)} == {"no answer"}
    assert [check.level for check in unknown.checks()] == [Level.WARN]


# Pure parts.


@pytest.mark.parametrize(
    ("ahead", "level"),
    [(0, Level.PASS), (59, Level.PASS), (-61, Level.WARN), (239, Level.WARN), (-241, Level.FAIL), (7200, Level.FAIL)],
)
def test_a_skewed_clock(ahead: float, level: Level) -> None:
    late = Reading(NOW + ahead, NOW + ahead, NOW - 0.5)
    slow = Reading(NOW - 9, NOW + 9, NOW - 900)
    assert judge([slow, late]).level is level
    assert judge([]).level is Level.WARN


def test_the_time_in_an_answer() -> None:
    told = reading({"HTTPHeaders": {"date": "Mon, 21 Sep 2026 13:33:20 GMT"}}, 1.0, 3.0)
    assert told == Reading(1.0, 3.0, 1789997600.0)
    assert reading({}, 1, 2) is reading({"HTTPHeaders": {"date": "soon"}}, 1, 2) is None


def stack(status: str, *outputs: str) -> Found:
    return Found("id", "relight-shop", HERE, status, outputs=dict.fromkeys(outputs, "x"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, ["FAIL"]),
        (stack("UPDATE_COMPLETE", *OUTPUTS), ["PASS", "PASS"]),
        (stack("UPDATE_IN_PROGRESS", *OUTPUTS), ["WARN", "PASS"]),
        (stack("UPDATE_ROLLBACK_FAILED", *OUTPUTS[1:]), ["FAIL", "FAIL"]),
    ],
)
def test_a_stack(found: Found | None, expected: list[str]) -> None:
    assert [check.level.value for check in judge_stack(found, "relight-shop", HERE)] == expected


def test_templates_are_compared_without_where_sam_put_them() -> None:
    one, other = (f"TemplateURL: https://b.s3.{region}.amazonaws.com/{region}.template" for region in (HERE, HOME))
    assert digest(one) == digest(other) != digest("x")
    same = {HERE: Held(template="a", version="1"), HOME: Held(template="a", version="2")}
    assert [check.level for check in compare(same)] == [Level.PASS, Level.FAIL]


def test_tools_and_names(tmp_path: Path) -> None:
    (tmp_path / "aws").write_text("")
    (tmp_path / "aws").chmod(0o755)
    assert [check.level.value for check in machine.tools(str(tmp_path), (3, 12))] == ["PASS", "WARN", "WARN"]

    def found(environment: dict[str, str]) -> list[str]:
        return [check.level.value for check in machine.names([HERE, HOME], lambda host: HERE in host, environment)]

    assert found({}) == ["PASS", "FAIL"]
    assert found({"HTTPS_PROXY": "http://proxy"}) == ["PASS", "WARN"]
