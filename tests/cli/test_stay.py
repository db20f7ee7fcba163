"""`relight stay`: only a failback can be told so, and what the templates then need is printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from relight.head import Head, State
from relight.question import Reply
from relight_cli.command import run
from relight_cli.deployed import Whereabouts
from relight_cli.exit_code import Exit
from relight_cli.samconfig import Slot, environment
from relight_cli.standing import Answer, Reading, judge
from relight_cli.staying import EXCHANGED, KEPT, after, exchanges

from tests.cli.on_call import ME, Night, document, night, strangers_credentials
from tests.template.reading import written
from tests.unit.standby import HERE, HOME, NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RUN = "failback-5-1"
WHY = ("--reason", "no second outage")
THERE = ("--app", "shop", "--region", HERE)


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def failback() -> Iterator[Night]:
    with night(machine_name="relight-shop-failback") as made:
        yield made


def test_a_failback_is_told_to_stay_with_who_and_why(failback: Night, capfd: pytest.CaptureFixture[str]) -> None:
    execution = failback.begin(RUN)
    assert run(["stay", RUN, *WHY, *THERE]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    assert f"told to stay by {ME}, because: no second outage" in out
    assert "it makes the Region that serves home in both ledgers, and ends; follow it with" in out
    assert "no write is lost, none is taken meanwhile" in out
    assert "MinSize, DesiredCapacity, MaxSize" in out
    assert "And do NOT change:\n  Role: fixed at deployment" in out
    assert failback.settled(RUN).answer is Reply.STAY
    assert failback.end(execution) == {"answer": "stay", "by": ME, "because": "no second outage"}


def test_approved_and_declined_a_failback_says_what_follows(failback: Night, capfd: pytest.CaptureFixture[str]) -> None:
    execution = failback.begin(RUN)
    assert run(["approve", RUN, "--reason", "nobody orders now", *THERE]) == Exit.DONE
    assert "it warms up and switches over; follow it with" in capfd.readouterr().out
    assert failback.end(execution)["answer"] == "approved"


def test_told_twice_the_second_hears_of_the_first(failback: Night, capfd: pytest.CaptureFixture[str]) -> None:
    failback.begin(RUN)
    assert run(["stay", RUN, *WHY, *THERE]) == Exit.DONE
    failback.settled(RUN)
    capfd.readouterr()
    assert run(["approve", RUN, "--reason", "home", *THERE]) == Exit.ANSWERED
    assert f"run {RUN} in {HERE} was told to stay already" in capfd.readouterr().err


def test_a_failover_cannot_be_told_to_stay(capfd: pytest.CaptureFixture[str]) -> None:
    with night() as made:
        execution = made.begin()
        assert run(["stay", "failover-4-1", *WHY, *THERE]) == Exit.NOT_A_FAILBACK
        said = capfd.readouterr()
        assert said.err == (
            f"relight: run failover-4-1 in {HERE} is no failback, so it cannot be told to stay, "
            "answer it with relight approve or decline\n"
        )
        assert run(["decline", "failover-4-1", *WHY, *THERE]) == Exit.DONE
        assert made.end(execution)["answer"] == "declined"


def test_as_json_with_what_is_to_be_exchanged(
    failback: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    failback.begin(RUN)
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", "123456789012")
    (tmp_path / "samconfig.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["stay", RUN, *WHY, "--env", "prod", "--region", HERE, "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["answer"], said["by"]) == ("stay", ME)
    assert [each["name"] for each in said["exchange"]] == ["MinSize", "DesiredCapacity"]
    assert said["keep"] == list(KEPT)


# --- What the templates need. Pure. ---


def test_only_what_differs_is_exchanged() -> None:
    primary = {"MinSize": "1", "DesiredCapacity": "2", "MultiAz": "true", "Role": "primary", "NetworkPrefix": "10.10"}
    dr = {"MinSize": "0", "DesiredCapacity": "0", "MultiAz": "true", "Role": "dr", "NetworkPrefix": "10.20"}
    found = exchanges(primary, dr)
    assert [(each.name, each.primary, each.dr) for each in found] == [
        ("MinSize", "1", "0"),
        ("DesiredCapacity", "2", "0"),
    ]
    assert exchanges(dr, dr) == []


def test_it_names_the_stacks_and_the_values_and_what_must_not_change() -> None:
    lines = after(Whereabouts("prod", ROOT / "samconfig.toml")).lines
    text = "\n".join(lines)
    assert "exchange in samconfig.toml between [prod-primary] and [prod-dr]:" in text
    assert "  MinSize          prod-primary: 1 -> 0   prod-dr: 0 -> 1   (instances)" in lines
    assert "  DesiredCapacity  prod-primary: 2 -> 0   prod-dr: 0 -> 2   (instances)" in lines
    assert any(line.startswith("  Role: ") for line in lines)


def test_values_that_are_not_given_are_the_template_s_own(tmp_path: Path) -> None:
    text = (ROOT / "samconfig.toml").read_text().replace('"MultiAz=true", "BackupReplication=true",', "", 1)
    (tmp_path / "samconfig.toml").write_text(text)
    without = after(Whereabouts("prod", tmp_path / "samconfig.toml")).lines
    assert any("BackupReplication" in line and "the template's default" in line for line in without)
    for name in ("template.yaml", "stacks"):
        (tmp_path / name).symlink_to(ROOT / name)
    beside = after(Whereabouts("prod", tmp_path / "samconfig.toml")).lines
    assert any(line.split()[:5] == ["MultiAz", "prod-primary:", "false", "->", "true"] for line in beside)


def test_each_name_is_a_parameter_and_none_is_both_exchanged_and_kept() -> None:
    declared = {*written("template").body["Parameters"], *written("global").body["Parameters"]}
    kept = {name for names in KEPT for name in names.split(", ")}
    assert {*EXCHANGED, *kept} <= declared
    assert not {*EXCHANGED} & kept


def test_what_the_exchange_comes_to_can_be_deployed(tmp_path: Path) -> None:
    """The environment checks out with the sizes exchanged."""
    from relight_cli import configuration  # noqa: PLC0415
    from relight_cli.phases import phases  # noqa: PLC0415

    text = (ROOT / "samconfig.toml").read_text()
    first, second = '"MinSize=1", "DesiredCapacity=2"', '"MinSize=0", "DesiredCapacity=0"'
    text = text.replace(first, "HERE", 1).replace(second, first, 1).replace("HERE", second, 1)
    (tmp_path / "samconfig.toml").write_text(text)
    for name in ("template.yaml", "stacks", "functions", "layers", "statemachine"):
        (tmp_path / name).symlink_to(ROOT / name)
    made = environment(tmp_path / "samconfig.toml", "prod")
    assert made.given(Slot.DR, "MinSize") == "1"
    configuration.check(made, configuration.templates(made), phases(peer_exists=True))


# --- Deployments afterwards. ---


def test_pipelines_go_on_where_the_ledgers_say_that_the_other_region_is_home() -> None:
    stayed = Head(True, 5, HERE, State.STEADY, home=HERE, active_epoch=4)
    readings = {Slot.DR: Reading(HERE, stayed), Slot.PRIMARY: Reading(HOME, stayed)}
    assert judge(readings, HOME, NOW).answer is Answer.HOME
    disagreeing = {**readings, Slot.PRIMARY: Reading(HOME, Head(True, 5, HERE, State.STEADY, active_epoch=4))}
    found = judge(disagreeing, HOME, NOW)
    assert (found.answer, found.sentence) == (Answer.NOT_NOW, f"not now: the ledgers name two homes, {HERE} and {HOME}")
