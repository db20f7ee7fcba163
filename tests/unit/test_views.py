"""Each view takes one look and says what it saw; what it could not see is UNKNOWN."""

from typing import Any

import pytest
from relight import views
from relight.signal import Sample, Seen

from tests.unit.loopback import NameServer, WebServer, black_hole, closed_port
from tests.unit.standby import NOW

PEER = "primary.shop.example"


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (["up"], Seen.UP),
        (["down"], Seen.DOWN),
        ([], Seen.UNKNOWN),
        (["up", "down"], Seen.UNKNOWN),
        (["UP"], Seen.UNKNOWN),
        (["maybe"], Seen.UNKNOWN),
    ],
)
def test_outside_is_what_the_text_record_says(names: NameServer, texts: list[str], seen: Seen) -> None:
    names.records[("_seen.shop.example", "TXT")] = texts
    sample = views.outside("_seen.shop.example", [names.at], 1, NOW)
    assert (sample.at, sample.seen, sample.answered) == (NOW, seen, False)


def test_outside_is_unknown_where_no_name_server_answers() -> None:
    sample = views.outside("_seen.shop.example", [f"127.0.0.1:{closed_port()}"], 0.2, NOW)
    assert sample.seen is Seen.UNKNOWN
    assert sample.sentence.startswith("no name server of the zone answered")


@pytest.mark.parametrize("seen", [Seen.UP, Seen.DOWN])
def test_an_alarm_says_nothing_where_dns_does(seen: Seen) -> None:
    sample = Sample(NOW, seen, "DNS says so")
    assert views.told_by_alarm(sample, NOW - 5) == sample


def test_an_alarm_is_the_same_view_where_dns_says_nothing_and_as_old_as_it_is() -> None:
    nothing = Sample(NOW, Seen.UNKNOWN, "no name server answered")
    assert views.told_by_alarm(nothing, None) == nothing
    told = views.told_by_alarm(nothing, NOW - 5)
    assert (told.at, told.seen, told.answered) == (NOW - 5, Seen.DOWN, False)
    assert told.sentence == "Route 53's alarm says that its checkers do not reach it (no name server answered)"


@pytest.mark.parametrize(
    ("status", "body", "seen", "answered"),
    [
        (200, '{"status": "ready", "region": "eu-west-1"}', Seen.UP, True),
        (503, '{"status": "not ready", "reason": "database is unreachable"}', Seen.DOWN, True),
        (503, '{"status": "ready"}', Seen.DOWN, True),
        # A balancer without targets speaks HTTP too; only the application's own body is its answer.
        (503, "<html>503 Service Temporarily Unavailable</html>", Seen.DOWN, False),
        (200, "", Seen.DOWN, False),
        (200, '["ready"]', Seen.DOWN, False),
        (200, '{"status": "alive"}', Seen.DOWN, False),
    ],
)
def test_from_here_is_what_the_readiness_page_says(
    names: NameServer, web: WebServer, status: int, body: str, seen: Seen, answered: bool
) -> None:
    names.records[(PEER, "A")] = ["127.0.0.1"]
    web.pages["/health/ready"] = status, body
    sample = views.from_dr(f"http://{PEER}:{web.port}/health/ready", [names.at], 2, NOW)
    assert (sample.at, sample.seen, sample.answered) == (NOW, seen, answered)


@pytest.mark.parametrize(("status", "seen"), [(200, Seen.UP), (204, Seen.DOWN), (404, Seen.DOWN), (503, Seen.DOWN)])
def test_of_a_page_without_words_of_its_own_200_will_do(
    names: NameServer, web: WebServer, status: int, seen: Seen
) -> None:
    names.records[(PEER, "A")] = ["127.0.0.1"]
    web.pages["/up"] = status, ""
    sample = views.from_dr(f"http://{PEER}:{web.port}/up", [names.at], 2, NOW, deep=False)
    assert (sample.seen, sample.answered) == (seen, seen is Seen.UP)


def test_from_here_no_answer_is_down(names: NameServer) -> None:
    names.records[(PEER, "A")] = ["127.0.0.1"]
    refused = views.from_dr(f"http://{PEER}:{closed_port()}/health/ready", [names.at], 1, NOW)
    assert (refused.seen, refused.answered) == (Seen.DOWN, False)
    with black_hole() as port:
        assert views.from_dr(f"http://{PEER}:{port}/health/ready", [names.at], 0.2, NOW).seen is Seen.DOWN


def test_from_here_a_name_that_does_not_resolve_says_nothing_about_the_peer(names: NameServer) -> None:
    url = f"http://{PEER}/health/ready"
    assert views.from_dr(url, [names.at], 1, NOW) == Sample(NOW, Seen.UNKNOWN, "the peer's name has no address")
    assert views.from_dr(url, [f"127.0.0.1:{closed_port()}"], 0.2, NOW).seen is Seen.UNKNOWN


def test_any_answer_of_any_control_target_proves_connectivity(web: WebServer) -> None:
    web.pages["/ping"] = 500, "whatever"
    targets = [f"http://127.0.0.1:{closed_port()}/ping", f"http://127.0.0.1:{web.port}/ping"]
    sample = views.control(targets, lambda host: host, 1, NOW)
    assert (sample.seen, sample.sentence) == (Seen.UP, f"{targets[1]} answers")


@pytest.mark.parametrize("targets", [[], [f"http://127.0.0.1:{closed_port()}/ping"]])
def test_without_such_an_answer_connectivity_is_down(targets: list[str]) -> None:
    assert views.control(targets, lambda host: host, 1, NOW).seen is Seen.DOWN


def state(**changed: Any) -> dict[str, Any]:
    receiver = {"status": "streaming", "last_message_at": NOW - 45}
    return {"in_recovery": True, "receiver": receiver} | changed


@pytest.mark.parametrize(
    ("said", "seen", "sentence"),
    [
        (state(), Seen.UP, "the replica streams"),
        (None, Seen.UNKNOWN, "the database of this Region could not be asked"),
        (state(in_recovery=False), Seen.UNKNOWN, "the database of this Region is no replica"),
        (state(receiver=None), Seen.DOWN, "the replica receives nothing: it has no WAL receiver"),
        (
            state(receiver={"status": "streaming", "last_message_at": NOW - 46}),
            Seen.DOWN,
            "the WAL receiver is streaming and last heard 46 s ago",
        ),
        (
            state(receiver={"status": "streaming", "last_message_at": None}),
            Seen.DOWN,
            "the WAL receiver is streaming and last heard never",
        ),
        (
            state(receiver={"status": "waiting", "last_message_at": NOW - 1}),
            Seen.DOWN,
            "the WAL receiver is waiting and last heard 1 s ago",
        ),
    ],
)
def test_the_stream_is_alive_only_while_something_is_heard(
    said: dict[str, Any] | None, seen: Seen, sentence: str
) -> None:
    assert views.stream(said, 45, NOW) == Sample(NOW, seen, sentence)
