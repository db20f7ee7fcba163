"""`relight reconcile`: the report of what was lost, from the evidence of the Region that ran it: shown and exported."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from relight.ledger import Ledger
from relight.reconciliation import report
from relight_cli.command import run
from relight_cli.exit_code import Exit
from relight_cli.reconciling import SHOWN, rich_table
from rich.console import Console

from tests.cli.on_call import document, strangers_credentials
from tests.unit.standby import HERE, HOME, NOW, make_ledger, take_lock

ROOT = Path(__file__).parents[2]
RUN = "failback-5-1"
THERE = ("--app", "shop", "--region", HOME)
BUCKET = f"relight-evidence-shop-123456789012-{HOME}"
HEAD = {"retired": {"instance": "shop-primary-retired-4"}, "run": RUN, "rows": 2, "truncated": False, "undecided": []}
ORDERS = {"table": "shop_order", "schema": "public", "name": "shop_order", "generated": [], "is_there": True}
LOST: dict[str, Any] = {
    "table": "shop_order",
    "key": {"id": "7"},
    "kind": "only_retired",
    "retired": {"id": "7", "note": None, "total": "12.50"},
    "active": None,
    "cut": [],
}
CHANGED: dict[str, Any] = {
    "table": "shop_order",
    "key": {"id": "8"},
    "kind": "differs",
    "retired": {"id": "8", "note": "it's paid", "total": "3"},
    "active": {"id": "8", "note": "open", "total": "3"},
    "cut": [],
}


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def s3() -> Iterator[Any]:
    """Both Regions, with a ledger; the bucket of home is there."""
    with mock_aws():
        for region in (HERE, HOME):
            make_ledger(boto3.client("dynamodb", region_name=region))
        client: Any = boto3.client("s3", region_name=HOME)
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
        yield client


def kept(s3: Any, found: list[dict[str, Any]], **head: Any) -> None:
    """The report as `compare` writes it."""
    body = "".join(report(HEAD | {"rows": len(found)} | head, [ORDERS], found))
    s3.put_object(Bucket=BUCKET, Key=f"runs/{RUN}/reconciliation.json", Body=body.encode())


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


def known(region: str) -> None:
    made = Ledger(boto3.client("dynamodb", region_name=region), "relight-shop", HOME)
    at_work = take_lock(made, RUN, NOW)
    made.step_began(at_work, "reprotect", NOW)
    made.step_says(at_work, "reprotect", NOW, "the replica is being built: 40 %", done=False)


def test_rows_are_shown_by_table_and_key_with_both_values(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, [LOST, CHANGED])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    assert out.startswith(f"run {RUN} in {HOME}: s3://{BUCKET}/runs/{RUN}/reconciliation.json\n")
    assert "shop_order" in out
    assert "only_retired" in out
    assert "2 rows\n" in out
    assert "changes nothing as it is" in out
    wide = Console(width=160, color_system=None)
    with wide.capture() as shown:
        wide.print(rich_table([LOST, CHANGED]))
    lost, changed = shown.get().splitlines()[2:]
    assert "id=7, note=NULL, total=12.50" in lost
    assert "note=it's paid" in changed
    assert "note=open" in changed
    assert "total" not in changed


def test_the_table_is_bounded_and_says_so(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, [{**LOST, "key": {"id": str(n)}, "retired": {"id": str(n)}} for n in range(1234)])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out = capfd.readouterr().out
    assert sum("only_retired" in line for line in out.splitlines()) <= SHOWN
    assert "1,234 rows, 1,184 of them not shown: --csv FILE or --sql FILE has them" in out


def test_it_is_exported_as_csv_and_as_sql_for_review(s3: Any, tmp_path: Path) -> None:
    kept(s3, [LOST, CHANGED])
    files = tmp_path / "lost.csv", tmp_path / "lost.sql"
    assert run(["reconcile", RUN, *THERE, "--csv", str(files[0]), "--sql", str(files[1])]) == Exit.DONE
    heading, *lines = csv.reader(files[0].read_text().splitlines())
    assert heading == ["table", "key", "kind", "column", "retired", "active"]
    assert [line[3:] for line in lines] == [
        ["id", "7", ""],
        ["note", "", ""],
        ["total", "12.50", ""],
        [
            "note",
            "it's paid",
            "open",
        ],
    ]
    sql = files[1].read_text()
    assert "INSERT INTO" in sql
    assert sql.rstrip().endswith("ROLLBACK;")
    assert "-- UPDATE" in sql


def test_as_json_it_is_the_report(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, [LOST])
    assert run(["reconcile", RUN, *THERE, "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert said["tables"][0]["rows"] == [LOST]


def test_nothing_was_lost(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, [])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    assert "nothing was lost: each row of shop-primary-retired-4 is in the active database" in capfd.readouterr().out


def test_of_what_was_not_compared_nothing_is_claimed(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, [], not_compared=[{"table": "public.scratch", "why": "it is unlogged"}])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out = capfd.readouterr().out
    assert "NOT COMPARED: public.scratch (it is unlogged); the report names all (--json)" in out
    assert "beside that nothing was lost: each row of shop-primary-retired-4 that was compared is in the active" in out
    kept(s3, [], undecided=[{"table": "t"}])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    assert "beside that nothing was lost" in capfd.readouterr().out


def test_what_is_not_known_is_not_called_nothing(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    why = "it could not be asked, 20 times in a row"
    kept(s3, [], rows=None, unknown=why)
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out = capfd.readouterr().out
    assert f"NOT KNOWN what was lost: {why}" in out
    assert "nothing" not in out
    kept(s3, [LOST], rows=None, unknown=why)
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out = capfd.readouterr().out
    assert f"NOT KNOWN what was lost: {why}" in out
    assert "What is only in the retired database was never replicated, or has been deleted since" in out


def test_what_the_report_does_not_hold_is_said_first(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, [LOST], truncated=True, undecided=[{"table": "t"}])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out = capfd.readouterr().out
    assert "NOT ALL: there are more rows than the report holds" in out
    assert "UNDECIDED: 1 questions; the report names them" in out


def test_what_a_client_wrote_into_a_row_steers_no_terminal(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J[bold]\nall is well\u202e"
    kept(s3, [{**LOST, "key": {"id": evil}, "retired": {evil: evil}}])
    assert run(["reconcile", RUN, *THERE]) == Exit.DONE
    out = capfd.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "bold" in out


def test_by_samconfig_the_region_that_ran_it_is_found(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept(s3, [LOST])
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", "123456789012")
    (tmp_path / "samconfig.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    # The DR Region, which is asked first, has no bucket of that name.
    assert run(["reconcile", f"arn:aws:states:{HOME}:1:execution:x:{RUN}", "--env", "prod"]) == Exit.DONE
    assert f"run {RUN} in {HOME}" in capfd.readouterr().out


def test_an_unknown_run(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", "nobody", *THERE]) == Exit.UNKNOWN_RUN
    assert complaint(capfd).startswith(f"there is no run nobody in {HOME}")


def test_a_run_without_a_report_says_how_far_it_came(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    known(HOME)
    assert run(["reconcile", RUN, *THERE]) == Exit.NO_REPORT
    said = complaint(capfd)
    assert said.startswith(f"run {RUN} in {HOME} has kept no reconciliation report")
    assert "it said last: the replica is being built: 40 %" in said


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"tables": [{"rows": [{}]}]}', b'{"tables": 5}', b"[" * 100_000, b"\xff"]
)
def test_a_damaged_report_is_one_line(s3: Any, capfd: pytest.CaptureFixture[str], body: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"runs/{RUN}/reconciliation.json", Body=body)
    assert run(["reconcile", RUN, *THERE]) == Exit.NO_REPORT
    assert complaint(capfd).startswith(f"the report of run {RUN} is damaged, s3://{BUCKET}/")


def test_without_a_bucket_it_says_so(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", RUN, "--app", "other", "--region", HOME]) == Exit.NO_LEDGER
    assert "there is no evidence bucket relight-evidence-other-123456789012-eu-west-1" in complaint(capfd)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([RUN], Exit.BAD_INPUT),
        ([" ", *THERE], Exit.BAD_INPUT),
        ([RUN, *THERE, "--csv", "/nowhere/lost.csv"], Exit.BAD_INPUT),
        ([RUN, *THERE, "--sql", "/"], Exit.BAD_INPUT),
    ],
)
def test_bad_input_is_one_line(s3: Any, capfd: pytest.CaptureFixture[str], words: list[str], code: Exit) -> None:
    kept(s3, [LOST])
    assert run(["reconcile", *words]) == code
    assert complaint(capfd)


def test_a_report_has_what_the_command_reads() -> None:
    assert json.loads("".join(report(HEAD, [ORDERS], [LOST])))["tables"][0]["rows"] == [LOST]
