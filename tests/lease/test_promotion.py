"""Two Regions never write at once: the lease's arithmetic under every interleaving that can be drawn.

The model has one time, which nobody in it can read. The process, the ledger and the database each have a clock of their
own that is wrong in its own way; together they stay within the drift that the DR Region allows for. Requests take any
time on each way or are lost, threads stand still anywhere. Keeper and Lease are the real ones, and the process looks as
LeasedConnection does.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relight_lease.keeper import Keeper
from relight_lease.lease import Lease
from relight_lease.store import Answer

TERM, LONGEST, DRIFT = 10.0, 5.0, 2.0
WAIT = TERM + DRIFT + LONGEST
"""How long the DR Region waits before it promotes, counted from when it stopped to grant."""


@dataclass(frozen=True)
class Renewal:
    """One question to the store."""

    pause: float
    there: float
    back: float
    lost: bool = False


@dataclass(frozen=True)
class Transaction:
    """From its first look to the answer of its COMMIT; the durations hold whatever can stand still there."""

    at: float
    begin_there: float
    begin_back: float
    work: float
    hesitation: float
    """Between the look before the COMMIT and its sending."""
    commit_there: float
    commit_back: float


@dataclass(frozen=True)
class Errors:
    """How wrong the clocks are, in seconds over the span that each of them measures."""

    term: float = 0.0
    longest: float = 0.0
    ledger: float = 0.0


@dataclass
class Found:
    """When transactions were committed, and when which of them were answered well."""

    committed: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)


class World:
    """Plays renewals and transactions against a store that grants until `stops`."""

    def __init__(self, stops: float, errors: Errors, lease: Callable[[float, Callable[[], float]], Lease]) -> None:
        self.time = 0.0
        self.found = Found()
        self._stops = stops
        self._errors = errors
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._renewals: list[Renewal] = []
        # A clock that is late measures its term as longer than it is.
        self._rate = TERM / (TERM + errors.term)
        self.keeper = Keeper(lease(TERM, lambda: self.time * self._rate), self._ask, "X", begin=lambda _: None)

    def play(self, renewals: Sequence[Renewal], transactions: Sequence[Transaction], bounded: bool) -> Found:
        for transaction in transactions:
            self._at(transaction.at, lambda begun=transaction: self._begin(begun, bounded))  # type: ignore[misc]
        for renewal in renewals:
            self._pass(renewal.pause)
            self._renewals = [renewal]
            self.keeper.renew()
        self._pass(1000.0)
        return self.found

    def _at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), act))

    def _pass(self, duration: float) -> None:
        until = self.time + duration
        while self._events and self._events[0][0] <= until:
            time, _, act = heapq.heappop(self._events)
            self.time = max(self.time, time)
            act()
        self.time = max(self.time, until)

    def _ask(self) -> Answer:
        (renewal,) = self._renewals
        self._pass(renewal.there)
        answer = Answer(self.time < self._stops, "as the ledger says")
        self._pass(renewal.back)
        if renewal.lost:
            raise ConnectionError
        return answer

    def _begin(self, transaction: Transaction, bounded: bool) -> None:
        if self._end() is None:
            return
        begun = self.time + transaction.begin_there
        answered = begun + transaction.begin_back + transaction.work
        self._at(answered, lambda: self._commit(transaction, begun, bounded))

    def _commit(self, transaction: Transaction, begun: float, bounded: bool) -> None:
        end = self._end()
        if end is None:
            return
        at = self.time + transaction.hesitation + transaction.commit_there
        if bounded and at - begun >= LONGEST + self._errors.longest:
            return
        self._at(at, lambda: self.found.committed.append(self.time))
        self._at(at + transaction.commit_back, lambda: self._answered(end))

    def _answered(self, end: float) -> None:
        if self.keeper.now() < end + LONGEST:
            self.found.acknowledged.append(self.time)

    def _end(self) -> float | None:
        self.keeper._answered.set()
        return self.keeper.end()

    def promoted(self, wait: float = WAIT) -> float:
        """When the DR Region promotes at the earliest."""
        return self._stops + wait - self._errors.ledger


def spans(longest: float = 40.0) -> st.SearchStrategy[float]:
    """Mostly short; now and then about as long as the things that count."""
    near = st.sampled_from([0.0, LONGEST - 0.001, LONGEST, TERM - 0.001, TERM, TERM + DRIFT, WAIT])
    return st.one_of(st.floats(0, 0.5), st.floats(0, longest), near)


renewals = st.lists(st.builds(Renewal, spans(12), spans(), spans(), st.booleans()), max_size=12)
transactions = st.lists(
    st.builds(Transaction, spans(90), spans(8), spans(8), spans(8), spans(), spans(), spans()), max_size=6
)


@st.composite
def errors(draw: st.DrawFn) -> Errors:
    """Any three that stay within the drift together."""
    shares = [draw(st.floats(0, 1)) for _ in range(3)]
    whole = max(1.0, sum(shares))
    signs = [draw(st.sampled_from([1.0, 1.0, -1.0])) for _ in range(3)]
    return Errors(*(DRIFT * share / whole * sign for share, sign in zip(shares, signs, strict=True)))


@settings(max_examples=800, deadline=None)
@given(st.floats(0, 60), errors(), renewals, transactions)
def test_nothing_is_committed_once_the_other_region_may_promote(
    stops: float, wrong: Errors, asked: list[Renewal], begun: list[Transaction]
) -> None:
    world = World(stops, wrong, Lease)
    found = world.play(asked, begun, bounded=True)
    assert all(at < world.promoted() for at in found.committed)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 60), errors(), renewals, transactions)
def test_nothing_is_acknowledged_either_although_the_server_stands_still(
    stops: float, wrong: Errors, asked: list[Renewal], begun: list[Transaction]
) -> None:
    # The process measures both spans by its own clock then.
    by_itself = Errors(wrong.term * TERM / (TERM + LONGEST), 0, wrong.ledger)
    world = World(stops, by_itself, Lease)
    found = world.play(asked, begun, bounded=False)
    assert all(at < world.promoted() for at in found.acknowledged)


# The worst that can happen: what was asked just before the ledger stopped to grant, looked at just before its end, and
# committed just before the server ends the transaction, while each clock is wrong to the same side.
STOPS, EDGE = 100.0, 0.001
WORST_ERRORS = Errors(DRIFT / 2, DRIFT / 4, DRIFT / 4)
LAST_END = STOPS - EDGE + TERM + WORST_ERRORS.term
WORST_RENEWAL = [Renewal(STOPS - EDGE, 0, 0)]
WORST = Transaction(LAST_END - 2 * EDGE, 0, 0, EDGE, 0, LONGEST + WORST_ERRORS.longest - 2 * EDGE, 0)


def test_the_wait_is_as_long_as_it_has_to_be_and_no_longer() -> None:
    world = World(STOPS, WORST_ERRORS, Lease)
    (committed,) = world.play(WORST_RENEWAL, [WORST], bounded=True).committed
    assert world.promoted() - 5 * EDGE < committed < world.promoted()
    for shorter in (WAIT - DRIFT, WAIT - LONGEST, WAIT - TERM, WAIT - 10 * EDGE):
        assert committed > world.promoted(shorter)


class FromTheAnswer(Lease):
    """Counts its term from when it was granted."""

    def grant(self, asked_at: float) -> None:
        super().grant(self.clock())


class Undying(Lease):
    """Is not looked at."""

    def end(self) -> float | None:
        return self._end if self._end > 0 else None


@pytest.mark.parametrize(
    ("lease", "renewal", "transaction", "bounded"),
    [
        (FromTheAnswer, Renewal(STOPS - 1, 0.5, 20), Transaction(STOPS + 25, 0, 0, 0, 0, 0, 0), True),
        (Undying, Renewal(STOPS - 1, 0, 0), Transaction(STOPS + 25, 0, 0, 0, 0, 0, 0), True),
        (Lease, Renewal(STOPS - 1, 0, 0), Transaction(STOPS, 0, 0, 0, 20, 0, 0), False),
    ],
    ids=["counted from the answer", "no look", "no bound on the server"],
)
def test_each_part_of_it_is_needed(
    lease: type[Lease], renewal: Renewal, transaction: Transaction, bounded: bool
) -> None:
    world = World(STOPS, Errors(), lease)
    assert world.play([renewal], [transaction], bounded).committed[0] > world.promoted()
    sound = World(STOPS, Errors(), Lease)
    assert sound.play([renewal], [transaction], bounded=True).committed == []
