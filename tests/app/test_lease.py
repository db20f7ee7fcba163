"""The shop under the write lease: gunicorn's workers and Django's commands, before a real database and a ledger that
changes its mind, falls silent or is gone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from relight.ledger import State
from relight_lease.lease import now

from app.environment import EnvironmentIncompleteError, Lease, read
from lab.postgres import Postgres
from tests.app.instance import ROOT, Shop
from tests.app.ledgers import AWS, DR, HOME, TABLE, Ledgers

TERM = 1.5
Start = Callable[..., Shop]


def lease(ledgers: Ledgers, here: str = HOME) -> dict[str, str]:
    """What the instance's environment says of the lease."""
    return {
        "PEER_REGION": DR if here == HOME else HOME,
        "HOME_REGION": HOME,
        "LEDGER_TABLE": TABLE,
        "RELIGHT_LEASE_TERM_SECONDS": str(TERM),
        "RELIGHT_LONGEST_TRANSACTION_SECONDS": "1",
        "AWS_ENDPOINT_URL": ledgers.endpoint,
        **AWS,
    }


@pytest.fixture
def start(ledgers: Ledgers, primary: Postgres, tmp_path: Path) -> Iterator[Start]:
    """Starts an instance under the lease."""
    shops: list[Shop] = []

    def begin(here: str = HOME, database: Postgres = primary, **changed: str) -> Shop:
        shop = Shop(database, here, tmp_path / f"shop-{len(shops)}.log", **lease(ledgers, here), **changed)
        shops.append(shop)
        shop.until(shop.lives)
        return shop

    yield begin
    for shop in shops:
        with suppress(ProcessLookupError):
            shop.stop()


def takes(shop: Shop, name: str, *expected: int) -> bool:
    """Whether ten orders, which is more than the shop has threads, all get one of these answers."""
    return {shop.order(f"{name}-{number}").status for number in range(10)} <= set(expected)


def ready(shop: Shop) -> int:
    return shop.ask("GET", "/health/ready").status


def pass_a_term() -> None:
    """Wait until no lease that was granted before now can be held any more."""
    began = now()
    while now() < began + TERM:
        time.sleep(0.05)


def told(shop: Shop) -> list[str]:
    return [line["message"] for line in shop.problems() if line["logger"] == "relight_lease"]


def test_it_takes_orders_while_its_region_is_active_and_only_reads_once_it_is_not(
    start: Start, ledgers: Ledgers, primary: Postgres
) -> None:
    shop = start()
    shop.until(lambda: takes(shop, "held", 201))
    assert ready(shop) == 200

    ledgers.say(DR, 1, HOME, State.PROMOTING, since=0)
    shop.until(lambda: takes(shop, "promoting", 503))
    ledgers.say(DR, 1, DR)
    assert takes(shop, "lost", 503)
    assert "error" in shop.order("lost").json
    assert shop.ask("GET", "/orders/held-0").status == 200
    assert shop.ask("GET", "/").status == 200
    assert ready(shop) == 503
    assert primary.sql("SELECT count(*) FROM shop_order WHERE id LIKE 'lost%'") == [(0,)]

    ledgers.say(DR, 2, HOME)
    shop.until(lambda: takes(shop, "back", 201))
    assert ready(shop) == 200
    held, lost, back = told(shop)
    assert held == back == f"{HOME} holds the write lease: {HOME} is active, by the ledger of {DR}"
    assert lost.startswith(f"{HOME} holds no write lease: another Region is being activated")


def test_it_runs_out_where_the_ledger_cannot_be_asked(start: Start, ledgers: Ledgers) -> None:
    shop = start()
    shop.until(lambda: takes(shop, "before", 201))
    ledgers.delete()
    shop.until(lambda: takes(shop, "gone", 503))
    assert shop.ask("GET", "/orders/before-0").status == 200
    assert ready(shop) == 503
    assert "ResourceNotFoundException" in told(shop)[-1]
    ledgers.create()
    shop.until(lambda: takes(shop, "again", 201))


def test_the_standby_is_refused_until_its_own_ledger_says_that_it_is_active(start: Start, ledgers: Ledgers) -> None:
    shop = start(DR)
    assert takes(shop, "standby", 503)
    ledgers.say(DR, 1, HOME, State.PROMOTING, since=0)
    assert takes(shop, "promoting", 503)
    ledgers.say(DR, 1, DR, State.PROMOTING)
    shop.until(lambda: takes(shop, "active", 201))


def test_the_region_that_is_activated_takes_orders_at_once_when_both_are_there(
    start: Start, ledgers: Ledgers, replica: Postgres
) -> None:
    """The lease and the promotion, in this order; from every one of its threads and connections."""
    shop = start(DR, replica)
    assert takes(shop, "waiting", 503)
    ledgers.say(DR, 1, DR)
    shop.until(lambda: f"{DR} holds the write lease: {DR} is active, by the ledger of {DR}" in told(shop))
    assert takes(shop, "promoting", 503)
    assert ready(shop) == 503
    replica.promote()
    assert ready(shop) == 200
    assert takes(shop, "promoted", 201)


