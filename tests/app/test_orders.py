"""Orders over HTTP: kept once 201 is said, and once only."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from lab.postgres import Postgres
from tests.app.instance import Shop


def test_an_order_is_in_the_database_once_201_is_said(shop: Shop, primary: Postgres) -> None:
    placed = shop.order("first:1", "lantern", 3)
    kept = primary.sql("SELECT item, quantity, region FROM shop_order WHERE id = 'first:1'")

    assert placed.status == 201
    assert kept == [("lantern", 3, "eu-west-1")]
    assert placed.headers["X-Relight-Region"] == "eu-west-1"
    shown = shop.ask("GET", "/orders/first:1")
    assert (shown.status, shown.json) == (200, placed.json)
    assert shown.json.items() >= {"id": "first:1", "item": "lantern", "quantity": 3, "region": "eu-west-1"}.items()
    assert datetime.fromisoformat(shown.json["created_at"]).tzinfo


def test_the_same_order_again_is_201_and_another_with_its_id_is_409(shop: Shop, primary: Postgres) -> None:
    first = shop.order("again", "lamp", 1)
    second = shop.order("again", "lamp", 1)
    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json
    for item, quantity in (("lamp", 2), ("lantern", 1)):
        other = shop.order("again", item, quantity)
        assert other.status == 409
        assert "again" in other.json["error"]
    assert primary.sql("SELECT item, quantity FROM shop_order WHERE id = 'again'") == [("lamp", 1)]


def test_one_order_sent_many_times_at_once_is_kept_once(shop: Shop, primary: Postgres) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.order("race").status, range(16)))
    assert set(answers) == {201}
    assert primary.sql("SELECT count(*) FROM shop_order WHERE id = 'race'") == [(1,)]


GOOD = {"id": "good", "item": "lamp", "quantity": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 10_000,
        b"x" * 20_000,
        [],
        {},
        {"id": "good", "item": "lamp"},
        {**GOOD, "price": 1},
        {**GOOD, "id": ""},
        {**GOOD, "id": "x" * 65},
        {**GOOD, "id": "a b"},
        {**GOOD, "id": "id\n"},
        {**GOOD, "id": 7},
        {**GOOD, "item": ""},
        {**GOOD, "item": "x" * 101},
        {**GOOD, "item": "a\0b"},
        {**GOOD, "item": "\ud800"},
        {**GOOD, "item": None},
        {**GOOD, "quantity": 0},
        {**GOOD, "quantity": 1001},
        {**GOOD, "quantity": 1.0},
        {**GOOD, "quantity": True},
        {**GOOD, "quantity": "1"},
        {**GOOD, "quantity": 10**400},
    ],
    ids=lambda body: (body if isinstance(body, bytes) else json.dumps(body).encode())[:40].decode("ascii", "replace"),
)
def test_what_is_no_order_is_400_with_a_sentence(shop: Shop, body: object) -> None:
    answer = shop.ask("POST", "/orders", body)
    assert answer.status == 400
    assert answer.json["error"].count(" ") > 2
    assert shop.ask("GET", "/orders/good").status == 404


def test_every_text_of_100_characters_is_kept_as_it_is(shop: Shop) -> None:
    item = "<b>& 'lämp' \U0001f4a1\n" + "é" * 80
    assert shop.order("text", item).status == 201
    assert shop.ask("GET", "/orders/text").json["item"] == item


@pytest.mark.parametrize("path", ["/orders/none", "/orders/a%00b", "/orders/%27;--", "/orders/a/b", "/elsewhere"])
def test_what_does_not_exist_is_404(shop: Shop, path: str) -> None:
    answer = shop.ask("GET", path)
    assert answer.status == 404
    assert answer.headers["X-Relight-Region"] == "eu-west-1"


def test_another_method_is_405(shop: Shop) -> None:
    assert shop.ask("GET", "/orders").status == 405
    assert shop.ask("DELETE", "/orders/again").status == 405


def test_another_host_is_400_but_health_is_answered(shop: Shop) -> None:
    assert shop.ask("GET", "/", host="evil.example").status == 400
    assert shop.ask("GET", "/", host="dr.relight.test").status == 200
    assert shop.ask("GET", "/health/ready", host="10.0.0.7:8000").status == 200


def test_health_where_the_database_takes_writes(shop: Shop) -> None:
    live, ready = shop.ask("GET", "/health/live"), shop.ask("GET", "/health/ready")
    assert (live.status, live.json) == (200, {"status": "alive"})
    assert (ready.status, ready.json) == (200, {"status": "ready", "region": "eu-west-1"})
    assert "no-store" in ready.headers["Cache-Control"]
    assert ready.headers["X-Relight-Region"] == "eu-west-1"


def test_the_page_shows_orders_and_region_and_loads_nothing_else(shop: Shop) -> None:
    shop.order("page", "<script>alert(1)</script>", 5)
    page = shop.ask("GET", "/")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<strong>eu-west-1</strong>" in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script" not in page.text
    assert not any(word in page.text for word in ("http://", "https://", "src=", "href="))
    policy = page.headers["Content-Security-Policy"]
    nonce = page.text.split('nonce="')[1].split('"')[0]
    assert "default-src 'none'" in policy
    assert f"'nonce-{nonce}'" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_of_all_this_was_a_problem_worth_a_line(shop: Shop) -> None:
    shop.ask("GET", "/elsewhere")
    shop.ask("POST", "/orders", b"{")
    assert [line for line in shop.problems() if line["level"] != "WARNING"] == []
