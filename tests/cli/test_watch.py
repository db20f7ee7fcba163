"""`relight watch`: a line for each change, a board on a terminal, one run to its end, and Regions that come and go."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from relight.signal import Seen, Signal, View
from relight_cli.chronicle import Chronicle
from relight_cli.command import run
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit
from relight_cli.pursuit import Pursuit
from relight_cli.sight import Onlooker, Story
from relight_cli.watching import INTERRUPTED, OneRun, Regions, tell

from tests.cli.on_call import PATIENCE, document, strangers_credentials
from tests.cli.onlookers import BOTH, led, well
from tests.cli.test_failback import DEFINITION
from tests.cli.test_status import ASKED, CALM, HELD, LOST, RUN, STEPS, both, lost, on, seen
from tests.statemachine.harness import Machine, machine
from tests.unit.loopback import closed_port
from tests.unit.standby import HERE, HOME, NOW, make_ledger, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.ledger import Ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


# What has changed. Pure.


def test_only_what_changes_is_told() -> None:
    chronicle = Chronicle()
    assert chronicle.changes(both()) == [both().sentence]
    assert chronicle.changes(both()) == []
    assert chronicle.changes(both(dr=seen(HERE, CALM, **on(Story(STEPS[:1], ASKED))))) == [
        f"{HERE}: lock: held by {RUN} (was free)",
        f"{HERE}: {RUN}: runs (failover), because: the Region is gone",
        f"{HERE}: {RUN} assess: done: the Region is lost",
        f"{HERE}: {RUN} asks: nothing would be lost (until 2026-09-21T14:22:50Z)",
    ]
    assert chronicle.changes(both(dr=seen(HERE, HELD, **on(Story(STEPS))))) == [
        f"{HERE}: state: promoting (was steady)",
        f"{HERE}: {RUN} promote: the replica is modifying",
        f"{HERE}: {RUN} asks: over",
    ]
    assert chronicle.changes(both()) == [
        f"{HERE}: state: steady (was promoting)",
        f"{HERE}: lock: free (was held by {RUN})",
        f"{HERE}: {RUN}: over",
    ]


def test_a_region_that_falls_silent_has_not_changed() -> None:
    chronicle = Chronicle()
    busy = both(dr=seen(HERE, CALM, **on(Story(STEPS[:1]))))
    chronicle.changes(busy)
    assert chronicle.changes(both(dr=lost(HERE))) == [f"{HERE}: NOT SEEN: all of it: no answer within 3 s"]
    assert chronicle.changes(both(dr=lost(HERE))) == []
    assert chronicle.changes(busy) == [f"{HERE}: seen again: all of it"]
    assert chronicle.changes(both(dr=seen(HERE, CALM, lag=LOST, **on(Story(STEPS[:1]))))) == []


def test_what_is_hidden_at_first_is_told_at_first() -> None:
    first = Chronicle().changes(both(home=lost(HOME)))
    assert first[1:] == [f"{HOME}: NOT SEEN: all of it: no answer within 3 s"]


# Both Regions.


@pytest.fixture
def ledgers() -> Iterator[dict[str, Ledger]]:
    with mock_aws():
        yield well(time.time())


SHOP = Deployed("shop", (HERE, HOME))


def no_bucket(region: str) -> str:
    where = f"relight-evidence-shop-123456789012-{region} in {region}"
    return f"there is no evidence bucket {where}, check application, Region and account"


def test_a_region_that_falls_silent_and_comes_back(ledgers: dict[str, Ledger]) -> None:
    with led() as aws:
        watched = Regions(Onlooker(SHOP, aws), ("relight",))
        assert watched.look() == [
            f"{HOME} is active and steady; {HERE} stands by, readiness 100 of 100, 2 s behind; nothing runs.",
            *(f"{region}: NOT SEEN: last run: {no_bucket(region)}" for region in (HERE, HOME)),
        ]
        aws.ports[HOME] = closed_port()
        (gone,) = watched.look()
        assert gone.startswith(f"{HOME}: NOT SEEN: all of it: AWS cannot be reached")
        assert watched.document()["regions"][1]["seen"] is False
        del aws.ports[HOME]
        now = time.time()
        down = Signal(View.OUTSIDE, Seen.DOWN, now, now, "Route 53's checkers do not reach the active Region")
        ledgers[HERE].move_signal(down, ledgers[HERE].signals()[View.OUTSIDE])
        assert watched.look() == [
            f"{HERE}: signal outside: DOWN (was UP)",
            f"{HOME}: seen again: ledger, readiness, runs, signals, switches",
        ]


class Twice:
    """Something that is looked at twice; then the person has seen enough, or it ends."""

    code: Exit | None = None

    def __init__(self, end: Exit | None) -> None:
        self.looks: list[list[str]] = [["one", "two"], [], ["three"]]
        self.end = end

    def look(self) -> list[str]:
        if len(self.looks) == 1:
            self.code = self.end
        if not self.looks:
            raise KeyboardInterrupt
        return self.looks.pop(0)

    def drawn(self, width: int) -> str:
        return f"{width} columns"

    def document(self) -> dict[str, Any]:
        return {"looks": len(self.looks)}


def test_a_line_for_each_change_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        tell(Twice(None), 0, lambda: NOW, as_json=False)
    at = "2026-09-21T14:13:20Z"
    assert capfd.readouterr().out == f"{at} one\n{at} two\n{at} three\n"
    assert tell(Twice(Exit.OTHERWISE), 0, lambda: NOW, as_json=True) == Exit.OTHERWISE
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert lines == [{"looks": 2, "changes": ["one", "two"]}, {"looks": 0, "changes": ["three"]}]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_nothing_that_answers_at_first_is_an_error(
    words: list[str], ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]
) -> None:
    with led(dict.fromkeys((HERE, HOME), closed_port())):
        assert run(["watch", *BOTH, *words]) == Exit.NO_ANSWER
    out, error = capfd.readouterr()
    assert (document(out)["error"]["exit"] if words else error.count("\n")) in {"NO_ANSWER", 1}


# One run.


class Home:
    """A failback that goes on until it is let go, and then ends like this."""

    def __init__(self) -> None:
        self.end: dict[str, Any] | None = {"status": "SUCCEEDED", "sentence": "home again"}
        self.began, self.let_go = threading.Event(), threading.Event()
        self.ledger: Ledger
        self.machine: Machine

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        at_work = take_lock(self.ledger, event["name"], NOW, owner=event["me"])
        self.ledger.step_began(at_work, "retire", NOW)
        self.began.set()
        self.let_go.wait(PATIENCE)
        self.ledger.step_says(at_work, "retire", NOW + 40, "the old database is kept", done=True)
        if self.end is None:
            raise RuntimeError("the snapshot failed")
        return self.end

    def begin(self) -> str:
        execution = self.machine.start({"reason": "the Region is back"}, "failback-5-1")
        assert self.began.wait(PATIENCE)
        return execution


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    with machine(DEFINITION, {"survey": made.handle}, region=HOME, name="relight-shop-failback") as running:
        made.machine = running
        made.ledger = make_ledger(boto3.client("dynamodb", region_name=HOME))
        make_ledger(boto3.client("dynamodb", region_name=HERE))
        try:
            yield made
        finally:
            made.let_go.set()


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ({"status": "SUCCEEDED", "sentence": "home again"}, Exit.DONE, "SUCCEEDED: home again"),
        ({"status": "STOOD_DOWN", "sentence": "they differ"}, Exit.OTHERWISE, "STOOD_DOWN: they differ"),
        (None, Exit.OTHERWISE, "FAILED: RuntimeError: the snapshot failed"),
    ],
)
def test_a_run_is_followed_to_its_end(
    end: dict[str, Any] | None, code: Exit, said: str, home: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    home.end = end
    execution = home.begin()
    with led() as aws:
        watched = OneRun(Pursuit(Onlooker(SHOP, aws), "failback-5-1"), ("relight",))
        assert watched.look() == [
            f"failback-5-1: runs in {HOME} (failback), because: the Region is back",
            "failback-5-1 retire: it began, and nothing more is known",
        ]
        before = watched.code
        assert before is None
        aws.ports[HOME] = closed_port()
        (gone,) = watched.look()
        assert gone.startswith(f"failback-5-1 in {HOME}: NOT SEEN: AWS cannot be reached")
        del aws.ports[HOME]
        home.let_go.set()
        home.machine.outcome(execution)
        assert watched.look() == [
            f"failback-5-1 in {HOME}: seen again",
            "failback-5-1 retire: done: the old database is kept",
            f"failback-5-1: ended {said}",
        ]
        assert watched.code == code
        assert watched.document()["status"] == said.partition(":")[0]
        # Whoever comes late is told the same.
        assert run(["watch", *BOTH, "--run", execution]) == code
    assert said in capfd.readouterr().out


def test_a_run_that_nobody_knows(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    with led() as aws:
        assert run(["watch", *BOTH, "--run", "failover-9-9"]) == Exit.UNKNOWN_RUN
        assert f"there is no run failover-9-9 in {HERE} and {HOME}" in capfd.readouterr().err
        aws.ports[HERE] = closed_port()
        assert run(["watch", *BOTH, "--run", "failover-9-9", "--json"]) == Exit.NO_ANSWER
    assert HERE in document(capfd.readouterr().out)["error"]["what"]


# A terminal.


def test_a_terminal_that_is_widened_and_ctrl_c() -> None:
    """At 80 columns one under the other, at 200 side by side; the last of it stays, and nothing is said of Ctrl-C."""
    master, slave = pty.openpty()
    resize(master, 80)
    own = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    command = [sys.executable, "-m", "tests.cli.onlookers", "0", "watch", "--every", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=own | {"TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        narrow = until(master, rf"{HOME} \(primary\) is active")
        assert max(len(line) for line in narrow.splitlines()) <= 80
        resize(master, 200)
        wide = until(master, rf"{HERE} \(dr\) stands by +{re.escape(HOME)} \(primary\) is active")
        assert f"{HOME} is active and steady; {HERE} stands by, readiness 100 of 100" in wide
        process.send_signal(signal.SIGINT)
        rest = until(master, None)
        assert process.wait(PATIENCE) == INTERRUPTED
    os.close(master)
    assert "interrupted" not in rest
    assert "Traceback" not in rest


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))


def until(terminal: int, pattern: str | None) -> str:
    """What is written there, without its colours, until it matches; None: until its end."""
    deadline, said = time.monotonic() + 60, ""
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            found = os.read(terminal, 65536)
        except OSError:  # Linux's word for the end of a terminal
            found = b""
        said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", found.decode(errors="replace"))
        if (pattern is None and not found) or (pattern is not None and re.search(pattern, said)):
            return said
        assert found, said
    raise AssertionError(f"not in time: {pattern}: {said}")
