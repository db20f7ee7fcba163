"""What the lookout of DR sees: a primary that is up or lost, on real sockets, and this Region's own database."""

from dataclasses import dataclass, field
from typing import Any

from relight.ledger import Ledger
from relight.lookout import Lookout
from relight.policy import Approval
from relight.settings import ProbeSettings
from relight.signal import Seen, Signal, View

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer
from tests.unit.rds import PEER, REPLICA, Dbcheck, Rds, make_rds
from tests.unit.situation import keep_signals
from tests.unit.standby import HERE, HOME, MACHINE, TABLE, Clock

DOMAIN = "shop.example"
READY = 200, '{"status": "ready"}'
NO_TARGETS = 503, "<html>503 Service Temporarily Unavailable</html>"


@dataclass
class Scene:
    """Begins with a primary that is up and replicates."""

    names: NameServer
    web: WebServer
    clock: Clock
    rds: Rds
    peer_rds: Rds
    cloudwatch: Any
    dbcheck: Dbcheck = field(default_factory=Dbcheck)

    def __post_init__(self) -> None:
        self.names.records[(f"primary.{DOMAIN}", "A")] = ["127.0.0.1"]
        self.web.pages["/ping"] = 200, "healthy"
        self.up()

    def up(self) -> None:
        """Everything answers, and the stream has just been heard."""
        self.names.records[(f"_seen.{DOMAIN}", "TXT")] = ["up"]
        self.web.pages["/health/ready"] = READY
        self.dbcheck.last_replayed_at = self.clock() - 2
        self.dbcheck.receiver = {"status": "streaming", "last_message_at": self.clock()}
        self.peer_rds.reached = True

    def tick(self) -> None:
        """A stream that is alive goes on, and is heard."""
        if self.dbcheck.receiver is not None:
            known = self.dbcheck.last_replayed_at is not None
            self.dbcheck.last_replayed_at = self.clock() - 2 if known else None
            self.dbcheck.receiver = {"status": "streaming", "last_message_at": self.clock()}

    def lose_application(self) -> None:
        """Nobody answers clients any more; the database goes on, and replicates."""
        self.names.records[(f"_seen.{DOMAIN}", "TXT")] = ["down"]
        self.web.pages["/health/ready"] = NO_TARGETS

    def lose(self) -> None:
        """The Region is gone; what was replicated last is what was replicated now."""
        self.lose_application()
        self.dbcheck.last_replayed_at = self.clock()
        self.dbcheck.receiver = None
        self.peer_rds.reached = False

    def settings(self, **changed: Any) -> ProbeSettings:
        """Two samples a watch, ten seconds apart; a hold-down of sixty."""
        given: dict[str, Any] = {
            "aws_region": HERE,
            "home_region": HOME,
            "peer_region": HOME,
            "ledger_table": TABLE,
            "peer_connect_seconds": 2.0,
            "peer_read_seconds": 5.0,
            "domain": DOMAIN,
            "seen_name": f"_seen.{DOMAIN}",
            "name_servers": (self.names.at,),
            "peer_url": f"http://primary.{DOMAIN}:{self.web.port}/health/ready",
            "control_targets": (f"http://127.0.0.1:{self.web.port}/ping",),
            "dbcheck_function": "relight-shop-dbcheck",
            "replica_id": REPLICA,
            "peer_database_id": PEER,
            "sample_timeout_seconds": 4.0,
            "fresh_seconds": 90.0,
            "stream_silence_seconds": 45.0,
            "hold_down_seconds": 60.0,
            "database_hold_down_seconds": 300.0,
            "max_data_loss_seconds": 300.0,
            "cooldown_seconds": 3600.0,
            "look_again_seconds": 10.0,
            "policy": Approval.AUTO,
            "sample_seconds": 10.0,
            "samples": 2,
            "peer_group_names": ("shop-primary",),
            "readiness_is_deep": True,
            "failover_machine": MACHINE,
            "start_window_seconds": 60.0,
            "quiet_seconds": 900.0,
        }
        return ProbeSettings(**(given | changed))

    def lookout(self, ledger: Ledger, settings: ProbeSettings) -> Lookout:
        """The lookout of DR."""
        lambdas: Any = self.dbcheck
        own: Any = self.rds
        peer: Any = self.peer_rds
        return Lookout(settings, ledger, lambdas, own, peer, self.cloudwatch, self.clock)

    def lag(self, seconds: float, ago: float = 60) -> None:
        """CloudWatch's figure of how far the replica is behind; -1 is that replication is not active."""
        self.cloudwatch.put_metric_data(
            Namespace="AWS/RDS",
            MetricData=[
                {
                    "MetricName": "ReplicaLag",
                    "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": REPLICA}],
                    "Timestamp": self.clock() - ago,
                    "Value": seconds,
                }
            ],
        )

    def has_been_down(self, ledger: Ledger, seconds: float, **by_view: float) -> None:
        """Let the ledger remember that the quorum has been DOWN for so long, each view perhaps for its own time."""
        now = self.clock()
        down = {view: now - by_view.get(view.value, seconds) for view in (View.OUTSIDE, View.FROM_DR, View.STREAM)}
        signals = (Signal(view, Seen.DOWN, since, now - 5, "down", mute_since=since) for view, since in down.items())
        keep_signals(ledger, signals)


def make_scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    """A scene with an RDS in each Region."""
    peer = make_rds(clients)
    peer.status, peer.source = {PEER: "available"}, {}
    return Scene(names, web, clock, make_rds(clients), peer, clients("cloudwatch", HERE))
