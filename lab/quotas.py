"""Service Quotas of the lab's account, and what an instance counts against them: moto knows the quotas of VPC alone,
and tells no CPUs of an instance.

Of each service there are the quotas that what Relight makes counts against. The values are AWS's own, but for vCPUs: an
account begins with 5, and this one has asked for more. The lab lets what is over a quota be made all the same.
"""

from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response
from moto.rds.responses import RDSResponse
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend

from lab.cloud import ACCOUNT
from lab.seam import Seams

STANDARD_VCPUS = "L-1216C47A"
"""Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, in vCPUs."""

_QUOTAS: Mapping[str, Mapping[str, tuple[str, float]]] = {
    "ec2": {STANDARD_VCPUS: ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 64.0)},
    "rds": {
        "L-7B6409FD": ("DB instances", 40.0),
        "L-272F1212": ("Manual DB instance snapshots", 100.0),
        "L-5BC124EF": ("Read replicas per primary", 15.0),
    },
    "elasticloadbalancing": {
        "L-53DA6B97": ("Application Load Balancers per Region", 50.0),
        "L-B22855CB": ("Target Groups per Region", 3000.0),
    },
    "autoscaling": {"L-CDE20ADC": ("Auto Scaling groups per region", 500.0)},
    "cloudformation": {"L-0485CB21": ("Stack count", 2000.0)},
}


class Quotas:
    """The quotas of all Regions."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], float] = {}

    def install(self, seams: Seams) -> None:
        """Answer GetServiceQuota, RDS's DescribeAccountAttributes and EC2's DescribeCapacityReservations, and let
        DescribeInstances tell CpuOptions. MotoChangedError if moto has changed."""
        before = ServiceQuotasBackend.get_service_quota

        def get_service_quota(backend: Any, service_code: str, quota_code: str) -> dict[str, Any]:
            if quota_code in _QUOTAS.get(service_code, {}):
                return self.told(str(backend.region_name), service_code, quota_code)
            if service_code in _QUOTAS:
                raise NoSuchResource
            return dict(before(backend, service_code, quota_code))

        seams.replace(ServiceQuotasBackend, "get_service_quota", get_service_quota)
        seams.add(Instance, "cpu_options", property(_cpu_options))
        seams.add(RDSResponse, "describe_account_attributes", _account)
        seams.add(EC2Response, "describe_capacity_reservations", _no_reservations)

    def set(self, region: str, quota_code: str, value: float) -> None:
        """Let that quota be another one in that Region from now on. KeyError for one that the lab does not have."""
        if not any(quota_code in quotas for quotas in _QUOTAS.values()):
            raise KeyError(quota_code)
        self._values[region, quota_code] = value

    def told(self, region: str, service_code: str, quota_code: str) -> dict[str, Any]:
        """As GetServiceQuota tells it."""
        name, value = _QUOTAS[service_code][quota_code]
        return {
            "ServiceCode": service_code,
            "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:{service_code}/{quota_code}",
            "QuotaCode": quota_code,
            "QuotaName": name,
            "Value": self._values.get((region, quota_code), value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


def _account(response: Any) -> ActionResult:
    """What the account has of RDS in the Region, and may have."""
    backend = response.backend
    databases = list(backend.databases.values())
    manual = [one for one in list(backend.database_snapshots.values()) if one.snapshot_type == "manual"]
    told = {
        "DBInstances": (len(databases), 40),
        "ManualSnapshots": (len(manual), 100),
        "AllocatedStorage": (sum(int(one.allocated_storage) for one in databases), 100_000),
        "ReadReplicasPerMaster": (max((len(one.replicas) for one in databases), default=0), 15),
    }
    return ActionResult(
        {
            "AccountQuotas": [
                {"AccountQuotaName": name, "Used": used, "Max": most} for name, (used, most) in told.items()
            ]
        }
    )


def _no_reservations(_: Any) -> ActionResult:
    """The lab's account has reserved no capacity."""
    return ActionResult({"CapacityReservations": []})


def _cpu_options(instance: Any) -> dict[str, int]:
    """What its type has."""
    told = INSTANCE_TYPES[str(instance.instance_type)]["VCpuInfo"]
    return {"CoreCount": int(told["DefaultCores"]), "ThreadsPerCore": int(told["DefaultThreadsPerCore"])}
