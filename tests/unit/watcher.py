"""The probe at work on a scene: minute after minute, in a time that passes only when it sleeps."""

from dataclasses import dataclass, field
from typing import Any

from relight.ledger import Ledger
from relight.probe import Probe
from relight.signal import Seen, Signal, View

from tests.unit.scene import Scene
from tests.unit.situation import keep_signals
from tests.unit.standby import MACHINE, Clock, execution

ROLE = "arn:aws:iam::123456789012:role/failover"
ENDS_AT_ONCE = '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}'


@dataclass
class Machine:
    """The state machine on moto, which starts executions and lets them run for ever."""

    api: Any

    def names(self) -> list[str]:
        """Of all executions that were started, oldest first."""
        found = self.api.list_executions(stateMachineArn=MACHINE)["executions"]
        return [execution["name"] for execution in sorted(found, key=lambda e: e["startDate"])]

    def start(self, name: str) -> str:
        """Start one as somebody else does; its ARN."""
        return str(self.api.start_execution(stateMachineArn=MACHINE, name=name, input="{}")["executionArn"])

    def stop(self, name: str) -> None:
        """End one in the midst of its work."""
        self.api.stop_execution(executionArn=execution(name))


def make_machine(stepfunctions: Any, definition: str = ENDS_AT_ONCE) -> Machine:
    """The failover's machine in this Region."""
    stepfunctions.create_state_machine(name="relight-shop-failover", definition=definition, roleArn=ROLE)
    return Machine(stepfunctions)


@dataclass
class Watcher:
    """The probe and its metrics."""

    scene: Scene
    ledger: Ledger
    machine: Machine
    peer_groups: Any
    clock: Clock
    metrics: list[tuple[str, float]] = field(default_factory=list)
    called_back: set[str] = field(default_factory=set)

    def watch(self, **changed: Any) -> dict[str, Any]:
        """One minute of watching."""
        settings = self.scene.settings(**changed)
        probe = Probe(
            settings,
            self.scene.lookout(self.ledger, settings),
            self.ledger,
            self.machine.api,
            self.peer_groups,
            self.clock,
            self.pass_time,
            lambda name, value: self.metrics.append((name, value)),
            self.called_back,
        )
        return probe.watch()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and a stream that is alive goes on."""
        self.clock.advance(seconds)
        self.scene.tick()

    def was_up(self, seconds: float) -> None:
        """The primary has been seen up from here, so long ago."""
        now = self.clock()
        keep_signals(self.ledger, [Signal(View.FROM_DR, Seen.UP, now - 2 * seconds, now - seconds, "it was ready")])
