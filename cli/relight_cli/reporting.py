"""The report of a run: fetched from the Region that ran it, checked against its manifest, and written to this machine.

What the manifest does not vouch for is not passed on as the report: then it is made here, from the document alone.
"""

import hashlib
import json
import re
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relight.moment import told
from relight.report import problems, render
from relight.telling import one_line

from relight_cli.aws import Aws
from relight_cli.complaint import complain
from relight_cli.deployed import Deployed
from relight_cli.document import show, show_with
from relight_cli.evidence import Shelf, name_of, shelves
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reading
from relight_cli.standby import SILENT

FOLDER = Path("build/reports")
DOCUMENT, REPORT, MANIFEST = "run.json", "report.html", "manifest.json"
MOST_FILES = 50
"""What a manifest may name: more of them are none of ours."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST = 300


@dataclass(frozen=True)
class Evidence:
    """The files of a run as they were found, and the digests that the manifest has for them; None without one."""

    files: dict[str, bytes]
    digests: dict[str, str] | None

    def trouble(self, name: str) -> str | None:
        """Why a file is not to be relied on; None where it is what was written at the end of the run."""
        if name not in self.files:
            return f"{name} is missing"
        if self.digests is None:
            return None  # said once, of the manifest
        if name not in self.digests:
            return f"the manifest does not name {name}"
        found = hashlib.sha256(self.files[name]).hexdigest()
        if found != self.digests[name]:
            return f"{name} is not what was written: its SHA-256 is {found}, the manifest has {self.digests[name]}"
        return None


@dataclass(frozen=True)
class Checked:
    """What is to be written, by name, and what is wrong with it: a sentence each."""

    files: dict[str, bytes]
    troubles: list[str]


def digests(manifest: bytes | None) -> dict[str, str] | None:
    """The SHA-256 of each file by name; None where the manifest is missing or none. Pure."""
    try:
        named = json.loads(manifest or b"")["files"]
        fits = len(named) <= MOST_FILES and all(_NAME.fullmatch(name) for name in named)
        return dict(named) if fits and all(_SHA256.fullmatch(digest) for digest in named.values()) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def checked(evidence: Evidence) -> Checked:
    """The files as they can be passed on. Pure; the report is made anew where the one that was kept cannot be."""
    troubles = []
    if evidence.digests is None:
        damaged = "damaged" if MANIFEST in evidence.files else "missing"
        troubles.append(f"{MANIFEST} is {damaged}, so nothing vouches for the files")
    wanted = dict.fromkeys((DOCUMENT, REPORT, *(evidence.digests or {})))
    wrong = {name: trouble for name in wanted if (trouble := evidence.trouble(name)) is not None}
    document, unread = _document(evidence.files.get(DOCUMENT))
    troubles += [*wrong.values(), *unread, *(f"{DOCUMENT}: {one_line(said, _LONGEST)}" for said in problems(document))]
    files = dict(evidence.files)
    if troubles:
        files[REPORT] = render(document).encode()
        troubles.append(f"{REPORT} was made here, from what there is of {DOCUMENT}")
    return Checked(files, troubles)


def _document(body: bytes | None) -> tuple[dict[str, Any], list[str]]:
    """The document, empty where it is none, and the sentence that says so."""
    if body is None:
        return {}, []  # missing: said already
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        return {}, [f"{DOCUMENT} is no JSON ({one_line(str(error), 100)})"]
    return (found, []) if isinstance(found, dict) else ({}, [f"{DOCUMENT} is no object"])


def find(deployed: Deployed, run: str, aws: Aws) -> tuple[Shelf, Evidence]:
    """The evidence of a run, from whichever Region has any. Refused where none has, and by which of the reasons."""
    reasons: list[Refused] = []
    for shelf in shelves(deployed, aws):
        try:
            found = _fetched(shelf, run)
            if found.files:
                return shelf, found
            raise _without(deployed, shelf.region, run, aws)
        except Refused as refused:
            if refused.code not in SILENT | {Exit.UNKNOWN_RUN, Exit.REPORT_DAMAGED, Exit.RUN_ON}:
                raise
            reasons.append(refused)
    # A Region that knows the run weighs most, and what could not be asked more than what is unknown where it could.
    known = (one for one in reasons if one.code in {Exit.REPORT_DAMAGED, Exit.RUN_ON})
    raise next(known, next((one for one in reasons if one.code is not Exit.UNKNOWN_RUN), reasons[0]))


def _fetched(shelf: Shelf, run: str) -> Evidence:
    manifest = shelf.read(run, MANIFEST)
    named = digests(manifest)
    wanted = dict.fromkeys((DOCUMENT, REPORT, *(named or {})))
    found = {name: body for name in wanted if (body := shelf.read(run, name)) is not None}
    return Evidence(found if manifest is None else {**found, MANIFEST: manifest}, named)


def _without(deployed: Deployed, region: str, run: str, aws: Aws) -> Refused:
    """Why there is nothing of the run in a Region that answers."""
    with reading(deployed, region, aws) as ledger:
        marks, steps = ledger.timeline(run)
        owner = ledger.head().owner or ""
    if not marks and not steps:
        do = "take it from the notification or from relight history, or try the other Region"
        return Refused(f"there is no run {run} in {region}", do=do, code=Exit.UNKNOWN_RUN)
    last = f" (it said last: {one_line(steps[-1].sentence, _LONGEST)})" if steps and steps[-1].sentence else ""
    if owner.rpartition(":")[2] == run:
        what = f"run {run} in {region} is still on{last}"
        return Refused(what, do="its evidence is written at its end", code=Exit.RUN_ON)
    what = f"run {run} in {region} has kept no evidence{last}"
    return Refused(what, do="look at its execution in Step Functions", code=Exit.REPORT_DAMAGED)


def conduct(deployed: Deployed, run: str, *, open_: bool, as_json: bool) -> int:
    """Fetch, check, write and say where it is: the exit code."""
    name = name_of(run)
    shelf, evidence = find(deployed, name, Aws())
    outcome = checked(evidence)
    folder = FOLDER / name
    _write(folder, outcome.files)
    page = (folder / REPORT).resolve()
    if as_json:
        said: dict[str, Any] = {
            "run": name,
            "region": shelf.region,
            "evidence": shelf.where(name, DOCUMENT),
            "report": str(page),
        }
        said |= {"files": sorted(outcome.files), "problems": outcome.troubles}
        _show(said, name, outcome)
    else:
        print(*_lines(shelf, name, evidence, outcome), sep="\n")
        print(folder / REPORT)
    for trouble in outcome.troubles:
        complain(trouble)
    if open_ and not webbrowser.open(page.as_uri()):
        complain(f"there is no browser here, open {page}")
    return Exit.REPORT_DAMAGED if outcome.troubles else Exit.DONE


def _show(said: dict[str, Any], run: str, outcome: Checked) -> None:
    """As JSON has it: what is damaged is an error, too."""
    if not outcome.troubles:
        show(said)
        return
    code = Exit.REPORT_DAMAGED
    show_with(said, Refused(f"the evidence of run {run} is damaged: {outcome.troubles[0]}", code=code), code)


def _lines(shelf: Shelf, run: str, evidence: Evidence, outcome: Checked) -> list[str]:
    """How it ended, as far as the document says, and whether the files are what was written."""
    document, _ = _document(evidence.files.get(DOCUMENT))
    lines = [f"run {run} in {shelf.region}: {shelf.where(run, DOCUMENT)}"]
    ended = (document.get("run") or {}).get("ended") if isinstance(document.get("run"), dict) else None
    if document.get("status"):
        at = f" at {told(ended)}" if isinstance(ended, int | float) and 0 <= ended < 1e11 else ""
        status, sentence = (one_line(str(document.get(key) or ""), _LONGEST) for key in ("status", "sentence"))
        lines.append(f"{status}{at}: {sentence}")
    if not outcome.troubles:
        lines.append(f"{len(evidence.digests or {})} files are what the manifest says (SHA-256)")
    return lines


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in files.items():
            (folder / name).write_bytes(body)
    except OSError as error:
        what = f"the report cannot be written ({error.strerror})"
        do = "run this where you may write"
        raise Refused(what, where=str(folder), do=do, code=Exit.BAD_INPUT) from error
