"""`relight deploy`, `destroy`, `may-deploy` and `cut-over` without AWS: what is refused, decided and planned."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.parsers import ResponseParserError
from relight.ledger import Head, State
from relight_cli import certificate, deploying, records, stack
from relight_cli.aws import asking, refusal
from relight_cli.command import run
from relight_cli.exit_code import Exit, Refused
from relight_cli.phases import Origin, phases, values
from relight_cli.records import Target
from relight_cli.remains import command
from relight_cli.sam import Sam, quoted
from relight_cli.samconfig import Slot, environment, overrides
from relight_cli.stack import Found, Resource
from relight_cli.standing import Answer, Reading, judge

ROOT = Path(__file__).parents[2]
NOW = 1_000_000.0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's templates and environments, on a machine without credentials."""
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(project: Path, before: str, after: str, count: int = -1) -> None:
    file = project / "samconfig.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, count))


# --- The plan ---


def test_without_credentials_the_plan_is_printed_and_says_what_was_not_checked(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["deploy", "--plan", "--env", "prod"]) == 0
    out, complaint = capfd.readouterr()
    assert complaint == ""
    order = ["1. keys, primary", "2. keys, dr", "3. primary", "4. dr", "5. primary, peer ready", "6. global"]
    assert sorted(out.index(f"{phase}: stack") for phase in order) == [out.index(f"{p}: stack") for p in order]
    assert "SourceDatabaseArn        <- output DatabaseArn of primary" in out
    assert "not made  account: there are no AWS credentials" in out
    for check in ("Regions", "certificates", "hosted zone", "records", "ledgers", "stacks"):
        assert f"not made  {check}: there are no AWS credentials" in out


def test_the_plan_as_json_has_every_parameter_with_its_origin(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["deploy", "--plan", "--json", "--env", "prod"]) == 0
    document = json.loads(capfd.readouterr().out)
    passes = {phase["phase"]: {p["name"]: p for p in phase["parameters"]} for phase in document["phases"]}
    assert passes["primary"]["PeerReady"] == {
        "name": "PeerReady",
        "value": "false",
        "origin": "set",
        "source": "by this pass",
    }
    assert passes["primary, peer ready"]["PeerReady"]["value"] == "true"
    assert passes["dr"]["SourceDatabaseArn"]["source"] == "output DatabaseArn of primary"
    assert passes["primary"]["MaxDataLossSeconds"]["origin"] == "default"
    assert {check["result"] for check in document["checks"]} == {"not made"}


def test_a_primary_whose_peer_exists_is_never_deployed_as_if_it_did_not() -> None:
    env = environment(ROOT / "samconfig.toml", "prod")
    again = phases(peer_exists=True)
    assert [one.slot for one in again] == [Slot.KEYS_PRIMARY, Slot.KEYS_DR, Slot.PRIMARY, Slot.DR, Slot.GLOBAL]
    declared = {"PeerReady": {"Default": "false"}, "PeerNetworkAclId": {"Default": ""}}
    resolved = values(again[2], env, declared, {Slot.DR: {"NetworkAclId": "acl-1"}}, None)
    assert (resolved["PeerReady"].value, resolved["PeerNetworkAclId"].value) == ("true", "acl-1")


def test_what_samconfig_gives_is_preferred_to_an_output() -> None:
    env = environment(ROOT / "samconfig.toml", "prod")
    given = {**env.stacks[Slot.DR].overrides, "SourceDatabaseArn": "mine", "PeerReady": "false"}
    mine = type(env)(
        env.name,
        env.file,
        env.account,
        {**env.stacks, Slot.DR: type(env.stacks[Slot.DR])(Slot.DR, "x", "x", "x", Path("x"), given)},
    )
    dr = next(one for one in phases(peer_exists=False) if one.slot is Slot.DR)
    resolved = values(dr, mine, {"SourceDatabaseArn": {}, "PeerReady": {}, "Other": {}}, {}, None)
    assert (resolved["SourceDatabaseArn"].value, resolved["SourceDatabaseArn"].origin) == ("mine", Origin.GIVEN)
    assert resolved["PeerReady"].value == "true"
    assert "Other" not in resolved


