"""The retired databases of both Regions, as their ledgers have them, and the deletion of one by its own function."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from relight.moment import lasting, told
from relight.retired import Retired
from relight.telling import one_line

from relight_cli.aws import Aws
from relight_cli.complaint import complain
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import identity, reaching, reading

PATIENCE_SECONDS = 900.0
_SILENT = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})
_REFUSALS = {
    "RetiredNotFound": Exit.UNKNOWN_RETIRED,
    "RetiredTooYoung": Exit.TOO_YOUNG,
    "AnotherRunInProgress": Exit.RUN_ON,
    "InputInvalid": Exit.BAD_INPUT,
}
_LONGEST = 1000
_DAY = 86400.0


@dataclass(frozen=True)
class Kept:
    """A retired database, and where it is. `retained_days` is None where the Region does not say."""

    region: str
    retired: Retired
    retained_days: float | None

    @property
    def deletable_at(self) -> float | None:
        """From when on it may be deleted; epoch seconds."""
        return None if self.retained_days is None else self.retired.retired_at + self.retained_days * _DAY


@dataclass(frozen=True)
class Deletion:
    """What the person has decided."""

    instance: str
    because: str


def kept(deployed: Deployed, aws: Aws) -> tuple[list[Kept], dict[str, Refused]]:
    """Those of each Region that answers, and why the others do not. Refused where nobody can ask at all."""
    found: list[Kept] = []
    silent: dict[str, Refused] = {}
    for region in deployed.regions:
        try:
            with reading(deployed, region, aws) as ledger:
                here = ledger.retired()
        except Refused as refused:
            if refused.code not in _SILENT:
                raise
            silent[region] = refused
            continue
        days = _retained_days(deployed, region, aws) if here else None
        found += [Kept(region, one, days) for one in here]
    return sorted(found, key=lambda one: one.retired.retired_at), silent


def _function(deployed: Deployed) -> str:
    return f"relight-{deployed.application}-retire"


def _retained_days(deployed: Deployed, region: str, aws: Aws) -> float | None:
    """As the function that refuses a deletion has it; None where that cannot be learnt."""
    try:
        with reaching(region, "ask for how long they are kept"):
            client = aws.client("lambda", region)
            found = client.get_function_configuration(FunctionName=_function(deployed))
        return float(found["Environment"]["Variables"]["RETAINED_DAYS"])
    except (Refused, KeyError, ValueError):
        return None


def lines(found: list[Kept], now: float) -> Iterator[str]:
    """For people: a line or two each. Pure."""
    if not found:
        yield "no database is retired"
    for one in found:
        it = one.retired
        age = lasting(now - it.retired_at)
        yield f"{it.instance} in {one.region}: kept for {age}, since {told(it.retired_at)} by run {it.run}"
        yield f"  it was {it.of}, superseded at epoch {it.epoch}; snapshot {it.snapshot or 'none'}; {_when(one, now)}"


def _when(one: Kept, now: float) -> str:
    if one.deletable_at is None:
        return "when it may be deleted is not known here"
    if one.deletable_at <= now:
        return f"it may be deleted since {told(one.deletable_at)}"
    return f"it may be deleted from {told(one.deletable_at)} on, in {lasting(one.deletable_at - now)}"


def as_document(found: list[Kept], now: float) -> list[dict[str, object]]:
    """As JSON has it; times are epoch seconds."""
    return [
        {
            **asdict(one.retired),
            "region": one.region,
            "age_seconds": now - one.retired.retired_at,
            "deletable_at": one.deletable_at,
        }
        for one in found
    ]


def listing(deployed: Deployed, *, as_json: bool) -> int:
    """List them: the exit code. A Region that does not answer is named, and no more, while another one does."""
    found, silent = kept(deployed, Aws())
    _require_one(deployed, silent)
    now = time.time()
    print(json.dumps(as_document(found, now), indent=2) if as_json else "\n".join(lines(found, now)))
    for region, trouble in silent.items():
        complain(f"what is retired in {region} is not known; {trouble.sentence}")
    return Exit.DONE


def _require_one(deployed: Deployed, silent: dict[str, Refused]) -> None:
    if len(silent) == len(deployed.regions):
        raise next(iter(silent.values()))


@dataclass(frozen=True)
class Deleting:
    """A deletion on its way. What is said meanwhile goes to `show`, a line each; `sleep` and `clock` are seconds."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def delete(self, wanted: Deletion) -> dict[str, Any]:
        """Have it deleted, and follow that: what the function said last. Refused for an unknown one, or too young."""
        found, silent = kept(self.deployed, self.aws)
        _require_one(self.deployed, silent)
        one = next((each for each in found if each.retired.instance == wanted.instance), None)
        if one is None:
            raise _unknown(wanted.instance, found, silent)
        by = identity(self.deployed, self.aws, dict.fromkeys((one.region, *self.deployed.regions)))
        given = {"intent": "delete", "instance": wanted.instance, "by": by, "because": wanted.because}
        deadline, said = self.clock() + PATIENCE_SECONDS, ""
        while True:
            outcome = self._invoke(one.region, given)
            sentence = one_line(str(outcome.get("sentence")), _LONGEST)
            if sentence != said:
                self.show(sentence)
            said = sentence
            if outcome.get("status") != "WAIT":
                return {**outcome, "region": one.region, **given}
            if self.clock() >= deadline:
                what = f"{wanted.instance} in {one.region} is not deleted yet: {said}"
                raise Refused(what, do="it goes on; run this again to see it through", code=Exit.OTHERWISE)
            self.sleep(min(60.0, max(1.0, float(outcome.get("look_again_seconds") or 10))))

    def _invoke(self, region: str, given: dict[str, str]) -> dict[str, Any]:
        name = _function(self.deployed)
        with reaching(region, f"call {name}"):
            answer = self.aws.client("lambda", region).invoke(FunctionName=name, Payload=json.dumps(given).encode())
        body = json.loads(answer["Payload"].read() or b"{}")
        if "FunctionError" in answer:
            error, message = str(body.get("errorType")), one_line(str(body.get("errorMessage")), _LONGEST)
            raise Refused(f"{name} in {region} refuses: {message}", code=_REFUSALS.get(error, Exit.OTHERWISE))
        return dict(body)


def _unknown(instance: str, found: list[Kept], silent: dict[str, Refused]) -> Refused:
    names = " ".join(each.retired.instance for each in found) or "none"
    beside = f"; of {' and '.join(silent)} nothing is known" if silent else ""
    what = f"no retired database is called {one_line(instance, 80)!r}{beside}"
    return Refused(what, do=f"those that are: {names}", code=Exit.UNKNOWN_RETIRED)


def conduct(deployed: Deployed, wanted: Deletion, *, as_json: bool) -> int:
    """Delete it, and say so: the exit code."""
    said = Deleting(deployed, Aws(), show=_silent if as_json else print).delete(wanted)
    if as_json:
        print(json.dumps(said, indent=2))
    return Exit.DONE


def _silent(_: str) -> None:
    """JSON stands alone on stdout."""
