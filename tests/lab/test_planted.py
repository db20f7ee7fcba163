"""Losses that are planted in real databases are each found, counted, and told apart."""

from pathlib import Path

from lab.attempts import Attempt, Kind
from lab.postgres import Postgres
from lab.score import Facts, score
from lab.wal import commit_lsns
from tests.lab.test_wal import TABLE, order, position, until

OLD, NEW = "eu-west-1", "eu-central-1"


def acknowledged(name: str, at: float, region: str = OLD) -> Attempt:
    """A client's note that this order was answered 201."""
    return Attempt(Kind.WRITE, name, 1, at - 0.1, at, 201, region=region)


def test_each_planted_loss_is_counted(primary: Postgres, data_root: Path) -> None:
    primary.sql(TABLE)
    standby = Postgres.copy_of(primary, data_root / "standby", "127.0.2.20", 0, slot="dr")
    try:
        standby.start()
        for name in ("kept", "streamed-and-then-gone"):
            order(primary, name)
        until(lambda: standby.received_lsn() >= position(primary))
        standby.kill()
        order(primary, "never-streamed")
        primary.kill()
        standby.start()
        received = standby.received_lsn()
        standby.promote()
        # What no replication would do: a row that had arrived is taken away.
        standby.sql("DELETE FROM shop_order WHERE id = 'streamed-and-then-gone'")
        order(standby, "written-in-dr")
        active = frozenset(str(row[0]) for row in standby.sql("SELECT id FROM shop_order"))
        commits = commit_lsns(primary.data_dir)
    finally:
        standby.destroy()

    log = [
        acknowledged("kept", 10),
        acknowledged("streamed-and-then-gone", 11),
        acknowledged("never-streamed", 19),
        acknowledged("written-in-dr", 40, NEW),
        acknowledged("written-on-the-old-side", 41, OLD),
    ]
    facts = Facts(
        lost_at=20.0,
        old_region=OLD,
        active_ids=active | {"written-on-the-old-side"},
        commit_lsns=commits,
        received_lsn=received,
        promotions=1,
        promoted_at=30.0,
    )
    figures = score(log, facts)

    assert figures.missing_writes == ("streamed-and-then-gone", "never-streamed")
    assert figures.missing_streamed_writes == 1
    assert figures.writes_on_both_sides == ("written-on-the-old-side",)
    assert figures.rpo_seconds == 9.0