# --- Bad input, offline ---


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ('"eu-central-1"', '"eu-west-1"', Exit.REGIONS, "both Regions are eu-west-1; Relight needs two"),
        ('"eu-central-1"', '"eu-nowhere-1"', Exit.REGIONS, "botocore knows"),
        ('"eu-central-1"', '"cn-north-1"', Exit.REGIONS, "different partitions"),
        ('"xx-west-1"', '"eu-west-1"', Exit.REGIONS, "there is no Region xx-west-1"),
        ("PeerNetworkPrefix=10.20", "PeerNetworkPrefix=10.10", Exit.CONFIGURATION, "PeerNetworkPrefix is '10.10'"),
        ("NetworkPrefix=10.20", "NetworkPrefix=10.10", Exit.CONFIGURATION, "the two networks must not overlap"),
        ("NetworkPrefix=10.20", "NetworkPrefix=10.999", Exit.CONFIGURATION, "'10.999' does not match"),
        ("Role=dr", "Role=primary", Exit.CONFIGURATION, "Role is 'primary'"),
        ("FailoverCapacity=2", "FailoverCapacity=9", Exit.CONFIGURATION, "FailoverCapacity 9 is above MaxSize 8"),
        ("MinSize=0", 'MinSize=0", "LeaseTermSeconds=15', Exit.CONFIGURATION, "LeaseTermSeconds is '' and '15'"),
        ("DesiredCapacity=2", "DesiredCapacity=20", Exit.CONFIGURATION, "they must not decrease"),
        ("DesiredCapacity=0", "DesiredCapacity=-1", Exit.CONFIGURATION, "below MinValue 0"),
        ("Policy=approve", "Policy=perhaps", Exit.CONFIGURATION, "'perhaps' is none of auto, approve, manual"),
        ("Policy=approve", "Polity=approve", Exit.CONFIGURATION, "there is no parameter Polity"),
        ("Policy=approve", "Policy", Exit.CONFIGURATION, "write Name=value"),
        ("Policy=approve", "MinSize=1", Exit.CONFIGURATION, "MinSize is given twice"),
        ("Domain=shop.example.com", "Domain=Shop", Exit.CONFIGURATION, "does not match"),
        ("HostedZoneId=Z0123456789EXAMPLE", "FailureThreshold=3", Exit.ZONE, "HostedZoneId has no value"),
        ('account = "111122223333"', 'account = "1"', Exit.CONFIGURATION, "does not say whose account this is"),
        ('"relight-shop-global"', '""', Exit.CONFIGURATION, "there is no stack_name"),
        ('region = "us-east-1"', 'region = "us-east-2"', Exit.CONFIGURATION, "the global stack belongs to us-east-1"),
        ("version = 0.1", "version = ", Exit.CONFIGURATION, "does not parse"),
        ('"stacks/keys.yaml"', "5", Exit.CONFIGURATION, "template_file is 5, which is no text"),
        ('"relight-shop-global"', "5", Exit.CONFIGURATION, "stack_name is 5, which is no text"),
        ('"relight-shop-global"', '"relight shop"', Exit.CONFIGURATION, "stack_name is 'relight shop'"),
        ('"relight-shop-keys"', '"relight-shop"', Exit.CONFIGURATION, "is the stack of keys-primary already"),
        ("parameter_overrides = [", "parameter_overrides = 5\nx = [", Exit.CONFIGURATION, "parameter_overrides is 5"),
        ("parameter_overrides = [", 'parameter_overrides = "A=\'x"\nx = [', Exit.CONFIGURATION, "mend the quotes"),
        ("acm:eu-central-1", "acm:eu-west-1", Exit.CERTIFICATE, "is not of eu-central-1 and the account 1111"),
        ("acm:eu-central-1:1111", "acm:eu-central-1:2222", Exit.CERTIFICATE, "is not of eu-central-1 and the account"),
    ],
)
def test_bad_configuration_is_refused_offline_in_one_line(
    project: Path, capfd: pytest.CaptureFixture[str], before: str, after: str, code: Exit, said: str
) -> None:
    if before == '"xx-west-1"':
        before, after = '"eu-west-1"', before
    configure(project, before, after)
    if before == '"eu-central-1"':
        configure(project, "PeerRegion=eu-central-1", f"PeerRegion={after.strip('"')}")
    assert run(["deploy", "--plan", "--env", "prod"]) == code
    out, complaint = capfd.readouterr()
    assert out == ""
    assert complaint.count("\n") == 1
    assert said in complaint


def test_a_template_may_stand_elsewhere(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    configure(project, '"stacks/global.yaml"', f'"{ROOT}/stacks/global.yaml"')
    assert run(["deploy", "--plan", "--env", "prod"]) == 0
    assert f"relight-shop-global in us-east-1, {ROOT}/stacks/global.yaml" in capfd.readouterr().out


def test_a_pipeline_reads_2_where_the_environment_cannot_be_read(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(project, "version = 0.1", "version = ")
    assert run(["may-deploy", "--env", "prod"]) == Exit.BAD_INPUT
    assert "does not parse" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_PROFILE", "nobody", "nobody"),
        ("AWS_CONFIG_FILE", "[default\nx", "Unable to parse config file"),
        ("AWS_CONFIG_FILE", "[default]\ncredential_process = /no/such\n", "/no/such"),
        ("AWS_CONFIG_FILE", "[default]\ncredential_process = echo hi\n", "Expecting value"),
        ("AWS_ENDPOINT_URL", "garbage", "Invalid endpoint: garbage"),
    ],
)
def test_broken_settings_of_aws_are_one_line(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    value: str,
    said: str,
) -> None:
    if name == "AWS_CONFIG_FILE":
        (project / "aws").write_text(value)
        value = str(project / "aws")
    monkeypatch.setenv(name, value)
    assert run(["destroy", "--env", "prod"]) == Exit.NO_CREDENTIALS
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert said in complaint
    # The plan needs none of it.
    assert run(["deploy", "--plan", "--env", "prod"]) == 0
    assert "6. global" in capfd.readouterr().out


def test_the_plan_shows_sections_as_they_are_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> str:
        raise Refused("wrong", where="[prod-dr.deploy.parameters] [/]", code=Exit.WRONG_ACCOUNT)

    monkeypatch.setattr("relight_cli.account.check", refuse)
    assert run(["deploy", "--plan", "--env", "prod"]) == Exit.WRONG_ACCOUNT
    assert "account: wrong, [prod-dr.deploy.parameters] [/]" in capfd.readouterr().out


def test_https_needs_a_certificate(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (project / "samconfig.toml").read_text().splitlines(keepends=True)
    (project / "samconfig.toml").write_text("".join(line for line in text if "CertificateArn=" not in line))
    assert run(["deploy", "--plan", "--env", "prod"]) == Exit.CERTIFICATE
    assert "HTTPS needs a certificate" in capfd.readouterr().err


def test_dr_must_be_able_to_carry_the_primary(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (project / "samconfig.toml").read_text()
    head, dr = text.split("[prod-dr.deploy.parameters]")
    (project / "samconfig.toml").write_text(
        head.replace("DesiredCapacity=2", "DesiredCapacity=6")
        + "[prod-dr.deploy.parameters]"
        + dr.replace("MaxSize=8", "MaxSize=4", 1)
    )
    assert run(["deploy", "--plan", "--env", "prod"]) == Exit.CONFIGURATION
    assert "the primary runs 6 instances, and the MaxSize of dr is 4" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["deploy", "--env", "prod"], Exit.BAD_INPUT, "the SAM CLI is missing"),
        (["deploy", "--env", "none"], Exit.BAD_INPUT, "choose one of: prod staging"),
        (["deploy", "--env", "prod", "--config", "no.toml"], Exit.BAD_INPUT, "samconfig.toml cannot be read"),
        (["deploy"], Exit.BAD_INPUT, "see relight deploy --help"),
        (["deploy", "--env", "prod", "--look-every", "-1"], Exit.BAD_INPUT, "--look-every"),
        (["destroy", "--env", "prod"], Exit.NO_CREDENTIALS, "there are no AWS credentials"),
        (["cut-over", "--env", "prod", "--plan"], Exit.NO_CREDENTIALS, "there are no AWS credentials"),
        (["may-deploy", "--env", "prod"], Exit.BAD_INPUT, "it cannot be known, there are no AWS credentials"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    code: Exit,
    said: str,
) -> None:
    monkeypatch.setenv("PATH", str(project))
    assert run(words) == code
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert said in complaint


def test_a_deployment_without_credentials_says_so(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sam = project / ".tools/sam/bin/sam"
    sam.parent.mkdir(parents=True)
    sam.touch()
    assert run(["deploy", "--env", "prod"]) == Exit.NO_CREDENTIALS
    assert capfd.readouterr().err.startswith("relight: there are no AWS credentials, ")


def test_a_release_that_was_named_has_to_be_there(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sam = project / ".tools/sam/bin/sam"
    sam.parent.mkdir(parents=True)
    sam.touch()
    assert run(["deploy", "--env", "prod", "--release", "none.tar.gz"]) == Exit.BAD_INPUT
    assert "make release" in capfd.readouterr().err


def test_ctrl_c_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("relight_cli.account.check", interrupt)
    assert run(["deploy", "--plan", "--env", "prod"]) == 130
    complaint = capfd.readouterr().err
    assert complaint == "relight: interrupted; what AWS has begun goes on there, and the next call goes on from it\n"


def test_nothing_heavy_is_imported_for_help() -> None:
    script = (
        "import sys\nfrom relight_cli.command import run\nrun(['deploy', '--help'])\n"
        "print(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "--plan" in ended.stdout
    for heavy in ("boto3", "botocore", "samtranslator", "moto"):
        assert f"'{heavy}'" not in ended.stderr


# --- The errors of AWS ---


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoCredentialsError(), Exit.NO_CREDENTIALS),
        (ClientError({"Error": {"Code": "ExpiredToken", "Message": "m"}}, "op"), Exit.EXPIRED),
        (ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "m"}}, "op"), Exit.EXPIRED),
        (ClientError({"Error": {"Code": "InvalidClientTokenId", "Message": "m"}}, "op"), Exit.NO_CREDENTIALS),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "m"}}, "op"), Exit.AWS),
        (EndpointConnectionError(endpoint_url="https://x"), Exit.AWS),
        (ResponseParserError("no XML\n<html>"), Exit.AWS),
    ],
)
def test_an_error_of_aws_is_one_line_with_a_code_of_its_own(error: Any, code: Exit) -> None:
    refused = refusal(error, "ask")
    assert refused.code is code
    assert "\n" not in refused.sentence
    with pytest.raises(Refused) as asked, asking("ask"):
        raise error
    assert asked.value.sentence == refused.sentence


