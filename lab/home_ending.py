"""Whether a way home ended as it should: a sentence for each thing that did not."""

from collections.abc import Iterator

from lab.report import Result, Switchover

READ_ONLY_LIMIT_SECONDS = 5.0
"""How long nobody may take writes in a switchover whose promotion takes a second."""


def gone_round(result: Result) -> Iterator[str]:
    """What is wrong with a circle: the primary lost, DR brought up, home again, and the pilot lit."""
    yield from _reconciled(result)
    if not result.lost_in_failover:
        yield "the failover lost no acknowledged write, so that nothing shows whether the report names what was lost"
    yield from _handed_over(result.switchovers[-1] if result.switchovers else None)
    if result.circle_drift is None:
        yield "nobody looked whether the circle ended where it began"
    else:
        yield from (f"the circle did not end where it began: {sentence}" for sentence in result.circle_drift)


def exchanged(result: Result) -> Iterator[str]:
    """What is wrong where the DR Region was lost while it was active, with the rebuilt primary as its standby."""
    yield from _reconciled(result)
    if not result.held:
        yield "HOLD is not 1, so that DNS may lead clients to the lost DR Region once it is back"


def switched_over(result: Result) -> Iterator[str]:
    """What is wrong with a series of switchovers, of which none may lose a write."""
    asked, done = result.switchovers_asked, len(result.switchovers)
    if done != asked:
        yield f"{done} of {asked} switchovers were made"
    if result.promotions != asked:
        yield f"replicas were promoted {result.promotions} times; {asked} is right"
    for one in result.switchovers:
        yield from _handed_over(one)
        seconds = one.read_only_seconds
        if seconds is not None and seconds >= READ_ONLY_LIMIT_SECONDS:
            limit = f"less than {READ_ONLY_LIMIT_SECONDS:g} s is right"
            yield f"switchover {one.number} was read-only for {seconds:.2f} s; {limit}"
    if result.missing_writes:
        yield f"{len(result.missing_writes)} acknowledged writes are missing; switchovers lose none"


def _reconciled(result: Result) -> Iterator[str]:
    """The report names what the failover lost, and nothing else is missing."""
    lost, named = frozenset(result.lost_in_failover or ()), result.reconciled
    if named is None:
        yield "there is no reconciliation report"
    else:
        yield from _differ("lost, and not named by the reconciliation report", lost - frozenset(named))
        yield from _differ("named by the reconciliation report, and not lost by the failover", frozenset(named) - lost)
    if result.missing_writes is not None:
        if result.circle:
            yield from _differ("missing, and not lost by the failover", frozenset(result.missing_writes) - lost)
        yield from _differ("lost by the failover, and there all the same", lost - frozenset(result.missing_writes))


def _differ(what: str, orders: frozenset[str]) -> Iterator[str]:
    if orders:
        some = " ".join(sorted(orders)[:5])
        yield f"{len(orders)} acknowledged writes are {what}: {some}{' ...' if len(orders) > 5 else ''}"


def _handed_over(one: Switchover | None) -> Iterator[str]:
    if one is None:
        yield "home was not promoted"
    elif one.read_only_seconds is None:
        yield f"how long switchover {one.number} was read-only is not known"
    elif one.read_only_seconds < 0:
        yield f"both Regions acknowledged writes for {-one.read_only_seconds:.2f} s in switchover {one.number}"
