"""What a failback has found out, in a few lines each: for its question, its end and the command line. Pure.

The facts are those of `compare`, `objects`, `retire` and `reprotect`. What was not handed on is told as not known: a
report that is malformed keeps nobody from being asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relight.telling import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of the facts of a failback: the name in the input of `record`, in its evidence, and of the steps of the timeline that
# hold them where the input does not.
STEPS = {
    "retired": ("retire", "retire (keep)"),
    "reprotect": ("reprotect",),
    "comparison": ("compare (database)", "compare"),
    "reconciliation": ("compare (lost)",),
    "objects": ("objects",),
    "light": ("survey (light)",),
}
SHOWN = 5
LONGEST = 200


def name_of(difference: Any) -> str:
    """The stable name of a difference, `kind:table[:key]`, which is what a list of accepted ones holds."""
    if not isinstance(difference, dict):
        return one_line(str(difference), LONGEST)
    name = difference.get("name") or ":".join(
        str(difference[part]) for part in ("kind", "table", "key") if difference.get(part)
    )
    return one_line(str(name), LONGEST)


def facts_of(given: Any) -> dict[str, Any] | None:
    """The facts, also where a step's whole outcome is given; None where there is neither."""
    if not isinstance(given, dict):
        return None
    facts = given.get("facts", given)
    return facts if isinstance(facts, dict) else None


def count_of(facts: Mapping[str, Any] | None, name: str) -> int | None:
    """A count that the facts tell; of a list or of a table by name, how many there are. None is not known."""
    found = (facts or {}).get(name)
    if isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return int(found)
    return len(found) if isinstance(found, list | dict) else None


