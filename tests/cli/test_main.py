"""The command as a person runs it: a process of its own, its exit code, and what it says.

The rehearsal itself is a stand-in here: what is tested is how it is asked for, interrupted, reported and judged.
"""

import ast
import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest
import relight_cli.main
from relight_cli.command import run
from rich.console import Console

from lab.errors import PostgresUnavailable, StackRefused
from lab.options import Fault, LambdaMode, Lost, Options, Profile, Step
from lab.report import Result, Status

MAIN = Path(relight_cli.main.__file__)
PATIENCE = 20.0

STAND_IN = """
import sys, time, types
from contextlib import ExitStack
module = types.ModuleType("lab.rehearsal")
sys.modules["lab.rehearsal"] = module

def rehearse(options, console):
    from lab.report import Result, Status
    with ExitStack() as stack:
        stack.callback(print, "taken down", flush=True)
        stack.callback(wait_in_peace)
        what(options)
        return Result(status=Status.SUCCEEDED, expected=Status.SUCCEEDED, fault=options.fault, lost=options.lost,
                      timings=options.timings, started=0.0, ended=1.0, clients=options.clients, problems=PROBLEMS)

def wait_in_peace():
    from lab.interrupts import shield
    shield()
    print("taking down", flush=True)
    time.sleep(TEAR_DOWN)

PROBLEMS, TEAR_DOWN = (), 0
module.rehearse = rehearse
from relight_cli.main import main
"""
SLEEP = "def what(options):\n    print('begun', flush=True); time.sleep(60)\nTEAR_DOWN = 0.5\n"


def script(more: str, *words: str) -> list[str]:
    return [sys.executable, "-c", f"{STAND_IN}\n{more}\nmain()", *words]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text("Resources: {}")
    return tmp_path


@dataclass
class StandIn:
    """What takes the place of the rehearsal in this process."""

    error: Exception | None = None
    problems: tuple[str, ...] = ()
    asked: list[Options] = field(default_factory=list)

    def rehearse(self, options: Options, _: Console) -> Result:
        """As `lab.rehearsal.rehearse`."""
        self.asked.append(options)
        if self.error is not None:
            raise self.error
        return Result(
            status=Status.SUCCEEDED,
            expected=Status.SUCCEEDED,
            problems=self.problems,
            fault=options.fault,
            lost=options.lost,
            timings=options.timings,
            started=0.0,
            ended=1.0,
        )


