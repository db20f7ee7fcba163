"""`relight history`: all runs of both Regions, what was measured, and the page of their trend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from relight_cli.command import run
from relight_cli.exit_code import Exit
from relight_cli.recounting import Past, past, show
from rich.console import Console

from tests.cli.on_call import document, strangers_credentials
from tests.unit.announcements import ANSWER, drilled, ending
from tests.unit.notices import RUN
from tests.unit.standby import HERE, HOME, NOW, make_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BOTH = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
ACCOUNT = "123456789012"
NEW = ending() | {
    "schema": "relight/run/3",
    "kind": "failover",
    "objectives": {"rto_seconds": 300, "rpo_seconds": None},
    "rpo_seconds": 2.4,
    "who": {"trigger": "automatic", "reason": "both views are DOWN", "approved_by": None},
}
# As earlier versions wrote it.
OLD = {name: value for name, value in ending().items() if name not in {"kind", "objectives", "rpo_seconds", "who"}}
HOMEWARD = OLD | {"kind": "failback", "rto_seconds": None, "answer": None, "who": {"trigger": "ann"}}


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def s3() -> Iterator[dict[str, Any]]:
    """Both Regions, with an empty bucket each."""
    with mock_aws():
        clients: dict[str, Any] = {region: boto3.client("s3", region_name=region) for region in (HERE, HOME)}
        for region, client in clients.items():
            make_ledger(boto3.client("dynamodb", region_name=region))
            client.create_bucket(Bucket=bucket(region), CreateBucketConfiguration={"LocationConstraint": region})
        yield clients


def bucket(region: str) -> str:
    return f"relight-evidence-shop-{ACCOUNT}-{region}"


def keep(s3: dict[str, Any], region: str, name: str, body: object, ended: float = NOW) -> None:
    """A run's document, as it was written at its end."""
    if isinstance(body, dict):
        body = json.dumps(body | {"run": {**body["run"], "id": name, "ended": ended}}).encode()
    s3[region].put_object(Bucket=bucket(region), Key=f"runs/{name}/run.json", Body=body)


def three(s3: dict[str, Any]) -> None:
    keep(s3, HERE, "failover-4-1", NEW, NOW)
    keep(s3, HOME, "failback-5-1", HOMEWARD, NOW + 7200)
    keep(s3, HERE, "drill-restore-5", drilled(), NOW - 86400)


def complaints(capfd: pytest.CaptureFixture[str]) -> list[str]:
    lines = capfd.readouterr().err.splitlines()
    assert all(line.startswith("relight: ") for line in lines)
    return [line.removeprefix("relight: ") for line in lines]


# One run.


@pytest.mark.parametrize(
    ("body", "kind", "rto", "rpo", "by"),
    [
        (OLD, "failover (planned)", 375.0, 0.0, ANSWER.by),
        (NEW, "failover (planned)", 375.0, 2.4, ANSWER.by),
        (NEW | {"answer": None}, "failover (planned)", 375.0, 2.4, "automatic"),
        (NEW | {"who": {"trigger": "automatic", "approved_by": "ben"}}, "failover (planned)", 375.0, 2.4, "ben"),
        (HOMEWARD, "failback", None, 0.0, "ann"),
        (drilled(), "drill (restore)", None, None, ""),
        ({}, "failover", None, None, ""),
        ({"run": 3, "who": [], "drill": "x", "kind": "drill", "rto_seconds": "soon"}, "drill", None, None, ""),
        ({"rto_seconds": float("nan"), "rpo_seconds": True}, "failover", None, None, ""),
    ],
)
def test_what_is_told_of_a_run(body: dict[str, Any], kind: str, rto: float | None, rpo: float | None, by: str) -> None:
    told = past(HERE, "r", body, NOW - 1)
    assert (told.kind, told.rto, told.rpo, told.by) == (kind, rto, rpo, by)