# --- Standing ---

HOME, PEER = "eu-west-1", "eu-central-1"


def head(**more: Any) -> Head:
    written: dict[str, Any] = {"written": True, "epoch": 3, "active": HOME, "state": State.STEADY}
    return Head(**written | more)


def readings(primary: Reading, dr: Reading) -> Mapping[Slot, Reading]:
    return {Slot.PRIMARY: primary, Slot.DR: dr}


STEADY = {region: Reading(region, head()) for region in (HOME, PEER)}


@pytest.mark.parametrize(
    ("primary", "dr", "answer", "said"),
    [
        (STEADY[HOME], STEADY[PEER], Answer.HOME, "eu-west-1 is active, steady"),
        (Reading(HOME), Reading(PEER), Answer.HOME, "has no ledger yet"),
        (STEADY[HOME], Reading(PEER), Answer.HOME, "eu-central-1 has no ledger yet"),
        (STEADY[HOME], Reading(PEER, head(active=PEER)), Answer.NOT_NOW, "eu-central-1 is active, and not eu-west-1"),
        (Reading(HOME, head(active=PEER)), STEADY[PEER], Answer.NOT_NOW, "eu-central-1 is active"),
        (STEADY[HOME], Reading(PEER, head(state=State.PROMOTING)), Answer.NOT_NOW, "is being activated"),
        (STEADY[HOME], Reading(PEER, head(owner="run"), owner_runs=True), Answer.NOT_NOW, "a run is on (run)"),
        (STEADY[HOME], Reading(PEER, head(owner="run"), owner_runs=False), Answer.HOME, "steady"),
        (STEADY[HOME], Reading(PEER, unreadable="silent"), Answer.UNKNOWN, "eu-central-1: silent"),
        (Reading(HOME, unreadable="silent"), STEADY[PEER], Answer.UNKNOWN, "eu-west-1: silent"),
        (Reading(HOME, unreadable="a"), Reading(PEER, unreadable="b"), Answer.UNKNOWN, "eu-west-1: a; eu-central-1: b"),
        # One that says no is enough.
        (Reading(HOME, unreadable="silent"), Reading(PEER, head(active=PEER)), Answer.NOT_NOW, "is active"),
        (STEADY[HOME], Reading(PEER, head(frozen_until=NOW + 1, frozen_because="x")), Answer.NOT_NOW, "frozen (x)"),
        (STEADY[HOME], Reading(PEER, head(frozen_until=NOW - 1)), Answer.HOME, "steady"),
    ],
)
def test_what_both_ledgers_come_to(primary: Reading, dr: Reading, answer: Answer, said: str) -> None:
    found = judge(readings(primary, dr), HOME, NOW)
    assert found.answer is answer
    assert said in found.sentence


