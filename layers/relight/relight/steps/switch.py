"""`switch`: say in the ledger that this Region is being activated, and publish its switches at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from relight import hold, switches, traffic
from relight.ledger import State
from relight.policy import GoAfter
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudwatch import CloudWatchClient

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import SwitchSettings

# Until DNS has followed a switch: a minute for its metric, a minute for the alarm, the health check, the record's TTL.
LAPS_TO_FOLLOW = 18


class Intent(StrEnum):
    """`engage`: this Region is being activated. `go`: its traffic may come. `clear`: nothing was promoted.

    `release`: HOLD is let go of, once nothing but the other Region's own switches is needed to keep clients here.
    """

    ENGAGE = "engage"
    GO = "go"
    CLEAR = "clear"
    RELEASE = "release"


@dataclass(frozen=True)
class Switch:
    """The ledger first: `guard` publishes from it each minute and would turn a switch back that it does not know of."""

    settings: SwitchSettings
    ledger: Ledger
    cloudwatch: CloudWatchClient
    clock: Callable[[], float]
    peer_cloudwatch: CloudWatchClient | None = None  # without it nobody lets go of HOLD

    def ensure(self, run: Run, intent: Intent) -> Outcome:
        """What the intent asks for."""
        doing = {
            Intent.ENGAGE: self.engage,
            Intent.GO: self.give_go,
            Intent.CLEAR: self.clear,
            Intent.RELEASE: self.release,
        }
        return doing[intent](run)

    @property
    def _at_home(self) -> bool:
        """HOLD is the switch of the Region that was home at deployment, whatever a person has decided since."""
        return self.settings.aws_region == self.settings.home_region

    def engage(self, run: Run) -> Outcome:
        """STOP, and GO unless it waits for `verify`; or HOLD in their place, in the home Region."""
        withhold = self.settings.go_after is GoAfter.VERIFY
        self.ledger.begin_promoting(run, self.settings.aws_region, withhold_go=withhold, hold=self._at_home)
        # Only now: whoever asked for a lease before `promoting` was written may have been given one until then.
        self.ledger.stop_granting(run, self.clock())
        waiting = "HOLD" if self._at_home else "GO"
        withheld = self.ledger.head().go_withheld
        return self._publish("switched to this Region" + (f"; {waiting} waits for verify" if withheld else ""))

    def give_go(self, run: Run) -> Outcome:
        """GO, or HOLD in the home Region, because `verify` has proven the writes."""
        self.ledger.give_go(run, self.settings.aws_region)
        return self._publish("traffic may come")

    def clear(self, run: Run) -> Outcome:
        """Back to what they were: nothing was promoted."""
        # HOLD stays where this Region is the active one: perhaps nothing else keeps its clients here.
        if self._at_home and self.ledger.require(run).active != self.settings.aws_region:
            self.ledger.release_hold(run)
        self.ledger.set_state(run, State.STEADY)
        return self._publish("the switches are back")

    def release(self, run: Run) -> Outcome:
        """Let go of HOLD once the other Region's switches are seen to be back; done when DNS has still come here since.

        Where it has not, HOLD is 1 again, and all of that is waited for anew.
        """
        s = self.settings
        head = self.ledger.require(run)
        held = head.held
        why = hold.in_the_way(self.peer_cloudwatch, s.application) if held else None
        why = why or traffic.elsewhere(s.domain, s.self_url, s.name_servers, s.sample_timeout_seconds)
        if why is None and not held:
            return self._publish("clients come here without HOLD")
        if why is None:
            self.ledger.release_hold(run)
            said = self._publish("HOLD is let go of; whether DNS stays is looked at once it could have followed")
            return Outcome.wait(said.sentence, LAPS_TO_FOLLOW * s.look_again_seconds, **said.facts)
        if not held and self._at_home and head.active == s.aws_region:
            self.ledger.hold(run)
        said = self._publish(why)
        return Outcome.wait(said.sentence, s.look_again_seconds, **said.facts)

    def _publish(self, sentence: str) -> Outcome:
        values = switches.switches(self.ledger.head(), self.settings.aws_region, self.settings.home_region)
        switches.publish(self.cloudwatch, self.settings.switch_namespace, values)
        shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
        return Outcome.done(f"{sentence}: {shown}", switches=values)
