"""Names asked over real sockets."""

import pytest
from relight.names import NoAnswer, ask, resolver

from tests.unit.loopback import NameServer, black_hole, closed_port


def test_records_of_the_kind_that_was_asked_for(names: NameServer) -> None:
    names.records[("shop.example", "A")] = ["127.0.0.7", "127.0.0.8"]
    names.records[("_seen.shop.example", "TXT")] = ["up"]
    assert sorted(ask("shop.example", "A", [names.at], 1)) == ["127.0.0.7", "127.0.0.8"]
    assert ask("_seen.shop.example", "TXT", [names.at], 1) == ["up"]
    assert ask("shop.example", "TXT", [names.at], 1) == []


def test_each_question_is_asked_anew(names: NameServer) -> None:
    names.records[("shop.example", "A")] = ["127.0.0.7"]
    ask("shop.example", "A", [names.at], 1)
    names.records[("shop.example", "A")] = ["127.0.0.8"]
    assert ask("shop.example", "A", [names.at], 1) == ["127.0.0.8"]


def test_a_name_that_does_not_exist_has_no_records(names: NameServer) -> None:
    names.rcode = "NXDOMAIN"
    assert ask("none.example", "A", [names.at], 1) == []


def test_a_server_that_does_not_answer_is_passed_over(names: NameServer) -> None:
    names.records[("shop.example", "A")] = ["127.0.0.7"]
    with black_hole() as silent:
        servers = [f"127.0.0.1:{closed_port()}", f"127.0.0.1:{silent}", names.at]
        assert ask("shop.example", "A", servers, 0.6) == ["127.0.0.7"]


def test_a_server_that_fails_is_passed_over(names: NameServer) -> None:
    names.rcode = "SERVFAIL"
    with pytest.raises(NoAnswer, match="SERVFAIL"):
        ask("shop.example", "A", [names.at], 1)
    with NameServer() as other:
        other.records[("shop.example", "A")] = ["127.0.0.7"]
        assert ask("shop.example", "A", [names.at, other.at], 1) == ["127.0.0.7"]


def test_no_answer_from_anybody_is_said_so() -> None:
    with pytest.raises(NoAnswer, match=r"^127\.0\.0\.1:\d+: "):
        ask("shop.example", "A", [f"127.0.0.1:{closed_port()}"], 0.3)
    with pytest.raises(NoAnswer, match="no name server is configured"):
        ask("shop.example", "A", [], 0.3)


def test_a_resolver_of_ones_own_choosing(names: NameServer) -> None:
    names.records[("shop.example", "A")] = ["127.0.0.7"]
    resolve = resolver(names.at, 1)
    assert resolve("shop.example") == "127.0.0.7"
    with pytest.raises(OSError, match=r"none\.example has no address"):
        resolve("none.example")
    with pytest.raises(OSError, match=r"shop\.example does not resolve"):
        resolver(f"127.0.0.1:{closed_port()}", 0.3)("shop.example")


def test_the_systems_resolver_without_one() -> None:
    assert resolver(None, 1)("127.0.0.1") == "127.0.0.1"
