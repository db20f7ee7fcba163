"""boto3 clients, built in one place: bounded in time, and for the peer best effort (rule 1)."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config


def client(service: str, region: str, *, connect: float = 2, read: float = 10, attempts: int = 3) -> Any:
    """A client for `service` in `region`; `attempts` counts the first call too. STS is asked in the Region."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region,
        config=Config(
            connect_timeout=connect,
            read_timeout=read,
            retries={"mode": "standard", "total_max_attempts": attempts},
        ),
    )