def counted(count: int, one: str, many: str = "") -> str:
    """`1 row`, `12,345 rows`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def left_out(facts: Mapping[str, Any] | None) -> str:
    """Whose rows were not compared, and why; empty where nothing was left out."""
    listed = (facts or {}).get("not_compared")
    names = [_uncompared(one) for one in listed] if isinstance(listed, list) else []
    total = max(len(names), count_of(facts, "not_compared_total") or 0)
    if not total:
        return ""
    more = f", and {total - len(names[:SHOWN]):,} more" if total > SHOWN else ""
    return f"not compared: {', '.join(names[:SHOWN]) or counted(total, 'table')}{more if names else ''}"


def _uncompared(entry: Any) -> str:
    if not isinstance(entry, dict):
        return one_line(str(entry), LONGEST)
    return one_line(f"{entry.get('table')} ({entry.get('why')})", LONGEST)


@dataclass(frozen=True)
class Reports:
    """The facts of a failback by their names; None is what was not handed on, or does not exist.

    `accepted` are the names of the differences that a person has accepted; None where that was not handed on.
    """

    retired: Mapping[str, Any] | None = None
    reprotect: Mapping[str, Any] | None = None
    comparison: Mapping[str, Any] | None = None
    reconciliation: Mapping[str, Any] | None = None
    objects: Mapping[str, Any] | None = None
    accepted: tuple[str, ...] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Reports:
        """From what the input or the evidence says under those names."""
        accepted = given.get("accepted")
        facts = {name: found for name in STEPS if name != "light" and (found := facts_of(given.get(name))) is not None}
        return cls(**facts, accepted=tuple(map(str, accepted)) if isinstance(accepted, list) else None)

    def compared(self) -> Iterator[str]:
        """What the two databases and the two buckets came to."""
        yield f"- database: {self._database()}"
        lag = (self.reprotect or {}).get("lag_seconds")
        if isinstance(lag, int | float):
            yield f"- the replica follows, {lag:.0f} s behind"
        yield f"- objects: {self._objects()}"

    def _database(self) -> str:
        facts = self.comparison
        total = count_of(facts, "differences_total")
        if facts is None or total is None:
            return "what the comparison came to is not known"
        tables, rows = count_of(facts, "tables"), count_of(facts, "rows")
        size = "" if tables is None or rows is None else f" in {counted(tables, 'table')} with {counted(rows, 'row')}"
        without = left_out(facts)
        beside = f"; {without}" if without else ""
        return f"no difference{size}{beside}" if total == 0 else f"{self._different(facts, total)}{size}{beside}"

    def _different(self, facts: Mapping[str, Any], total: int) -> str:
        listed = facts.get("differences")
        names = [name_of(one) for one in listed] if isinstance(listed, list) else []
        more = f", and {total - SHOWN:,} more" if total > SHOWN else ""
        named = f": {', '.join(names[:SHOWN])}{more}" if names else ""
        return f"{counted(total, 'difference')}{self._judged(names, total)}{named}"

    def _judged(self, names: list[str], total: int) -> str:
        if self.accepted is None:
            return ""
        accepted = sum(name in self.accepted for name in names)
        return " (all of them accepted)" if accepted == total else f" ({accepted:,} of them accepted)"

    def _objects(self) -> str:
        facts = self.objects
        total = count_of(facts, "differences_total")
        if facts is None or total is None:
            return "what the comparison came to is not known"
        objects = count_of(facts, "objects")
        size = "" if objects is None else f" in {counted(objects, 'object')}"
        differ = f"no difference{size}" if total == 0 else f"{self._different(facts, total)}{size}"
        waiting = [f"{count:,} {name}" for name in ("pending", "failed") if (count := count_of(facts, name))]
        return f"{differ}; {' and '.join(waiting)}" if waiting else differ

    @property
    def old(self) -> str:
        """The name of the database that was kept; empty where there is none."""
        kept = (self.retired or {}).get("retired", self.retired)
        return one_line(str(kept.get("instance", "")), LONGEST) if isinstance(kept, dict) else ""

    @property
    def lost_rows(self) -> int | None:
        """How many rows exist only in the old database, or differ there; None is not known."""
        return count_of(self.reconciliation, "rows")

    def lost(self) -> Iterator[str]:
        """What of the old database is not in the active one, by table."""
        rows = self.lost_rows
        old = self.old or "the old database"
        if rows is None:
            yield f"Not known: {self._why()}."
            so_far = sum(count_of(self.reconciliation, kind) or 0 for kind in ("only_retired", "differs"))
            if so_far:
                yield f"Until then {counted(so_far, 'row')} were found that exist only in {old}, or differ there."
            return
        undecided = count_of(self.reconciliation, "undecided")
        if undecided:
            yield f"{counted(undecided, 'question')} could not be decided; the report names them."
        without = left_out(self.reconciliation)
        if without:
            yield f"{without[0].upper()}{without[1:]}."
        if rows == 0 and not (without or undecided):
            yield f"Nothing: each row of {old} is in the active database."
        elif rows == 0:
            yield f"Beside that nothing: each row of {old} that was compared is in the active database."
        else:
            yield f"{counted(rows, 'row')} exist only in {old}, or differ there{self._by_table()}."
            yield f"What is only in {old} was never replicated, or has been deleted since: no database knows which."
            yield "Nothing of it is merged by itself: it is for people to review."

    def _why(self) -> str:
        """Why it is not known what was lost."""
        told = (self.reconciliation or {}).get("why") or (self.retired or {}).get("why")
        return one_line(str(told or "the old database was not compared"), LONGEST).rstrip(".")

    def _by_table(self) -> str:
        tables = (self.reconciliation or {}).get("tables")
        if not isinstance(tables, dict):
            many = count_of(self.reconciliation, "tables")
            return "" if many is None else f", in {counted(many, 'table')}"
        sized = {table: count for table, count in tables.items() if isinstance(count, int | float) and count}
        most = sorted(sized.items(), key=lambda each: (-each[1], each[0]))
        named = ", ".join(f"{one_line(str(table), 80)} {int(count):,}" for table, count in most[:SHOWN])
        more = f", and {len(most) - SHOWN} more tables" if len(most) > SHOWN else ""
        return f": {named}{more}" if named else ""
