"""All that a person needs who is to operate a failover, looked at from this machine; and again without a Region.

Nothing is changed. Everything is asked at once, and nobody waits for what does not answer: what is still under way
after `LIMIT_SECONDS` is a WARN.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from relight.moment import lasting
from relight.telling import one_line
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relight_cli import machine, signin
from relight_cli.allowance import Judgement, called, simulated
from relight_cli.aws import NO_ANSWER, Aws, asking, refusal
from relight_cli.blockade import GLOBAL, Blockade
from relight_cli.check import LEVELS, Check, counts, failed, not_made, passed, warned, well
from relight_cli.clock import Reading, judge, reading
from relight_cli.deployed import Deployed
from relight_cli.estate import Estate, Held, compare, standing
from relight_cli.exit_code import Exit, Refused
from relight_cli.needs import NEEDS, Need, Place
from relight_cli.operating import Operator, Stranger
from relight_cli.reaching import reaching
from relight_cli.reaching import reading as reading_ledger
from relight_cli.signin import SignedIn

LIMIT_SECONDS = 13.0
"""With the start of Python around it, no more than 15 s."""
_SIGN_IN_SECONDS = 5.0
_LONGEST = 1000
_ENDPOINT = "AWS_ENDPOINT_URL"
NOT_MEANINGFUL = (
    "which credentials, how long they last, and what a sign-in depends on: an endpoint of one's own takes any",
    "permissions: who answers here need not check them, so that only the calls themselves are shown to work",
    "name resolution, and which host a call goes to: a Region is refused by what a call is signed for",
)
"""What cannot be learnt where one endpoint stands for all Regions, as in the lab."""


@dataclass(frozen=True)
class Met:
    """What a Region has answered when asked who calls."""

    region: str
    seconds: float
    caller: str | None = None
    """An ARN; None where it would not say."""
    account: str | None = None
    clock: Reading | None = None
    silence: Refused | None = None
    """Why it did not answer at all."""
    refused: Refused | None = None
    """Why it would not say who calls."""


@dataclass
class Examination:
    """One look at everything. Checks are told as they are made."""

    deployed: Deployed
    lost: str
    """The Region that is refused in the second part."""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.time
    seconds: float = LIMIT_SECONDS
    checks: dict[str, list[Check]] = field(default_factory=dict)
    caller: str | None = None
    _until: float = field(default=0.0, repr=False)

    @property
    def one_endpoint(self) -> bool:
        """Whether one address stands for all Regions."""
        return bool(self.environment.get(_ENDPOINT))

    @property
    def left(self) -> str:
        """The Region that is there still when the other one is lost."""
        return next(region for region in self.deployed.regions if region != self.lost)

    def make(self) -> list[Check]:
        """Look at everything: all checks, those of this machine first."""
        parts: dict[str, Callable[[], None]] = {
            "this machine": self._machine,
            "AWS": self._aws,
            f"without {self.lost}": self._without,
        }
        self.checks = {name: [] for name in parts}
        self._until = time.monotonic() + self.seconds
        late = together(self.seconds, parts)
        found = [check for name in parts for check in list(self.checks[name])]
        return found + [_late(name) for name in late]

    # This machine.

    def _machine(self) -> None:
        tell = self.checks["this machine"]
        tell += machine.tools(self.environment.get("PATH"))
        if not self.one_endpoint:
            tell += machine.names(self.deployed.regions, machine.resolve, self.environment)

    # AWS as it is.

    def _aws(self) -> None:
        tell = self.checks["AWS"]
        operator = Operator()
        found = self._sign_in(operator, tell)
        self._ask(operator, found is not None, tell)

    def _ask(self, operator: Operator, signed: bool, tell: list[Check]) -> None:
        """Both Regions at once: neither waits for the other, and permissions only until one has said who calls."""
        asks: Aws = operator if signed else Stranger()
        met: dict[str, Met] = {}
        held: dict[str, Held] = {}
        judgements: list[Judgement] = []
        known = threading.Event()

        def ask(region: str) -> None:
            one = meet(asks, region)
            # Whatever is found in another account is none of this application's.
            ours = one.caller is not None and self.deployed.account in {None, one.account}
            if ours:
                self.caller = one.caller
                known.set()
            met[region] = one
            if ours and signed:
                held[region] = Estate(self.deployed, region, operator).look(str(one.caller))

        def permit() -> None:
            while not known.wait(0.05):
                if len(met) == len(self.deployed.regions):
                    return
            judgements.extend(self._judged(operator, str(self.caller)))

        parts: dict[str, Callable[[], None]] = {region: partial(ask, region) for region in self.deployed.regions}
        late = together(self._remaining, {**parts, "permissions": permit} if signed else parts)
        tell += [answered(region, met.get(region)) for region in self.deployed.regions]
        tell.append(judge([one.clock for one in list(met.values()) if one.clock is not None]))
        if signed:
            tell.append(account(list(met.values()), self.deployed.account))
        for region in self.deployed.regions:
            tell += held[region].checks if region in held else []
        tell += compare(dict(held)) if len(held) > 1 else []
        tell += [check for one in judgements for check in one.checks()]
        tell += [_late(part, None if part == "permissions" else part) for part in late]

    def _judged(self, operator: Operator, caller: str) -> list[Judgement]:
        """What the caller may do in each Region that answers."""
        places = [Place.of(self.deployed.application, region, caller) for region in self.deployed.regions]
        found = [] if self.one_endpoint else _simulated(operator, caller, places)
        if found:
            return found
        needs = self._harmless(need for need in NEEDS if need.required)
        made: dict[str, Judgement] = {}

        def judged(place: Place) -> None:
            made[place.region] = called(operator, place, needs)

        # Sooner than whoever waits for this.
        together(self._remaining - 0.3, {place.region: partial(judged, place) for place in places})
        return [made[region] for region in self.deployed.regions if region in made and not made[region].silent]

    def _harmless(self, needs: Iterable[Need]) -> list[Need]:
        """Those that change nothing when they are called here: only AWS is known to heed a dry run of a function."""
        return [need for need in needs if not (self.one_endpoint and need.action == "lambda:InvokeFunction")]

    @property
    def _remaining(self) -> float:
        """Seconds until what is there has to be told."""
        return max(0.0, self._until - 0.3 - time.monotonic())

    def _sign_in(self, operator: Operator, tell: list[Check]) -> SignedIn | None:
        """The credentials, and what they depend on; None where there are none."""
        got: list[SignedIn] = []
        trouble: list[Refused] = []

        def sign_in() -> None:
            try:
                got.append(operator.sign_in())
            except Refused as refused:
                trouble.append(refused)

        late = together(_SIGN_IN_SECONDS, {"sign-in": sign_in})
        if late:
            what = f"whoever issues the credentials has not answered for {lasting(_SIGN_IN_SECONDS)}"
            tell.append(failed("credentials", what, "look at credential_process, or sign in by another profile"))
        tell += [not_made("credentials", refused) for refused in trouble]
        if not self.one_endpoint:
            tell += [signin.credentials(one, self.clock()) for one in got]
            tell += self._dependences(operator, got[0] if got else None) if not late else []
        return got[0] if got else None

    def _dependences(self, operator: Operator, found: SignedIn | None) -> list[Check]:
        try:
            session = operator.session()
        except Refused:
            return []  # it is said already that AWS's settings on this machine cannot be used
        blockade = Blockade(self.lost, self.left)
        profile = str(session.get_config_variable("profile") or "default")
        default = session.get_config_variable("region")
        legacy = session.get_config_variable("sts_regional_endpoints") == "legacy"
        listed = signin.dependences(session.full_config, found, profile, GLOBAL if legacy else default)
        checks = list(signin.depends(listed, blockade)) if found is not None or listed else []
        return checks + list(signin.misled(self.environment, default, blockade))

    # Without a Region.

    def _without(self) -> None:
        """What an operator needs for the failover in the Region that is left, by a new sign-in."""
        blockade = Blockade(self.lost, self.left)
        operator = Operator(blockade)
        tell = self.checks[f"without {self.lost}"]

        def told(*checks: Check) -> None:
            tell.extend(replace(check, without=self.lost) for check in checks)

        try:
            found = operator.sign_in()
            with reaching(self.left, "ask whose credentials these are"):
                who = operator.client("sts", self.left).get_caller_identity()
        except Refused as refused:
            told(shut_out(refused, blockade))
            return
        told(let_in(found, who["Arn"], self.left, one_endpoint=self.one_endpoint))
        try:
            with reading_ledger(self.deployed, self.left, operator) as ledger:
                head = ledger.head()
        except Refused as refused:
            told(not_made("ledger", refused, self.left))
        else:
            told(passed("ledger", standing(head), self.left))
        place = Place.of(self.deployed.application, self.left, who["Arn"])
        told(*called(operator, place, self._harmless(need for need in NEEDS if need.night)).checks())


def together(seconds: float, parts: Mapping[str, Callable[[], None]]) -> list[str]:
    """Do all of it at once: what is not done in time, which goes on in vain. Raises what a part has raised."""
    raised: list[BaseException] = []

    def do(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as error:  # raised again in the thread that waits
            raised.append(error)

    # Daemons: the command ends while one of them still waits for a Region that is dead.
    threads = {name: threading.Thread(target=do, args=(part,), name=name, daemon=True) for name, part in parts.items()}
    deadline = time.monotonic() + seconds
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    if raised:
        raise raised[0]
    return [name for name, thread in threads.items() if thread.is_alive()]


def _late(name: str, region: str | None = None) -> Check:
    return warned(name, "not all of it was done in time", "run this again; another network may be faster", region)


def meet(aws: Aws, region: str) -> Met:
    """Ask a Region who calls. Its refusal is an answer, too, and has the time in it."""
    sts = aws.client("sts", region)
    asked, began = time.time(), time.monotonic()
    try:
        found: Mapping[str, Any] = sts.get_caller_identity()
        trouble = None
    except ClientError as error:
        found = error.response
        trouble = refusal(error, f"ask {region} whose credentials these are")
    except NO_ANSWER as error:
        silence = refusal(error, f"ask {region} whose credentials these are")
        return Met(region, time.monotonic() - began, silence=silence)
    seconds = time.monotonic() - began
    clock = reading(found.get("ResponseMetadata", {}), asked, asked + seconds)
    return Met(region, seconds, found.get("Arn"), found.get("Account"), clock, refused=trouble)


def answered(region: str, met: Met | None) -> Check:
    """Whether a Region answers, and how soon. Pure."""
    todo = "look from another network, and at relight status; a Region that is lost is what relight failover is for"
    if met is None:
        return failed("Region answers", "it has not answered in time; nothing more was asked there", todo, region)
    if met.silence is not None:
        why = one_line(met.silence.what, _LONGEST)
        return failed("Region answers", f"it does not answer; nothing more was asked there: {why}", todo, region)
    return passed("Region answers", f"it has answered after {met.seconds * 1000:.0f} ms", region)


def account(met: Sequence[Met], wanted: str | None) -> Check:
    """Whether the credentials are taken, and are of the application's account. Pure."""
    known = next((one for one in met if one.caller is not None), None)
    if known is None:
        refused = next((one.refused for one in met if one.refused is not None), None)
        if refused is not None:
            return not_made("account", refused)
        return failed("account", "no Region has said whose credentials these are", "see whether a Region answers")
    if wanted is not None and known.account != wanted:
        what = f"these credentials are of account {known.account}, and not of {wanted}"
        return failed("account", what, "sign in to the other account; nothing more was looked at")
    told = f"{known.account}, as {known.caller}"
    return passed("account", told if wanted else f"{told} (with --env it is compared with the environment's)")


