"""Two Regions to look at: in this process, by moto; one or both of them lost, denied or throttled. And a child's own.

`python -m tests.cli.onlookers HOME_PORT words...` is the command line in a process of its own, with the home Region
behind that port; 0 is none.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto import mock_aws
from relight import metrics
from relight.readiness import Area, Check, Level, Readiness
from relight.signal import Seen, Signal, View
from relight_cli import overview, sight, watching
from relight_cli.command import run
from relight_cli.sight import Hasty

from tests.unit.standby import HERE, HOME, make_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.ledger import Ledger

BOTH = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
CODES = {"AccessDeniedException": 400, "ThrottlingException": 400}


class Answer:
    """A body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._body


class Led(Hasty):
    """Some Regions behind a port of this machine, or with an error in the place of each answer."""

    def __init__(self, ports: Mapping[str, int], errors: Mapping[str, str], read_timeout: float = 0.3) -> None:
        super().__init__()
        self.ports = dict(ports)
        self.errors = dict(errors)
        self._patience = Config(connect_timeout=1, read_timeout=read_timeout, retries={"total_max_attempts": 1})
        self._led: dict[tuple[str, str, int], Any] = {}

    def client(self, service: str, region: str) -> Any:
        """As Hasty, elsewhere."""
        if region in self.ports:
            return self._lost(service, region, self.ports[region])
        if region not in self.errors:
            return super().client(service, region)
        made = self._lost(service, region, 0)
        made.meta.events.register_first("before-send", lambda **_: _error(self.errors[region]))
        return made

    def _lost(self, service: str, region: str, port: int) -> Any:
        """Without a second attempt, which may take a second to come."""
        key = service, region, port
        with self._one_at_a_time:
            if key not in self._led:
                where = f"http://127.0.0.1:{port}"
                session = boto3.session.Session()
                self._led[key] = session.client(
                    service,  # type: ignore[call-overload]  # any of them
                    region_name=region,
                    endpoint_url=where,
                    config=self._patience,
                )
        return self._led[key]


def _error(code: str) -> AWSResponse:
    body = json.dumps({"__type": code, "message": "not now"}).encode()
    headers: Any = {"content-type": "application/x-amz-json-1.0"}
    return AWSResponse("http://127.0.0.1", CODES[code], headers, Answer(body))


@contextmanager
def led(ports: Mapping[str, int] = {}, errors: Mapping[str, str] = {}, **more: float) -> Iterator[Led]:
    """What `status` and `watch` ask, with these Regions lost or refusing."""
    made = Led(ports, errors, **more)
    with patch.object(overview, "Hasty", lambda: made), patch.object(watching, "Hasty", lambda: made):
        yield made


def ready(at: float, *checks: Check, score: int = 100) -> dict[str, Any]:
    """As the function leaves it in the ledger."""
    return Readiness(at, HERE, score, checks, "0.1.0").to_dict()


LAG = Check("lag", Area.DATABASE, Level.PASS, "the newest commit here is of 2 s ago; a failover may lose 5 min", "")
QUOTA = Check("vcpu_quota", Area.CAPACITY, Level.FAIL, "8 vCPUs are needed, 4 may be started", "ask for more of them")


def keep(ledger: Ledger, view: View, seen: Seen, since: float, last_seen: float, sentence: str) -> None:
    """What the probe has seen."""
    assert ledger.move_signal(Signal(view, seen, since, last_seen, sentence), Signal.unknown(view))


SENTENCES = {
    View.OUTSIDE: "Route 53's checkers reach the active Region",
    View.FROM_DR: "the peer says that it is ready",
    View.STREAM: "the replica streams",
    View.CONTROL: "https://sts.eu-north-1.amazonaws.com answers",
}


def publish(region: str, namespace: str, data: list[dict[str, Any]], at: float) -> None:
    """As of that moment."""
    moment = datetime.fromtimestamp(at, UTC)
    cloudwatch: Any = boto3.client("cloudwatch", region_name=region)
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[one | {"Timestamp": moment} for one in data])


def well(now: float) -> dict[str, Ledger]:
    """Both Regions as on most days, inside `mock_aws`: the primary is active, and its standby is ready."""
    ledgers = {region: make_ledger(boto3.client("dynamodb", region_name=region)) for region in (HERE, HOME)}
    for view, sentence in SENTENCES.items():
        keep(ledgers[HERE], view, Seen.UP, now - 7200, now - 12, sentence)
    ledgers[HERE].keep_readiness(ready(now - 600, LAG), now - 600)
    for region, names in ((HERE, metrics.SWITCHES[False]), (HOME, metrics.SWITCHES[True])):
        publish(region, "Relight/Switches/shop", [{"MetricName": name, "Value": 0.0} for name in names], now - 40)
    replica = [{"Name": "DBInstanceIdentifier", "Value": "shop-dr"}]
    publish(HERE, "AWS/RDS", [{"MetricName": "ReplicaLag", "Value": 2.0, "Dimensions": replica}], now - 50)
    return ledgers


def main() -> int:
    """The command line, in a world of its own."""
    port, *words = sys.argv[1:]
    # As in the foreground of a terminal; who is started in the background of a script inherits that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with mock_aws():
        well(time.time())
        # Longer than anybody waits: only what is not waited for lets the process end.
        with led({HOME: int(port)} if int(port) else {}, read_timeout=300.0), patch.dict(os.environ):
            if "AWS_PROFILE" in os.environ:  # its credentials count then, and not those that moto has put there
                for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
                    os.environ.pop(name, None)
            return run([*words, *BOTH])


if __name__ == "__main__":
    assert sight.PATIENCE_SECONDS < 5
    sys.exit(main())
