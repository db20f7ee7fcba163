"""`switch`: say in the ledger that this Region is being activated, and publish its switches at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relight import switches
from relight.ledger import State
from relight.step import Outcome

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import SwitchSettings


@dataclass(frozen=True)
class Switch:
    """The ledger first: `guard` publishes from it each minute and would turn a switch back that it does not know of."""

    settings: SwitchSettings
    ledger: Ledger
    cloudwatch: CloudWatchClient

    def engage(self, run: Run) -> Outcome:
        """STOP and GO; the target group's readiness still holds traffic back until writes work (rule 5)."""
        self.ledger.set_state(run, State.PROMOTING)
        return self._publish("switched to this Region")

    def clear(self, run: Run) -> Outcome:
        """Back to what they were: nothing was promoted."""
        self.ledger.set_state(run, State.STEADY)
        return self._publish("the switches are back")

    def _publish(self, sentence: str) -> Outcome:
        values = switches.switches(self.ledger.head(), self.settings.aws_region, self.settings.home_region)
        switches.publish(self.cloudwatch, self.settings.switch_namespace, values)
        shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
        return Outcome.done(f"{sentence}: {shown}", switches=values)
