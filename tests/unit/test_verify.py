"""A write through the Region's own name, read back and compared; and whether the traffic has come."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from relight import names as core_names
from relight.errors import WriteNotReadBack
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import VerifySettings
from relight.steps.verify import Verify

from tests.unit.loopback import NameServer, WebServer, closed_port
from tests.unit.standby import HERE, HOME, Clock

type MakeVerify = Callable[..., Verify]
DOMAIN = "shop.example"


@pytest.fixture
def verify(names: NameServer, web: WebServer, ledger: Ledger, clock: Clock) -> MakeVerify:
    names.records[(f"dr.{DOMAIN}", "A")] = ["127.0.0.1"]

    def make(**changed: Any) -> Verify:
        given: dict[str, Any] = {
            "aws_region": HERE,
            "home_region": HOME,
            "peer_region": HOME,
            "ledger_table": ledger.table,
            "domain": DOMAIN,
            "name_servers": (names.at,),
            "resolver": names.at,
            "site_url": f"http://{DOMAIN}:{web.port}",
            "self_url": f"http://dr.{DOMAIN}:{web.port}",
            "readiness_path": "/health/ready",
            "transaction_path": "/orders",
            "sample_timeout_seconds": 1.0,
            "look_again_seconds": 10.0,
        }
        settings = VerifySettings(**(given | changed))
        resolve = core_names.resolver(settings.resolver, settings.sample_timeout_seconds)
        return Verify(settings, ledger, clock, resolve)

    return make


def waits(outcome: Any, sentence: str) -> None:
    assert outcome.status == "WAIT"
    assert sentence in outcome.sentence
    assert outcome.look_again_seconds == 2


def test_the_order_has_an_id_that_the_shop_takes_however_the_run_is_called(
    verify: MakeVerify, web: WebServer, run: Run
) -> None:
    """EventBridge calls an execution by two UUIDs."""
    name = f"{'7c9e3b8a-0d1f-4a52-9b3c-5d6e7f8091a2'}_{'f1d2c3b4-a596-4877-8869-5a4b3c2d1e0f'}"
    verify().writes(replace(run, id=name))
    (order,) = web.orders.values()
    assert re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", order["id"])


def test_a_write_that_is_read_back_is_proof_and_the_time_is_noted(
    verify: MakeVerify, web: WebServer, ledger: Ledger, run: Run, clock: Clock
) -> None:
    outcome = verify().writes(run)
    (order,) = web.orders.values()
    assert outcome.status == "DONE"
    assert outcome.facts == {"order": order["id"]}
    assert order["item"] == "verification"
    assert run.id in order["id"]
    assert ledger.timeline(run.id)[0] == {"t6": clock()}


def test_each_look_writes_an_order_of_its_own(verify: MakeVerify, web: WebServer, run: Run, clock: Clock) -> None:
    verify().writes(run)
    clock.advance(0.002)
    verify().writes(run)
    assert len(web.orders) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda order: order | {"quantity": 2},
        lambda order: order | {"item": "another"},
        lambda order: {"id": order["id"]},
        lambda order: [order],
        lambda order: "an order",
    ],
)
def test_a_server_that_reads_back_something_else_is_not_trusted(
    verify: MakeVerify, web: WebServer, ledger: Ledger, run: Run, change: Callable[[Any], Any]
) -> None:
    web.change = change
    with pytest.raises(WriteNotReadBack, match="was acknowledged and read back as 200"):
        verify().writes(run)
    assert "t6" not in ledger.timeline(run.id)[0]


def test_a_server_that_forgets_what_it_acknowledged_is_not_trusted(
    verify: MakeVerify, web: WebServer, run: Run
) -> None:
    web.read_status = 404
    with pytest.raises(WriteNotReadBack, match="read back as 404"):
        verify().writes(run)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_read_that_is_not_answered_proves_nothing_yet(
    verify: MakeVerify, web: WebServer, ledger: Ledger, run: Run, status: int
) -> None:
    web.read_status = status
    waits(verify().writes(run), f"the read was answered {status}")
    assert ledger.timeline(run.id)[0] == {}


@pytest.mark.parametrize("status", [503, 400, 200])
def test_a_write_that_is_not_acknowledged_waits(
    verify: MakeVerify, web: WebServer, ledger: Ledger, run: Run, status: int
) -> None:
    web.write_status = status
    waits(verify().writes(run), f"the write was answered {status}")
    assert ledger.timeline(run.id)[0] == {}


@pytest.mark.parametrize(
    ("region", "said"), [(HOME, "the write was answered by eu-west-1"), (None, "nobody who says where it is")]
)
def test_a_write_that_another_region_took_waits(
    verify: MakeVerify, web: WebServer, ledger: Ledger, run: Run, region: str | None, said: str
) -> None:
    web.region = region
    waits(verify().writes(run), said)
    assert ledger.timeline(run.id)[0] == {}


def test_nobody_there_waits(verify: MakeVerify, run: Run) -> None:
    gone = verify(self_url=f"http://dr.{DOMAIN}:{closed_port()}")
    waits(gone.writes(run), "the write was not answered: dr.shop.example: ConnectionRefusedError")
    waits(verify(self_url="http://none.example").writes(run), "none.example has no address")


def test_the_traffic_has_come_when_dns_and_the_site_say_this_region(
    verify: MakeVerify, names: NameServer, web: WebServer, ledger: Ledger, run: Run, clock: Clock
) -> None:
    names.records[(DOMAIN, "A")] = ["127.0.0.1"]
    web.pages["/health/ready"] = 200, '{"status": "ready"}'
    outcome = verify().traffic(run)
    assert outcome.status == "DONE"
    assert outcome.facts == {"address": "127.0.0.1"}
    assert ledger.timeline(run.id)[0] == {"t7": clock(), "t8": clock()}


def test_traffic_that_must_not_have_come_yet_is_not_looked_for(
    verify: MakeVerify, names: NameServer, web: WebServer, ledger: Ledger, run: Run
) -> None:
    names.records[(DOMAIN, "A")] = ["127.0.0.1"]
    web.pages["/health/ready"] = 200, '{"status": "ready"}'
    ledger.begin_promoting(run, HERE, withhold_go=True)
    waits(verify().traffic(run), "GO is not given before the writes are proven")
    assert ledger.timeline(run.id)[0] == {}
    ledger.activate(run, HERE)
    ledger.give_go(run, HERE)
    assert verify().traffic(run).status == "DONE"


def test_the_application_says_where_it_tells_that_it_is_ready(
    verify: MakeVerify, names: NameServer, web: WebServer, run: Run
) -> None:
    names.records[(DOMAIN, "A")] = ["127.0.0.1"]
    web.pages["/health/ready"] = 503, ""
    web.pages["/up"] = 200, ""
    waits(verify().traffic(run), "answered 503")
    assert verify(readiness_path="/up").traffic(run).status == "DONE"


def test_the_home_region_looks_for_its_own_name(
    verify: MakeVerify, names: NameServer, web: WebServer, run: Run
) -> None:
    names.records |= {(DOMAIN, "A"): ["127.0.0.1"], (f"dr.{DOMAIN}", "A"): ["127.0.0.2"]}
    web.pages["/health/ready"], web.region = (200, ""), HOME
    home = verify(aws_region=HOME, peer_region=HERE, self_url=f"http://primary.{DOMAIN}:{web.port}")
    waits(home.traffic(run), "DNS does not answer this Region: 127.0.0.1")
    names.records[(f"primary.{DOMAIN}", "A")] = ["127.0.0.1"]
    assert home.traffic(run).status == "DONE"
    names.records[(DOMAIN, "A")] = ["127.0.0.2"]
    waits(home.traffic(run), "DNS does not answer this Region: 127.0.0.2")


@pytest.mark.parametrize("answered", [[], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"]])
def test_the_traffic_has_not_come_while_dns_answers_anything_else(
    verify: MakeVerify, names: NameServer, ledger: Ledger, run: Run, answered: list[str]
) -> None:
    names.records[(DOMAIN, "A")] = answered
    waits(verify().traffic(run), "DNS does not answer this Region: " + (", ".join(answered) or "nothing"))
    assert ledger.timeline(run.id)[0] == {}


def test_dns_that_does_not_answer_waits(verify: MakeVerify, run: Run) -> None:
    silent = verify(name_servers=(f"127.0.0.1:{closed_port()}",), sample_timeout_seconds=0.3)
    waits(silent.traffic(run), "no name server of the zone answers")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, HERE), "answered 503 by eu-central-1"),
        ((200, HOME), "answered 200 by eu-west-1"),
        ((200, None), "answered 200 by an unknown Region"),
    ],
)
def test_dns_is_noted_while_the_site_still_answers_otherwise(
    verify: MakeVerify,
    names: NameServer,
    web: WebServer,
    ledger: Ledger,
    run: Run,
    clock: Clock,
    answer: tuple[int, str | None],
    said: str,
) -> None:
    names.records[(DOMAIN, "A")] = ["127.0.0.1"]
    web.region, web.pages["/health/ready"] = answer[1], (answer[0], "")
    waits(verify().traffic(run), said)
    assert ledger.timeline(run.id)[0] == {"t7": clock()}


def test_the_site_is_asked_for_as_a_client_outside_resolves_it(
    verify: MakeVerify, names: NameServer, web: WebServer, run: Run
) -> None:
    names.records[(DOMAIN, "A")] = ["127.0.0.1"]
    web.pages["/health/ready"] = 200, ""
    with NameServer() as cache:
        cache.rcode = "SERVFAIL"
        waits(verify(resolver=cache.at).traffic(run), "the site does not answer yet: shop.example: OSError")
