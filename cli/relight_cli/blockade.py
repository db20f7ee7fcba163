"""A Region refused to this process before it is lost: no call of AWS's SDK leaves for it, nor for us-east-1.

It stands at the last moment before botocore sends: every client of a session passes it, also those that the SDK makes
to sign in (IAM Identity Center, AssumeRole). At the sockets of the operating system nobody could tell the Regions of a
lab apart, which have one address; there the Region that a call is signed for counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError

GLOBAL = "us-east-1"
"""Where AWS's global control planes are: IAM, Route 53, the global endpoint of STS, and what else names no Region."""
_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".aws", ".amazon.com", ".amazontrust.com", ".awsapps.com")
_REGION = re.compile(r"(?:s3-)?([a-z]{2,4}(?:-[a-z]+)+-\d{1,2})")
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d+/([^/]+)/([^/]+)/aws4_request")
_GLOBAL_SERVICES = frozenset({"iam", "route53"})


class Blocked(BotoCoreError):
    """The call was not sent. It counts as no answer, and the SDK does not try it again."""

    fmt = "{host} was refused on purpose: {why}"


def region_of(url: str, authorization: str = "") -> str | None:
    """The Region that a call goes to: by its host where that is AWS's, else by what it is signed for. Pure.

    us-east-1 for what is global; None where nothing says it.
    """
    host = (urlsplit(url).hostname or "").lower()
    if host.endswith(_AWS):
        # From the right: in front there may be a bucket, whose name can hold any Region's.
        found = (_REGION.fullmatch(label) for label in reversed(host.split(".")))
        return next((match[1] for match in found if match), GLOBAL)
    scope = _SCOPE.search(authorization)
    if scope is None:
        return None
    region, service = scope.groups()
    return GLOBAL if service in _GLOBAL_SERVICES or region == "aws-global" else region


@dataclass
class Blockade:
    """Refuses `lost`, and us-east-1 with it, unless that is the Region that is `left`."""

    lost: str
    left: str
    refused: dict[str, str] = field(default_factory=dict)
    """The Region of each host that was refused; of a custom endpoint the host is the Region itself."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def why(self, region: str | None) -> str:
        """Why a call to that Region is refused; empty where it may pass. Pure."""
        if region == self.left or region is None:
            return ""
        if region == self.lost:
            return f"it is in {self.lost}"
        return f"it is in {GLOBAL}, as AWS's global control planes are" if region == GLOBAL else ""

    def stand_before(self, session: Any) -> None:
        """Let no client that this botocore session makes from now on pass."""
        session.get_component("event_emitter").register_first("before-send", self._judge)

    def _judge(self, request: Any, **_: Any) -> None:
        region = region_of(request.url, _text(request.headers))
        why = self.why(region)
        if region is None or not why:
            return
        host = urlsplit(request.url).hostname or ""
        host = host if host.endswith(_AWS) else region
        with self._lock:
            self.refused[host] = region
        raise Blocked(host=host, why=why)

    @property
    def by_control_planes(self) -> bool:
        """Whether all that was refused lies in us-east-1, and nothing in the lost Region."""
        return bool(self.refused) and self.lost not in self.refused.values()


def _text(headers: Mapping[str, Any]) -> str:
    given = headers.get("Authorization", "")
    return given.decode("latin-1") if isinstance(given, bytes) else str(given)
