"""What the ledger's head means for a Region, as Relight writes it; and the settings that say which ledger."""

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.core.exceptions import ImproperlyConfigured
from moto import mock_aws
from relight.ledger import Head, Ledger, State
from relight_lease.settings import LeaseSettings, read
from relight_lease.store import Store, StoreUnreadable, judge

from tests.unit.standby import claims, take_lock

HOME, DR = "eu-west-1", "eu-central-1"
TABLE = "relight-shop"
PRIMARY = LeaseSettings(HOME, HOME, DR, TABLE, 10, 10)
STANDBY = replace(PRIMARY, region=DR)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The ledger's table in the DR Region, empty."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name=DR)
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
        yield client


def holders() -> set[str]:
    """The Regions that are granted the lease now."""
    return {settings.region for settings in (PRIMARY, STANDBY) if Store(settings).ask().granted}


def test_home_holds_it_before_anybody_has_written_a_head(table: Any) -> None:
    assert holders() == {HOME}
    assert Store(PRIMARY).ask().sentence == f"{HOME} is active, by the ledger of {DR}"


def test_it_goes_over_with_a_failover_and_is_held_by_nobody_in_between(table: Any) -> None:
    ledger = Ledger(table, TABLE, HOME)
    run = take_lock(ledger, "failover", 1000.0)
    assert holders() == {HOME}  # it only has the lock: it may stand down
    ledger.begin_promoting(run, DR, withhold_go=False)
    assert holders() == set()
    ledger.stop_granting(run, 1000.0)
    assert holders() == set()
    ledger.activate(run, DR)
    assert holders() == {DR}
    ledger.finish(run, succeeded=True, now=1100.0)
    assert holders() == {DR}


def test_a_run_that_stands_down_gives_it_back(table: Any) -> None:
    ledger = Ledger(table, TABLE, HOME)
    run = take_lock(ledger, "failover", 1000.0)
    ledger.begin_promoting(run, DR, withhold_go=False)
    ledger.stop_granting(run, 1000.0)
    ledger.finish(run, succeeded=False, now=1010.0)
    assert holders() == {HOME}


def test_it_goes_home_when_the_dr_regions_ledger_hears_of_it(table: Any) -> None:
    ledger = Ledger(table, TABLE, HOME)
    ledger.mirror(claims(2, DR), 0)
    # Home is being activated; its run has stopped the writes here by itself.
    ledger.mirror(Head(True, 3, DR, State.PROMOTING, active_epoch=2), 0)
    assert holders() == {DR}
    ledger.mirror(claims(3, HOME, State.PROMOTING), 0)
    assert holders() == set()
    ledger.mirror(claims(3, HOME), 0)
    assert holders() == {HOME}


def test_never_two_of_them_whatever_the_head_says() -> None:
    for active, state in itertools.product((HOME, DR, "us-east-1", None), ("steady", "promoting", "x", None)):
        said = {"active": active, "state": state}
        head = {name: {"S": value} for name, value in said.items() if value}
        assert not (judge(head, PRIMARY).granted and judge(head, STANDBY).granted), head


@pytest.mark.parametrize("head", [{"active": {"N": "1"}}, {"active": "x"}, {"state": {"NULL": True}}, {"active": None}])
def test_a_head_that_is_none_is_no_answer(head: Any) -> None:
    with pytest.raises(StoreUnreadable):
        judge(head, PRIMARY)


def test_a_ledger_that_is_not_there_is_no_answer(table: Any) -> None:
    table.delete_table(TableName=TABLE)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        Store(PRIMARY).ask()


def test_a_silent_store_is_given_up_well_within_the_term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = Store(replace(PRIMARY, term_seconds=0.6))
        with pytest.raises(BotoCoreError):
            store.ask()
    config = store._connect().meta.config
    assert config.connect_timeout + config.read_timeout <= store._settings.term_seconds / 2  # type: ignore[attr-defined]
    assert config.retries["total_max_attempts"] == 1  # type: ignore[attr-defined]


GIVEN = {
    "REGION": HOME,
    "HOME_REGION": HOME,
    "LEDGER_REGION": DR,
    "LEDGER_TABLE": TABLE,
    "TERM_SECONDS": 10,
    "LONGEST_TRANSACTION_SECONDS": 2.5,
}


def test_the_settings_are_read() -> None:
    assert read(GIVEN) == LeaseSettings(HOME, HOME, DR, TABLE, 10.0, 2.5)


def test_all_that_is_wrong_with_them_is_one_message() -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read({**GIVEN, "REGION": "", "LEDGER_REGION": None, "TERM_SECONDS": "10", "TERM": 3} | {"LEDGER_TABLE": 7})
    assert str(refusal.value) == (
        "RELIGHT_LEASE: TERM is not known; REGION must be a name; LEDGER_REGION must be a name; "
        "LEDGER_TABLE must be a name; TERM_SECONDS must be a number of seconds from 0.1 to 3600"
    )
    with pytest.raises(ImproperlyConfigured, match="HOME_REGION is missing; LEDGER_REGION is missing; LEDGER_TABLE"):
        read({"REGION": HOME})
    with pytest.raises(ImproperlyConfigured, match="must be a dictionary"):
        read(None)


@pytest.mark.parametrize("seconds", [0, -1, 0.05, True, float("nan"), float("inf"), 1e9, None])
def test_a_span_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="LONGEST_TRANSACTION_SECONDS must be a number of seconds"):
        read({**GIVEN, "LONGEST_TRANSACTION_SECONDS": seconds})


TWO_PROCESSES = """
import http.server, json, os, threading
from relight_lease.settings import LeaseSettings
from relight_lease.store import Store

ports = []

class Ledger(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        ports.append(self.client_address[1])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ledger)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
store = Store(LeaseSettings("eu-west-1", "eu-west-1", "eu-central-1", "relight-shop", 10, 10))
store.ask(), store.ask()
child = os.fork()
if child == 0:
    store.ask()
    os._exit(0)
os.waitpid(child, 0)
store.ask()
print(json.dumps(ports))
"""


@pytest.mark.linux
def test_a_forked_process_has_a_connection_of_its_own() -> None:
    """Two on one connection would read each other's answers."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    ended = subprocess.run(
        [sys.executable, "-c", TWO_PROCESSES],
        env=os.environ | keys,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, second, child, third = json.loads(ended.stdout)
    assert first == second == third
    assert child != first
