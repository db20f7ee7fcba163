"""`relight freeze` and `unfreeze`: both ledgers, one of them unreachable, what is replaced, and what is refused."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto.moto_api._internal import moto_api_backend
from relight.decision import Finding
from relight.facts import Trigger
from relight.ledger import Ledger, State
from relight.rules import decide
from relight_cli.command import run
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.freezing import Frozen, Outcome, Window, lines, window
from relight_cli.moment import moment

from lab import network
from lab.cloud import Cloud
from lab.network import Network
from lab.region import Side, Vantage
from tests.cli.on_call import ME, document, strangers_credentials
from tests.unit.loopback import closed_port
from tests.unit.situation import POLICY, STEADY, facts
from tests.unit.standby import HERE, HOME, NOW, head_item, make_ledger, take_lock

ROOT = Path(__file__).parents[2]
BOTH = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
BECAUSE = "the database is being upgraded"
WHY = ("--reason", BECAUSE)
SHOP = Deployed("shop", (HERE, HOME))
DAY = 86400.0


class Regions:
    """Both Regions' APIs in this process, each with an empty ledger."""

    def __init__(self, cloud: Cloud, network: Network) -> None:
        self.network = network
        self.dr: Ledger = make_ledger(cloud.client("dynamodb", HERE))
        self.primary: Ledger = make_ledger(cloud.client("dynamodb", HOME))

    @property
    def both(self) -> tuple[Ledger, Ledger]:
        return self.dr, self.primary


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Regions]:
    moto_api_backend.reset()
    network = Network()
    cloud = Cloud(network)
    for name, value in cloud.environment(Vantage.OUTSIDE).items():
        monkeypatch.setenv(name, value)
    yield Regions(cloud, network)
    cloud.stop()


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


# --- Both ledgers ---


