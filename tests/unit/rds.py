"""RDS and the function `dbcheck` as the core asks them: a replica with AWS's phases and refusals, held in memory.

Parameters are checked against boto3's own model of the API.
"""

import io
import json
from collections.abc import Callable
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
    engine: str = "postgres"
    more: dict[str, dict[str, Any]] = field(default_factory=dict)  # of an instance: MultiAZ and so on
    modifications: list[dict[str, Any]] = field(default_factory=list)

    def describe_db_instances(self, **given: Any) -> dict[str, Any]:
        """As AWS: the key of the source is absent where there is none."""
        self._take("DescribeDBInstances", given)
        identifier = given["DBInstanceIdentifier"]
        if identifier not in self.status:
            raise error("DBInstanceNotFound", f"DBInstance {identifier} not found.", "DescribeDBInstances")
        found = {
            "DBInstanceIdentifier": identifier,
            "DBInstanceStatus": self.status[identifier],
            "Engine": self.engine,
            **self.more.get(identifier, {}),
        }
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

    def modify_db_instance(self, **given: Any) -> dict[str, Any]:
        """Accepted, and pending until a test calls `apply`; of deletion protection nothing is ever pending."""
        self._take("ModifyDBInstance", given)
        if self.refusal is not None:
            raise self.refusal
        self.modifications.append(given)
        identifier = given["DBInstanceIdentifier"]
        now = self.more.setdefault(identifier, {})
        for key, value in given.items():
            if key == "DeletionProtection":
                now[key] = value
            elif key not in {"DBInstanceIdentifier", "ApplyImmediately"}:
                now.setdefault("PendingModifiedValues", {})[key] = value
        return {"DBInstance": {"DBInstanceIdentifier": identifier}}

    def apply(self, identifier: str = REPLICA) -> None:
        """What is pending comes into force."""
        now = self.more[identifier]
        now.update(now.pop("PendingModifiedValues", {}))

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
    read_only: bool = False  # not by Relight
    last_replayed_at: float | None = None
    heartbeat_at: float | None = None
    receiver: dict[str, Any] | None = None
    reached: bool = True
    failure: str | None = None
    writes: int = 0
    stopped_at: str | None = None  # by Relight
    sessions_left: int = 0
    lsn: str = "0/3000060"
    replayed_lsn: str | None = None
    refusal: Exception | None = None  # of Lambda
    before: Callable[[str], object] = lambda check: None  # what happens just before a check is answered
    stops: int = 0

    @property
    def writable(self) -> bool:
        """Whether it takes writes."""
        return not self.in_recovery and not self.read_only and self.stopped_at is None

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """Lambda's answer."""
        event = json.loads(Payload)
        self.before(event["check"])
        if self.refusal is not None:
            raise self.refusal
        if self.failure is not None:
            failed = {"errorType": self.failure, "errorMessage": "it went wrong"}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(failed).encode())}
        answer = {"stop": self._stop, "allow": self._allow}.get(event["check"], self._state)
        said = answer(event) if self.reached else self._unreached(event)
        return {"Payload": io.BytesIO(json.dumps(said).encode())}

    @staticmethod
    def _unreached(event: dict[str, Any]) -> dict[str, Any]:
        nothing: dict[str, dict[str, Any]] = {
            "stop": {"stopped": False, "sessions_left": None, "lsn": None},
            "allow": {"allowed": False},
        }
        said: dict[str, Any] = {"reached": False, "writable": False, "sentence": "unreachable: it is not there"}
        return said | nothing.get(event["check"], {})

    def _state(self, event: dict[str, Any]) -> dict[str, Any]:
        self.writes += self.writable and event["check"] == "write"
        return {
            "reached": True,
            "in_recovery": self.in_recovery,
            "writable": self.writable,
            "writes_stopped": self.stopped_at is not None,
            "stopped_at": self.stopped_at,
            "last_replayed_at": self.last_replayed_at,
            "heartbeat_at": self.heartbeat_at,
            "replayed_lsn": self.replayed_lsn,
            "receiver": self.receiver,
            "sentence": "it takes writes" if self.writable else "it is a replica" if self.in_recovery else "read-only",
        }

    def _stop(self, event: dict[str, Any]) -> dict[str, Any]:
        if self.in_recovery:
            nothing = {"stopped": False, "sessions_left": None, "lsn": None}
            return {"reached": True, "in_recovery": True, **nothing, "sentence": "it is a replica"}
        self.stops += 1
        self.stopped_at = str(self.stops)
        stopped = not self.sessions_left
        return {
            "reached": True,
            "in_recovery": False,
            "stopped": stopped,
            "sessions_left": self.sessions_left,
            "lsn": self.lsn if stopped else None,
            "sentence": "no client can write" if stopped else f"sessions have not ended: {self.sessions_left}",
        }

    def _allow(self, event: dict[str, Any]) -> dict[str, Any]:
        if self.in_recovery:
            return {"reached": True, "in_recovery": True, "allowed": False, "sentence": "it is a replica"}
        if event.get("stopped_at", self.stopped_at) == self.stopped_at:
            self.stopped_at = None
        said = "writes are let in" if self.writable else "it has been stopped again meanwhile"
        return {"reached": True, "in_recovery": False, "allowed": self.writable, "sentence": said}
