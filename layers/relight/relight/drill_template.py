"""The launch template of a drill's instances: the standby's own, with what keeps them apart. Pure.

The same image, types and boot. Only where they write is another place: the throwaway database, a bucket that replicates
nowhere, a network without a way out, and a role of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_FILE = "/etc/relight/app.env"
_BLOCK = re.compile(
    rf"^[ \t]*cat[ \t]*>[ \t]*{re.escape(ENVIRONMENT_FILE)}[ \t]*<<-?[ \t]*(['\"]?)(?P<end>\w+)\1[ \t]*\n"
    r"(?P<body>.*?)^[ \t]*(?P=end)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_LINE = re.compile(r"^(?P<indent>[ \t]*)(?P<name>[A-Za-z_]\w*)=")
# Whoever writes no such line is not told by the environment which database is the application's.
NEEDED = frozenset({"DATABASE_HOST", "DATABASE_PORT"})
# What DescribeLaunchTemplateVersions tells and CreateLaunchTemplate does not take.
_TOLD_ONLY = ("Operator",)
_OWN = (
    "NetworkInterfaces",
    "SecurityGroupIds",
    "SecurityGroups",
    "IamInstanceProfile",
    "UserData",
    "TagSpecifications",
)


@dataclass(frozen=True)
class Apart:
    """What is the drill's own of an instance."""

    security_group: str
    instance_profile_arn: str
    tags: list[dict[str, str]]


def environment(user_data: str) -> dict[str, str] | None:
    """What the user data writes to /etc/relight/app.env; None where it writes none, so that it is not ours."""
    found = _BLOCK.search(user_data)
    if found is None:
        return None
    lines = (line.strip().partition("=") for line in found["body"].splitlines() if _LINE.match(line))
    return {name: value.strip("'\"") for name, _, value in lines}


def with_environment(user_data: str, changes: Mapping[str, str]) -> str | None:
    """The user data with these variables changed, or added where there is none; None where it is not ours."""
    found, known = _BLOCK.search(user_data), environment(user_data)
    if found is None or known is None or not known.keys() >= NEEDED:
        return None
    lines = [_changed(line, changes) for line in found["body"].splitlines()]
    match = next((_LINE.match(line) for line in lines if _LINE.match(line)), None)
    indent = match["indent"] if match else ""
    lines += [f"{indent}{name}={value}" for name, value in changes.items() if name not in known]
    body = "".join(f"{line}\n" for line in lines)
    return user_data[: found.start("body")] + body + user_data[found.end("body") :]


def _changed(line: str, changes: Mapping[str, str]) -> str:
    found = _LINE.match(line)
    if found is None or found["name"] not in changes:
        return line
    return f"{found['indent']}{found['name']}={changes[found['name']]}"


def variables(host: str, port: int, bucket: str, peer_region: str) -> dict[str, str]:
    """What of the environment is otherwise in a drill.

    Nobody grants a lease for a copy. To the gate before each start the other Region is at home: an instance of the
    standby starts then without asking that Region, which may be lost, and is superseded by nobody.
    """
    return {
        "DATABASE_HOST": host,
        "DATABASE_PORT": str(port),
        "DATA_BUCKET": bucket,
        "HOME_REGION": peer_region,
        "RELIGHT_LEASE_TERM_SECONDS": "0",
        "RELIGHT_DRILL": "1",
    }


def template_data(told: Mapping[str, Any], user_data: str, apart: Apart) -> dict[str, Any]:
    """What CreateLaunchTemplate takes, from what DescribeLaunchTemplateVersions tells; `user_data` in base64.

    No instance of a drill takes a place in a capacity reservation: that is kept for a failover.
    """
    data = {key: value for key, value in told.items() if key not in {*_TOLD_ONLY, *_OWN}}
    if "MetadataOptions" in data:
        data["MetadataOptions"] = {key: value for key, value in data["MetadataOptions"].items() if key != "State"}
    return data | {
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": False,
                "DeleteOnTermination": True,
                "Groups": [apart.security_group],
            }
        ],
        "IamInstanceProfile": {"Arn": apart.instance_profile_arn},
        "CapacityReservationSpecification": {"CapacityReservationPreference": "none"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": apart.tags} for kind in ("instance", "volume")],
        "UserData": user_data,
    }
