"""What a database holds on to: its subnet group, and that group's subnets. moto would let both go from under it."""

from collections.abc import Callable, Iterator
from typing import Any

from moto.backends import get_backend
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.subnets import SubnetBackend
from moto.rds.exceptions import RDSClientError
from moto.rds.models import RDSBackend

from lab.seam import Seams, require


class _Busy(RDSClientError):  # type: ignore[misc]  # moto is untyped
    def __init__(self, group: str, instance: str) -> None:
        super().__init__(
            "InvalidDBSubnetGroupStateFault",
            f"Cannot delete the subnet group '{group}' because at least one database instance: {instance} is still "
            "using it.",
        )


def install(seams: Seams) -> None:
    """Refuse what AWS refuses while there is a database. MotoChangedError if moto is not as expected."""
    require(RDSBackend("eu-west-1", "123456789012"), "databases", "subnet_groups")
    seams.wrap(RDSBackend, "delete_subnet_group", _keeping_group)
    seams.wrap(SubnetBackend, "delete_subnet", _keeping_subnet)


def _users(rds: Any, group: str) -> Iterator[str]:
    for name, instance in list(rds.databases.items()):
        own = getattr(instance, "db_subnet_group", None)
        if own is not None and own.name.lower() == group.lower():
            yield str(name)


def _keeping_group(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_subnet_group(rds: Any, subnet_name: str) -> Any:
        user = next(_users(rds, subnet_name), None)
        if user:
            raise _Busy(subnet_name, user)
        return original(rds, subnet_name)

    return delete_subnet_group


def _keeping_subnet(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_subnet(ec2: Any, subnet_id: str) -> Any:
        rds = get_backend("rds")[ec2.account_id][ec2.region_name]
        for name, group in list(rds.subnet_groups.items()):
            if any(subnet.id == subnet_id for subnet in group._subnets) and next(_users(rds, name), None):
                raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        return original(ec2, subnet_id)

    return delete_subnet