def shut_out(refused: Refused, blockade: Blockade) -> Check:
    """Nobody gets in while the Region is refused: FAIL, and a WARN where only us-east-1 was asked. Pure."""
    if not blockade.refused:
        return not_made("sign-in", refused)
    hosts = " and ".join(blockade.refused)
    todo = "have the operator's profile at hand, which needs no other Region (docs/break-glass.md)"
    if blockade.by_control_planes:
        return warned("sign-in", f"there is none without {GLOBAL}: it asks {hosts}", todo)
    return failed("sign-in", f"there is none: it asks {hosts}, so that nobody gets in while that is lost", todo)


def let_in(found: SignedIn, caller: str, region: str, *, one_endpoint: bool) -> Check:
    """Somebody gets in. Pure."""
    if one_endpoint:
        return passed("sign-in", f"{region} knows the caller, {caller}", region)
    if found.method == "custom-process":
        todo = "find out what it asks, and have a profile at hand that does not need it"
        return warned("sign-in", "credential_process gave credentials, but what it asks could not be refused", todo)
    return passed("sign-in", f"by {found.source}, anew, and {region} takes it: {caller}", region)


def _simulated(operator: Operator, caller: str, places: list[Place]) -> list[Judgement]:
    """IAM's word; nothing where it does not say."""
    try:
        with asking("simulate permissions"):
            return simulated(operator, caller, places)
    except Refused:
        return []