def test_a_freeze_is_no_reason_for_a_person() -> None:
    frozen = readings(STEADY[HOME], Reading(PEER, head(frozen_until=NOW + 1)))
    assert judge(frozen, HOME, NOW, heed_freeze=False).answer is Answer.HOME


def test_away_from_home_nothing_is_deployed() -> None:
    with pytest.raises(Refused) as refused:
        judge(readings(STEADY[HOME], Reading(PEER, head(active=PEER))), HOME, NOW).require_home()
    assert refused.value.code is Exit.NOT_HOME


# --- Certificates ---

DOMAIN = "shop.example.com"


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ([DOMAIN, f"primary.{DOMAIN}", f"dr.{DOMAIN}"], ""),
        ([DOMAIN, f"*.{DOMAIN}"], ""),
        ([DOMAIN.upper(), f"*.{DOMAIN}"], ""),
        ([f"*.{DOMAIN}"], f"does not cover {DOMAIN}"),
        (["*.example.com"], f"does not cover primary.{DOMAIN}, dr.{DOMAIN}"),
        ([DOMAIN, f"primary.{DOMAIN}"], f"does not cover dr.{DOMAIN}"),
        (["*"], f"does not cover {DOMAIN}, primary.{DOMAIN}, dr.{DOMAIN}"),
    ],
)
def test_the_names_of_a_certificate(names: list[str], fault: str) -> None:
    described = {"Status": "ISSUED", "DomainName": names[0], "SubjectAlternativeNames": names}
    assert certificate.fault(described, DOMAIN, NOW) == fault


