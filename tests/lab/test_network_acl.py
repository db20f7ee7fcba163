"""The entries of network ACLs come and go as with AWS, also where several callers want the same at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lab.network_acl import NetworkAclEntries


@pytest.fixture
def ec2() -> Iterator[Any]:
    with mock_aws(), NetworkAclEntries():
        yield boto3.client("ec2", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")


@pytest.fixture
def acl(ec2: Any) -> str:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return str(ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"])


def deny(ec2: Any, acl: str) -> str:
    """The code of the error, or `done`."""
    entry = {"RuleNumber": 1, "Protocol": "-1", "RuleAction": "deny", "Egress": False, "CidrBlock": "10.0.1.0/24"}
    return code_of(lambda: ec2.create_network_acl_entry(NetworkAclId=acl, **entry))


def lift(ec2: Any, acl: str) -> str:
    return code_of(lambda: ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=1, Egress=False))


def code_of(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_an_entry_that_is_not_there_is_said_not_to_be(ec2: Any, acl: str) -> None:
    assert lift(ec2, acl) == "InvalidNetworkAclEntry.NotFound"
    assert deny(ec2, acl) == "done"
    assert deny(ec2, acl) == "NetworkAclEntryAlreadyExists"
    assert [lift(ec2, acl), lift(ec2, acl)] == ["done", "InvalidNetworkAclEntry.NotFound"]


def test_of_several_who_do_the_same_at_once_one_does_it(ec2: Any, acl: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        for change, slower in ((deny, "NetworkAclEntryAlreadyExists"), (lift, "InvalidNetworkAclEntry.NotFound")):
            said = list(threads.map(lambda _, change=change: change(ec2, acl), range(8)))
            assert sorted(said) == sorted(["done", *[slower] * 7])