def test_without_its_end_it_is_as_old_as_its_document() -> None:
    assert past(HERE, "r", {}, NOW - 1).at == NOW - 1
    assert past(HERE, "r", {"run": {"ended": 1e300}}, NOW - 1).at == NOW - 1


def shown(width: int, *runs: Past) -> list[str]:
    """The lines of a console that is so wide."""
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        show(runs, console)
    return [line.rstrip() for line in captured.get().splitlines()]


AUTOMATIC = "6f1c0a52-7f3e-4d6b-9d0e-2c1b7a9f4e11_0d9d1c7e-55aa-4c3f-8f2b-a1b2c3d4e5f6"
"""As EventBridge names a run."""
RUNS = (
    past(HERE, AUTOMATIC, NEW | {"answer": None}, NOW),
    past(HOME, "failback-5-1", HOMEWARD | {"answer": None}, NOW - 60),
)


TABLE = [
    (
        "when                 ┃ region      "
        " ┃ run                                                                      "
        " ┃ kind               ┃ status    ┃           RTO ┃ RPO ┃ by"
    ),
    (
        "━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━"
        "╇━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━╇━━━━━━━━━━"
    ),
    (
        "2026-09-21T14:18:20Z │ eu-central-1"
        " │ 6f1c0a52-7f3e-4d6b-9d0e-2c1b7a9f4e11_0d9d1c7e-55aa-4c3f-8f2b-a1b2c3d4e5f6"
        " │ failover (planned) │ SUCCEEDED │ 375 s > 300 s │ 2 s │ automatic"
    ),
    (
        "2026-09-21T14:18:20Z │ eu-west-1   "
        " │ failback-5-1                                                             "
        " │ failback           │ SUCCEEDED │               │ 0 s │ ann"
    ),
]
BLOCKS = [
    "2026-09-21T14:18:20Z  eu-central-1  failover (planned)  SUCCEEDED  RTO 375 s > 300 s  RPO 2 s  automatic",
    "  6f1c0a52-7f3e-4d6b-9d0e-2c1b7a9f4e11_0d9d1c7e-55aa-4c3f-8f2b-a1b2c3d4e5f6",
    "2026-09-21T14:18:20Z  eu-west-1  failback  SUCCEEDED  RPO 0 s  ann",
    "  failback-5-1",
]


def test_in_200_columns_it_is_a_table() -> None:
    assert shown(200, *RUNS) == TABLE


@pytest.mark.parametrize("width", [80, 20])
def test_where_a_table_would_fold_an_id_each_run_is_a_block(width: int) -> None:
    assert shown(width, *RUNS) == BLOCKS


def test_what_fits_exactly_is_a_table() -> None:
    widest = max(len(line) for line in TABLE)
    assert shown(widest, *RUNS) == TABLE
    assert shown(widest - 1, *RUNS) == BLOCKS


