"""What is asked of AWS before anything is changed there: each question by name, with its answer or why it has none."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from relight_cli import account, adoption, certificate, standing, zone
from relight_cli.aws import Aws
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import Environment, Slot
from relight_cli.stack import FAILED_FIRST, Found, Stacks, require_ready
from relight_cli.zone import Zone

# Without these nobody can be asked anything.
_MUTE = frozenset({Exit.NO_CREDENTIALS, Exit.EXPIRED, Exit.AWS})


class Result(StrEnum):
    """How a question was answered."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_MADE = "not made"


@dataclass(frozen=True)
class Checked:
    """One question and its answer."""

    name: str
    result: Result
    sentence: str
    code: Exit = Exit.DONE


@dataclass
class Preflight:
    """The questions, in the order in which they are asked, and what came of them."""

    environment: Environment
    aws: Aws
    stacks: Stacks
    checked: list[Checked] = field(default_factory=list)
    zone: Zone | None = None
    found: dict[Slot, Found | None] | None = None
    """The stacks; None where they could not be looked at."""
    left: set[Slot] = field(default_factory=set)
    """Regions that have a ledger."""

    def names(self) -> list[str]:
        """Every question that there is for this environment."""
        return list(self._questions())

    def require(self, *, deletes_failed: bool) -> None:
        """Ask everything. Refused with the first answer that does not allow a deployment."""
        for name, question in self._questions().items():
            self.checked.append(Checked(name, Result.PASSED, question()))
        for found in (self.found or {}).values():
            if not (deletes_failed and found is not None and found.status == FAILED_FIRST):
                require_ready(found)

    def look(self) -> Exit:
        """Ask what can be asked, and go on after a refusal: the code that a deployment would end with now."""
        mute = ""
        for name, question in self._questions().items():
            if mute:
                self.checked.append(Checked(name, Result.NOT_MADE, mute))
                continue
            try:
                self.checked.append(Checked(name, Result.PASSED, question()))
            except Refused as refused:
                made = refused.code not in _MUTE
                result = Result.REFUSED if made else Result.NOT_MADE
                code = refused.code if made else Exit.DONE
                self.checked.append(Checked(name, result, refused.sentence, code))
                mute = "" if made or name != "account" else refused.what
                # Whatever is found in another account is none of this environment's.
                mute = "this is another account" if refused.code is Exit.WRONG_ACCOUNT else mute
        for found in (self.found or {}).values():
            try:
                require_ready(found)
            except Refused as refused:
                self.checked.append(Checked("stacks", Result.REFUSED, refused.sentence, refused.code))
        return next((checked.code for checked in self.checked if checked.code is not Exit.DONE), Exit.DONE)

    def _questions(self) -> Mapping[str, Callable[[], str]]:
        environment, aws = self.environment, self.aws
        questions: dict[str, Callable[[], str]] = {
            "account": lambda: account.check(environment, aws),
            "Regions": lambda: account.check_regions(environment, aws),
        }
        if certificate.needed(environment):
            questions["certificates"] = lambda: certificate.check(environment, aws)
        questions |= {"hosted zone": self._ask_zone, "records": self._ask_records, "ledgers": self._ask_ledgers}
        if not environment.own_workload:
            questions["existing workload"] = self._ask_workload
        return questions | {"stacks": self._ask_stacks}

    def _ask_zone(self) -> str:
        self.zone = zone.find(self.environment, self.aws)
        return self.zone.sentence

    def _ask_records(self) -> str:
        if self.zone is None:
            raise Refused("the zone could not be read", code=Exit.AWS)
        return zone.check_records(self.environment, self.zone, self.aws)

    def _ask_ledgers(self) -> str:
        readings = standing.read(self.environment, self.aws)
        self.left = {slot for slot, reading in readings.items() if reading.head is not None}
        found = standing.judge(readings, self.environment.home_region, time.time(), heed_freeze=False)
        found.require_home()
        return found.sentence

    def _ask_workload(self) -> str:
        here = zone.at_domain(self.environment, self.zone, self.aws) if self.zone else []
        return adoption.check(self.environment, self.aws, adoption.record(here))

    def _ask_stacks(self) -> str:
        self.found = {slot: self.stacks.look(settings) for slot, settings in self.environment.stacks.items()}
        for slot in self.left:
            if self.found[slot] is None:
                region = self.environment.stacks[slot].region
                raise Refused(
                    f"{region} has a ledger of {self.environment.application}, and no stack",
                    where="something of an earlier deployment was kept, and the names of what is kept are taken",
                    do="remove or rename it; docs/deploying.md says how",
                    code=Exit.STACK,
                )
        states = [f"{slot} {found.status if found else 'does not exist'}" for slot, found in self.found.items()]
        return ", ".join(states)
