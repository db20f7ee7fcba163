"""From where RDS of a Region can replicate: moto does not know the question, and the lab's Regions all can."""

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse

from lab.region import REGION_NAME
from lab.seam import Seams


def install(seams: Seams) -> None:
    """Let moto's RDS answer DescribeSourceRegions. MotoChangedError if it can do so itself now."""
    seams.add(RDSResponse, "describe_source_regions", _describe_source_regions)


def _describe_source_regions(response: Any) -> ActionResult:
    others = [name for name in REGION_NAME.values() if name != response.region]
    told = [
        {
            "RegionName": name,
            "Endpoint": f"https://rds.{name}.amazonaws.com",
            "Status": "available",
            "SupportsDBInstanceAutomatedBackupsReplication": True,
        }
        for name in others
    ]
    return ActionResult({"SourceRegions": told})