def test_a_pipe_breaks_no_id(
    s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(s3, HERE, AUTOMATIC, NEW)
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert run(["history", *BOTH]) == Exit.DONE
        assert AUTOMATIC in capfd.readouterr().out


def test_a_missed_objective_is_shown() -> None:
    first, second = shown(200, past(HERE, "failover-4-1", NEW, NOW), past(HERE, "x\x1b[2J", OLD, NOW))[2:]
    assert "375 s > 300 s" in first
    assert "2 s" in first
    assert ANSWER.by in first
    assert " 375 s " in second
    assert "\x1b" not in second


# All runs.


def test_both_regions_newest_first(s3: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    three(s3)
    assert run(["history", *BOTH, "--json"]) == Exit.DONE
    found = document(capfd.readouterr().out)
    assert [(one["run"], one["region"], one["status"]) for one in found] == [
        ("failback-5-1", HOME, "SUCCEEDED"),
        ("failover-4-1", HERE, "SUCCEEDED"),
        ("drill-restore-5", HERE, "SUCCEEDED"),
    ]
    assert (found[1]["rto_seconds"], found[1]["rpo_seconds"], found[1]["objectives"]["rto_seconds"]) == (375, 2.4, 300)


def test_as_a_table(s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    three(s3)
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["history", *BOTH]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    heading = out.splitlines()[0]
    assert all(name in heading for name in ("when", "run", "kind", "status", "RTO", "RPO", "by"))
    assert "failback-5-1" in out


def test_the_newest_only(s3: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    three(s3)
    assert run(["history", *BOTH, "--newest", "2"]) == Exit.DONE
    assert capfd.readouterr().out.endswith("1 older ones are not shown: --newest N\n")


def test_other_files_of_a_run_are_no_runs(s3: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("runs/a/report.html", "runs/a/b/run.json", "runs/run.json", "other/a/run.json"):
        s3[HERE].put_object(Bucket=bucket(HERE), Key=name, Body=b"{}")
    assert run(["history", *BOTH]) == Exit.DONE
    assert capfd.readouterr().out == "there has been no run yet\n"


def test_one_region_by_samconfig_or_by_name(
    s3: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    three(s3)
    assert run(["history", "--app", "shop", "--region", HOME, "--json"]) == Exit.DONE
    assert [one["run"] for one in document(capfd.readouterr().out)] == ["failback-5-1"]
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", ACCOUNT)
    (tmp_path / "samconfig.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["history", "--env", "prod", "--json"]) == Exit.DONE
    assert len(document(capfd.readouterr().out)) == 3


# What cannot be told.


def test_a_dead_region_is_said_and_the_other_one_shown(
    s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(s3, HERE, "failover-4-1", NEW)
    s3[HOME].delete_bucket(Bucket=bucket(HOME))
    assert run(["history", *BOTH, "--json"]) == Exit.DONE
    out, error = capfd.readouterr()
    assert [one["run"] for one in document(out)] == ["failover-4-1"]
    assert error.startswith(f"relight: what ran in {HOME} is not known; there is no evidence bucket {bucket(HOME)}")
    assert error.count("\n") == 1


def test_two_dead_regions_are_an_error(s3: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "--app", "other", "--region", HERE, "--peer-region", HOME]) == Exit.NO_LEDGER
    assert len(complaints(capfd)) == 1


def test_a_damaged_document_is_said_and_the_others_shown(s3: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    three(s3)
    bodies = (b"{", b"[]", b"\xff", b"[" * 100_000, b"")
    for number, body in enumerate(bodies):
        keep(s3, HERE, f"broken-{number}", body)
    assert run(["history", *BOTH, "--json"]) == Exit.DONE
    out, error = capfd.readouterr()
    assert len(document(out)) == 3
    assert set(error.splitlines()) == {
        f"relight: the document of run broken-{number} in {HERE} is damaged, "
        f"s3://{bucket(HERE)}/runs/broken-{number}/run.json"
        for number in range(len(bodies))
    }


# The page.


def test_the_trend_is_written_as_a_page(s3: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    three(s3)
    page = tmp_path / "build" / "trend.html"
    assert run(["history", *BOTH, "--page", str(page)]) == Exit.DONE
    assert capfd.readouterr().out.endswith(f"written: {page}\n")
    text = page.read_text()
    assert "<html" in text.lower()
    assert "failover-4-1" in text


def test_a_page_that_cannot_be_written_is_one_line(s3: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["history", *BOTH, "--page", "/"]) == Exit.BAD_INPUT
    assert len(complaints(capfd)) == 1


@pytest.mark.parametrize("words", [[], ["--app", "shop"], [*BOTH, "--newest", "0"], [*BOTH, "--newest", "2001"]])
def test_bad_input_is_one_line(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(["history", *words]) == Exit.BAD_INPUT
    assert len(complaints(capfd)) == 1


def test_a_run_s_name_is_that_of_its_folder() -> None:
    assert past(HERE, "folder", {"run": {"id": RUN.id}}, NOW).run == "folder"