@pytest.mark.parametrize("arguments", ["--workers 3", "--workers 3 --preload"])
def test_each_worker_holds_it_for_itself(start: Start, ledgers: Ledgers, arguments: str) -> None:
    shop = start(GUNICORN_CMD_ARGS=arguments)
    shop.until(lambda: takes(shop, "first", 201))
    ledgers.say(DR, 1, DR)
    pass_a_term()
    assert takes(shop, "second", 503)


@pytest.mark.linux
def test_a_worker_that_was_stopped_for_longer_than_its_term_begins_with_a_refusal(
    start: Start, ledgers: Ledgers, primary: Postgres
) -> None:
    shop = start()
    shop.until(lambda: takes(shop, "running", 201))
    processes = [shop.process.pid, *children(shop.process.pid)]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        ledgers.say(DR, 1, DR)
        pass_a_term()
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    assert takes(shop, "stopped", 503)
    assert primary.sql("SELECT count(*) FROM shop_order WHERE id LIKE 'stopped%'") == [(0,)]


def children(pid: int) -> list[int]:
    """The processes that it started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(ledgers: Ledgers, database: Postgres, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of Django's, as an instance would run it."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": HOME,
        "DATABASE_HOST": database.host,
        "DATABASE_PORT": str(database.port),
        "DATABASE_NAME": database.database,
        "DATABASE_USER": database.user,
        "DATABASE_PASSWORD": database.password,
        "ALLOWED_HOSTS": "shop.example",
        **lease(ledgers),
        "RELIGHT_LEASE_TERM_SECONDS": "30",
    }
    whole = [sys.executable, "-m", "app.manage", *words]
    return subprocess.run(whole, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_commands_need_it_too(ledgers: Ledgers, primary: Postgres) -> None:
    place = (
        "from app.shop.models import Order; print(Order.objects.count() >= 0);"
        "Order.objects.create(id='{}', item='lamp', quantity=1, region='x')"
    )
    done = command(ledgers, primary, "shell", "--no-imports", "--command", place.format("by-command"))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert command(ledgers, primary, "migrate", "--no-input").returncode == 0
    undo = command(ledgers, primary, "migrate", "--no-input", "shop", "zero", "--plan")
    assert undo.returncode == 0, undo.stderr

    ledgers.say(DR, 1, DR)
    refused = command(ledgers, primary, "shell", "--no-imports", "--command", place.format("refused"))
    assert refused.returncode != 0
    assert refused.stdout == "True\n"  # it has read
    assert f"LeaseLost: {HOME} holds no write lease: {DR} is active" in refused.stderr
    undo = command(ledgers, primary, "migrate", "--no-input", "shop", "zero")
    assert undo.returncode != 0
    assert "LeaseLost" in undo.stderr
    assert primary.sql("SELECT id FROM shop_order WHERE region = 'x'") == [("by-command",)]


# What the environment says.

BASE = {
    "AWS_REGION": HOME,
    "DATABASE_HOST": "h",
    "DATABASE_PORT": "5432",
    "DATABASE_NAME": "shop",
    "DATABASE_USER": "u",
    "DATABASE_PASSWORD": "p",
    "ALLOWED_HOSTS": "*",
    "PEER_REGION": DR,
    "HOME_REGION": HOME,
    "LEDGER_TABLE": TABLE,
}


@pytest.mark.parametrize("term", [None, "", "0", "0.0"])
def test_it_is_off_unless_it_is_wanted(term: str | None) -> None:
    given = {**BASE} if term is None else {**BASE, "RELIGHT_LEASE_TERM_SECONDS": term}
    assert read(given).lease is None


def test_both_regions_are_granted_it_by_the_dr_regions_ledger() -> None:
    wanted = {**BASE, "RELIGHT_LEASE_TERM_SECONDS": "2.5", "RELIGHT_LONGEST_TRANSACTION_SECONDS": "0.5"}
    assert read(wanted).lease == Lease(HOME, DR, TABLE, 2.5, 0.5)
    assert read({**wanted, "AWS_REGION": DR, "PEER_REGION": HOME}).lease == Lease(HOME, DR, TABLE, 2.5, 0.5)


def test_what_it_lacks_is_named_in_one_message() -> None:
    wanted = {**BASE, "RELIGHT_LEASE_TERM_SECONDS": "2", "LEDGER_TABLE": "", "PEER_REGION": ""}
    with pytest.raises(EnvironmentIncompleteError) as refusal:
        read(wanted)
    assert str(refusal.value) == (
        "the shop's environment lacks PEER_REGION, LEDGER_TABLE, RELIGHT_LONGEST_TRANSACTION_SECONDS, "
        "for the write lease"
    )
    for text in ("two", "-1", "nan", "inf"):
        with pytest.raises(EnvironmentIncompleteError, match="RELIGHT_LEASE_TERM_SECONDS is no number of seconds"):
            read({**BASE, "RELIGHT_LEASE_TERM_SECONDS": text})


def test_what_is_off_is_not_even_imported() -> None:
    script = "import json, sys, django; django.setup(); print(json.dumps([n for n in sys.modules if 'lease' in n]))"
    for more, imported in ({}, False), ({"RELIGHT_LEASE_TERM_SECONDS": "9"}, True):
        environment = {**BASE, **more, "RELIGHT_LONGEST_TRANSACTION_SECONDS": "9"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**environment, "DJANGO_SETTINGS_MODULE": "app.settings", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert bool(json.loads(done.stdout)) is imported