def rich_table(checks: Sequence[Check]) -> Table:
    """For a terminal and for a pipe; the worst first."""
    shown = Table(show_edge=False, pad_edge=False)
    for heading in ("level", "check", "Region", "what was seen", "what to do"):
        shown.add_column(heading, overflow="fold", no_wrap=heading == "level")
    for check in sorted(checks, key=lambda one: LEVELS.index(one.level)):
        name = f"without {check.without}: {check.name}" if check.without else check.name
        cells = (check.level.value, name, check.region or "", check.sentence, check.todo)
        shown.add_row(*(Text(one_line(cell, _LONGEST)) for cell in cells))
    return shown


def summary(deployed: Deployed, checks: Sequence[Check], seconds: float) -> str:
    """One line that says it all. Pure."""
    state = "well" if well(checks) else "NOT WELL"
    many = ", ".join(f"{number} {level}" for level, number in counts(checks).items())
    return f"{deployed.application} in {' and '.join(deployed.regions)}: {state} ({many}), looked at in {seconds:.1f} s"


def conduct(deployed: Deployed, lost: str, *, as_json: bool) -> int:
    """Look, and show it: the exit code."""
    Aws().ask_for_code()  # and keep what it is good for: each look below has its time
    began = time.monotonic()
    examination = Examination(deployed, lost)
    checks = examination.make()
    seconds = time.monotonic() - began
    notes = list(NOT_MEANINGFUL) if examination.one_endpoint else []
    if as_json:
        document = {
            "application": deployed.application,
            "regions": list(deployed.regions),
            "without": lost,
            "caller": examination.caller,
            "well": well(checks),
            "seconds": round(seconds, 1),
            "checks": [check.to_dict() for check in checks],
            "not_meaningful_here": notes,
        }
        print(json.dumps(document, indent=2))
    else:
        print(summary(deployed, checks, seconds))
        Console().print(rich_table(checks))
        for note in notes:
            print(f"not meaningful here, with {_ENDPOINT} set: {note}")
    return Exit.DONE if well(checks) else Exit.UNWELL
