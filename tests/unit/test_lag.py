"""The replica's lag as CloudWatch has it, where the database of this Region cannot be asked."""

import boto3
import pytest
from botocore.config import Config
from relight.lag import Lag, newest, sample
from relight.signal import Sample, Seen

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer, black_hole, closed_port
from tests.unit.rds import REPLICA
from tests.unit.scene import Scene, make_scene
from tests.unit.standby import HERE, NOW, Clock

UNASKED = "the database of this Region could not be asked"


@pytest.fixture
def scene(aws: None, names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


def test_the_newest_figure_of_the_last_minutes_counts(scene: Scene) -> None:
    scene.lag(7, ago=180)
    scene.lag(4, ago=60)
    scene.lag(9, ago=120)
    found = newest(scene.cloudwatch, REPLICA, NOW)
    assert found is not None
    assert found.seconds == 4
    assert NOW - 120 <= found.at <= NOW


def test_no_figure_is_no_figure_and_not_a_lag_of_nothing(scene: Scene) -> None:
    assert newest(scene.cloudwatch, REPLICA, NOW) is None
    scene.lag(0, ago=600)
    assert newest(scene.cloudwatch, REPLICA, NOW) is None
    scene.lag(0)
    assert newest(scene.cloudwatch, "another-replica", NOW) is None


@pytest.mark.parametrize("how", ["refused", "black-holed"])
def test_a_cloudwatch_that_does_not_answer_says_nothing(how: str) -> None:
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    with black_hole() as silent:
        port = silent if how == "black-holed" else closed_port()
        api = boto3.client("cloudwatch", HERE, endpoint_url=f"http://127.0.0.1:{port}", config=config)
        assert newest(api, REPLICA, NOW) is None


@pytest.mark.parametrize(
    ("lag", "seen", "sentence"),
    [
        (None, Seen.UNKNOWN, f"{UNASKED}, and CloudWatch knows no lag of the last 300 s"),
        (Lag(0, NOW - 60), Seen.UP, f"{UNASKED}; CloudWatch says that it is 0 s behind"),
        (Lag(90, NOW - 60), Seen.UP, f"{UNASKED}; CloudWatch says that it is 90 s behind"),
        (Lag(91, NOW - 60), Seen.UNKNOWN, f"{UNASKED}; CloudWatch says 91 s behind, which may be an idle source"),
        (Lag(-1, NOW - 60), Seen.DOWN, f"{UNASKED}; CloudWatch says that replication is not active"),
        # Missing data never reassures, and never triggers: a figure of minutes ago is nearly that.
        (Lag(0, NOW - 151), Seen.UNKNOWN, f"{UNASKED}, and CloudWatch's newest lag is of 151 s ago"),
        (Lag(-1, NOW - 151), Seen.UNKNOWN, f"{UNASKED}, and CloudWatch's newest lag is of 151 s ago"),
        (Lag(-1, NOW - 150), Seen.DOWN, f"{UNASKED}; CloudWatch says that replication is not active"),
    ],
)
def test_a_small_lag_is_alive_none_active_is_dead_and_the_rest_is_unknown(
    lag: Lag | None, seen: Seen, sentence: str
) -> None:
    assert sample(lag, 90, NOW) == Sample(NOW, seen, sentence)


def test_what_the_replica_has_follows_from_a_lag_and_from_none_that_is_active_nothing_does() -> None:
    assert Lag(5, NOW - 60).replayed_at == NOW - 65
    assert Lag(0, NOW - 60).replayed_at == NOW - 60
    assert Lag(-1, NOW - 60).replayed_at is None
