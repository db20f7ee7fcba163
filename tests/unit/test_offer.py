"""The offer to go home: once for each activation, after this Region has been well for long enough, and never else."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relight.head import Head, State
from relight.ledger import Ledger
from relight.offer import Move, Offer, move
from relight.settings import OfferSettings

from tests.unit.conftest import Clients
from tests.unit.mailbox import Mailbox
from tests.unit.standby import HERE, HOME, NOW, Clock, claims, take_lock

WAIT = 1800.0
AWAY = claims(4, HERE)
OWN = replace(claims(4, HERE), well_since=NOW - WAIT)


def judged(own: Head = OWN, other: Head = AWAY, *, well: bool = True, here: str = HOME, home: str = HOME) -> Move:
    return move(own, other, here, home, well=well, now=NOW, wait_seconds=WAIT)


def test_it_is_offered_once_it_has_been_well_for_so_long() -> None:
    assert judged() is Move.OFFER
    assert judged(replace(OWN, well_since=NOW - WAIT + 1)) is Move.NONE
    assert judged(replace(OWN, well_since=None)) is Move.NOTE


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (OWN, claims(4, HOME)),
        (OWN, replace(AWAY, state=State.PROMOTING)),
        (OWN, Head(False, 0, HERE, State.STEADY)),
        (replace(OWN, home=HERE), AWAY),
    ],
)
def test_there_is_nothing_to_offer_and_the_time_begins_anew(own: Head, other: Head) -> None:
    assert judged(own, other) is Move.FORGET
    assert judged(replace(own, well_since=None), other) is Move.NONE


def test_a_watch_in_which_something_failed_begins_the_time_anew() -> None:
    assert judged(well=False) is Move.FORGET


def test_the_standby_of_the_home_region_is_offered_nothing() -> None:
    assert judged(replace(claims(4, HOME), well_since=None), claims(4, HOME), here=HERE) is Move.NONE


def test_a_region_that_was_made_home_by_a_person_is_offered_the_way_there() -> None:
    own = replace(claims(6, HOME), home=HERE, well_since=NOW - WAIT)
    assert judged(own, claims(6, HOME), here=HERE) is Move.OFFER


@pytest.mark.parametrize("own", [replace(OWN, owner="a run"), replace(OWN, offered_epoch=4)])
def test_it_is_offered_neither_while_a_run_is_on_nor_twice(own: Head) -> None:
    assert judged(own) is Move.NONE


def test_another_activation_is_offered_anew() -> None:
    assert judged(replace(OWN, offered_epoch=4), claims(5, HERE)) is Move.OFFER


# With a ledger, and people.


@pytest.fixture
def home_mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


def offering(ledger: Ledger, clients: Clients, clock: Clock, topic: str) -> Offer:
    """The Region HERE takes home's part, because that is where the mailbox is."""
    settings = OfferSettings(application="shop", topic_arn=topic, offer_seconds=WAIT)
    return Offer(settings, replace(ledger, home_region=HERE), clients("sns", HERE), clock)


def test_people_are_told_once_with_a_command_to_paste(
    ledger: Ledger, clients: Clients, clock: Clock, home_mailbox: Mailbox
) -> None:
    offer, other = offering(ledger, clients, clock, home_mailbox.topic), claims(4, HOME)
    ledger.mirror(other, 0)
    said = []
    for _ in range(5):
        said.append(offer.consider(ledger.head(), other, True))
        clock.advance(WAIT / 2)
    told = f"shop: {HERE} has been well for 30 min, since 2026-09-21T14:13:20Z: you can go home."
    assert said == [None, None, told, None, None]
    (letter,) = home_mailbox.read()
    assert letter.text.splitlines()[0] == told
    assert letter.commands[0] == f"relight failback --app shop --region {HERE} --reason 'WHY'"
    assert letter.attributes == {"urgency": "told", "application": "shop", "run": "none"}
    assert ledger.head().offered_epoch == 4


def test_a_region_that_was_unwell_in_between_waits_from_the_start(
    ledger: Ledger, clients: Clients, clock: Clock, home_mailbox: Mailbox
) -> None:
    offer, other = offering(ledger, clients, clock, home_mailbox.topic), claims(4, HOME)
    ledger.mirror(other, 0)
    for well in (True, False, True):
        assert offer.consider(ledger.head(), other, well) is None
        clock.advance(WAIT - 1)
    assert offer.consider(ledger.head(), other, True) is None
    clock.advance(1)
    assert offer.consider(ledger.head(), other, True) is not None


def test_an_offer_that_reached_nobody_is_made_again(
    ledger: Ledger, clients: Clients, clock: Clock, home_mailbox: Mailbox
) -> None:
    other = claims(4, HOME)
    ledger.mirror(other, 0)
    ledger.note_well(NOW - WAIT)
    nobody = offering(ledger, clients, clock, f"arn:aws:sns:{HERE}:123456789012:none")
    with pytest.raises(ClientError):
        nobody.consider(ledger.head(), other, True)
    assert ledger.head().offered_epoch == 0
    offering(ledger, clients, clock, home_mailbox.topic).consider(ledger.head(), other, True)
    assert len(home_mailbox.read()) == 1


def test_while_a_run_is_on_nobody_is_woken(
    ledger: Ledger, clients: Clients, clock: Clock, home_mailbox: Mailbox
) -> None:
    other: Any = claims(4, HOME)
    ledger.mirror(other, 0)
    ledger.note_well(NOW - WAIT)
    take_lock(ledger, "failback-5-1", NOW)
    assert offering(ledger, clients, clock, home_mailbox.topic).consider(ledger.head(), other, True) is None
    assert home_mailbox.read() == []
    assert ledger.head().well_since == NOW - WAIT
