"""The way from one EC2 instance to its database: a relay that the network ACL and the security groups rule."""

from ipaddress import ip_network
from typing import Any

from moto.backends import get_backend
from moto.ec2.models.network_acls import NetworkAcl
from moto.ec2.models.security_groups import SecurityGroup

from lab.cloud import ACCOUNT
from lab.firewall import acl_admits, groups_admit, groups_let_out
from lab.network import Path, Relay
from lab.pipe import Address
from lab.seam import require

require(NetworkAcl, "associations", "entries")
require(SecurityGroup, "add_ingress_rule", "add_egress_rule")


class DatabaseWay:
    """A relay that asks moto's EC2, five times a second, whether this instance may talk to this database.

    The network ACLs of the database's subnets silence live connections as well as new ones. The security groups of
    both leave new ones without an answer and live ones alone. Instances in the database's own subnet are not judged
    otherwise: the lab's templates have none.
    """

    def __init__(self, database: Any, instance: Any, *, listen: Address, target: Address) -> None:
        """`database` and `instance` are moto's objects."""
        self._database = database
        self._ec2 = get_backend("ec2")[ACCOUNT][database.region]
        self._port = target[1]
        self._source = str(instance.private_ip)
        self._source_groups = list(instance.security_groups)
        self._relay = Relay(listen, target, self._path, admit=self._admitted)

    def start(self) -> None:
        """PortBusy if something else listens there."""
        self._relay.start()

    def poke(self) -> None:
        """Ask now."""
        self._relay.poke()

    def close(self) -> None:
        self._relay.stop()

    def is_open(self) -> bool:
        """Whether a new connection would be let through now."""
        return self._path() is Path.OPEN and self._admitted()

    def _path(self) -> Path:
        acls = [acl for acl in list(self._ec2.network_acls.values()) if self._covers(acl)]
        admitted = all(acl_admits(acl, self._source, self._port) for acl in acls)
        return Path.OPEN if admitted else Path.BLACK_HOLED

    def _covers(self, acl: Any) -> bool:
        subnets = self._subnets()
        return any(association.subnet_id in subnets for association in list(acl.associations))

    def _subnets(self) -> set[str]:
        """The subnets in which the database may be: its zone's, or all of the group if none is in that zone."""
        group = getattr(self._database, "db_subnet_group", None)
        if group is None:
            return set()
        subnets = {str(entry["SubnetIdentifier"]): entry["SubnetAvailabilityZone"]["Name"] for entry in group.subnets}
        mine = {subnet for subnet, zone in subnets.items() if zone == self._database.availability_zone}
        return mine or set(subnets)

    def _admitted(self) -> bool:
        targets = [str(name) for name in self._database.vpc_security_group_ids]
        if not groups_let_out(self._source_groups, self._target(), targets, self._port):
            return False
        groups = [self._ec2.get_security_group_from_id(name) for name in targets]
        sources = [str(group.id) for group in self._source_groups]
        return groups_admit([group for group in groups if group], self._source, sources, self._port)

    def _target(self) -> str:
        """An address as the database may have it in its subnets, or next to the instance where it has none."""
        blocks = [str(self._ec2.get_subnet(subnet).cidr_block) for subnet in sorted(self._subnets())]
        return str(ip_network(blocks[0])[4]) if blocks else self._source
