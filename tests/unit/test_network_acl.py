"""The fence's entries in a network ACL."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from relight.network_acl import NetworkAcl

from tests.unit.conftest import Clients
from tests.unit.firewall import CIDRS, make_acl, rules
from tests.unit.standby import HOME


@pytest.fixture
def acl(aws: None, clients: Clients) -> NetworkAcl:
    return make_acl(clients("ec2", HOME))


def test_the_fence_denies_the_application_subnets_before_everything_else(acl: NetworkAcl) -> None:
    before = rules(acl)
    assert acl.deny()
    assert acl.denied() == set(CIDRS)
    assert rules(acl) == before | {(1, "deny", CIDRS[0]), (2, "deny", CIDRS[1])}


def test_denying_and_lifting_twice_is_the_same_as_once(acl: NetworkAcl) -> None:
    before = rules(acl)
    assert acl.deny()
    assert not acl.deny()
    assert acl.lift()
    assert rules(acl) == before
    assert not acl.lift()
    assert rules(acl) == before


def test_a_half_made_fence_is_completed_and_a_half_lifted_one_is_lifted(acl: NetworkAcl) -> None:
    before = rules(acl)
    acl.deny()
    acl.ec2.delete_network_acl_entry(NetworkAclId=acl.acl_id, RuleNumber=1, Egress=False)
    assert acl.deny()
    assert acl.denied() == set(CIDRS)
    acl.ec2.delete_network_acl_entry(NetworkAclId=acl.acl_id, RuleNumber=2, Egress=False)
    assert acl.lift()
    assert rules(acl) == before


def test_somebody_who_was_faster_does_no_harm(acl: NetworkAcl) -> None:
    """Two guards at once: the second finds, between its look and its act, that the work is done."""

    class Slow:
        """The same API, but each look comes from before the other one's acts."""

        def __init__(self, ec2: Any) -> None:
            self.ec2, self.seen = ec2, ec2.describe_network_acls(NetworkAclIds=[acl.acl_id])

        def describe_network_acls(self, **given: Any) -> Any:
            return self.seen

        def delete_network_acl_entry(self, **given: Any) -> None:
            try:
                self.ec2.delete_network_acl_entry(**given)
            except StopIteration:  # moto's way to say what AWS says so
                words = {"Error": {"Code": "InvalidNetworkAclEntry.NotFound", "Message": "it does not exist"}}
                raise ClientError(words, "DeleteNetworkAclEntry") from None  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.ec2, name)

    late = NetworkAcl(Slow(acl.ec2), acl.acl_id, CIDRS)  # type: ignore[arg-type]
    acl.deny()
    assert late.deny()
    assert acl.denied() == set(CIDRS)

    late = NetworkAcl(Slow(acl.ec2), acl.acl_id, CIDRS)  # type: ignore[arg-type]
    acl.lift()
    assert late.lift()
    assert not acl.denied()


def test_rules_of_others_are_left_alone(acl: NetworkAcl) -> None:
    theirs: dict[str, Any] = {"NetworkAclId": acl.acl_id, "RuleNumber": 50, "Protocol": "-1", "RuleAction": "deny"}
    acl.ec2.create_network_acl_entry(**theirs, Egress=False, CidrBlock="10.10.99.0/24")
    assert not acl.denied()
    acl.deny()
    acl.lift()
    assert (50, "deny", "10.10.99.0/24") in rules(acl)


def test_an_error_that_is_none_of_these_is_raised(acl: NetworkAcl) -> None:
    with pytest.raises(ClientError, match="NotFound"):
        NetworkAcl(acl.ec2, "acl-00000000", CIDRS).deny()
