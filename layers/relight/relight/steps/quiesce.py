"""`quiesce`: stop the peer's writes and confirm it, see the last of them arrive here, or let them in again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database
from relight.errors import DatabaseCheckFailed, PeerUnreachable
from relight.lsn import position
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import QuiesceSettings


class Intent(StrEnum):
    """`stop`: no client of the peer writes. `replayed`: all they wrote is here. `resume`: they may write again."""

    STOP = "stop"
    REPLAYED = "replayed"
    RESUME = "resume"


@dataclass(frozen=True)
class Quiescing:
    """One look. Not confirmed is not stopped: a planned run promotes nothing before both are confirmed."""

    settings: QuiesceSettings
    ledger: Ledger
    functions: LambdaClient
    peer_functions: LambdaClient
    clock: Callable[[], float]

    def ensure(self, run: Run, intent: Intent, lsn: str | None = None) -> Outcome:
        """What the intent asks for; `lsn` is what `replayed` waits for where it is not the noted one."""
        if intent is Intent.STOP:
            return self.stop(run)
        return self.replayed(lsn) if intent is Intent.REPLAYED else self.resume(run)

    def stop(self, run: Run) -> Outcome:
        """Stop the peer's writes. RunSuperseded where this Region is not being activated (any more)."""
        # Noted before the first call: whatever becomes of it, somebody knows that writes may have to be let in again.
        self.ledger.begin_quiesce(run, self.clock())
        try:
            answer = database.ask(self.peer_functions, self.settings.peer_dbcheck_function, "stop")
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:
            return self._wait(
                f"that the peer's writes are stopped cannot be confirmed: {type(error).__name__}: {error}"
            )
        if not answer["stopped"]:
            said = f"the peer's writes are not stopped yet: {answer['sentence']}"
            return self._wait(said, sessions_left=answer["sessions_left"])
        self.ledger.note_quiesced(run, answer["lsn"])
        return Outcome.done(f"the peer's writes are stopped; the last lies before {answer['lsn']}", lsn=answer["lsn"])

    def replayed(self, lsn: str | None = None) -> Outcome:
        """This Region's replica has replayed everything up to the noted position."""
        quiesce = self.ledger.head().quiesce
        noted = lsn or (quiesce and quiesce.lsn)
        if not noted:
            return self._wait("no position is noted: that the peer's writes are stopped has not been confirmed")
        state = database.state(self.functions, self.settings.dbcheck_function)
        if state is None or state["replayed_lsn"] is None:
            why = "it could not be asked" if state is None else "it has replayed nothing"
            return self._wait(f"whether the replica has come to {noted} is not known: {why}", lsn=noted)
        here = state["replayed_lsn"]
        if position(here) < position(noted):
            behind = position(noted) - position(here)
            return self._wait(f"the replica is at {here}, {behind} bytes before {noted}", lsn=noted, replayed_lsn=here)
        said = f"the replica has replayed {here}: every write of the peer, all before {noted}, is here"
        return Outcome.done(said, lsn=noted, replayed_lsn=here)

    def resume(self, run: Run) -> Outcome:
        """Let the peer's writes in again, after a run that stood down. PeerUnreachable where that is not known."""
        head = self.ledger.head()
        if head.quiesce is None:
            return Outcome.done("nothing was stopped", resumed=False)
        if head.active == self.settings.aws_region or head.door_opened:
            return Outcome.done("this Region is being made active, or is: the peer stays stopped", resumed=False)

        def ours() -> bool:
            self.ledger.require(run)
            return True

        its_guard = "its guard lets writes in once it can"
        try:
            answer = database.let_in(self.peer_functions, self.settings.peer_dbcheck_function, ours)
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:
            why = f"{type(error).__name__}: {error}"
            raise PeerUnreachable(f"the peer's dbcheck did not answer ({why}): {its_guard}") from error
        if not answer["reached"]:
            raise PeerUnreachable(f"the peer's database did not answer ({answer['sentence']}): {its_guard}")
        self.ledger.end_quiesce(run)
        return Outcome.done(f"the peer: {answer['sentence']}", resumed=bool(answer["allowed"]))

    def _wait(self, sentence: str, **facts: Any) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds, **facts)
