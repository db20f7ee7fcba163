"""`switch`: say in the ledger that this Region is being activated, and publish its switches at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from relight import switches
from relight.ledger import State
from relight.policy import GoAfter
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudwatch import CloudWatchClient

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import SwitchSettings


class Intent(StrEnum):
    """`engage`: this Region is being activated. `go`: its traffic may come. `clear`: nothing was promoted."""

    ENGAGE = "engage"
    GO = "go"
    CLEAR = "clear"


@dataclass(frozen=True)
class Switch:
    """The ledger first: `guard` publishes from it each minute and would turn a switch back that it does not know of."""

    settings: SwitchSettings
    ledger: Ledger
    cloudwatch: CloudWatchClient
    clock: Callable[[], float]

    def ensure(self, run: Run, intent: Intent) -> Outcome:
        """What the intent asks for."""
        return {Intent.ENGAGE: self.engage, Intent.GO: self.give_go, Intent.CLEAR: self.clear}[intent](run)

    def engage(self, run: Run) -> Outcome:
        """STOP, and GO unless it waits for `verify`."""
        withhold = self.settings.go_after is GoAfter.VERIFY
        self.ledger.begin_promoting(run, self.settings.aws_region, withhold_go=withhold)
        # Only now: whoever asked for a lease before `promoting` was written may have been given one until then.
        self.ledger.stop_granting(run, self.clock())
        withheld = self.ledger.head().go_withheld
        return self._publish("switched to this Region" + ("; GO waits for verify" if withheld else ""))

    def give_go(self, run: Run) -> Outcome:
        """GO, because `verify` has proven the writes."""
        self.ledger.give_go(run, self.settings.aws_region)
        return self._publish("traffic may come")

    def clear(self, run: Run) -> Outcome:
        """Back to what they were: nothing was promoted."""
        self.ledger.set_state(run, State.STEADY)
        return self._publish("the switches are back")

    def _publish(self, sentence: str) -> Outcome:
        values = switches.switches(self.ledger.head(), self.settings.aws_region, self.settings.home_region)
        switches.publish(self.cloudwatch, self.settings.switch_namespace, values)
        shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
        return Outcome.done(f"{sentence}: {shown}", switches=values)
