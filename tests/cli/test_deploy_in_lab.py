"""`relight deploy` and `relight destroy` end to end: the real SAM CLI against the lab's APIs, from the real templates.

One story, told in order: each test goes on from where the one before has left the account.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError
from relight_cli.exit_code import Exit

from lab.binaries import folder
from lab.region import GLOBAL, REGION_NAME, Side
from tests.cli.estate import DOMAIN, Estate

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.linux,
    pytest.mark.timeout(600),
]

DEPLOY = ("deploy", "--env", "staging", "--yes", "--skip-build", "--look-every", "0.2", "--switch-minutes", "0.02")
DESTROY = ("destroy", "--env", "staging", "--look-every", "0.2")
STACK = "relight-shop-staging"


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    place = folder()
    try:
        with Estate(place, databases=True) as estate:
            yield estate
    finally:
        shutil.rmtree(place, ignore_errors=True)


def until(what: str, holds: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def status(estate: Estate, side: Side, name: str = STACK) -> str:
    try:
        described = estate.client("cloudformation", side).describe_stacks(StackName=name)
    except ClientError as error:
        assert "does not exist" in str(error)
        return ""
    return str(described["Stacks"][0]["StackStatus"])


def test_it_can_be_killed_half_way(estate: Estate) -> None:
    """While the first phase of the primary is on its way: AWS goes on with what it has begun."""
    process = estate.start(*DEPLOY)
    try:
        until("the primary was begun", lambda: status(estate, Side.PRIMARY) not in {"", "REVIEW_IN_PROGRESS"})
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert status(estate, Side.DR) == ""
    until("the primary was made", lambda: not status(estate, Side.PRIMARY).endswith("_IN_PROGRESS"))
    described = estate.client("cloudformation", Side.PRIMARY).describe_stacks(StackName=STACK)["Stacks"][0]
    assert described["StackStatus"] == "CREATE_COMPLETE", described["StackStatusReason"]


def test_it_goes_on_from_there_and_waits_for_the_switches(estate: Estate) -> None:
    ended = estate.relight(*DEPLOY)
    assert ended.returncode == Exit.NO_SWITCH_DATA, ended.stderr
    for phase in ("keys, primary", "keys, dr", "primary"):
        assert f"\n{phase}: nothing to do\n" in ended.stdout
    assert "\ndr: CREATE_COMPLETE\n" in ended.stdout
    assert "\nprimary, peer ready: UPDATE_COMPLETE\n" in ended.stdout
    said = f"no data of relight-shop-staging-hold in eu-west-1, {STACK}-stop in eu-central-1, {STACK}-no-go in"
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_it_comes_to_its_end(estate: Estate) -> None:
    estate.publish_switches()
    ended = estate.relight(*DEPLOY)
    assert ended.returncode == 0, ended.stderr
    assert "\nglobal: CREATE_COMPLETE\ndeployed\n" in ended.stdout


def test_a_second_time_there_is_nothing_to_do(estate: Estate) -> None:
    ended = estate.relight(*DEPLOY)
    assert ended.returncode == 0, ended.stderr
    for phase in ("keys, primary", "keys, dr", "primary, peer ready", "dr", "global"):
        assert f"\n{phase}: nothing to do\n" in ended.stdout
    assert ended.stdout.endswith("\nnothing to do: everything is as it should be\n")


def test_outputs_of_one_stack_are_parameters_of_the_next(estate: Estate) -> None:
    stacks = {side: estate.stacks.get(STACK, REGION_NAME[side]) for side in Side}
    primary, dr = stacks[Side.PRIMARY], stacks[Side.DR]
    assert primary is not None
    assert dr is not None
    assert dr.parameters["SourceDatabaseArn"] == primary.outputs["DatabaseArn"]
    for one, other in ((primary, dr), (dr, primary)):
        assert one.parameters["PeerNetworkAclId"] == other.outputs["NetworkAclId"]
        assert one.parameters["PeerReady"] == "true"
    site = estate.stacks.get(f"{STACK}-global", GLOBAL)
    assert site is not None
    assert site.parameters["DrBalancerName"] == dr.outputs["BalancerName"]


def test_each_stack_is_protected_and_holds_on_to_data(estate: Estate) -> None:
    for side in Side:
        cloudformation = estate.client("cloudformation", side)
        described = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        assert described["EnableTerminationProtection"] is True
        nested = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        database = next(one["PhysicalResourceId"] for one in nested if one["LogicalResourceId"] == "Database")
        for stack in (STACK, database):
            policy = cloudformation.get_stack_policy(StackName=stack)["StackPolicyBody"]
            assert policy == (estate.project / "stacks/policy.json").read_text()


def test_the_release_is_in_both_regions(estate: Estate) -> None:
    for side in Side:
        bucket = f"relight-data-shop-staging-123456789012-{REGION_NAME[side]}"
        held = estate.client("s3", side).get_object(Bucket=bucket, Key="releases/current.tar.gz")
        assert held["Body"].read() == estate.release.read_bytes()


def test_a_pipeline_may_deploy(estate: Estate) -> None:
    ended = estate.relight("may-deploy", "--env", "staging")
    assert (ended.returncode, ended.stdout) == (0, "eu-west-1 is active, steady, and no run is on\n")


def test_while_dr_is_active_nothing_is_touched(estate: Estate) -> None:
    ledger = estate.client("dynamodb", Side.DR)
    key = {"pk": {"S": "region"}, "sk": {"S": "head"}}
    ledger.put_item(TableName=STACK, Item={**key, "active": {"S": REGION_NAME[Side.DR]}, "epoch": {"N": "1"}})
    try:
        assert estate.relight("may-deploy", "--env", "staging").returncode == Exit.OTHERWISE
        for words in (DEPLOY, (*DEPLOY, "--plan"), (*DESTROY, "--yes")):
            ended = estate.relight(*words)
            assert ended.returncode == Exit.NOT_HOME, ended.stdout
        assert "eu-central-1 is active, and not eu-west-1" in ended.stderr
    finally:
        ledger.delete_item(TableName=STACK, Key=key)


def test_another_account_is_refused(estate: Estate) -> None:
    # Its certificates, too: those of yet another account are refused before anybody is asked.
    estate.configure("123456789012", "111122223333")
    try:
        for words in (DEPLOY, DESTROY):
            ended = estate.relight(*words)
            assert ended.returncode == Exit.WRONG_ACCOUNT
            said = "these credentials are of account 123456789012, and staging is account 111122223333"
            assert said in ended.stderr
        assert estate.relight("may-deploy", "--env", "staging").returncode == Exit.BAD_INPUT
    finally:
        estate.configure("111122223333", "123456789012")


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ("{zone}", "ZNONE0000", Exit.ZONE, "there is no hosted zone ZNONE0000"),
        ("{domain}", "shop-staging.other.com", Exit.CERTIFICATE, "does not cover shop-staging.other.com"),
        ("certificate/", "certificate/0", Exit.CERTIFICATE, "there is no certificate"),
    ],
)
def test_what_aws_does_not_have_is_refused(estate: Estate, before: str, after: str, code: Exit, said: str) -> None:
    before = before.format(zone=estate.zone_id, domain=DOMAIN)
    estate.configure(before, after)
    try:
        ended = estate.relight(*DEPLOY, "--plan")
        assert ended.returncode == code
        assert said in ended.stdout
        ended = estate.relight(*DEPLOY)
        assert (ended.returncode, ended.stderr.count("\n")) == (code, 1)
        assert said in ended.stderr
    finally:
        estate.configure(after, before)


def test_data_is_not_deleted_without_its_name(estate: Estate) -> None:
    ended = estate.relight(*DESTROY, "--yes", "--delete-data", "--confirm", "shop")
    assert ended.returncode == Exit.NO_CONSENT
    assert "only if its name is typed" in ended.stderr
    assert status(estate, Side.DR) == "CREATE_COMPLETE"


def test_destroying_keeps_data_and_names_it(estate: Estate) -> None:
    protection = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    for side in Side:
        elb = estate.client("elbv2", side)
        for balancer in elb.describe_load_balancers()["LoadBalancers"]:
            arn = balancer["LoadBalancerArn"]
            elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=protection)
            with pytest.raises(ClientError, match="deletion protection is enabled"):
                elb.delete_load_balancer(LoadBalancerArn=arn)
    ended = estate.relight(*DESTROY, "--yes")
    assert ended.returncode == 0, ended.stderr
    assert f"{DOMAIN} will lead nowhere" in ended.stdout
    for side in Side:
        region = REGION_NAME[side]
        assert status(estate, side) == ""
        assert status(estate, side, f"{STACK}-keys") == ""
        kept = estate.client("rds", side).describe_db_instances()["DBInstances"]
        assert [one["DBInstanceIdentifier"] for one in kept] == [f"shop-staging-{side}"]
        assert f"AWS::RDS::DBInstance shop-staging-{side} in {region}" in ended.stdout
        assert f"AWS::S3::Bucket relight-data-shop-staging-123456789012-{region} in {region}" in ended.stdout
        assert STACK in estate.client("dynamodb", side).list_tables()["TableNames"]
        # What a database holds on to cannot be deleted under it, and does not keep the rest from being deleted.
        held = estate.client("rds", side).describe_db_subnet_groups()["DBSubnetGroups"]
        assert [len(group["Subnets"]) for group in held] == [2]
        assert (
            f"AWS::RDS::DBSubnetGroup {held[0]['DBSubnetGroupName']} in {region}: something that stays" in ended.stdout
        )
        assert f"AWS::EC2::VPC {held[0]['VpcId']} in {region}: something that stays" in ended.stdout
        assert estate.client("elbv2", side).describe_load_balancers()["LoadBalancers"] == []


def test_what_was_kept_stands_in_the_way_of_a_new_deployment(estate: Estate) -> None:
    ended = estate.relight(*DEPLOY)
    assert ended.returncode == Exit.STACK
    assert "has a ledger of shop-staging, and no stack" in ended.stderr


def test_destroying_what_is_not_there_does_nothing(estate: Estate) -> None:
    ended = estate.relight(*DESTROY, "--yes")
    assert (ended.returncode, ended.stdout) == (0, "nothing to do: there are no stacks\n")
