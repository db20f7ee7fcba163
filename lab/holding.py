"""What AWS does not let go: what a database holds on to (its groups of parameters and of subnets, and the subnets), and
a load balancer that is protected. moto would let them all go.
"""

from collections.abc import Callable, Iterator
from typing import Any

from moto.backends import get_backend
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.subnets import SubnetBackend
from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend
from moto.rds.exceptions import RDSClientError
from moto.rds.models import RDSBackend

from lab.seam import Seams, require


class _Busy(RDSClientError):  # type: ignore[misc]  # moto is untyped
    """The refusal of RDS."""


class _Protected(ELBClientError):  # type: ignore[misc]  # moto is untyped
    """The refusal of Elastic Load Balancing."""


def install(seams: Seams) -> None:
    """Refuse what AWS refuses while there is a database, or protection. MotoChangedError if moto is not as expected."""
    require(RDSBackend("eu-west-1", "123456789012"), "databases", "subnet_groups")
    seams.wrap(RDSBackend, "delete_subnet_group", _keeping_group)
    seams.wrap(RDSBackend, "delete_db_parameter_group", _keeping_parameters)
    require(ELBv2Backend("eu-west-1", "123456789012"), "load_balancers")
    seams.wrap(ELBv2Backend, "delete_load_balancer", _keeping_balancer)
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
            why = f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: {user} is"
            raise _Busy("InvalidDBSubnetGroupStateFault", f"{why} still using it.")
        return original(rds, subnet_name)

    return delete_subnet_group


def _keeping_parameters(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_db_parameter_group(rds: Any, db_parameter_group_name: str) -> Any:
        name = db_parameter_group_name.lower()
        for instance in list(rds.databases.values()):
            if str(getattr(instance, "db_parameter_group_name", "")).lower() == name:
                why = "One or more database instances are still members of this parameter group"
                raise _Busy("InvalidDBParameterGroupState", f"{why} {name}, so the group cannot be deleted")
        return original(rds, db_parameter_group_name)

    return delete_db_parameter_group


def _keeping_subnet(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_subnet(ec2: Any, subnet_id: str) -> Any:
        rds = get_backend("rds")[ec2.account_id][ec2.region_name]
        for name, group in list(rds.subnet_groups.items()):
            if any(subnet.id == subnet_id for subnet in group._subnets) and next(_users(rds, name), None):
                raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        return original(ec2, subnet_id)

    return delete_subnet


def _keeping_balancer(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_load_balancer(elb: Any, arn: str) -> Any:
        balancer = elb.load_balancers.get(arn)
        if balancer is not None and balancer.attrs.get("deletion_protection.enabled") == "true":
            why = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
            raise _Protected("OperationNotPermitted", why)
        return original(elb, arn)

    return delete_load_balancer
