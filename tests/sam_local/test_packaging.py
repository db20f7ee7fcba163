"""Every function as it is packaged: the built layer, the built zip, the handler string and its whole environment.

They run by `sam local`, in the containers that SAM makes, against the lab.
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import engine
from lab.environment_file import ENV_JSON
from lab.kept import Kept
from lab.sam_functions import ROOT, functions
from tests.sam_local.conftest import Packaging

pytestmark = [pytest.mark.sam_local, pytest.mark.timeout(400)]

ANSWERS = {
    "assess": ("assess-preview", r"started by hand"),
    "compare": ("compare-database", r"tables and \d+ rows are compared|so far"),
    "dbcheck": ("dbcheck-state", r"it is a replica"),
    "drill": ("drill-plan", r"a drill of the kind plan may begin"),
    "fence": ("fence-lift", r"the peer is not fenced"),
    "guard": ("schedule-guard", r'"STOP": 0'),
    "harden": ("harden", r"shop-dr"),
    "objects": ("objects", r"objects? compared"),
    "probe": ("schedule-probe", r'"on_duty": true'),
    "quiesce": ("quiesce-resume", r"nothing was stopped"),
    "readiness": ("schedule-readiness", r"eu-central-1 is (not )?ready"),
    "record": ("health-issue", r"AWS Health: RDS AWS_RDS_OPERATIONAL_ISSUE in eu-west-1"),
    "reprotect": ("reprotect", r"shop-dr follows shop-primary"),
    "retire": ("schedule-retire", r'"retired": \[\]'),
    "scale": ("scale-restore", r"nothing to restore"),
    "survey": ("survey-hear", r"eu-west-1 is active"),
    "switch": ("switch-clear", r"STOP 0, GO 0"),
    "verify": ("verify-traffic", r"DNS does not answer this Region: 127\."),
}
"""By function: an event that changes nothing in a steady Region, and what the answer to it says."""
REFUSES = {"promote": "RunSuperseded"}
"""By function: what it raises for its own event where that run has no lock; with one it would change the Region."""


def the_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_function_answers_from_its_container(packaging: Packaging, name: str) -> None:
    """Nothing is raised, and the answer says what the lab is like."""
    event, sentence = ANSWERS[name]
    answer, error = packaging.ask(name, the_event(event))
    assert error is None, answer
    assert re.search(sentence, json.dumps(answer)), answer


def test_every_function_is_asked() -> None:
    """One that is new is asked, too."""
    assert sorted([*ANSWERS, *REFUSES]) == sorted(functions())


@pytest.mark.parametrize("name", sorted(REFUSES))
def test_an_error_of_a_function_is_told_as_such(packaging: Packaging, name: str) -> None:
    """By the name that the state machine knows it by; a run without the lock changes nothing."""
    event = the_event(name)
    event["run"]["id"] = ""  # nothing lends the lock to a run without a name
    answer, error = packaging.ask(name, event)
    assert error == "Unhandled"
    assert answer["errorType"] == REFUSES[name]


def test_what_a_function_says_comes_whole(packaging: Packaging) -> None:
    """SAM runs lines together; each document of the probe's metrics is heard once."""
    packaging.ask("probe", the_event("schedule-probe"))
    documents = [line for line in packaging.lines if '"_aws"' in line]
    assert documents
    assert len(documents) == len({json.dumps(json.loads(line)) for line in documents})


def local_invoke(function: str, event: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`make local-invoke`, as a person calls it."""
    words = ["make", "--no-print-directory", "local-invoke", f"FN={function}", f"EVENT={event}"]
    words += [f"{name}={value}" for name, value in more.items()]
    return subprocess.run(words, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)


def test_an_alarm_can_be_tried_by_hand(kept: Kept) -> None:
    """The verdict is what a run that this alarm starts would decide now, and nothing is left of the container."""
    done = local_invoke("assess", "events/alarm-primary-down.json")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert (verdict["preview"], verdict["action"], verdict["finding"]) == (True, "stand_down", "primary_up")
    assert "the state machine" in done.stderr
    networks = engine.docker("network", "ls", "--filter", f"label={engine.LABEL}", "--format", "{{.Name}}").split()
    assert not [name for name in networks if f"relight-{os.getpid()}-" not in name]


def test_an_error_makes_it_fail(kept: Kept, tmp_path: Path) -> None:
    """SAM itself exits 0."""
    event = tmp_path / "wrong.json"
    event.write_text('{"check": "everything"}')
    done = local_invoke("dbcheck", str(event), REGION="primary")
    assert done.returncode != 0
    assert json.loads(done.stdout)["errorType"] == "InputInvalid"
    assert "dbcheck raised InputInvalid" in done.stderr


@contextmanager
def in_the_foreground() -> Iterator[None]:
    """What is started meanwhile hears Ctrl-C, also where the tests were started in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def local_env() -> Iterator[str]:
    """`make local-env`, as a person calls it, until Ctrl-C: the command that it prints."""
    words = ["make", "--no-print-directory", "local-env"]
    with in_the_foreground():
        holding = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with holding:
        assert holding.stdout is not None
        try:
            assert "holds until Ctrl-C" in holding.stdout.readline()
            lines = [holding.stdout.readline()]
            while lines[-1].endswith("\\\n"):
                lines.append(holding.stdout.readline())
            yield "".join(lines)
        finally:
            os.killpg(holding.pid, signal.SIGINT)


def test_the_command_that_is_printed_works_as_it_is(kept: Kept, tmp_path: Path) -> None:
    """From any folder, and after a `make local-invoke` beside it, which leaves its env.json as it was."""
    with local_env() as typed:
        before = ENV_JSON.read_bytes()
        assert local_invoke("dbcheck", "events/dbcheck-state.json").returncode == 0
        assert ENV_JSON.read_bytes() == before
        done = subprocess.run(["sh", "-c", typed], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["preview"] is True
