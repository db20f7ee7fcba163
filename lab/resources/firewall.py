"""EC2's packet filters: security groups with their rules, network ACLs with their entries."""

from collections.abc import Iterable, Mapping
from typing import Any

from lab.resources.argument import tag_argument
from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Properties, Request

_RULE = frozenset({"IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "Description"})
_INGRESS = _RULE | {"SourceSecurityGroupId", "SourcePrefixListId"}
_EGRESS = _RULE | {"DestinationSecurityGroupId", "DestinationPrefixListId"}
_ALLOW_ALL = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}


def _permission(request: Request, rule: Mapping[str, Any], known: frozenset[str]) -> Properties:
    """A rule in the words of the API."""
    unknown = sorted(rule.keys() - known)
    if unknown:
        raise request.refusal(f"the lab does not know {unknown[0]} of a security group's rule")
    note = {"Description": rule["Description"]} if "Description" in rule else {}
    permission: Properties = {"IpProtocol": str(rule["IpProtocol"])}
    permission |= {key: rule[key] for key in ("FromPort", "ToPort") if key in rule}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"]} | note]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"]} | note]
    for prefix in ("Source", "Destination"):
        if f"{prefix}SecurityGroupId" in rule:
            permission["UserIdGroupPairs"] = [{"GroupId": rule[f"{prefix}SecurityGroupId"]} | note]
        if f"{prefix}PrefixListId" in rule:
            permission["PrefixListIds"] = [{"PrefixListId": rule[f"{prefix}PrefixListId"]} | note]
    return permission


def _permissions(request: Request, rules: Iterable[Mapping[str, Any]], known: frozenset[str]) -> list[Properties]:
    return [_permission(request, rule, known) for rule in rules]


def _create_group(request: Request) -> Made:
    own = request.properties
    group = request.call(
        "ec2",
        "create_security_group",
        GroupName=own.get("GroupName") or request.name(255),
        Description=own["GroupDescription"],
        VpcId=own["VpcId"],
        **tag_argument("ec2:security-group", own.get("Tags", [])),
    )["GroupId"]
    _change_rules(request, group, {})
    return Made(group, {"GroupId": group, "VpcId": own["VpcId"]})


def _change_rules(request: Request, group: str, before: Properties) -> None:
    """Revoke what is no longer wanted and authorise what is new; rules that resources of their own add stay."""
    for direction, known, implied in (("ingress", _INGRESS, []), ("egress", _EGRESS, [_ALLOW_ALL])):
        key = f"SecurityGroup{direction.capitalize()}"
        old = _permissions(request, before.get(key) or implied, known)
        new = _permissions(request, request.properties.get(key) or implied, known)
        for verb, rules in (
            ("revoke", [rule for rule in old if rule not in new]),
            ("authorize", [rule for rule in new if rule not in old]),
        ):
            if rules:
                request.call("ec2", f"{verb}_security_group_{direction}", GroupId=group, IpPermissions=rules)


def _update_group(request: Request, made: Made, _: frozenset[str]) -> Made:
    _change_rules(request, made.physical_id, request.before)
    return made


def _delete_group(request: Request, made: Made) -> None:
    request.call("ec2", "delete_security_group", GroupId=made.physical_id)


def _rule_kind(direction: str, known: frozenset[str]) -> Kind:
    def send(verb: str, request: Request) -> None:
        own = dict(request.properties)
        group = own.pop("GroupId")
        permission = _permission(request, own, known)
        request.call("ec2", f"{verb}_security_group_{direction}", GroupId=group, IpPermissions=[permission])

    def create(request: Request) -> Made:
        send("authorize", request)
        return Made(request.name())

    def delete(request: Request, _: Made) -> None:
        send("revoke", request)

    return Kind(
        type=f"AWS::EC2::SecurityGroup{direction.capitalize()}",
        properties=known | {"GroupId"},
        create=create,
        delete=delete,
    )


def _entry(request: Request) -> Properties:
    own = {"Egress": False} | request.properties
    return own | ({"IcmpTypeCode": own.pop("Icmp")} if "Icmp" in own else {})


def _create_entry(request: Request) -> Made:
    own = _entry(request)
    request.call("ec2", "create_network_acl_entry", **own)
    return Made(f"{own['NetworkAclId']}|{own['RuleNumber']}|{own['Egress']}")


def _update_entry(request: Request, made: Made, _: frozenset[str]) -> Made:
    request.call("ec2", "replace_network_acl_entry", **_entry(request))
    return made


def _delete_entry(request: Request, _: Made) -> None:
    own = _entry(request)
    where = {key: own[key] for key in ("NetworkAclId", "RuleNumber", "Egress")}
    request.call("ec2", "delete_network_acl_entry", **where)


def _associate(request: Request, acl: str) -> str:
    """Put the subnet under that network ACL: each subnet has one, so its association is replaced."""
    ours = [{"Name": "association.subnet-id", "Values": [request.properties["SubnetId"]]}]
    acls = request.call("ec2", "describe_network_acls", Filters=ours)["NetworkAcls"]
    present = [
        association["NetworkAclAssociationId"]
        for found in acls
        for association in found["Associations"]
        if association["SubnetId"] == request.properties["SubnetId"]
    ]
    answer = request.call("ec2", "replace_network_acl_association", AssociationId=present[0], NetworkAclId=acl)
    return str(answer["NewAssociationId"])


def _create_association(request: Request) -> Made:
    association = _associate(request, request.properties["NetworkAclId"])
    return Made(association, {"AssociationId": association})


def _delete_association(request: Request, _: Made) -> None:
    acl = request.call("ec2", "describe_network_acls", NetworkAclIds=[request.properties["NetworkAclId"]])
    ours = [{"Name": "vpc-id", "Values": [acl["NetworkAcls"][0]["VpcId"]]}, {"Name": "default", "Values": ["true"]}]
    default = request.call("ec2", "describe_network_acls", Filters=ours)["NetworkAcls"][0]
    _associate(request, default["NetworkAclId"])


KINDS = [
    Kind(
        type="AWS::EC2::SecurityGroup",
        properties=frozenset(
            {"GroupDescription", "GroupName", "VpcId", "SecurityGroupIngress", "SecurityGroupEgress", "Tags"}
        ),
        create=_create_group,
        update=_update_group,
        delete=_delete_group,
        fixed=frozenset({"GroupDescription", "GroupName", "VpcId"}),
        attributes=frozenset({"GroupId", "VpcId"}),
    ),
    _rule_kind("ingress", _INGRESS),
    _rule_kind("egress", _EGRESS),
    OneCall(
        type="AWS::EC2::NetworkAcl",
        service="ec2",
        create="create_network_acl",
        properties="VpcId",
        tags="ec2:network-acl",
        physical_id="{answer[NetworkAcl][NetworkAclId]}",
        attributes={"Id": "{id}"},
        delete="delete_network_acl",
        delete_by={"NetworkAclId": "{id}"},
    ).kind,
    Kind(
        type="AWS::EC2::NetworkAclEntry",
        properties=frozenset(
            {"NetworkAclId", "RuleNumber", "Protocol", "RuleAction", "Egress", "CidrBlock", "PortRange", "Icmp"}
        ),
        create=_create_entry,
        update=_update_entry,
        delete=_delete_entry,
        fixed=frozenset({"NetworkAclId", "RuleNumber", "Egress"}),
    ),
    Kind(
        type="AWS::EC2::SubnetNetworkAclAssociation",
        properties=frozenset({"SubnetId", "NetworkAclId"}),
        create=_create_association,
        delete=_delete_association,
        attributes=frozenset({"AssociationId"}),
    ),
]
