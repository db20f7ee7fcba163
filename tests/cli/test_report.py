"""`relight report`: the evidence of a run here, checked, and rendered where what was kept is not to be trusted."""

from __future__ import annotations

import hashlib
import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from relight.ledger import Ledger
from relight_cli.command import run
from relight_cli.exit_code import Exit
from relight_cli.reporting import Evidence, checked, digests

from tests.cli.on_call import document, strangers_credentials
from tests.unit.announcements import ending
from tests.unit.notices import RUN
from tests.unit.standby import HERE, HOME, NOW, make_ledger, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.run import Run

ROOT = Path(__file__).parents[2]
THERE = ("--app", "shop", "--region", HERE)
BUCKET = f"relight-evidence-shop-123456789012-{HERE}"
PAGE = "<!doctype html><title>as it was kept</title>"
EMPTY = hashlib.sha256(b"").hexdigest()
WRITTEN = Path("build/reports") / RUN.id


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strangers_credentials(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def s3() -> Iterator[Any]:
    """Both Regions, with a ledger; the bucket of the DR Region is there."""
    with mock_aws():
        for region in (HERE, HOME):
            make_ledger(boto3.client("dynamodb", region_name=region))
        client: Any = boto3.client("s3", region_name=HERE)
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
        yield client


def whole() -> dict[str, Any]:
    """A document in which nothing is missing, as the code writes it."""
    return ending()


def kept(s3: Any, files: dict[str, str | bytes], *, manifest: dict[str, str] | None = None) -> None:
    """The files of the run as they were written at its end, with a manifest that fits unless another one is given."""
    bodies = {name: body.encode() if isinstance(body, str) else body for name, body in files.items()}
    named = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()} if manifest is None else manifest
    if named:
        bodies["manifest.json"] = json.dumps({"files": named}).encode()
    for name, body in bodies.items():
        s3.put_object(Bucket=BUCKET, Key=f"runs/{RUN.id}/{name}", Body=body)


def change(s3: Any, name: str, body: bytes) -> None:
    """What somebody, or something, has done to a file afterwards."""
    s3.put_object(Bucket=BUCKET, Key=f"runs/{RUN.id}/{name}", Body=body)


def said(capfd: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """What is on stdout, and the complaints, each on one line."""
    out, error = capfd.readouterr()
    lines = error.splitlines()
    assert all(line.startswith("relight: ") for line in lines)
    return out, [line.removeprefix("relight: ") for line in lines]


def rendered() -> str:
    page = (WRITTEN / "report.html").read_text()
    assert "as it was kept" not in page
    assert RUN.id in page or "missing" in page.lower()
    return page


# As it was written.


def test_a_report_is_written_as_it_was_kept(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    body = json.dumps(whole())
    kept(s3, {"run.json": body, "report.html": PAGE})
    assert run(["report", RUN.id, *THERE]) == Exit.DONE
    out, complaints = said(capfd)
    assert complaints == []
    first, end, files, path = out.splitlines()
    assert first == f"run {RUN.id} in {HERE}: s3://{BUCKET}/runs/{RUN.id}/run.json"
    assert end.startswith("SUCCEEDED at 2026-09-21T14:18:20Z: the application is lost")
    assert files == "2 files are what the manifest says (SHA-256)"
    assert path == str(WRITTEN / "report.html")
    assert (WRITTEN / "report.html").read_text() == PAGE
    assert (WRITTEN / "run.json").read_text() == body
    assert (WRITTEN / "manifest.json").exists()


def test_whatever_else_the_manifest_names_comes_along(s3: Any) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE, "reconciliation.json": "{}"})
    assert run(["report", RUN.id, *THERE]) == Exit.DONE
    assert (WRITTEN / "reconciliation.json").read_text() == "{}"


