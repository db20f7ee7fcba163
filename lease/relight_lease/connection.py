"""A psycopg connection and its cursors, of which PostgreSQL itself refuses each write that the lease does not cover.

A session under the lease is read-only by default. A transaction that may write is begun as such, under the lease, and
the lease is looked at again right before its COMMIT. The server ends a transaction that has lasted for the longest time
allowed (transaction_timeout). So what passes the look before the COMMIT is committed no later than that time after
it, whatever stands still in between: its transaction had begun on the server when this process looked.

A statement in autocommit mode that may write gets a transaction of its own, because nothing else would bound how late
it can arrive.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from relight_lease import statement
from relight_lease.errors import LeaseLost
from relight_lease.keeper import Keeper

_ENDS_TRANSACTIONS = 170000
"""Since this version a server ends a transaction by its age (transaction_timeout), the work on its COMMIT included."""
_ARM = """
SELECT set_config(name, CASE WHEN name = 'default_transaction_read_only' THEN 'on'
                             WHEN setting::bigint BETWEEN 1 AND %(most)s THEN setting
                             ELSE %(most)s::text END, false)
FROM pg_catalog.pg_settings WHERE name IN ('default_transaction_read_only', %(timeout)s)
"""
_NARROW = "SELECT set_config('transaction_read_only', 'on', true), pg_current_xact_id_if_assigned() IS NOT NULL"
_WROTE = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"


class LeasedConnection(psycopg.Connection[Any]):
    """Writes under the lease only. `arm` it before anything else."""

    _keeper: Keeper
    _longest: float
    _takes_writes = False
    _ends_transactions = False
    _narrowed = False
    """Whether, for lack of the lease, the transaction is read-only."""
    _begun_read_only = False

    def arm(self, keeper: Keeper, longest: float) -> None:
        """Make the session read-only by default, and bound its transactions to `longest` seconds.

        Timeouts that are shorter already stay. A database or role that is read-only by default stays so under the
        lease, too. Raises psycopg's errors, NotSupportedError for a server older than 14.
        """
        self._keeper, self._longest = keeper, longest
        factories: tuple[Any, Any] = self.cursor_factory, self.server_cursor_factory
        self.cursor_factory, self.server_cursor_factory = map(leased, factories)
        by_default = self.info.parameter_status("default_transaction_read_only")
        if by_default is None:
            raise psycopg.NotSupportedError("the write lease needs PostgreSQL 14 or later, and a session of its own")
        self._takes_writes = by_default == "off"
        self._ends_transactions = self.info.server_version >= _ENDS_TRANSACTIONS
        # Before, only the wait for a COMMIT can be bounded, and what it may do for long is done before the look.
        timeout = "transaction_timeout" if self._ends_transactions else "idle_in_transaction_session_timeout"
        autocommit = self.autocommit
        self.autocommit = True
        self._ask(_ARM, {"timeout": timeout, "most": int(longest * 1000)})
        self.autocommit = autocommit

    # What the cursors need.

    @contextmanager
    def under_lease(self, query: Any) -> Iterator[None]:
        """What is executed in the block may write while the lease is held, and else meets the server's refusal.

        Raises LeaseLost.
        """
        text = self._text(query)
        self._refuse_to_take_back(text)
        self._narrowed = self._narrowed and not self._alone
        with self._told():
            if self._alone and not statement.reads(text) and self._may_write:
                with self.transaction():
                    self.look(text)
                    yield
            else:
                self.look(text)
                yield

    def execute_under_lease(self, query: Any, act: Callable[[], Any]) -> Any:
        """What `act` returns, which executes the query and may be called twice: a read in autocommit mode that the
        server takes for a write, as of a function that writes, is made again in a transaction under the lease."""
        text = self._text(query)
        if not (self._alone and statement.reads(text)):
            with self.under_lease(query):
                return act()
        self._refuse_to_take_back(text)
        self._narrowed = False
        try:
            with self._told():
                return act()
        except psycopg.errors.ReadOnlySqlTransaction:
            if not self._may_write:
                raise
        with self._told(), self.transaction():
            self.look(text)
            return act()

    def look(self, text: str = "") -> None:
        """Look at the lease before a statement.

        A transaction that is about to begin will be read-only without it. One that has begun becomes read-only when
        the lease is lost; one that has written by then is lost with it, and LeaseLost is raised.
        """
        if self._in_pipeline:
            if statement.ends(text) or statement.several(text):
                raise psycopg.NotSupportedError("a pipeline cannot commit under the write lease; leave it first")
            return
        if not self.autocommit and self._status is TransactionStatus.IDLE:
            self._choose()
            if statement.several(text):
                self._ask("SELECT")  # begins it: there may be a COMMIT in the text, before which the look has to be
        begun_to_write = self._status is TransactionStatus.INTRANS and not self._begun_read_only
        if begun_to_write and not statement.harmless(text) and self._keeper.end() is None:
            self._narrowed = True
            if self._ask(_NARROW)[1]:
                raise self._lost()

    # What psycopg offers, under the lease.

    def commit(self) -> None:
        """Commit, unless something was written and the lease is not held: then LeaseLost, and all is rolled back."""
        try:
            end = self._look_before_commit()
        except LeaseLost:
            with suppress(psycopg.Error):
                self.rollback()
            raise
        super().commit()
        self._look_after_commit(end)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """As psycopg's; the outermost one under the lease."""
        outermost = self._status is TransactionStatus.IDLE
        if outermost:
            self._choose()
        end = None
        with super().transaction(savepoint_name, force_rollback) as made:
            yield made
            if outermost and not force_rollback:
                end = self._look_before_commit()
        self._look_after_commit(end)

    def tpc_begin(self, xid: Any) -> None:
        """Raises NotSupportedError: what is prepared can be committed at any time, by anybody."""
        raise psycopg.NotSupportedError("there is no two-phase commit under the write lease")

    # Looks.

    def _choose(self) -> None:
        """Whether the next transaction may write. Its BEGIN is sent with its first statement."""
        held = self._keeper.end() is not None  # asked before a replica, too, so that it is held when that is promoted
        able = self._takes_writes and not self._recovers
        self._narrowed = able and not held
        self._begun_read_only = not (able and held)
        if self.read_only is not self._begun_read_only:
            self.read_only = self._begun_read_only

    def _look_before_commit(self) -> float | None:
        """When the lease ends that covers the COMMIT; None where nothing was written without one."""
        if self._in_pipeline:
            raise psycopg.NotSupportedError("a pipeline cannot commit under the write lease; leave it first")
        if self._status is not TransactionStatus.INTRANS or self._begun_read_only:
            return None
        if not self._ends_transactions:
            self._ask("SET CONSTRAINTS ALL IMMEDIATE")
        end = self._keeper.end()
        if end is None and self._ask(_WROTE)[0]:
            raise self._lost()
        return end

    def _look_after_commit(self, end: float | None) -> None:
        """Up to then the other Region waits. An answer that comes later is no proof: a server can stand still, too."""
        if end is not None and self._keeper.now() >= end + self._longest:
            raise LeaseLost("the answer to the COMMIT came after the write lease had run out; the write may stand")

    @property
    def _may_write(self) -> bool:
        return self._keeper.end() is not None and self._takes_writes and not self._recovers

    @property
    def _recovers(self) -> bool:
        """Whether the server is a replica, as far as it has told."""
        return self.info.parameter_status("in_hot_standby") == "on"

    @property
    def _status(self) -> TransactionStatus:
        return self.info.transaction_status

    @property
    def _in_pipeline(self) -> bool:
        return bool(self.pgconn.pipeline_status)  # PipelineStatus.OFF is 0

    @property
    def _alone(self) -> bool:
        """Whether the next statement is a transaction by itself."""
        idle = self._status is TransactionStatus.IDLE
        return self.autocommit and idle and not self._in_pipeline

    # Refusals.

    def _lost(self) -> LeaseLost:
        meanwhile = "" if self._keeper.end() is None else "the transaction had lost it before: "
        return LeaseLost(f"{meanwhile}{self._keeper.because}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The server's refusal of a write, told as LeaseLost where it is for lack of the lease."""
        try:
            yield
        except psycopg.errors.ReadOnlySqlTransaction as error:
            able = self._takes_writes and not self._recovers
            if able and (self._narrowed or self._keeper.end() is None):
                raise self._lost() from error
            raise

    def _refuse_to_take_back(self, text: str) -> None:
        if what := statement.taken_back(text, ends_transactions=self._ends_transactions):
            raise psycopg.NotSupportedError(f"{what} would take back what the write lease rests on")
        if self._alone and statement.begins(text):
            raise psycopg.NotSupportedError("under the write lease a transaction is begun by atomic(), not by a text")

    def _text(self, query: Any) -> str:
        """The query without its parameters."""
        if isinstance(query, bytes):
            return query.decode(errors="replace")
        if isinstance(query, sql.Composable):
            return query.as_string(self)
        return query if isinstance(query, str) else "".join(query.strings)  # a template string

    def _ask(self, query: str, parameters: Any = None) -> tuple[Any, ...]:
        """A statement of the connection's own, past all looks; its first row."""
        with psycopg.Cursor(self, row_factory=psycopg.rows.tuple_row) as cursor:
            cursor.execute(query, parameters, prepare=False)
            return (cursor.fetchone() or ()) if cursor.description else ()


class LeasedCursor:
    """Before a psycopg cursor class: every way to send a statement, under the lease."""

    __slots__ = ()

    connection: LeasedConnection

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """As psycopg's. Raises LeaseLost."""
        act = super().execute  # type: ignore[misc]
        return self.connection.execute_under_lease(query, lambda: act(query, params, **options))

    def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        """As psycopg's. Raises LeaseLost."""
        with self.connection.under_lease(query):
            super().executemany(query, params_seq, **options)  # type: ignore[misc]

    def stream(self, query: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        """As psycopg's. Raises LeaseLost."""
        with self.connection.under_lease(query):
            yield from super().stream(query, params, **options)  # type: ignore[misc]

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **options: Any) -> Iterator[psycopg.Copy]:
        """As psycopg's. Raises LeaseLost."""
        with self.connection.under_lease(statement), super().copy(statement, params, **options) as copy:  # type: ignore[misc]
            yield copy


@cache
def leased(cursor: Any) -> Any:
    """That class of psycopg's cursors, under the lease."""
    return cursor if issubclass(cursor, LeasedCursor) else type(f"Leased{cursor.__name__}", (LeasedCursor, cursor), {})
