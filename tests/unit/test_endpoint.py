"""One HTTP request to an address of our choosing."""

import json
import ssl

import pytest
from relight.endpoint import Unreachable, request

from tests.unit.loopback import WebServer, black_hole, closed_port


def here(host: str) -> str:
    return "127.0.0.1"


def nowhere(host: str) -> str:
    raise OSError(f"{host} has no address")


def test_an_answer_says_who_gave_it_and_from_where(web: WebServer) -> None:
    web.pages["/health/ready?x=1"] = 503, "not ready"
    answer = request(f"http://dr.shop.example:{web.port}/health/ready?x=1", here, 2)
    assert (answer.status, answer.body, answer.region) == (503, b"not ready", "eu-central-1")
    assert answer.address == "127.0.0.1"


def test_an_answer_without_a_region_has_none(web: WebServer) -> None:
    web.region, web.pages["/"] = None, (200, "")
    assert request(f"http://shop.example:{web.port}", here, 2).region is None


def test_a_body_is_sent(web: WebServer) -> None:
    order = {"id": "1", "item": "ä"}
    answer = request(f"http://shop.example:{web.port}/orders", here, 2, method="POST", body=json.dumps(order).encode())
    assert answer.status == 201
    assert web.orders == {"1": order}


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"^shop\.example: OSError: shop\.example has no address$"):
        request("http://shop.example/", nowhere, 2)


def test_a_port_on_which_nobody_listens_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="ConnectionRefusedError"):
        request(f"http://shop.example:{closed_port()}/", here, 2)


def test_a_path_that_swallows_packets_is_unreachable_when_the_time_is_up() -> None:
    with black_hole() as port, pytest.raises(Unreachable, match="Timeout"):
        request(f"http://shop.example:{port}/", here, 0.1)


def test_what_does_not_speak_tls_is_unreachable(web: WebServer) -> None:
    with pytest.raises(Unreachable, match=ssl.SSLError.__name__):
        request(f"https://shop.example:{web.port}/", here, 2)