@pytest.mark.parametrize(
    ("described", "fault"),
    [
        ({"Status": "PENDING_VALIDATION"}, "is not issued, its status is PENDING_VALIDATION"),
        ({"Status": "EXPIRED"}, "has expired"),
        ({"Status": "ISSUED", "NotAfter": datetime.fromtimestamp(NOW - 1, UTC)}, "has expired on 1970-01-12"),
        ({"Status": "REVOKED"}, "is not issued, its status is REVOKED"),
    ],
)
def test_a_certificate_that_cannot_be_used(described: dict[str, Any], fault: str) -> None:
    assert certificate.fault({"DomainName": DOMAIN} | described, DOMAIN, NOW) == fault


# --- Stacks ---


@pytest.mark.parametrize(
    ("status", "do"),
    [
        ("CREATE_COMPLETE", ""),
        ("UPDATE_COMPLETE", ""),
        ("UPDATE_ROLLBACK_COMPLETE", ""),
        ("REVIEW_IN_PROGRESS", ""),
        ("ROLLBACK_COMPLETE", "--delete-failed"),
        ("ROLLBACK_FAILED", "aws cloudformation delete-stack --stack-name s --region r"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name s --region r"),
        ("DELETE_FAILED", "relight destroy"),
        ("UPDATE_IN_PROGRESS", "wait until the operation has ended"),
        ("ROLLBACK_IN_PROGRESS", "wait until the operation has ended"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait until the operation has ended"),
    ],
)
def test_a_stack_that_cannot_be_deployed_says_what_to_do(status: str, do: str) -> None:
    found = Found("id", "s", "r", status)
    if not do:
        stack.require_ready(found)
        return
    with pytest.raises(Refused, match=f"the stack s in r is {status}") as refused:
        stack.require_ready(found)
    assert refused.value.code is Exit.STACK
    assert do in refused.value.sentence


def change(action: str = "Modify", *details: dict[str, str]) -> dict[str, Any]:
    return {"ResourceChange": {"Action": action, "Details": list(details)}}


AUTOMATIC = {"ChangeSource": "Automatic", "Evaluation": "Dynamic"}
DYNAMIC = {"ChangeSource": "ResourceAttribute", "Evaluation": "Dynamic", "CausingEntity": "Network.Outputs.VpcId"}


@pytest.mark.parametrize(
    ("changes", "nothing"),
    [
        ([change("Modify", AUTOMATIC)], True),
        ([change("Modify", AUTOMATIC, DYNAMIC), change("Modify", DYNAMIC)], True),
        ([], False),  # outputs or tags alone
        ([change("Add")], False),
        ([change("Remove")], False),
        ([change("Modify")], False),
        ([change("Modify", AUTOMATIC, {"ChangeSource": "DirectModification", "Evaluation": "Static"})], False),
        ([change("Modify", {"ChangeSource": "ParameterReference", "Evaluation": "Static"})], False),
        ([change("Modify", DYNAMIC | {"CausingEntity": "Topic.Arn"})], False),
        ([change("Modify", DYNAMIC | {"Evaluation": "Static"})], False),
    ],
)
def test_a_change_set_that_changes_nothing(changes: list[dict[str, Any]], nothing: bool) -> None:
    assert stack.changes_nothing(changes) is nothing


# --- SAM ---


def test_a_value_is_passed_to_sam_as_it_is() -> None:
    assert quoted("A", "") == 'A=""'
    assert quoted("A", 'a "b" \\c, d') == 'A="a \\"b\\" \\\\c, d"'


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["A=1", "B=x=y", "C="], {"A": "1", "B": "x=y", "C": ""}),
        ("A=1 B='x y'", {"A": "1", "B": "x y"}),
        ({"A": 1, "B": True, "C": ["x", "y"]}, {"A": "1", "B": "true", "C": "x,y"}),
    ],
)
def test_overrides_in_each_of_sams_ways(given: Any, found: dict[str, str]) -> None:
    assert overrides(given, "here") == found


