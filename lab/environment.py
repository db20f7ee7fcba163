"""Where the workload's parameters come from: what a person would give to `sam deploy` for each Region."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from moto.backends import get_backend
from moto.ec2.models.amis import Ami

from lab.cloud import ACCOUNT
from lab.region import REGION_NAME, Side
from lab.timings import Timings

APPLICATION = "shop"
DOMAIN = "shop.example.test"
IMAGE = {
    f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}": "ami-12345678"
    for arch in ("arm64", "x86_64")
}
_IMAGE_DAYS = 30
_PREFIX = {Side.PRIMARY: "10.10", Side.DR: "10.20"}
_SIZES = {Side.PRIMARY: {"MinSize": "1", "DesiredCapacity": "2"}, Side.DR: {"MinSize": "0", "DesiredCapacity": "0"}}


@dataclass(frozen=True)
class Surroundings:
    """What only the lab knows: where its servers listen."""

    web_port: int
    name_servers: Mapping[Side, str]
    """The zone's name server as each Region reaches it, host:port."""
    resolver: str
    """The resolver of the world outside, host:port."""
    control_target: str


def publish_image() -> None:
    """Let each Region have the machine image that AWS's public parameters name, as of a month ago."""
    for region in REGION_NAME.values():
        backend = get_backend("ec2")[ACCOUNT][region]
        for name, image in IMAGE.items():
            # One image stands for those of both architectures; the first is that of the instances.
            if image not in backend.amis:
                backend.amis[image] = Ami(
                    backend,
                    image,
                    name=name.rpartition("/")[2],
                    owner_alias="amazon",
                    architecture=name.rpartition("-")[2],
                    creation_date=datetime.now(UTC).replace(tzinfo=None) - timedelta(days=_IMAGE_DAYS),
                    public=True,
                    region_name=region,
                )


def stack_name() -> str:
    """The name of each Region's stack."""
    return f"relight-{APPLICATION}"


def keys() -> dict[str, str]:
    """Parameters of stacks/keys.yaml."""
    return {"Application": APPLICATION}


def regional(
    side: Side,
    around: Surroundings,
    timings: Timings,
    keys: Mapping[Side, Mapping[str, str]],
    more: Mapping[str, str],
) -> dict[str, str]:
    """Parameters of template.yaml for one Region; `keys` are the outputs of both keys stacks."""
    return {
        "DataKeyArn": keys[side]["DataKeyArn"],
        "PeerDataKeyArn": keys[side.other]["DataKeyArn"],
        "TopicKeyArn": keys[side]["TopicKeyArn"],
        "Application": APPLICATION,
        "Role": side.value,
        "PeerRegion": REGION_NAME[side.other],
        "Domain": DOMAIN,
        "NameServers": around.name_servers[side],
        "Resolver": around.resolver,
        "Scheme": "http",
        "SitePort": str(around.web_port),
        "NetworkPrefix": _PREFIX[side],
        "PeerNetworkPrefix": _PREFIX[side.other],
        "DatabaseTls": "off",
        "Policy": "auto",
        "ControlTargets": around.control_target,
        "Architecture": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
        **_SIZES[side],
        **timings.parameters,
        **more,
    }


def shared(zone_id: str, around: Surroundings, primary: Mapping[str, str], dr: Mapping[str, str]) -> dict[str, str]:
    """Parameters of stacks/global.yaml, from the outputs of both Regions' stacks."""
    return {
        "Application": APPLICATION,
        "Domain": DOMAIN,
        "HostedZoneId": zone_id,
        "Scheme": "http",
        "SitePort": str(around.web_port),
        "PrimaryRegion": REGION_NAME[Side.PRIMARY],
        "DrRegion": REGION_NAME[Side.DR],
        "PrimaryBalancerName": primary["BalancerName"],
        "PrimaryBalancerZoneId": primary["BalancerZoneId"],
        "DrBalancerName": dr["BalancerName"],
        "DrBalancerZoneId": dr["BalancerZoneId"],
    }
