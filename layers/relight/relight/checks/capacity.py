"""Whether this Region could bring up what the primary has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relight.moment import lasting, told
from relight.readiness_check import Area, Row, fails, passes, warns
from relight.readiness_facts import NotSeen, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relight.readiness_check import Judgement
    from relight.readiness_facts import Group, Image, Launch, ReadinessFacts

# A failover resumes the first two by itself; the others leave instances that nobody counts, checks or replaces.
PROCESSES = ("Launch", "AddToLoadBalancer", "Terminate", "HealthCheck", "ReplaceUnhealthy")
# Health checks of a group by which what asks the application decides, and not EC2 or a disk alone.
ASKING_THE_APPLICATION = frozenset({"ELB", "VPC_LATTICE"})
DAY = 86400.0
# An image of that age has missed half a year of patches. Amazon Linux's own are deprecated after 90 days.
OLD_IMAGE_SECONDS = 180 * DAY
# Above that share of the quota a second application's launch is enough to make it too small.
NEAR_QUOTA = 0.9
# The families that EC2 counts into its quota L-1216C47A, "Running On-Demand Standard instances".
STANDARD = frozenset({"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"})
_FAMILY = re.compile(r"[a-z]+")


def is_standard(instance_type: str) -> bool:
    """Whether a type counts into the quota of standard instances: by the letters before its first number."""
    found = _FAMILY.match(instance_type)
    return found is not None and found[0] in STANDARD


def _groups(facts: ReadinessFacts) -> list[Group]:
    """The groups that there are; NotSeen where there is none, which `groups` says."""
    found = [group for group in known(facts.capacity.groups).values() if group is not None]
    if not found:
        raise NotSeen("none of the Auto Scaling groups exists")
    return found


def wanted(facts: ReadinessFacts, group: str) -> int:
    """How many instances a failover brings up in a group: what its counterpart had last, or the default."""
    sizes = known(facts.ledger.capacity).get(group)
    return sizes.desired if sizes is not None and sizes.desired > 0 else facts.capacity.default


def _launches(facts: ReadinessFacts) -> list[tuple[Group, Launch]]:
    return [(group, known(group.launch)) for group in _groups(facts)]


def _types(facts: ReadinessFacts) -> list[str]:
    return sorted({one for _, launch in _launches(facts) for one in launch.types})


def _exist(facts: ReadinessFacts, now: float) -> Judgement:
    missing = [name for name, group in known(facts.capacity.groups).items() if group is None]
    if missing:
        return fails(f"no Auto Scaling group is called {_listed(missing)} in {facts.here}")
    short = [
        f"{group.name} has a maximum of {group.maximum}, and {wanted(facts, group.name)} are needed"
        for group in _groups(facts)
        if group.maximum < wanted(facts, group.name)
    ]
    if short:
        return warns(f"{_listed(short)}: the failover has to raise it")
    said = [f"{group.name} may grow to {group.maximum} for {wanted(facts, group.name)}" for group in _groups(facts)]
    return passes(_listed(said))


def _processes(facts: ReadinessFacts, now: float) -> Judgement:
    found = [
        f"{_listed(suspended)} of {group.name}"
        for group in _groups(facts)
        if (suspended := [name for name in PROCESSES if name in group.suspended])
    ]
    return warns(f"suspended: {_listed(found)}") if found else passes("no process that a failover needs is suspended")


def _health_check_type(facts: ReadinessFacts, now: float) -> Judgement:
    kinds = {group.name: {kind.strip() for kind in group.health_check.split(",")} for group in _groups(facts)}
    asking = [name for name, of in kinds.items() if of & ASKING_THE_APPLICATION]
    if asking and facts.capacity.deep:
        return fails(f"{_listed(asking)} replaces instances that are not ready, and before the promotion none is")
    if asking:
        return passes(f"{_listed(asking)} takes the balancer's word, which does not wait for the promotion (shallow)")
    return passes("instances that wait for the promotion are not replaced for it")


def _image(facts: ReadinessFacts, now: float) -> Judgement:
    names = sorted({launch.image for _, launch in _launches(facts) if launch.image is not None})
    if not names:
        raise NotSeen("the launch template names no image")
    images = known(facts.capacity.images)
    gone = [name for name in names if images.get(name) is None]
    if gone:
        return fails(f"EC2 knows no image {_listed(gone)} in {facts.here}")
    found = {name: image for name in names if (image := images[name]) is not None}
    if unusable := [f"{name} is {image.state}" for name, image in found.items() if image.state != "available"]:
        return fails(_listed(unusable))
    deprecated = [
        name for name, image in found.items() if image.deprecated_at is not None and image.deprecated_at < now
    ]
    if deprecated:
        return warns(f"{_listed(deprecated)} is deprecated by its owner, and may be withdrawn")
    ages = {name: now - image.created_at for name, image in found.items() if image.created_at is not None}
    if old := [f"{name} is of {lasting(age)} ago" for name, age in ages.items() if age > OLD_IMAGE_SECONDS]:
        return warns(_listed(old))
    return passes(f"{_listed(names)} is there{_of(found.values())}")


def _of(images: Iterable[Image]) -> str:
    moments = [image.created_at for image in images if image.created_at is not None]
    return f", of {told(min(moments))}" if moments else ""


def _instance_types(facts: ReadinessFacts, now: float) -> Judgement:
    offered = known(facts.capacity.offered)
    missing: list[str] = []
    for group, launch in _launches(facts):
        zones = {one: offered.get(one, frozenset()) & set(group.zones) for one in launch.types}
        if not any(zones.values()):
            return fails(f"no zone of {group.name} has any of {_listed(launch.types)}")
        missing += [f"{one} in {zone}" for one, found in zones.items() for zone in group.zones if zone not in found]
    if missing:
        return warns(f"EC2 does not offer {_listed(missing)}")
    return passes(f"{_listed(_types(facts))} is offered in every zone")


def _quota(facts: ReadinessFacts, now: float) -> Judgement:
    strange = [one for one in _types(facts) if not is_standard(one)]
    if strange:
        raise NotSeen(f"{_listed(strange)} counts into another quota than the one of standard instances")
    limit = known(facts.capacity.quota)
    if limit is None:
        raise NotSeen("Service Quotas does not tell the quota of standard instances")
    sizes, running = known(facts.capacity.vcpus), known(facts.capacity.running_vcpus)
    needed = [(wanted(facts, group.name), launch.types) for group, launch in _launches(facts)]
    first = running + sum(count * _vcpus(sizes, types[:1]) for count, types in needed)
    worst = running + sum(count * _vcpus(sizes, types) for count, types in needed)
    said = f"{first} vCPUs of {limit:g} would be in use after a failover, {running} of them are by others now"
    if first > limit:
        return fails(said)
    if worst > limit:
        return warns(f"{said}; with the largest of the types to fall back on {worst}, more than there are")
    return warns(said) if first > NEAR_QUOTA * limit else passes(said)


def _vcpus(sizes: Mapping[str, int], types: Sequence[str]) -> int:
    """The vCPUs of the largest of these types."""
    if not types or any(one not in sizes for one in types):
        raise NotSeen(f"EC2 does not say how many vCPUs {_listed(types) or 'the launch template'} has")
    return max(sizes[one] for one in types)


def _reservation(facts: ReadinessFacts, now: float) -> Judgement:
    launches = [(group, launch) for group, launch in _launches(facts) if launch.reservation not in {None, "none"}]
    if not launches:
        return passes("no reservation is meant to be used: EC2 gives what it has on the day")
    reserved = known(facts.capacity.reserved)
    short = [
        (launch.reservation, f"{group.name} needs {needed}, and {places} places are reserved")
        for group, launch in launches
        if (places := sum(reserved.get(one, 0) for one in launch.types))
        < (needed := wanted(facts, group.name) - group.desired)
    ]
    if not short:
        return passes("as many places are reserved as a failover needs")
    said = _listed([sentence for _, sentence in short])
    return fails(said) if any(kind == "capacity-reservations-only" for kind, _ in short) else warns(said)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


ROWS = (
    Row(
        "groups",
        Area.CAPACITY,
        _exist,
        "The Auto Scaling groups exist, and their maximum holds what the primary had last.",
        "A maximum is smaller than that: the failover raises it, and the stack no longer says what is.",
        "A group does not exist.",
        "Set MaxSize of this Region's stack to the primary's.",
    ),
    Row(
        "processes",
        Area.CAPACITY,
        _processes,
        "No process of the groups that a failover needs is suspended.",
        "One is. A failover resumes Launch and AddToLoadBalancer by itself, and no other.",
        None,
        "Resume the processes that are named.",
    ),
    Row(
        "health_check_type",
        Area.CAPACITY,
        _health_check_type,
        "No group replaces an instance that waits for the promotion: none takes the balancer's word, or readiness is "
        "shallow.",
        None,
        "A group takes the balancer's word, or VPC Lattice's: it would replace every instance that waits.",
        "Take ELB and VPC_LATTICE out of the group's health check type; EC2 and EBS are fine.",
    ),
    Row(
        "image",
        Area.CAPACITY,
        _image,
        "The image of the launch template is there, and younger than 180 days.",
        "It is older, or its owner has deprecated it.",
        "It does not exist, or is not available.",
        "Deploy the stack again, which takes the newest Amazon Linux, or give another ImageId.",
    ),
    Row(
        "instance_types",
        Area.CAPACITY,
        _instance_types,
        "Every type that may be launched is offered in every zone of the group.",
        "One is not offered in one of the zones.",
        "A group has no zone in which any of its types is offered.",
        "Give other types (InstanceType, MoreInstanceTypes).",
    ),
    Row(
        "quota",
        Area.CAPACITY,
        _quota,
        "The quota of vCPUs holds what runs now and what a failover launches.",
        "It would be filled to more than nine tenths, or the types to fall back on do not fit into it.",
        "It would be exceeded: EC2 would refuse to launch.",
        "Have the quota L-1216C47A (Running On-Demand Standard instances) of this Region raised.",
    ),
    Row(
        "reservation",
        Area.CAPACITY,
        _reservation,
        "As many places are reserved as a failover needs, or none are meant to be used.",
        "Fewer are reserved, and the rest would be taken from what EC2 has.",
        "Fewer are reserved, and the group launches into reservations only.",
        "Reserve more On-Demand capacity, or set CapacityReservation to open-first.",
    ),
)
