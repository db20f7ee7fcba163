"""A freeze, written to both ledgers or taken out of them. One that cannot be reached does not keep the other waiting.

The ledger of the Region that would be activated decides over a run there, so a freeze in one ledger only is one of one
direction, and is said loudly.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from relight.ledger import Head
from relight.moment import lasting, told

from relight_cli.aws import Aws
from relight_cli.complaint import complain
from relight_cli.deployed import Deployed
from relight_cli.document import show, show_with
from relight_cli.exit_code import Exit, Refused
from relight_cli.moment import moment
from relight_cli.reaching import identity, reading

LONGEST = 30 * 86400.0
"""Seconds. A freeze that everybody has forgotten is a failover that does not happen."""
_ONE_SIDED = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})


@dataclass(frozen=True)
class Window:
    """From when until when, in epoch seconds."""

    begins: float
    until: float


@dataclass(frozen=True)
class Frozen:
    """A freeze as a ledger has it; `begins` and `by` are None where whoever wrote it has not said."""

    begins: float | None
    until: float
    because: str
    by: str | None

    @property
    def sentence(self) -> str:
        """For people."""
        since = "" if self.begins is None else f"from {told(self.begins)} "
        return f"{since}until {told(self.until)} by {self.by or 'nobody named'}, because: {self.because}"


@dataclass(frozen=True)
class Outcome:
    """What came of it in one Region."""

    region: str
    before: Frozen | None = None
    """The freeze that was there, also one that is over."""
    run: str | None = None
    """The run that is on there."""
    trouble: Refused | None = None
    """Why nothing was changed there."""


def window(begins: str | None, until: str, now: float) -> Window:
    """What the command line asks for. Refused where it is no time, over already, or longer than anybody remembers."""
    start = now if begins is None else _moment("--from", begins, now)
    end = _moment("--until", until, start)
    if end <= start:
        raise _wrong("--until", f"its end {told(end)} is not after its beginning {told(start)}")
    if end <= now:
        raise _wrong("--until", f"{told(end)} is in the past, it is {told(now)}")
    if end - start > LONGEST:
        raise _wrong("--until", f"until {told(end)} it lasts longer than {lasting(LONGEST)}")
    return Window(start, end)


def _moment(option: str, text: str, after: float) -> float:
    try:
        return moment(text, after)
    except ValueError as error:
        raise _wrong(option, str(error)) from None


def _wrong(option: str, what: str) -> Refused:
    return Refused(what, where=f"in {option}", do="correct it", code=Exit.BAD_INPUT)


def frozen(head: Head) -> Frozen | None:
    """The freeze of a ledger's head, also one that is over or lies ahead."""
    if head.frozen_until is None:
        return None
    return Frozen(head.frozen_from, head.frozen_until, head.frozen_because or "no reason given", head.frozen_by)


def change(deployed: Deployed, asked: Window | None, because: str, by: str, aws: Aws) -> list[Outcome]:
    """Freeze both ledgers for that window, or take out what is there where it is None."""
    return [_change(deployed, region, asked, because, by, aws) for region in deployed.regions]


def _change(deployed: Deployed, region: str, asked: Window | None, because: str, by: str, aws: Aws) -> Outcome:
    try:
        with reading(deployed, region, aws) as ledger:
            head = ledger.head()
            before = frozen(head)
            if asked is not None:
                ledger.freeze(asked.begins, asked.until, because, by)
            elif before is not None:
                ledger.unfreeze()
    except Refused as refused:
        if refused.code not in _ONE_SIDED:
            raise
        return Outcome(region, trouble=refused)
    return Outcome(region, before, head.owner)


def lines(asked: Window | None, because: str, by: str, outcomes: list[Outcome], now: float) -> Iterator[str]:
    """What came of it, for people: a line each. Pure."""
    done = [one for one in outcomes if one.trouble is None]
    if asked is None:
        yield f"not frozen any more, by {by}, because: {because}" if _any(done) else "nothing was frozen"
    else:
        span = lasting(asked.until - asked.begins)
        ahead = f", beginning in {lasting(asked.begins - now)}" if asked.begins > now else ""
        yield f"frozen for {span}{ahead}: {Frozen(asked.begins, asked.until, because, by).sentence}"
    for one in outcomes:
        yield f"  {one.region}: {_told(one, asked)}"
    for one in done:
        if asked is not None and one.run is not None:
            yield f"A run is on in {one.region}: {one.run}. A freeze counts when it decides again, not behind that."


def _any(outcomes: list[Outcome]) -> bool:
    return any(one.before for one in outcomes)


def _told(one: Outcome, asked: Window | None) -> str:
    if one.trouble is not None:
        return f"NOT CHANGED: {one.trouble.sentence}"
    if asked is None:
        return f"taken out, {one.before.sentence}" if one.before else "nothing was there"
    return f"written; it replaces one {one.before.sentence}" if one.before else "written"


def as_document(
    deployed: Deployed, asked: Window | None, because: str, by: str, outcomes: list[Outcome]
) -> dict[str, object]:
    """The outcome as JSON has it; times are epoch seconds."""
    return {
        "application": deployed.application,
        "from": asked and asked.begins,
        "until": asked and asked.until,
        "because": because,
        "by": by,
        "ledgers": [
            {
                "region": one.region,
                "changed": one.trouble is None and (asked is not None or one.before is not None),
                "before": one.before and asdict(one.before),
                "run": one.run,
                "trouble": one.trouble and one.trouble.sentence,
            }
            for one in outcomes
        ],
    }


def conduct(deployed: Deployed, asked: Window | None, because: str, *, as_json: bool) -> int:
    """Freeze or unfreeze, and say so: the exit code."""
    aws = Aws()
    by = identity(deployed, aws, deployed.regions)
    outcomes = change(deployed, asked, because, by, aws)
    troubled = {one.region: one.trouble for one in outcomes if one.trouble is not None}
    if len(troubled) == len(outcomes):
        raise next(iter(troubled.values()))
    said = as_document(deployed, asked, because, by, outcomes)
    if not as_json:
        print("\n".join(lines(asked, because, by, outcomes, time.time())))
    elif not troubled:
        show(said)
    for region, trouble in troubled.items():  # one at most: where neither could be changed, it was refused
        refused = _one_sided(region, trouble, "frozen" if asked else "unfrozen")
        if as_json:
            return show_with(said, refused, refused.code)
        complain(refused.sentence)
        return refused.code
    return Exit.DONE


def _one_sided(region: str, trouble: Refused, word: str) -> Refused:
    what = f"{region} was NOT {word}, a run there is as free as before; {trouble.sentence}"
    return Refused(what, do="run this again", code=Exit.ONE_LEDGER)