def test_sam_that_fails_is_one_line_and_a_file(tmp_path: Path) -> None:
    program = tmp_path / "sam"
    program.write_text("#!/bin/sh\necho much\necho 'Error: it will not' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(Refused, match=r"sam build failed for build: Error: it will not, .* build/deploy/build.log"):
        Sam(program, tmp_path).build("eu-west-1")
    assert "much" in (tmp_path / "build/deploy/build.log").read_text()


def test_two_deployments_do_not_share_a_folder(tmp_path: Path) -> None:
    sam = Sam(tmp_path / "sam", tmp_path)
    with sam.alone(), pytest.raises(Refused, match="another deployment is on"), sam.alone():
        pass
    with sam.alone():
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "build").touch()
    for work in (Sam(tmp_path / "sam", tmp_path).alone().__enter__, lambda: Sam(Path("sam"), tmp_path).build("x")):
        with pytest.raises(Refused, match="the project's folder cannot be worked in"):
            work()


# --- Consent ---


@pytest.mark.parametrize(
    ("yes", "terminal", "answer", "goes_on"),
    [(True, False, False, True), (False, False, True, False), (False, True, True, True), (False, True, False, False)],
)
def test_nothing_is_done_without_a_yes(
    monkeypatch: pytest.MonkeyPatch, yes: bool, terminal: bool, answer: bool, goes_on: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    ask: Callable[..., bool] = lambda *_, **__: answer  # noqa: E731 - as short as it gets
    if goes_on:
        deploying.agree("do it?", yes, ask)
        return
    with pytest.raises(Refused) as refused:
        deploying.agree("do it?", yes, ask)
    assert refused.value.code is Exit.NO_CONSENT


@pytest.mark.parametrize("kind", ["AWS::RDS::DBInstance", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::New::Thing"])
def test_whatever_stays_has_a_way_to_be_removed(kind: str) -> None:
    said = command(Resource("stack", "Logical", "the-id", kind), "eu-west-1")
    assert said
    assert kind == "AWS::New::Thing" or ("the-id" in said and "--region eu-west-1" in said)


# --- Cut-over ---

SIMPLE = {"Name": f"{DOMAIN}.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
ALIAS = {"Name": f"{DOMAIN}.", "Type": "A", "AliasTarget": {"HostedZoneId": "Z1", "DNSName": "old."}}
CNAME = {"Name": f"{DOMAIN}.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "old."}]}
MAIL = {"Name": f"{DOMAIN}.", "Type": "MX", "TTL": 60, "ResourceRecords": [{"Value": "10 mail."}]}
TARGETS = (Target("one.elb", "ZA", "check-stop"), Target("two.elb", "ZB", "check-go"))


@pytest.mark.parametrize("old", [SIMPLE, ALIAS, CNAME])
def test_one_batch_replaces_the_record_and_one_brings_it_back(old: dict[str, Any]) -> None:
    made = records.cut_over([old, MAIL], DOMAIN, *TARGETS)
    assert made is not None
    gone, primary, dr = made.forward["Changes"]
    assert gone == {"Action": "DELETE", "ResourceRecordSet": old}
    assert [one["Action"] for one in (primary, dr)] == ["CREATE", "CREATE"]
    assert primary["ResourceRecordSet"] == {
        "Name": f"{DOMAIN}.",
        "Type": "A",
        "SetIdentifier": "primary",
        "Failover": "PRIMARY",
        "HealthCheckId": "check-stop",
        "AliasTarget": {"HostedZoneId": "ZA", "DNSName": "one.elb", "EvaluateTargetHealth": True},
    }
    assert dr["ResourceRecordSet"]["Failover"] == "SECONDARY"
    undone = [(one["Action"], one["ResourceRecordSet"]) for one in made.back["Changes"]]
    assert undone == [
        ("DELETE", primary["ResourceRecordSet"]),
        ("DELETE", dr["ResourceRecordSet"]),
        ("CREATE", old),
    ]


def test_a_cut_over_that_has_been_done_is_done() -> None:
    made = records.cut_over([SIMPLE], DOMAIN, *TARGETS)
    assert made is not None
    pair = [one["ResourceRecordSet"] for one in made.forward["Changes"] if one["Action"] == "CREATE"]
    assert records.cut_over([*pair, MAIL], DOMAIN, *TARGETS) is None
    assert records.obstacle([*pair, MAIL], DOMAIN) == ""


@pytest.mark.parametrize(
    ("more", "policy"),
    [
        ({"Weight": 10}, "weighted"),
        ({"Region": "eu-west-1"}, "latency"),
        ({"GeoLocation": {"CountryCode": "DE"}}, "geolocation"),
        ({"GeoProximityLocation": {}}, "geoproximity"),
        ({"MultiValueAnswer": True}, "multivalue"),
        ({"CidrRoutingConfig": {}}, "IP-based"),
        ({"Failover": "PRIMARY"}, "failover"),
    ],
)
def test_any_other_routing_is_refused_by_name(more: dict[str, Any], policy: str) -> None:
    record = {**SIMPLE, "SetIdentifier": "theirs", **more}
    with pytest.raises(Refused, match=rf"A {DOMAIN} \(theirs\) is a {policy} record") as refused:
        records.cut_over([record], DOMAIN, *TARGETS)
    assert refused.value.code is Exit.RECORD
    assert records.obstacle([record], DOMAIN) == f"a {policy} record A of {DOMAIN}"


def test_no_record_and_ipv6_are_no_cut_over() -> None:
    with pytest.raises(Refused, match="no record that could be replaced"):
        records.cut_over([MAIL], DOMAIN, *TARGETS)
    with pytest.raises(Refused, match="AAAA"):
        records.cut_over([SIMPLE, {**SIMPLE, "Type": "AAAA"}], DOMAIN, *TARGETS)


@pytest.mark.parametrize(
    ("record", "said"), [(SIMPLE, "a simple record A"), (CNAME, "a simple record CNAME"), (MAIL, "")]
)
def test_what_stands_in_the_way_of_the_pair(record: dict[str, Any], said: str) -> None:
    assert records.obstacle([record], DOMAIN).startswith(said)
    assert bool(records.obstacle([record], DOMAIN)) is bool(said)