@pytest.fixture
def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in for the rehearsal, in a folder that holds a template."""
    stand_in, module = StandIn(), types.ModuleType("lab.rehearsal")
    vars(module)["rehearse"] = stand_in.rehearse
    monkeypatch.setitem(sys.modules, "lab.rehearsal", module)
    monkeypatch.chdir(folder)
    return stand_in


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        script(SLEEP, "rehearse"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, bufsize=0
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def said(pipe: object, words: bytes) -> bytes:
    """What a pipe says up to and with these words."""
    heard, deadline = b"", time.monotonic() + PATIENCE
    descriptor = pipe.fileno()  # type: ignore[attr-defined]
    while words not in heard:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(descriptor, 4096) if ready else b""
        assert data, f"{words!r} was not said, only {heard!r}"
        heard += data
    return heard


def test_a_rehearsal_that_ends_as_it_should(stand_in: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["rehearse", "--clients", "7", "--fault", "network-cut", "--json", "out.json"]) == 0
    assert stand_in.asked == [Options(clients=7, fault=Fault.NETWORK_CUT, json=Path("out.json"))]
    document = json.loads(Path("out.json").read_text())
    assert (document["fault"], document["schema"]) == ("network-cut", 1)
    out, complaint = capfd.readouterr()
    assert "SUCCEEDED" in out
    assert "out.json" in out
    assert complaint == ""


def test_every_option_arrives(stand_in: StandIn, folder: Path) -> None:
    words = "--fault primary-lost --lost black-holed --timings aws --seed-orders 0 --clients 1 --json o --keep"
    more = "--kill-orchestrator-at promote --lambda process --port 0 --template"
    assert run(["rehearse", *words.split(), *more.split(), str(folder / "template.yaml")]) == 0
    assert stand_in.asked == [
        Options(
            fault=Fault.PRIMARY_LOST,
            lost=Lost.BLACK_HOLED,
            timings=Profile.AWS,
            seed_orders=0,
            clients=1,
            json=Path("o"),
            keep=True,
            kill_orchestrator_at=(Step.PROMOTE,),
            lambda_mode=LambdaMode.PROCESS,
            port=0,
            template=folder / "template.yaml",
        )
    ]


def test_another_end_is_exit_code_1(stand_in: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    stand_in.problems = ("two promotions",)
    assert run(["rehearse"]) == 1
    assert "! two promotions" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--fault", "flood"], "primary-lost network-cut false-alarm none"),
        (["--lost", "flood"], "refused black-holed"),
        (["--timings", "flood"], "lab aws"),
        (["--lambda", "flood"], "process rie"),
        (["--kill-orchestrator-at", "flood"], "scale promote fence switch verify assess record"),
        (["--clients", "many"], "--clients"),
        (["--clients"], "--clients"),
        (["--clients", "51"], "from 1 to 50"),
        (["--seed-orders", "-1"], "--seed-orders"),
        (["--json", "none/out.json"], "none/out.json"),
        (["--template", "none.yaml"], "none.yaml"),
        (["--flood"], "--flood"),
        (["flood"], "flood"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    stand_in: StandIn, capfd: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(["rehearse", *words]) == 2
    assert stand_in.asked == []
    out, complaint = capfd.readouterr()
    assert out == ""
    assert complaint.startswith("relight: ")
    assert complaint.count("\n") == 1
    assert sentence in complaint


def test_bad_input_ends_the_process_with_exit_code_2(folder: Path) -> None:
    ended = subprocess.run(
        script(SLEEP, "rehearse", "--fault", "flood"), check=False, capture_output=True, text=True, cwd=folder
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("relight: unknown value 'flood'")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PostgresUnavailable("no PostgreSQL", where="here", do="x"), "no PostgreSQL, here, x"),
        (StackRefused("not\nimitated", where="A.B", do="x"), "not imitated, A.B, x"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "in use"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_no_traceback(
    stand_in: StandIn, capfd: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    stand_in.error = error
    assert run(["rehearse"]) == 2
    complaint = capfd.readouterr().err
    assert complaint.startswith("relight: ")
    assert complaint.count("\n") == 1
    assert sentence in complaint


def test_what_nobody_foresaw_is_not_hidden(stand_in: StandIn) -> None:
    stand_in.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run(["rehearse"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_takes_the_lab_down_once(folder: Path, number: signal.Signals, code: int) -> None:
    with running(folder) as process:
        said(process.stdout, b"begun\n")
        process.send_signal(number)
        said(process.stdout, b"taking down\n")
        process.send_signal(signal.SIGINT)
        process.send_signal(number)
        said(process.stdout, b"taken down\n")
        assert process.wait(PATIENCE) == code
        assert process.stderr is not None
        complaints = process.stderr.read().decode().splitlines()
    assert complaints[0] == "relight: interrupted: the lab is being taken down"
    assert "relight: the lab is being taken down; it takes a few seconds" in complaints[1:-1]
    assert complaints[-1] == "relight: nothing is left of the lab"


def test_ctrl_c_while_the_lab_is_taken_down_at_its_end_changes_nothing(folder: Path) -> None:
    more = "what = id; TEAR_DOWN = 0.5; PROBLEMS = ('two promotions',)"
    with subprocess.Popen(script(more, "rehearse"), stdout=subprocess.PIPE, cwd=folder, bufsize=0) as process:
        said(process.stdout, b"taking down\n")
        process.send_signal(signal.SIGINT)
        said(process.stdout, b"! two promotions")
        assert process.wait(PATIENCE) == 1


def test_an_older_python_says_so_and_nothing_else() -> None:
    ast.parse(MAIN.read_text(), feature_version=(3, 6))
    old = "import sys, runpy; sys.version_info = (3, 12, 1); runpy.run_path(sys.argv[1], run_name='__main__')"
    # -S and -I: without what is installed here, as that older Python would have it.
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", old, str(MAIN)], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("relight: Python 3.12 is too old, ")
    assert ended.stderr.count("\n") == 1


def test_help_is_there_without_the_lab() -> None:
    listing = "import sys; sys.argv = ['relight', 'rehearse', '--help']\nfrom relight_cli.main import main\n"
    watched = "\ntry:\n    main()\nfinally:\n    print(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", listing + watched], check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    for words in ("primary-lost|network-cut|false-alarm|none", "--kill-orchestrator-at", "--json", "--template"):
        assert words in ended.stdout
    for heavy in ("moto", "boto3", "django", "psycopg", "dns"):
        assert f"'{heavy}'" not in ended.stderr


def test_without_a_command_there_is_help_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "rehearse" in capfd.readouterr().out


def test_the_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"relight {version('relight')}\n"
