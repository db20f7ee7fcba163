"""The thread that renews: real time, a store of the test's own."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from relight_lease.keeper import Keeper
from relight_lease.lease import Lease, now
from relight_lease.store import Answer

NO = Answer(False, "eu-central-1 is active")
YES = Answer(True, "eu-west-1 is active")
GONE = ConnectionError("nobody there")


class Ledger:
    """Answers as it is told to, and counts the questions."""

    def __init__(self) -> None:
        self.says: Answer | Exception = YES
        self.asked = 0
        self.ended = threading.Event()

    def ask(self) -> Answer:
        if self.ended.is_set():
            threading.Event().wait()  # the thread of a test that is over
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    made.ended.set()


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_nothing_is_asked_before_somebody_wants_to_write(ledger: Ledger) -> None:
    threads = threading.active_count()
    Keeper(Lease(0.3), ledger.ask, "eu-west-1")
    assert (ledger.asked, threading.active_count()) == (0, threads)


def test_it_is_held_from_the_first_call_on_and_renewed_for_as_long_as_it_is_granted(ledger: Ledger) -> None:
    keeper = Keeper(Lease(2.0), ledger.ask, "eu-west-1")
    first = keeper.end()
    assert first is not None
    until(lambda: ledger.asked >= 4)
    last = keeper.end()
    assert last is not None
    assert last > first


def test_one_thread_renews_for_all(ledger: Ledger) -> None:
    keeper = Keeper(Lease(30.0), ledger.ask, "eu-west-1")
    found: list[float | None] = []
    threads = [threading.Thread(target=lambda: found.append(keeper.end())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in found
    assert ledger.asked == 1


def test_a_no_ends_it_at_once(ledger: Ledger) -> None:
    keeper = Keeper(Lease(3600.0), ledger.ask, "eu-west-1", begin=lambda _: None)
    keeper.renew()
    assert keeper.end()
    ledger.says = NO
    keeper.renew()
    assert keeper.end() is None
    assert keeper.because == "eu-west-1 holds no write lease: eu-central-1 is active"


def test_where_the_store_cannot_be_asked_it_runs_out_and_comes_back(ledger: Ledger) -> None:
    keeper = Keeper(Lease(0.6), ledger.ask, "eu-west-1")
    assert keeper.end()
    ledger.says = GONE
    asked = ledger.asked
    until(lambda: ledger.asked > asked)
    until(lambda: keeper.end() is None)
    ledger.says = YES
    until(lambda: keeper.end() is not None)


def test_each_change_is_told_once(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relight_lease")
    clock = [0.0]
    keeper = Keeper(Lease(10.0, lambda: clock[0]), ledger.ask, "eu-west-1", begin=lambda _: None)
    for says in (YES, YES, GONE, GONE, NO, NO, GONE, YES, YES):
        ledger.says = says
        keeper.renew()
        clock[0] += 4
    ledger.says = GONE
    for _ in range(5):
        keeper.renew()
        clock[0] += 4
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "eu-west-1 holds the write lease: eu-west-1 is active"),
        ("WARNING", "eu-west-1 holds no write lease: eu-central-1 is active"),
        ("INFO", "eu-west-1 holds the write lease: eu-west-1 is active"),
        (
            "WARNING",
            "eu-west-1 holds no write lease: the store could not be asked: ConnectionError: nobody there",
        ),
    ]


def test_the_term_counts_from_before_the_question(ledger: Ledger) -> None:
    clock = [0.0]

    def slowly() -> Answer:
        clock[0] += 9
        return YES

    keeper = Keeper(Lease(10.0, lambda: clock[0]), slowly, "eu-west-1", begin=lambda _: None)
    keeper.renew()
    assert keeper.end() == 10.0
    clock[0] = 10.0
    assert keeper.end() is None


def test_an_answer_that_comes_after_the_term_grants_nothing(ledger: Ledger) -> None:
    clock = [0.0]

    def slowly() -> Answer:
        clock[0] += 11
        return YES

    keeper = Keeper(Lease(10.0, lambda: clock[0]), slowly, "eu-west-1", begin=lambda _: None)
    keeper.renew()
    assert keeper.end() is None


def test_a_store_that_hangs_holds_up_the_first_call_and_no_other() -> None:
    lease = Lease(0.1)
    keeper = Keeper(lease, threading.Event().wait, "eu-west-1")  # type: ignore[arg-type]
    assert keeper.end() is None
    lease.term = 3600.0
    assert keeper.end() is None


def test_its_clock_counts_what_the_machine_was_suspended() -> None:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    assert time.clock_gettime(clock) <= now() <= time.clock_gettime(clock)


FORK = """
import json, os, sys, threading
from relight_lease.keeper import Keeper
from relight_lease.lease import Lease
from relight_lease.store import Answer

asked = []
def ask():
    asked.append(os.getpid())
    return Answer(len(set(asked)) == 1, "asked")
lease = Lease(30.0)
keeper = Keeper(lease, ask, "X")
held = keeper.end() is not None
with keeper._starting:  # as another thread may have it at that moment
    child = os.fork()
if child:
    os.waitpid(child, 0)
    print(json.dumps({"parent": held, "asked": len(asked), "still": keeper.end() is not None}))
else:
    inherited = lease.end() is not None
    said = {"inherited": inherited, "threads": threading.active_count()}
    refused = keeper.end() is None
    print(json.dumps({**said, "refused": refused, "asked": len(asked), "threads now": threading.active_count()}))
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.mark.linux
def test_a_forked_process_asks_for_itself() -> None:
    ended = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=60)
    child, parent = (json.loads(line) for line in ended.stdout.splitlines())
    assert child == {"inherited": False, "threads": 1, "refused": True, "asked": 2, "threads now": 2}
    assert parent == {"parent": True, "asked": 1, "still": True}


def test_it_keeps_no_process_from_ending() -> None:
    script = FORK[: FORK.index("with keeper._starting")] + "print(held)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("True\n", "")