def test_as_json_it_says_where_the_files_are(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    assert run(["report", RUN.id, *THERE, "--json"]) == Exit.DONE
    found = document(said(capfd)[0])
    assert (found["run"], found["region"], found["problems"]) == (RUN.id, HERE, [])
    assert found["files"] == ["manifest.json", "report.html", "run.json"]
    assert Path(found["report"]).read_text() == PAGE


class Recorder(webbrowser.BaseBrowser):
    """A browser that notes what it is to open, or cannot."""

    opened: list[str]
    works = True

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        del new, autoraise
        self.opened.append(url)
        return self.works


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The one that this machine prefers."""
    made = Recorder("recorder")
    made.opened = []
    monkeypatch.setattr(webbrowser, "_tryorder", ["recorder"])
    monkeypatch.setattr(webbrowser, "_browsers", {"recorder": [None, made]})
    return made


def test_it_is_opened_in_the_browser(s3: Any, browser: Recorder) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    assert run(["report", RUN.id, *THERE, "--open"]) == Exit.DONE
    assert browser.opened == [(WRITTEN / "report.html").resolve().as_uri()]


def test_without_a_browser_it_says_what_to_open(s3: Any, browser: Recorder, capfd: pytest.CaptureFixture[str]) -> None:
    browser.works = False
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    assert run(["report", RUN.id, *THERE, "--open"]) == Exit.DONE
    assert said(capfd)[1] == [f"there is no browser here, open {(WRITTEN / 'report.html').resolve()}"]


def test_the_region_that_ran_it_is_found(
    s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "samconfig.toml").read_text().replace("111122223333", "123456789012")
    (tmp_path / "samconfig.toml").write_text(text)
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    assert run(["report", f"arn:aws:states:{HERE}:1:execution:x:{RUN.id}", "--env", "prod"]) == Exit.DONE
    assert f"run {RUN.id} in {HERE}" in said(capfd)[0]
    # The other Region, which has no bucket, is asked first.
    assert run(["report", RUN.id, "--app", "shop", "--region", HOME, "--peer-region", HERE]) == Exit.DONE


# Damaged.


def test_a_changed_report_is_not_passed_on(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    change(s3, "report.html", b"<script>alert(1)</script>")
    assert run(["report", RUN.id, *THERE]) == Exit.REPORT_DAMAGED
    out, complaints = said(capfd)
    assert any(line.startswith("report.html is not what was written: its SHA-256 is ") for line in complaints)
    assert complaints[-1] == "report.html was made here, from what there is of run.json"
    assert "alert(1)" not in rendered()
    assert "what the manifest says" not in out


def test_a_changed_document_is_said(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    change(s3, "run.json", json.dumps({**whole(), "rto_seconds": 1.0}).encode())
    assert run(["report", RUN.id, *THERE, "--json"]) == Exit.REPORT_DAMAGED
    out, complaints = said(capfd)
    assert document(out)["problems"] == complaints
    assert complaints[0].startswith("run.json is not what was written")


def test_a_missing_report_is_made_here(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(whole())})
    assert run(["report", RUN.id, *THERE]) == Exit.REPORT_DAMAGED
    assert "report.html is missing" in said(capfd)[1]
    assert RUN.id in rendered()


def test_without_a_manifest_nothing_vouches_for_it(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE}, manifest={})
    assert run(["report", RUN.id, *THERE]) == Exit.REPORT_DAMAGED
    assert said(capfd)[1][0] == "manifest.json is missing, so nothing vouches for the files"
    rendered()


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b"{}", b'{"run": 3, "phases": []}'])
def test_of_a_damaged_document_it_says_what_is_missing(body: bytes) -> None:
    files = {"run.json": body, "report.html": PAGE.encode()}
    outcome = checked(Evidence(files, {name: hashlib.sha256(kept).hexdigest() for name, kept in files.items()}))
    assert any("run.json" in trouble for trouble in outcome.troubles[:-1])
    assert b"as it was kept" not in outcome.files["report.html"]
    assert outcome.files["run.json"] == body


def test_of_a_document_that_is_gone_it_says_so(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(
        s3,
        {"report.html": PAGE},
        manifest={"run.json": EMPTY, "report.html": hashlib.sha256(PAGE.encode()).hexdigest()},
    )
    assert run(["report", RUN.id, *THERE]) == Exit.REPORT_DAMAGED
    assert said(capfd)[1][0] == "run.json is missing"
    rendered()


def test_an_older_document_is_shown_as_far_as_it_goes(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(ending() | {"schema": "relight/run/2"})}, manifest={})
    assert run(["report", RUN.id, *THERE]) == Exit.REPORT_DAMAGED
    assert "SUCCEEDED" in said(capfd)[0]
    assert RUN.id in rendered()


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'{"files": 3}',
        b'{"files": {"../../evil": "' + EMPTY.encode() + b'"}}',
        b'{"files": {"run.json": "abc"}}',
        b'{"files": {"run.json": 3}}',
        json.dumps({"files": {f"file{n}": EMPTY for n in range(100)}}).encode(),
    ],
)
def test_a_manifest_of_another_kind_is_none(manifest: bytes | None) -> None:
    assert digests(manifest) is None


def test_what_the_manifest_does_not_name_is_not_vouched_for() -> None:
    body = json.dumps(whole()).encode()
    evidence = Evidence({"run.json": body, "report.html": b"x"}, {"run.json": hashlib.sha256(body).hexdigest()})
    assert "the manifest does not name report.html" in checked(evidence).troubles


# Not there.


def test_an_unknown_run(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "nobody", *THERE]) == Exit.UNKNOWN_RUN
    assert said(capfd)[1][0].startswith(f"there is no run nobody in {HERE}")


def at_work() -> tuple[Ledger, Run]:
    ledger = Ledger(boto3.client("dynamodb", region_name=HERE), "relight-shop", HOME)
    holding = take_lock(ledger, RUN.id, NOW)
    ledger.step_began(holding, "promote", NOW)
    ledger.step_says(holding, "promote", NOW, "the promotion has begun", done=False)
    return ledger, holding


def test_a_run_that_is_on_has_no_report_yet(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    at_work()
    assert run(["report", RUN.id, *THERE]) == Exit.RUN_ON
    (line,) = said(capfd)[1]
    assert line.startswith(f"run {RUN.id} in {HERE} is still on (it said last: the promotion has begun)")


def test_a_run_that_kept_nothing(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    _, holding = at_work()
    take_lock(Ledger(boto3.client("dynamodb", region_name=HERE), "relight-shop", HOME), "another", NOW)
    assert run(["report", holding.id, *THERE]) == Exit.REPORT_DAMAGED
    assert said(capfd)[1][0].startswith(f"run {RUN.id} in {HERE} has kept no evidence")


def test_without_a_bucket_it_says_so(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["report", RUN.id, "--app", "other", "--region", HERE]) == Exit.NO_LEDGER
    assert "there is no evidence bucket relight-evidence-other-" in said(capfd)[1][0]


@pytest.mark.parametrize(
    "words", [[RUN.id], [" ", *THERE], ["../../evil", *THERE], ["..", *THERE], ["a/b", *THERE], [RUN.id, *THERE, "x"]]
)
def test_bad_input_is_one_line(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(["report", *words]) == Exit.BAD_INPUT
    assert len(said(capfd)[1]) == 1


def test_a_folder_that_cannot_be_written_is_one_line(s3: Any, capfd: pytest.CaptureFixture[str]) -> None:
    kept(s3, {"run.json": json.dumps(whole()), "report.html": PAGE})
    Path("build").write_text("a file")
    assert run(["report", RUN.id, *THERE]) == Exit.BAD_INPUT
    assert said(capfd)[1][0].startswith("the report cannot be written (")
