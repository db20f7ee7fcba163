"""The boot gate before real ledgers in two Regions, and its rules beside those of the guard."""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from relight.guard import Standing, standing
from relight.ledger import Head as LedgerHead
from relight.ledger import Promotion, State

from app import boot_gate
from app.boot_gate import CLOSED, Head, head_of, stands_by, verdict
from tests.app.instance import ROOT
from tests.app.ledgers import AWS, DR, HOME, TABLE, Ledgers

DOOR = Promotion("shop-dr", "failover-2", 2, 1.0)
OWNER = "arn:aws:states:eu-west-1:123456789012:execution:relight-shop-failover:x"


def gate(ledgers: Ledgers, here: str, **changed: str) -> tuple[int, str]:
    """The exit code of the gate in that Region, and its last sentence."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": ledgers.endpoint,
        "AWS_REGION": here,
        "PEER_REGION": DR if here == HOME else HOME,
        "HOME_REGION": HOME,
        "LEDGER_TABLE": TABLE,
        **AWS,
        **changed,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "app.boot_gate"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == ""
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["logger"] for line in lines} == {"app.boot_gate"}
    return ended.returncode, lines[-1]["message"]


def test_it_is_closed_where_the_guard_would_fence_and_nowhere_else() -> None:
    owns = [
        LedgerHead(epoch > 0, epoch, active, state, owner, active_epoch=since)
        for epoch, active, state, owner in itertools.product(range(3), (HOME, DR), State, (None, OWNER))
        for since in range(epoch + 1)
    ]
    others = [
        LedgerHead(epoch > 0, epoch, active, state, promotion=door, active_epoch=since)
        for epoch, active, state, door in itertools.product(range(4), (HOME, DR), State, (None, DOOR))
        for since in range(epoch + 1)
    ]

    def seen(head: LedgerHead) -> Head | None:
        if not head.written:
            return None
        promoting = head.state is State.PROMOTING
        door = head.promotion is not None
        return Head(head.epoch, head.active, promoting, head.owner is not None, door, head.active_epoch)

    closed = 0
    for own, other, here in itertools.product(owns, others, (HOME, DR)):
        if not own.written and (own.active, own.state, own.owner) != (HOME, State.STEADY, None):
            continue  # there is no such ledger
        peer = DR if here == HOME else HOME
        fenced = standing(own, other, here, peer, HOME) is Standing.SUPERSEDED
        found = verdict(seen(own), seen(other), here, peer, HOME)
        assert found.is_open is not fenced, (own, other, here)
        assert not (fenced and stands_by(seen(own), here, HOME))
        closed += fenced
    assert closed > 20


def test_what_a_failback_warms_up_may_start() -> None:
    """The guard asks the database itself whether it is a replica by then; the gate cannot."""
    own = Head(8, DR, False, True, False, 7)
    assert verdict(own, Head(7, DR, False, False, False, 7), HOME, DR, HOME).is_open


def test_nothing_that_is_read_is_told_apart_from_what_the_ledger_reads(ledgers: Ledgers) -> None:
    assert head_of(None, HOME) is None
    assert head_of({"pk": {"S": "region"}, "sk": {"S": "head"}, "owner": {"S": OWNER}}, HOME) is None
    ledgers.say(DR, 7, DR, State.PROMOTING)
    item = ledgers.clients[DR].get_item(TableName=TABLE, Key=boot_gate._HEAD)["Item"]
    assert head_of(item, HOME) == Head(7, DR, promoting=True, active_epoch=7)
    assert head_of({**item, "owner": {"S": OWNER}}, HOME) == Head(7, DR, promoting=True, owned=True, active_epoch=7)


def test_it_is_open_everywhere_until_something_happens(ledgers: Ledgers) -> None:
    assert gate(ledgers, HOME) == (0, f"open: nothing is known of {DR}'s ledger")
    assert gate(ledgers, DR) == (0, f"open: {DR} stands by, so that {HOME} has no say")


@pytest.mark.parametrize(
    ("active", "state", "what"),
    [
        (HOME, State.PROMOTING, "is being activated"),
        (DR, State.PROMOTING, "is active"),
        (DR, State.STEADY, "is active"),
    ],
)
def test_a_region_that_was_superseded_stays_closed_until_it_is_given_back(
    ledgers: Ledgers, active: str, state: State, what: str
) -> None:
    ledgers.say(HOME, 1, HOME)
    ledgers.say(DR, 2, active, state, since=1 if active == HOME else None)
    if active == HOME:
        assert gate(ledgers, HOME)[0] == 0, "the run may still be stopped"
        ledgers.open_door(DR)
    closed = (CLOSED, f"closed: {HOME} was superseded: {DR} {what}, at epoch 2")
    assert gate(ledgers, HOME) == closed
    assert gate(ledgers, DR)[0] == 0

    ledgers.say(
        HOME, 2, active, state, since=1 if active == HOME else None
    )  # as the guard, and the run's last state, tell it
    assert gate(ledgers, HOME) == closed

    ledgers.say(HOME, 3, HOME)
    assert gate(ledgers, HOME) == (0, f"open: {DR} has not superseded {HOME}")
    ledgers.say(DR, 3, HOME)
    assert gate(ledgers, HOME) == (0, f"open: {DR} has not superseded {HOME}")


def test_a_run_that_stood_down_closes_nothing(ledgers: Ledgers) -> None:
    ledgers.say(DR, 4, HOME)
    assert gate(ledgers, HOME) == (0, f"open: {DR} has not superseded {HOME}")


def test_the_other_region_closes_as_well_once_the_users_went_home(ledgers: Ledgers) -> None:
    ledgers.say(DR, 2, DR)
    ledgers.say(HOME, 3, HOME)
    assert gate(ledgers, DR) == (CLOSED, f"closed: {DR} was superseded: {HOME} is active, at epoch 3")


def test_it_opens_where_the_other_region_cannot_be_asked(ledgers: Ledgers) -> None:
    ledgers.clients[DR].delete_table(TableName=TABLE)
    code, sentence = gate(ledgers, HOME)
    assert code == 0
    assert sentence.startswith(f"open: {DR} cannot be asked: ")
    assert "ResourceNotFoundException" in sentence


def test_a_ledger_of_its_own_that_cannot_be_read_counts_as_empty(ledgers: Ledgers) -> None:
    ledgers.clients[HOME].delete_table(TableName=TABLE)
    ledgers.say(DR, 1, HOME)
    assert gate(ledgers, HOME)[0] == 0
    ledgers.say(DR, 2, DR)
    assert gate(ledgers, HOME)[0] == CLOSED
    # And the standby, which must start whatever happens.
    assert gate(ledgers, DR)[0] == 0


def test_a_silent_region_is_asked_twice_and_the_standby_does_not_wait_for_it(
    ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**AWS, "AWS_ENDPOINT_URL": ledgers.endpoint}.items():
        monkeypatch.setenv(name, value)
    patience = boot_gate._PATIENCE
    assert (patience.connect_timeout, patience.read_timeout) == (2, 5)  # type: ignore[attr-defined]
    monkeypatch.setattr(boot_gate, "_PATIENCE", patience.merge(Config(read_timeout=0.3)))
    real, asked = boto3.client, []
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:

        def client(service: str, region_name: str, **given: Any) -> Any:
            asked.append(region_name)
            if region_name != silent_region:
                return real(service, region_name=region_name, **given)  # type: ignore[call-overload]
            where = f"http://127.0.0.1:{silent.getsockname()[1]}"
            return real(service, region_name=region_name, endpoint_url=where, **given)  # type: ignore[call-overload]

        monkeypatch.setattr(boto3, "client", client)
        silent_region = DR
        began = time.monotonic()
        assert boot_gate.ask(HOME, DR, HOME, TABLE).is_open
        assert time.monotonic() - began < 5
        silent.setblocking(False)
        connections = 0
        with pytest.raises(BlockingIOError):
            while True:
                silent.accept()[0].close()
                connections += 1
        assert connections == 2
        silent_region, asked[:] = HOME, []
        assert boot_gate.ask(DR, HOME, HOME, TABLE).is_open
        assert asked == [DR]
    assert capsys.readouterr().err == ""


def test_what_the_environment_lacks_is_named(ledgers: Ledgers) -> None:
    assert gate(ledgers, HOME, LEDGER_TABLE="", PEER_REGION="") == (
        1,
        "the boot gate's environment lacks PEER_REGION, LEDGER_TABLE",
    )


def test_to_keep_asking_costs_little(ledgers: Ledgers) -> None:
    """Every ten seconds, for as long as the Region is superseded, on a burstable instance (20 % of a CPU is free)."""
    ledgers.say(DR, 2, DR)
    before = os.times()
    assert gate(ledgers, HOME)[0] == CLOSED
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 2.0
