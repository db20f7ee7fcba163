"""The fence's entry in a network ACL: it denies the application subnets, and, unlike a security group, cuts live
connections too. Rule numbers 1 to 99 are left free for it by stacks/network.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_ec2 import EC2Client

FIRST_RULE = 1


@dataclass(frozen=True)
class NetworkAcl:
    """The network ACL on the database subnets of one Region, and the application subnets that the fence denies."""

    ec2: EC2Client
    acl_id: str
    app_cidrs: Sequence[str]

    def denied(self) -> set[str]:
        """The application subnets that the fence denies now."""
        found = self.ec2.describe_network_acls(NetworkAclIds=[self.acl_id])["NetworkAcls"][0]
        ours = range(FIRST_RULE, FIRST_RULE + len(self.app_cidrs))
        return {
            entry["CidrBlock"]
            for entry in found["Entries"]
            if not entry["Egress"] and entry["RuleAction"] == "deny" and entry["RuleNumber"] in ours
        }

    def deny(self) -> bool:
        """Deny every application subnet; True where anything was missing."""
        there = self.denied()
        for number, cidr in enumerate(self.app_cidrs, FIRST_RULE):
            if cidr in there:
                continue
            try:
                self.ec2.create_network_acl_entry(
                    NetworkAclId=self.acl_id,
                    RuleNumber=number,
                    Protocol="-1",
                    RuleAction="deny",
                    Egress=False,
                    CidrBlock=cidr,
                )
            except ClientError as error:  # somebody was faster: the entry is what we want
                if error.response["Error"]["Code"] != "NetworkAclEntryAlreadyExists":
                    raise
        return set(self.app_cidrs) != there

    def lift(self) -> bool:
        """Remove the fence; True where there was one."""
        there = self.denied()
        for number, cidr in enumerate(self.app_cidrs, FIRST_RULE):
            if cidr not in there:
                continue
            try:
                self.ec2.delete_network_acl_entry(NetworkAclId=self.acl_id, RuleNumber=number, Egress=False)
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidNetworkAclEntry.NotFound":
                    raise
        return bool(there)


def fence_of(ec2: EC2Client, acl_id: str | None, app_cidrs: Sequence[str] | None) -> NetworkAcl | None:
    """The network ACL to fence with, or None where none is known, or none of the application's subnets."""
    return NetworkAcl(ec2, acl_id, app_cidrs) if acl_id and app_cidrs else None
