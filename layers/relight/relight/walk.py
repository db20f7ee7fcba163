"""The walk through two databases that are compared: which question comes next, and what its answer leads to.

It is a stack of small tasks, each of which asks one or both databases something that is soon answered. Between two of
them the whole of it is JSON: a walk that was broken off goes on from what was kept, and does its last tasks again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight import comparison
from relight.comparison import Difference, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.comparison import Key, Suspects, Version

type Ask = Callable[..., dict[str, Any]]
"""`ask(check, **event)`: what `dbcheck` answers. Raises Later or Failed."""
type Task = dict[str, Any]
type Told = Callable[[dict[str, Any]], None]

SECONDS = 3.0
"""How long `dbcheck` may work on one question, about."""
FIRST_SIZE, FINE_SIZE, LIST_SIZE = 16384, 256, 1000
MOST_DIFFERENCES = 10_000
"""In one table: whoever has so many of them needs no more names."""
MOST_LOST = 100_000
"""Rows that a reconciliation report tells; what is beyond them is counted."""
TOO_LONG = "57014"  # SQLSTATE: the statement took too long


class Later(Exception):
    """A database (`who`, as sentences name it) cannot be asked just now, or has not come far enough."""

    def __init__(self, who: str, sentence: str) -> None:
        super().__init__(f"{who} {sentence}")
        self.who = who


class Failed(Exception):
    """A database (`who`) has refused a question, for a reason that stays."""

    def __init__(self, who: str, code: str, sentence: str) -> None:
        super().__init__(f"{who}: {sentence}")
        self.who = who
        self.code = code


class What(StrEnum):
    """What is compared: the replica with the active database, or the active database with a retired one."""

    DATABASE = "database"
    LOST = "lost"


def begin(what: What) -> dict[str, Any]:
    """A walk that has not begun."""
    sequences = [{"do": "sequences"}] if what is What.DATABASE else []
    return {
        "tasks": [*sequences, {"do": "schemas"}],
        "plan": [],
        "not_compared": [],
        "schema": [],
        "undecided": [],
        "steps": 0,
        "tables": 0,
        "rows": 0,
        "here": 0,
        "follows": None,
        "only_active": 0,
        "at_least": False,
        "lost": {},
        "told": 0,
    }


class Walk:
    """Does one task after the other. `told` takes each difference, or each lost row, as a report has it."""

    def __init__(self, what: What, lead: Ask, other: Ask, work: dict[str, Any], told: Told) -> None:
        self.what = what
        self.lead = lead
        self.other = other
        self.work = work
        self.told = told
        self.given_up = False

    @property
    def _is_lost(self) -> bool:
        return self.what is What.LOST

    def step(self) -> None:
        """Do the next task. Where Later is raised, nothing has changed."""
        task: Task = self.work["tasks"][-1]
        self.given_up = False
        try:
            then: list[Task] = getattr(self, f"_do_{task['do']}")(task)
        except Failed as failed:
            if "t" not in task:
                raise Later(failed.who, f"refuses: {failed}") from None
            then = self._refused(task, failed)
        self.work["steps"] += 1
        tasks = self.work["tasks"]
        tasks.pop(next(place for place in reversed(range(len(tasks))) if tasks[place] is task))
        tasks.extend([] if self.given_up else reversed(then))

    def _refused(self, task: Task, failed: Failed) -> list[Task]:
        """A smaller question, or the end of this table."""
        if failed.code == TOO_LONG and task["do"] == "scan" and task["size"] > FINE_SIZE:
            return [{**task, "size": max(FINE_SIZE, task["size"] // 4)}]
        self._leave(task, f"it could not be compared: {failed}")
        return []

    def _leave(self, task: Task, why: str) -> None:
        """Give the rest of this table up, and say so."""
        self.given_up = True
        self._tell([comparison.undecided(self._table(task), None, why)])
        tasks = self.work["tasks"]
        tasks[:] = [one for one in tasks if one is task or one.get("t") != task["t"] or one["do"] == "done"]

    def _tell(self, differences: list[Difference]) -> None:
        for one in differences:
            if self._is_lost:
                self.work["undecided"].append(one.as_dict())
            else:
                self.told(one.as_dict())

    def _table(self, task: Task) -> dict[str, Any]:
        return dict(self.work["plan"][task["t"]])

    @staticmethod
    def _named(table: Mapping[str, Any]) -> dict[str, Any]:
        return {name: table[name] for name in ("schema", "name", "key", "columns", "as_text")}

    def _ask(self, ask: Ask, check: str, task: Task, **event: Any) -> dict[str, Any]:
        table = self._table(task)
        if ask is self.other and not table["is_there"]:
            return {"rows": [], "hashes": {}, "buckets": {}, "chunks": [], "more": False, "block": None, "lsn": None}
        return ask(check, table=self._named(table), seconds=SECONDS, **event)

    # Schemas and sequences.

    def _do_schemas(self, task: Task) -> list[Task]:
        mine, lsn = self._all_tables(self.lead, None)
        theirs, _ = self._all_tables(self.other, lsn)
        found = comparison.schemas(mine, theirs, both=not self._is_lost)
        if self._is_lost:
            self.work["schema"] = [one.as_dict() for one in found.differences if one.kind is not Kind.UNDECIDED]
            self._tell([one for one in found.differences if one.kind is Kind.UNDECIDED])
        else:
            before = [Difference(*one) for one in task.get("before") or []]
            same, new = comparison.again(before, found.differences)
            lap = task.get("round", 1)
            if new and lap < comparison.ROUNDS:
                kept = [[one.kind, one.table, one.key, one.detail] for one in found.differences]
                return [{"do": "schemas", "before": kept, "round": lap + 1}]
            self._tell(same)
            self._tell([Difference(Kind.UNDECIDED, one.table, None, "its schema kept changing") for one in new])
        self.work["plan"] = found.plan
        self.work["not_compared"] = found.not_compared
        return [{"do": name, "t": place} for place in range(len(found.plan)) for name in ("table", "done")]

    @staticmethod
    def _all_tables(ask: Ask, past: str | None) -> tuple[list[dict[str, Any]], str | None]:
        found: list[dict[str, Any]] = []
        after: list[str] | None = None
        while True:
            answer = ask("tables", after=after, past=past)
            found += answer["tables"]
            if not answer["more"]:
                return found, answer["lsn"]
            after = [found[-1]["schema"], found[-1]["name"]]

    def _do_sequences(self, task: Task) -> list[Task]:
        mine = self.lead("sequences")
        if mine["in_recovery"]:
            raise Later("what should be the active database", "is a replica")
        theirs = self.other("sequences", past=mine["lsn"])
        self.work["follows"] = theirs["in_recovery"]
        found = comparison.behind(mine["sequences"], theirs["sequences"])
        before, lap = task.get("before"), task.get("round", 1)
        same = [one for one in found if before is not None and one.name in before]
        if len(same) < len(found) and lap < comparison.ROUNDS:
            return [{"do": "sequences", "before": [one.name for one in found], "round": lap + 1}]
        self._tell(found)
        return []

    # A table with a key.

    def _do_table(self, task: Task) -> list[Task]:
        table, t = self._table(task), task["t"]
        self.work["here"] = 0
        if not table["key"]:
            buckets = 64 if table["estimate"] < 1_000_000 else 1024
            return [{"do": "whole", "t": t, "n": buckets, "side": "lead", "block": 0, "lead": {}, "other": {}}]
        if not table["is_there"]:
            return [{"do": "list", "t": t, "after": None, "upto": None}]
        return [{"do": "scan", "t": t, "after": None, "size": FIRST_SIZE}]

    def _do_done(self, _: Task) -> list[Task]:
        self.work["tables"] += 1
        return []

    def _do_scan(self, task: Task) -> list[Task]:
        answer = self._ask(self.lead, "digest", task, after=task["after"], rows=task["size"])
        chunks = answer["chunks"]
        self.work["rows"] += sum(chunk[1] for chunk in chunks)
        last = chunks[-1][0] if chunks else task["after"]
        size = answer["rows"]
        match = {
            **task,
            "do": "match",
            "chunks": chunks,
            "lsn": answer["lsn"],
            "fine": False,
            "size": max(size, FIRST_SIZE),
        }
        then = {"do": "scan" if answer["more"] else "tail", "t": task["t"], "after": last, "size": size}
        return [*([match] if chunks else []), then]

    def _do_match(self, task: Task) -> list[Task]:
        chunks, after = task["chunks"], task["after"]
        bounds, size = [chunk[0] for chunk in chunks], max(task["size"], *(chunk[1] for chunk in chunks))
        answer = self._ask(self.other, "digest", task, after=after, bounds=bounds, rows=size, past=task["lsn"])
        theirs = answer["chunks"]
        if not task["fine"]:
            self.work["only_active"] += sum(two[1] - one[1] for one, two in zip(chunks, theirs, strict=False))
            self.work["at_least"] |= any(two[1] >= 4 * size for two in theirs)
        then: list[Task] = [
            {"do": "list" if task["fine"] else "split", "t": task["t"], **found._asdict()}
            for found in comparison.mismatched(after, chunks, theirs)
        ]
        if answer["more"]:
            then.append({**task, "after": bounds[len(theirs) - 1], "chunks": chunks[len(theirs) :]})
        return then

    def _do_split(self, task: Task) -> list[Task]:
        after, upto, rows = task["after"], task["upto"], task["rows"]
        if rows <= 2 * FINE_SIZE:
            return [{**task, "do": "list"}]
        answer = self._ask(self.lead, "digest", task, after=after, upto=upto, rows=FINE_SIZE, fixed=True)
        chunks = answer["chunks"]
        if not chunks:
            return [{**task, "do": "list"}]
        t = task["t"]
        match = {"do": "match", "t": t, "after": after, "chunks": chunks, "lsn": answer["lsn"], "fine": True}
        then: list[Task] = [{**match, "size": FINE_SIZE}]
        if answer["more"]:
            then.append(
                {**task, "after": chunks[-1][0], "rows": max(rows - sum(c[1] for c in chunks), 2 * FINE_SIZE + 1)}
            )
        return then

    def _do_tail(self, task: Task) -> list[Task]:
        """What the other has behind the lead's last row."""
        after, size = task["after"], task["size"]
        answer = self._ask(self.other, "digest", task, after=after, rows=size)
        chunks = answer["chunks"]
        if not chunks:
            return []
        rest: list[Task] = [{**task, "after": chunks[-1][0]}] if answer["more"] else []
        if self._is_lost:
            self.work["only_active"] += sum(chunk[1] for chunk in chunks)
            return rest
        bounds = [chunk[0] for chunk in chunks]
        mine = self._ask(self.lead, "digest", task, after=after, bounds=bounds, rows=max(c[1] for c in chunks))[
            "chunks"
        ]
        found = comparison.mismatched(after, chunks, mine)
        if len(mine) < len(chunks):
            rest = [{**task, "after": bounds[len(mine) - 1]}]
        return [*({"do": "split", "t": task["t"], **one._asdict()} for one in found), *rest]

    # Its rows.

    def _do_list(self, task: Task) -> list[Task]:
        after, upto = task["after"], task["upto"]
        mine = self._ask(self.lead, "rows", task, after=after, upto=upto, limit=LIST_SIZE)
        end = mine["rows"][-1]["key"] if mine["more"] else upto
        if self._is_lost:
            theirs, _ = self._by_keys(self.other, task, [row["key"] for row in mine["rows"]], None)
        else:
            answer = self._ask(self.other, "rows", task, after=after, upto=end, limit=LIST_SIZE, past=mine["lsn"])
            theirs = comparison.by_key(answer["rows"])
            if answer["more"]:
                end = answer["rows"][-1]["key"]
                mine = self._ask(self.lead, "rows", task, after=after, upto=end, limit=LIST_SIZE)
        found = comparison.suspects(comparison.by_key(mine["rows"]), theirs)
        if not self._table(task)["is_there"]:
            self.work["rows"] += len(mine["rows"])
        rest: list[Task] = [{**task, "after": end}] if end != upto else []
        return [*self._suspected(task, found), *rest]

    def _suspected(self, task: Task, found: Suspects) -> list[Task]:
        if not found:
            return []
        if self._is_lost:
            return [{"do": "values", "t": task["t"], "keys": [comparison.key_of(key) for key in found]}]
        return [{"do": "again", "t": task["t"], "before": found, "round": 2}]

    def _do_again(self, task: Task) -> list[Task]:
        """The suspects once more: what two rounds agree on is a difference, what has changed is looked at again."""
        keys = [comparison.key_of(key) for key in task["before"]]
        mine, lsn = self._by_keys(self.lead, task, keys, None)
        theirs, _ = self._by_keys(self.other, task, keys, lsn)
        same, changed = comparison.decided(task["before"], comparison.suspects(mine, theirs))
        self._decide(task, same)
        if not changed:
            return []
        if task["round"] < comparison.ROUNDS:
            return [{**task, "before": changed, "round": task["round"] + 1}]
        said = f"the row kept changing while it was looked at {comparison.ROUNDS} times"
        self._tell([comparison.undecided(self._table(task), key, said) for key in changed])
        return []

    def _by_keys(
        self, ask: Ask, task: Task, keys: list[Key], past: str | None
    ) -> tuple[dict[str, Version], str | None]:
        """The rows with these keys, and the position behind which all of them were read."""
        found: dict[str, Version] = {}
        lsn = None
        for first in range(0, len(keys), LIST_SIZE):
            some = keys[first : first + LIST_SIZE]
            while some:
                answer = self._ask(ask, "rows", task, keys=some, past=past)
                found |= comparison.by_key(answer["rows"])
                lsn = answer["lsn"]
                some = some[answer["done"] :] if answer["more"] else []
        return found, lsn

    def _decide(self, task: Task, same: Suspects) -> None:
        table = self._table(task)
        self._tell([comparison.row_difference(table, key, seen) for key, seen in same.items()])
        self.work["here"] += len(same)
        if self.work["here"] > MOST_DIFFERENCES:
            self._leave(task, f"more than {MOST_DIFFERENCES} differences: the rest of it was not compared")

    # A table without a key.

    def _do_whole(self, task: Task) -> list[Task]:
        side = task["side"]
        answer = self._ask(
            self._side(side), "digest", task, buckets=task["n"], block=task["block"], past=task.get("past")
        )
        task = {**task, side: comparison.add_buckets(task[side], answer["buckets"]), "block": answer["block"]}
        if answer["more"]:
            return [task]
        if side == "lead":
            return [{**task, "side": "other", "block": 0, "past": answer["lsn"]}]
        mine, theirs = ({name: one[0] for name, one in task[which].items()} for which in ("lead", "other"))
        self.work["rows"] += sum(mine.values())
        self.work["only_active"] += sum(theirs.values()) - sum(mine.values()) if self._table(task)["is_there"] else 0
        only, left = comparison.affordable(comparison.unequal(task["lead"], task["other"]), task["lead"], task["other"])
        if left:
            said = f"it has no key, and about {left} rows lie where it differs: too many to look at one by one"
            self._tell([comparison.undecided(self._table(task), None, said)])
        return [self._hashes_of(task, only, None, 1, [])] if only else []

    def _side(self, side: str) -> Ask:
        return self.lead if side == "lead" else self.other

    @staticmethod
    def _hashes_of(task: Task, only: list[int], before: Suspects | None, lap: int, told: list[str]) -> Task:
        kept = {"t": task["t"], "n": task["n"], "only": only, "before": before, "round": lap, "told": told}
        return {"do": "hashes", **kept, "side": "lead", "block": 0, "lead": {}, "other": {}}

    def _do_hashes(self, task: Task) -> list[Task]:
        side, where = task["side"], {"only": task["only"], "buckets": task["n"]}
        answer = self._ask(self._side(side), "rows", task, block=task["block"], past=task.get("past"), **where)
        counts = dict(task[side])
        for one, count in answer["hashes"].items():
            counts[one] = counts.get(one, 0) + count
        task = {**task, side: counts, "block": answer["block"]}
        if answer["more"]:
            return [task]
        if side == "lead":
            return [{**task, "side": "other", "block": 0, "past": answer["lsn"]}]
        return self._judge_hashes(task)

    def _judge_hashes(self, task: Task) -> list[Task]:
        found = comparison.suspects(comparison.by_hash(task["lead"]), comparison.by_hash(task["other"]))
        found = {key: seen for key, seen in found.items() if key not in task["told"]}
        if task["before"] is None:
            return [self._hashes_of(task, task["only"], found, 2, [])] if found else []
        same, changed = comparison.decided(task["before"], found)
        then = self._copies_of(task, same) if self._is_lost else []
        if not self._is_lost:
            self._decide(task, same)
        if changed and task["round"] < comparison.ROUNDS:
            told = [*task["told"], *same]
            return [*then, self._hashes_of(task, task["only"], changed, task["round"] + 1, told)]
        if changed:
            said = f"it has no key, and {len(changed)} different rows of it kept changing"
            self._tell([comparison.undecided(self._table(task), None, said)])
        return then

    # What was lost.

    def _copies_of(self, task: Task, same: Suspects) -> list[Task]:
        """How many rows of each hash are only in the retired database."""
        left = {
            comparison.key_of(key)[0]: int(seen[0][0] if seen[0] else 0) - int(seen[1][0] if seen[1] else 0)
            for key, seen in same.items()
        }
        left = {one: count for one, count in left.items() if count > 0}
        return [{"do": "copies", "t": task["t"], "left": left, "block": 0}] if left else []

    def _do_copies(self, task: Task) -> list[Task]:
        answer = self._ask(self.lead, "rows", task, hashes=list(task["left"]), block=task["block"])
        left, table = dict(task["left"]), self._table(task)
        for row in answer["rows"]:
            if left.get(row["hash"], 0) > 0:
                left[row["hash"]] -= 1
                self._lost(table, {**row, "key": []}, None, answer["generated"])
        left = {one: count for one, count in left.items() if count > 0}
        return [{**task, "left": left, "block": answer["block"]}] if answer["more"] and left else []

    def _do_values(self, task: Task) -> list[Task]:
        keys, table = task["keys"], self._table(task)
        mine = self._ask(self.lead, "rows", task, keys=keys, values=True)
        some = keys[: mine["done"]]
        there: dict[str, dict[str, Any]] = {}
        while some:
            theirs = self._ask(self.other, "rows", task, keys=some, values=True)
            there |= {comparison.key_json(row["key"]): row for row in theirs["rows"]}
            some = some[theirs["done"] :] if theirs["more"] else []
        for row in mine["rows"]:
            found = there.get(comparison.key_json(row["key"]))
            if found is None or found["hash"] != row["hash"]:
                self._lost(table, row, found, mine["generated"])
        return [{**task, "keys": keys[mine["done"] :]}] if mine["more"] else []

    def _lost(
        self, table: dict[str, Any], row: dict[str, Any], found: dict[str, Any] | None, generated: list[str]
    ) -> None:
        """Tell a row that is only in the retired database, or has other values there."""
        name = comparison.name_of(table)
        of_table = self.work["lost"].setdefault(
            name,
            {
                **{part: table[part] for part in ("schema", "name", "key", "is_there")},
                "generated": generated,
                "only_retired": 0,
                "differs": 0,
            },
        )
        kind = "only_retired" if found is None else "differs"
        of_table[kind] += 1
        if found is None and table["is_there"]:
            self.work["only_active"] += 1  # as many rows on both sides: then one more is only there
        if self.work["told"] >= MOST_LOST:
            return
        self.work["told"] += 1
        key = dict(zip(table["key"], row["key"], strict=True)) or None
        cut = sorted({*row["cut"], *(found["cut"] if found else [])})
        active = found["values"] if found else None
        self.told({"table": name, "key": key, "kind": kind, "retired": row["values"], "active": active, "cut": cut})
