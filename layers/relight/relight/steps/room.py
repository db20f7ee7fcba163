"""Whether the account has room in this Region for a drill, and for a failover beside it. Best effort.

A quota that cannot be read refuses nothing: AWS does, if it does not suffice, and the drill is undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.checks.capacity import is_standard
from relight.drill_plan import Origin, Quota

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_rds import RDSClient

    from relight.drill_plan import Source

# "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs
# (https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html). Others have a quota of their own.
STANDARD = "L-1216C47A"
_LIVE: Any = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]


@dataclass(frozen=True)
class Room:
    """What this Region's quotas leave."""

    rds: RDSClient
    ec2: EC2Client
    quotas: Any  # Service Quotas

    def look(
        self, source: Source | None, instance_type: str | None, instances: int, failover: int
    ) -> tuple[tuple[Quota, ...], tuple[str, ...]]:
        """The quotas that a drill needs something of, and what could not be read.

        `instances` of that type (None: no site) come for the drill; beside them `failover` instances must find room.
        """
        found: list[Quota] = []
        unread: list[str] = []
        asks: list[Callable[[], list[Quota]]] = [lambda: [] if source is None else self._databases(source)]
        if instance_type is not None:
            asks.append(lambda: self._instances(instance_type, instances + failover))
        for ask in asks:
            try:
                found += ask()
            except (BotoCoreError, ClientError) as error:
                unread.append(f"a quota could not be read ({type(error).__name__}: {error})")
        return tuple(found), tuple(unread)

    def _databases(self, source: Source) -> list[Quota]:
        needed = {"DBInstances": 1, "AllocatedStorage": source.gib}
        if source.origin is Origin.COPY:
            needed["ManualSnapshots"] = 1
        told = self.rds.describe_account_attributes()["AccountQuotas"]
        return [
            Quota(f"RDS {quota['AccountQuotaName']}", quota["Used"], needed[quota["AccountQuotaName"]], quota["Max"])
            for quota in told
            if quota["AccountQuotaName"] in needed
        ]

    def _instances(self, instance_type: str, instances: int) -> list[Quota]:
        if not is_standard(instance_type):
            return []
        kinds: Any = [instance_type]
        told = self.ec2.describe_instance_types(InstanceTypes=kinds)["InstanceTypes"][0]
        each = told["VCpuInfo"]["DefaultVCpus"]
        limit = self.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=STANDARD)["Quota"]["Value"]
        return [Quota("vCPUs of standard EC2 instances", self._used(), each * instances, limit)]

    def _used(self) -> int:
        pages = self.ec2.get_paginator("describe_instances").paginate(Filters=_LIVE)
        running = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
        cores = (one.get("CpuOptions", {}) for one in running if is_standard(one["InstanceType"]))
        return sum(of.get("CoreCount", 1) * of.get("ThreadsPerCore", 1) for of in cores)
