"""What stands between an instance and a database: network ACLs, which cut what lives, and security groups, which
only refuse what is new.

The functions judge moto's EC2 objects as AWS judges the real ones. A network ACL is stateless and ordered: the first
entry that matches decides, none means deny, and the way back needs an entry as well. A security group is a set of
admissions and remembers connections, so a change never ends one that stands.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

EPHEMERAL_PORT = 32768
"""Stands for the ports that answers go to; an ACL that admits this one admits Linux's whole range in practice."""

_TCP = {"6", "tcp", "-1", "all"}


def acl_admits(acl: Any, address: str, port: int) -> bool:
    """Does this network ACL of the database's subnet let TCP from `address` in to `port`, and the answers out?"""
    inwards = _first_match(acl.network_acl_entries, address, port, egress=False)
    outwards = _first_match(acl.network_acl_entries, address, EPHEMERAL_PORT, egress=True)
    return inwards and outwards


def _first_match(entries: Iterable[Any], address: str, port: int, *, egress: bool) -> bool:
    mine = [entry for entry in entries if _truth(entry.egress) is egress]
    for entry in sorted(mine, key=lambda entry: int(entry.rule_number)):
        if _entry_matches(entry, address, port):
            return str(entry.rule_action).lower() == "allow"
    return False


def _entry_matches(entry: Any, address: str, port: int) -> bool:
    if not entry.cidr_block or str(entry.protocol).lower() not in _TCP:
        return False
    if not _port_within(port, entry.port_range_from, entry.port_range_to):
        return False
    return ip_address(address) in ip_network(entry.cidr_block, strict=False)


def groups_admit(groups: Iterable[Any], address: str, source_groups: Iterable[str], port: int) -> bool:
    """Does any rule of the database's security groups admit this address, or one of the groups it belongs to?"""
    sources = set(source_groups)
    return any(_rule_admits(rule, address, sources, port) for group in groups for rule in list(group.ingress_rules))


def groups_let_out(groups: Iterable[Any], address: str, target_groups: Iterable[str], port: int) -> bool:
    """Does any rule of the instance's security groups let it out to this address, or to one of these groups?"""
    targets = set(target_groups)
    return any(_rule_admits(rule, address, targets, port) for group in groups for rule in list(group.egress_rules))


def _rule_admits(rule: Any, address: str, groups: set[str], port: int) -> bool:
    """`address` and `groups` are those of the other end; moto keeps its group as the source, whichever way it is."""
    if str(rule.ip_protocol).lower() not in _TCP or not _port_within(port, rule.from_port, rule.to_port):
        return False
    if rule.source_group.get("GroupId") in groups:
        return True
    return bool(rule.cidr_ipv4) and ip_address(address) in ip_network(rule.cidr_ipv4, strict=False)


def _port_within(port: int, first: Any, last: Any) -> bool:
    """No range, as for "all traffic", means every port."""
    if first in (None, "") or int(first) < 0:
        return True
    return int(first) <= port <= int(last)


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"