def test_both_ledgers_are_frozen_until_then(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.DONE
    after = time.time()
    out, complaint = capfd.readouterr()
    assert complaint == ""
    assert out.startswith("frozen for 2 h: from ")
    assert out.splitlines()[1:] == [f"  {HERE}: written", f"  {HOME}: written"]
    for ledger in regions.both:
        head = ledger.head()
        assert head.frozen_from is not None
        assert head.frozen_until is not None
        assert before <= head.frozen_from <= after
        assert head.frozen_until - head.frozen_from == pytest.approx(7200)
        assert (head.frozen_because, head.frozen_by) == (BECAUSE, ME)
        assert decide(facts(now=after, head=head), POLICY).finding is Finding.FROZEN


def test_a_ledger_that_nobody_has_written_does_not_look_as_if_a_run_had(regions: Regions) -> None:
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.DONE
    for ledger in regions.both:
        head = ledger.head()
        assert (head.written, head.epoch, head.active, head.state) == (False, 0, HOME, State.STEADY)
    assert run(["unfreeze", *WHY, *BOTH]) == Exit.DONE
    assert not regions.dr.head().written


def test_nothing_else_of_the_head_is_touched_and_unfreezing_leaves_it_as_it_was(regions: Regions) -> None:
    made = take_lock(regions.dr, "failover-4-1", NOW)
    regions.dr.begin_promoting(made, HERE, withhold_go=True)
    before = head_item(regions.dr)
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.DONE
    during = head_item(regions.dr)
    added = {"frozen_from", "frozen_until", "frozen_because", "frozen_by"}
    assert during.keys() - before.keys() == added
    assert {name: value for name, value in during.items() if name not in added} == before
    assert run(["unfreeze", *WHY, *BOTH]) == Exit.DONE
    assert head_item(regions.dr) == before


def test_a_run_that_is_on_is_named(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    owner = take_lock(regions.dr, "failover-4-1", NOW).owner
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.DONE
    told = capfd.readouterr().out.splitlines()[-1]
    assert told == f"A run is on in {HERE}: {owner}. A freeze counts when it decides again, not behind that."


def test_a_window_ahead_does_not_count_before_it_begins(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["freeze", "--from", "3h", "--until", "90m", *WHY, *BOTH]) == Exit.DONE
    assert capfd.readouterr().out.startswith("frozen for 1 h 30 min, beginning in 3 h: from ")
    head = regions.dr.head()
    assert head.frozen_from is not None
    assert decide(facts(now=head.frozen_from - 1, head=head), POLICY).finding is not Finding.FROZEN
    assert decide(facts(now=head.frozen_from, head=head), POLICY).finding is Finding.FROZEN


def test_a_freeze_that_is_replaced_is_shown(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    regions.dr.freeze(NOW, NOW + DAY, "somebody's reason", "arn:somebody")
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.DONE
    told = capfd.readouterr().out.splitlines()
    replaced = "from 2026-09-21T14:13:20Z until 2026-09-22T14:13:20Z by arn:somebody, because: somebody's reason"
    assert told[1:] == [f"  {HERE}: written; it replaces one {replaced}", f"  {HOME}: written"]
    assert regions.dr.head().frozen_because == BECAUSE


def test_unfreezing_shows_what_is_gone(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    regions.dr.freeze(NOW, NOW + DAY, "somebody's reason", "arn:somebody")
    assert run(["unfreeze", "--reason", "done early", *BOTH]) == Exit.DONE
    gone = "from 2026-09-21T14:13:20Z until 2026-09-22T14:13:20Z by arn:somebody, because: somebody's reason"
    assert capfd.readouterr().out.splitlines() == [
        f"not frozen any more, by {ME}, because: done early",
        f"  {HERE}: taken out, {gone}",
        f"  {HOME}: nothing was there",
    ]
    assert run(["unfreeze", "--reason", "once more", *BOTH]) == Exit.DONE
    assert capfd.readouterr().out.startswith("nothing was frozen\n")


def test_as_json(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    regions.dr.freeze(NOW, NOW + DAY, "somebody's reason", "arn:somebody")
    ahead = ("--from", "2099-01-01T00:00Z", "--until", "2099-01-01T02:00+01:00")
    assert run(["freeze", *ahead, *WHY, *BOTH, "--json"]) == Exit.DONE
    begins = moment("2099-01-01T00:00Z", 0)
    before = {"begins": NOW, "until": NOW + DAY, "because": "somebody's reason", "by": "arn:somebody"}
    assert document(capfd.readouterr().out) == {
        "application": "shop",
        "from": begins,
        "until": begins + 3600,
        "because": BECAUSE,
        "by": ME,
        "ledgers": [
            {"region": HERE, "changed": True, "before": before, "run": None, "trouble": None},
            {"region": HOME, "changed": True, "before": None, "run": None, "trouble": None},
        ],
    }


def test_by_samconfig_both_regions_are_known(regions: Regions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", "123456789012")
    (tmp_path / "samconfig.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["freeze", "--until", "2h", *WHY, "--env", "prod"]) == Exit.DONE
    assert [ledger.head().frozen_because for ledger in regions.both] == [BECAUSE, BECAUSE]


# --- One ledger, or none ---


@pytest.mark.parametrize("lost", Side)
def test_one_region_lost_the_other_is_frozen_and_it_is_said_loudly(
    regions: Regions, lost: Side, capfd: pytest.CaptureFixture[str]
) -> None:
    regions.network.lose(lost, network.Path.REFUSED)
    there, other = (HERE, HOME) if lost is Side.DR else (HOME, HERE)
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.ONE_LEDGER
    out, complaint = capfd.readouterr()
    assert f"  {other}: written\n" in out
    assert f"  {there}: NOT CHANGED: AWS cannot be reached" in out
    assert complaint.startswith(f"relight: {there} was NOT frozen, a run there is as free as before; ")
    assert complaint.endswith("run this again\n")
    regions.network.restore(lost)
    untouched, written = (regions.dr, regions.primary) if lost is Side.DR else (regions.primary, regions.dr)
    assert written.head().frozen_because == BECAUSE
    assert untouched.head().frozen_until is None


def test_json_stays_json_when_one_region_is_lost(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    regions.network.lose(Side.PRIMARY, network.Path.REFUSED)
    assert run(["unfreeze", *WHY, *BOTH, "--json"]) == Exit.ONE_LEDGER
    here, home = document(capfd.readouterr().out)["ledgers"]
    assert (here["changed"], here["trouble"]) == (False, None)
    assert "AWS cannot be reached" in home["trouble"]


def test_a_region_without_a_ledger_is_one_that_is_not_frozen(
    regions: Regions, capfd: pytest.CaptureFixture[str]
) -> None:
    regions.primary.dynamodb.delete_table(TableName="relight-shop")
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.ONE_LEDGER
    assert f"there is no ledger relight-shop in {HOME}" in capfd.readouterr().err


def test_neither_answers(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    assert run(["freeze", "--until", "2h", *WHY, *BOTH]) == Exit.NO_ANSWER
    out, complaint = capfd.readouterr()
    assert out == ""
    assert complaint.count("\n") == 1


def test_neither_has_a_ledger(regions: Regions, capfd: pytest.CaptureFixture[str]) -> None:
    elsewhere = ("--app", "shoe", "--region", HERE, "--peer-region", HOME)
    assert run(["freeze", "--until", "2h", *WHY, *elsewhere]) == Exit.NO_LEDGER
    assert f"there is no ledger relight-shoe in {HERE}" in capfd.readouterr().err


# --- The window ---


@pytest.mark.parametrize(
    ("begins", "until", "expected"),
    [
        (None, "90m", Window(NOW, NOW + 5400)),
        (None, "1d12h", Window(NOW, NOW + 1.5 * DAY)),
        (None, " 2h ", Window(NOW, NOW + 7200)),
        (None, "2026-09-21T16:13:20Z", Window(NOW, NOW + 7200)),
        (None, "2026-09-21T18:13:20+02:00", Window(NOW, NOW + 7200)),
        ("1h", "2h", Window(NOW + 3600, NOW + 10800)),
        ("2026-09-21T13:13:20Z", "2h", Window(NOW - 3600, NOW + 3600)),
        ("60d", "30d", Window(NOW + 60 * DAY, NOW + 90 * DAY)),
    ],
)
def test_a_window_is_read_as_people_write_it(begins: str | None, until: str, expected: Window) -> None:
    assert window(begins, until, NOW) == expected


@pytest.mark.parametrize(
    ("begins", "until", "said"),
    [
        (None, "2026-09-21T14:13:19Z", "its end 2026-09-21T14:13:19Z is not after its beginning 2026-09-21T14:13:20Z"),
        ("2026-09-20T14:00Z", "2026-09-20T16:00Z", "2026-09-20T16:00:00Z is in the past, it is 2026-09-21T14:13:20Z"),
        (None, "0m", "is not after its beginning"),
        (None, "30d1s", "until 2026-10-21T14:13:21Z it lasts longer than 30 d"),
        (None, "721h", "it lasts longer than 30 d"),
        ("2026-09-22T00:00Z", "2026-09-21T23:00Z", "is not after its beginning"),
        (None, "2026-09-21T16:00:00", "'2026-09-21T16:00:00' is not an ISO time with its zone"),
        (None, "tomorrow", "'tomorrow' is not an ISO time with its zone"),
        (None, "", "'' is not an ISO time"),
        (None, "2", "'2' is not an ISO time"),
        (None, "-2h", "'-2h' is not an ISO time"),
        (None, "9" * 30 + "h", "is not an ISO time"),
        ("yesterday", "2h", "'yesterday' is not an ISO time"),
    ],
)
def test_a_window_that_is_none_is_refused(begins: str | None, until: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        window(begins, until, NOW)
    assert refused.value.code is Exit.BAD_INPUT
    assert said in refused.value.sentence
    assert ("in --from" if begins == "yesterday" else "in --until") in refused.value.sentence


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freeze", "--until", "2h", *BOTH], "--reason"),
        (["freeze", *WHY, *BOTH], "--until"),
        (["freeze", "--until", "2h", "--reason", " ", *BOTH], "the reason is blank"),
        (["unfreeze", *BOTH], "--reason"),
        (["freeze", "--until", "1s", "--from", "2000-01-01T00:00Z", *WHY, *BOTH], "is in the past"),
        (["freeze", "--until", "2h", *WHY], "give --env NAME, or --app NAME, --region REGION and --peer-region REGION"),
        (["freeze", "--until", "2h", *WHY, *BOTH[:4]], "--peer-region REGION"),
        (["freeze", "--until", "2h", *WHY, *BOTH[:4], "--peer-region", HERE], f"both Regions are {HERE}"),
        (["unfreeze", *WHY, "--env", "prod", "--region", HERE], "--env says the Regions already"),
    ],
)
def test_bad_input_reaches_no_region(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    assert run(words) == Exit.BAD_INPUT
    out, complaint = capfd.readouterr()
    assert out == ""
    assert complaint.count("\n") == 1
    assert said in complaint


def test_what_is_said_of_it() -> None:
    trouble = Refused("AWS cannot be reached", code=Exit.NO_ANSWER)
    outcomes = [Outcome(HERE, Frozen(None, NOW + 60, "an older reason", None)), Outcome(HOME, trouble=trouble)]
    span = "from 2026-09-21T14:14:20Z until 2026-09-21T14:15:20Z"
    assert list(lines(Window(NOW + 60, NOW + 120), BECAUSE, ME, outcomes, NOW)) == [
        f"frozen for 1 min, beginning in 1 min: {span} by {ME}, because: {BECAUSE}",
        f"  {HERE}: written; it replaces one until 2026-09-21T14:14:20Z by nobody named, because: an older reason",
        f"  {HOME}: NOT CHANGED: AWS cannot be reached",
    ]


def test_a_freeze_holds_for_people_too_unless_they_force_it() -> None:
    head: Any = replace(STEADY, frozen_from=NOW - 1, frozen_until=NOW + 1, frozen_because=BECAUSE)
    assert decide(facts(head=head), POLICY).finding is Finding.FROZEN
    assert decide(facts(head=head, trigger=Trigger.MANUAL), POLICY).finding is Finding.FROZEN
    assert decide(facts(head=head, trigger=Trigger.MANUAL, forced=True), POLICY).finding is not Finding.FROZEN
