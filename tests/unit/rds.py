"""RDS and the function `dbcheck` as the core asks them: a replica with AWS's phases and refusals, held in memory.

Parameters are checked against boto3's own model of the API.
"""

import io
import json
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from botocore.validate import ParamValidator

from tests.unit.conftest import Clients
from tests.unit.standby import HERE, HOME

REPLICA = "shop-dr"
PEER = "shop-primary"
SOURCE = f"arn:aws:rds:{HOME}:123456789012:db:{PEER}"


@dataclass
class Rds:
    """The instances of one Region by identifier. A promotion is `pending` until a test calls `begin`."""

    model: Any
    status: dict[str, str] = field(default_factory=lambda: {REPLICA: "available"})
    source: dict[str, str] = field(default_factory=lambda: {REPLICA: SOURCE})
    promotions: list[dict[str, Any]] = field(default_factory=list)
    refusal: ClientError | None = None
    reached: bool = True

    def describe_db_instances(self, **given: Any) -> dict[str, Any]:
        """As AWS: the key of the source is absent where there is none."""
        self._take("DescribeDBInstances", given)
        identifier = given["DBInstanceIdentifier"]
        if identifier not in self.status:
            raise error("DBInstanceNotFound", f"DBInstance {identifier} not found.", "DescribeDBInstances")
        found = {"DBInstanceIdentifier": identifier, "DBInstanceStatus": self.status[identifier]}
        if identifier in self.source:
            found["ReadReplicaSourceDBInstanceIdentifier"] = self.source[identifier]
        return {"DBInstances": [found]}

    def promote_read_replica(self, **given: Any) -> dict[str, Any]:
        """Accepted only where it is a replica and available; the status stays so for a while after that."""
        self._take("PromoteReadReplica", given)
        if self.refusal is not None:
            raise self.refusal
        identifier = given["DBInstanceIdentifier"]
        if identifier not in self.source or self.status[identifier] != "available":
            raise error("InvalidDBInstanceState", f"DB instance {identifier} is not ready.", "PromoteReadReplica")
        self.promotions.append(given)
        return {"DBInstance": {"DBInstanceIdentifier": identifier}}

    def end(self, identifier: str = REPLICA) -> None:
        """The promotion is over as far as RDS can tell."""
        del self.source[identifier]
        self.status[identifier] = "available"

    def _take(self, operation: str, given: dict[str, Any]) -> None:
        if not self.reached:
            raise EndpointConnectionError(endpoint_url=f"https://rds.{HERE}.amazonaws.com/")
        report = ParamValidator().validate(given, self.model.operation_model(operation).input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())


def make_rds(clients: Clients) -> Rds:
    """A Region with the replica."""
    return Rds(clients("rds", HERE).meta.service_model)


def error(code: str, message: str, operation: str, status: int = 400) -> ClientError:
    """What boto3 raises when an API refuses."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


@dataclass
class Dbcheck:
    """The function `dbcheck` behind Lambda: what the database is now; `failure` is an error of the function itself."""

    in_recovery: bool = True
    read_only: bool = False
    last_replayed_at: float | None = None
    heartbeat_at: float | None = None
    receiver: dict[str, Any] | None = None
    reached: bool = True
    failure: str | None = None
    writes: int = 0

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """Lambda's answer."""
        if self.failure is not None:
            said: dict[str, Any] = {"errorType": self.failure, "errorMessage": "it went wrong"}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(said).encode())}
        writable = not self.in_recovery and not self.read_only
        if not self.reached:
            said = {"reached": False, "writable": False, "sentence": "unreachable: it is not there"}
        else:
            self.writes += writable and json.loads(Payload)["check"] == "write"
            said = {
                "reached": True,
                "in_recovery": self.in_recovery,
                "writable": writable,
                "last_replayed_at": self.last_replayed_at,
                "heartbeat_at": self.heartbeat_at,
                "receiver": self.receiver,
                "sentence": "it takes writes" if writable else "it is a replica",
            }
        return {"Payload": io.BytesIO(json.dumps(said).encode())}
