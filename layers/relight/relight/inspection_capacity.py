"""Capacity of this Region, for readiness: groups, what they launch, and whether EC2 would give it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from relight.checks.capacity import is_standard
from relight.inquiry import attempt, seek
from relight.readiness_facts import CapacityFacts, Group, Image, Launch, NotSeen, Unseen, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relight.inquiry import Inquiry
    from relight.settings import ReadinessSettings

STANDARD_QUOTA = "L-1216C47A"
NO_IMAGE = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")
# So many instances in an account are counted, a thousand a page; with more, the quota could not be seen.
MOST_PAGES = 5
MOST_TYPES = 100  # that DescribeInstanceTypes takes at once


def send(
    ask: Inquiry, s: ReadinessSettings, own: Mapping[str, Any], names: tuple[str, ...]
) -> Callable[[], CapacityFacts]:
    """Ask this Region; what comes back collects the answers."""
    ec2 = own["ec2"]
    groups = ask.send(lambda: grouped(own["autoscaling"], ec2, names))

    def launches() -> list[Launch]:
        found = [group for group in known(groups.result()).values() if group is not None]
        return [known(group.launch) for group in found]

    def types() -> list[str]:
        return sorted({one for launch in launches() for one in launch.types})

    running = ask.send(lambda: on_demand(ec2, frozenset(names)))
    images = ask.send(lambda: imaged(ec2, {launch.image for launch in launches() if launch.image}))
    offered = ask.send(lambda: zones_of(ec2, types()))
    quota = ask.seek(lambda: quota_of(own["service-quotas"]), "NoSuchResourceException")
    reserved = ask.send(lambda: reservations(ec2, launches()))
    sizes = ask.send(lambda: vcpus_of(ec2, types(), known(running.result())))

    def others() -> int | Unseen:
        counted, known_sizes = ask.told(running), ask.told(sizes)
        if isinstance(counted, Unseen) or isinstance(known_sizes, Unseen):
            return counted if isinstance(counted, Unseen) else Unseen("EC2 did not say how large its types are")
        return sum(known_sizes.get(one, 0) * count for one, count in counted.items())

    return lambda: CapacityFacts(
        default=s.default_capacity,
        deep=s.readiness_is_deep,
        groups=ask.told(groups),
        images=ask.told(images),
        offered=ask.told(offered),
        vcpus=ask.told(sizes),
        running_vcpus=others(),
        quota=ask.told(quota),
        reserved=ask.told(reserved),
    )


def grouped(scaling: Any, ec2: Any, names: tuple[str, ...]) -> dict[str, Group | None]:
    """The groups by name, None for one that does not exist, and what each launches."""
    answer = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=list(names), MaxRecords=100)
    found = {group["AutoScalingGroupName"]: group for group in answer["AutoScalingGroups"]}
    return {name: _group(found[name], ec2) if name in found else None for name in names}


def _group(found: Any, ec2: Any) -> Group:
    return Group(
        name=found["AutoScalingGroupName"],
        minimum=found["MinSize"],
        desired=found["DesiredCapacity"],
        maximum=found["MaxSize"],
        suspended=tuple(one["ProcessName"] for one in found.get("SuspendedProcesses", [])),
        health_check=found["HealthCheckType"],
        zones=tuple(found["AvailabilityZones"]),
        target_groups=tuple(found.get("TargetGroupARNs", [])),
        launch=attempt(lambda: launched(ec2, found)),
    )


def launched(ec2: Any, group: Any) -> Launch:
    """What a group launches, by its launch template."""
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    template = group.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
    if not template:
        raise NotSeen(f"{group['AutoScalingGroupName']} launches by no launch template")
    which = {key: template[key] for key in ("LaunchTemplateId",) if template.get(key)}
    which = which or {"LaunchTemplateName": template["LaunchTemplateName"]}
    wanted = [str(template.get("Version", "$Default"))]
    versions = ec2.describe_launch_template_versions(**which, Versions=wanted)["LaunchTemplateVersions"]
    if not versions:
        raise NotSeen(f"the launch template of {group['AutoScalingGroupName']} has no version {wanted[0]}")
    data = versions[0]["LaunchTemplateData"]
    overrides = [one["InstanceType"] for one in mixed.get("Overrides", []) if "InstanceType" in one]
    types = overrides or [data[key] for key in ("InstanceType",) if key in data]
    if not types:
        raise NotSeen(f"{group['AutoScalingGroupName']} names no types: EC2 chooses them by their attributes")
    image = data.get("ImageId")
    if image is not None and image.startswith("resolve:"):
        image = None  # resolved at each launch; nothing says to what
    preference = data.get("CapacityReservationSpecification", {}).get("CapacityReservationPreference")
    return Launch(image, tuple(types), preference)


def imaged(ec2: Any, names: set[str]) -> dict[str, Image | None]:
    """The images by name; None for one that does not exist, and for all of them where EC2 refuses one."""
    if not names:
        return {}
    answer: Any = known(seek(lambda: ec2.describe_images(ImageIds=sorted(names)), *NO_IMAGE))
    found = {} if answer is None else {one["ImageId"]: one for one in answer["Images"]}
    return {name: _image(found[name]) if name in found else None for name in names}


def _image(found: Any) -> Image:
    return Image(found["State"], _moment(found.get("CreationDate")), _moment(found.get("DeprecationTime")))


def _moment(text: str | None) -> float | None:
    return None if not text else datetime.fromisoformat(text).timestamp()


def zones_of(ec2: Any, types: list[str]) -> dict[str, frozenset[str]]:
    """The zones that offer each type."""
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": types}]
    )
    pairs = [(one["InstanceType"], one["Location"]) for page in pages for one in page["InstanceTypeOfferings"]]
    return {one: frozenset(zone for name, zone in pairs if name == one) for one in types}


def on_demand(ec2: Any, groups: frozenset[str]) -> Counter[str]:
    """How many instances of each standard type run on demand, beside those of these groups."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}],
        PaginationConfig={"PageSize": 1000},
    )
    counted: Counter[str] = Counter()
    for number, page in enumerate(islice(pages, MOST_PAGES), start=1):
        for reservation in page["Reservations"]:
            counted.update(_standard(reservation["Instances"], groups))
        if number == MOST_PAGES and page.get("NextToken"):
            raise NotSeen(f"more than {MOST_PAGES * 1000} instances run in this account")
    return counted


