"""Memory is summed over the whole tree of processes."""

import subprocess
import sys

import pytest

from lab.memory import MemoryWatch, pss, tree

HUNGRY = "import sys; block = b'x' * 40_000_000; print('fed', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HUNGRY!r}])"


def test_what_a_grandchild_takes_is_counted() -> None:
    with MemoryWatch(every=60) as watch:
        watch.sample()
        alone = watch.peak_mib
        with subprocess.Popen(
            [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "fed\n"
            assert len(tree([process.pid])) == 2
            watch.sample()
            assert process.stdin is not None
            process.stdin.close()
        watch.sample()
    assert alone is not None
    assert watch.peak_mib is not None
    assert watch.peak_mib > alone + 38


def test_processes_that_are_no_descendants_can_be_named() -> None:
    with subprocess.Popen([sys.executable, "-c", HUNGRY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # It is a child of this process already: naming it again must not count it twice.
        plain, named = MemoryWatch(), MemoryWatch(lambda: [process.pid])
        plain.sample()
        named.sample()
        assert process.stdin is not None
        process.stdin.close()
    assert plain.peak_mib is not None
    assert named.peak_mib == pytest.approx(plain.peak_mib, rel=0.1)


def test_a_process_that_is_gone_takes_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert pss(process.pid) == 0
    assert tree([process.pid]) == frozenset()


def test_nothing_is_known_before_the_first_sample() -> None:
    assert MemoryWatch().peak_mib is None
