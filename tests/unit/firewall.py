"""A network ACL on moto's EC2, as stacks/network.yaml leaves one, and what stands in it."""

from typing import Any

from relight.network_acl import NetworkAcl

CIDRS = ("10.10.16.0/20", "10.10.32.0/20")


def make_acl(ec2: Any) -> NetworkAcl:
    """Allows everything, at rule 100."""
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
    made: str = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    for egress in (False, True):
        ec2.create_network_acl_entry(
            NetworkAclId=made, RuleNumber=100, Protocol="-1", RuleAction="allow", Egress=egress, CidrBlock="0.0.0.0/0"
        )
    return NetworkAcl(ec2, made, CIDRS)


def rules(acl: NetworkAcl) -> set[tuple[int, str, str]]:
    """Number, action and addresses of the incoming rules."""
    found = acl.ec2.describe_network_acls(NetworkAclIds=[acl.acl_id])["NetworkAcls"][0]["Entries"]
    return {(e["RuleNumber"], e["RuleAction"], e["CidrBlock"]) for e in found if not e["Egress"]}