def _standard(instances: Iterable[Any], groups: frozenset[str]) -> list[str]:
    return [
        one["InstanceType"]
        for one in instances
        if one.get("InstanceLifecycle") is None
        and is_standard(one["InstanceType"])
        and not any(tag["Key"] == "aws:autoscaling:groupName" and tag["Value"] in groups for tag in one.get("Tags", []))
    ]


def vcpus_of(ec2: Any, types: list[str], running: Mapping[str, int]) -> dict[str, int]:
    """How many vCPUs each type has: of what is launched, and of what runs."""
    wanted = sorted({*types, *running})
    if len(wanted) > MOST_TYPES:
        raise NotSeen(f"instances of {len(wanted)} types run in this account")
    if not wanted:
        return {}
    answer = ec2.describe_instance_types(InstanceTypes=wanted)
    return {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in answer["InstanceTypes"]}


def quota_of(quotas: Any) -> float:
    """How many vCPUs of standard instances may run on demand."""
    return float(quotas.get_service_quota(ServiceCode="ec2", QuotaCode=STANDARD_QUOTA)["Quota"]["Value"])


def reservations(ec2: Any, launches: list[Launch]) -> dict[str, int]:
    """Free places by type in reservations that are open; nothing is asked where none are meant to be used."""
    types = sorted({one for launch in launches if launch.reservation not in {None, "none"} for one in launch.types})
    if not types:
        return {}
    pages = ec2.get_paginator("describe_capacity_reservations").paginate(
        Filters=[{"Name": "state", "Values": ["active"]}, {"Name": "instance-type", "Values": types}]
    )
    free: Counter[str] = Counter()
    for one in (one for page in pages for one in page["CapacityReservations"]):
        if one.get("InstanceMatchCriteria", "open") == "open":
            free[one["InstanceType"]] += one["AvailableInstanceCount"]
    return dict(free)
