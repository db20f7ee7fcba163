"""`assess`: gather the facts at the moment of decision, and decide; or say beforehand what a run would decide now."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight.decision import Action, Finding, Verdict
from relight.errors import InputInvalid
from relight.facts import Trigger
from relight.lookout import Asked, policy_of
from relight.rules import decide
from relight.run import Mode
from relight.signal import Seen, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.facts import Facts
    from relight.ledger import Ledger
    from relight.lookout import Lookout
    from relight.run import Run

STEP = "assess"
MAKES_ROOM = ("-drill", "-failback")
"""State machines, by the end of their names: a run of one of them in this Region gives its lock to a failover."""


def detected_at(facts: Facts) -> float | None:
    """t1: when the last of the quorum's views became DOWN; None while one of them is not."""
    signals = [facts.signals[view] for view in (View.OUTSIDE, View.FROM_DR)]
    return max(s.since for s in signals) if all(s.seen is Seen.DOWN for s in signals) else None


def asked(event: Mapping[str, Any], by: str | None, otherwise: Trigger = Trigger.AUTOMATIC) -> Asked:
    """Who started the run and how; InputInvalid where that is malformed, or forced without a reason.

    `by` is the owner of the run, and `otherwise` who has started it where the event does not say.
    """
    trigger = _word(event, "trigger", Trigger, otherwise)
    forced = event.get("force", False)
    if not isinstance(forced, bool):
        raise InputInvalid(f'"force" is {forced!r}; it is true or false')
    if forced and not event.get("reason"):
        raise InputInvalid('"force": true needs a "reason": why the findings against a failover do not hold')
    unseen_at = event.get("unseen_at")
    if unseen_at is not None and not isinstance(unseen_at, int | float):
        raise InputInvalid(f'"unseen_at" is {unseen_at!r}; it is a number of seconds since 1970')
    return Asked(trigger, forced, by, _word(event, "mode", Mode, None), unseen_at)


def approved(verdict: Verdict, finding: str | None) -> Verdict:
    """The verdict where a person has approved a `finding`: what still asks for just that goes on, nothing else does."""
    if verdict.action is not Action.ASK or verdict.finding.value != finding:
        return verdict
    return replace(verdict, action=Action.PROCEED, sentence=f"approved by a person: {verdict.sentence}")


def _word[Word: StrEnum, Default](
    event: Mapping[str, Any], name: str, words: type[Word], default: Default
) -> Word | Default:
    if event.get(name) is None:
        return default
    try:
        return words(event[name])
    except ValueError as error:
        raise InputInvalid(f'"{name}": {error}; it is {", ".join(words)}') from None


def assess(
    event: Mapping[str, Any], run: Run, lookout: Lookout, ledger: Ledger, clock: Callable[[], float]
) -> dict[str, Any]:
    """The verdict on the facts of now. Notes t0, t1 and t2 once it has decided.

    What a view says otherwise than before is kept, as by the probe: else an active Region that a run has seen up
    between two of the probe's samples would count as down without a break.
    """
    ledger.require(run)
    ledger.step_began(run, STEP, clock())
    look = lookout.look(asked(event, run.owner))
    facts = lookout.keep(look, look.changed)
    verdict = approved(decide(facts, policy_of(lookout.settings)), event.get("approved"))
    decided = verdict.action is not Action.WAIT
    if decided:
        _note(run, ledger, facts, verdict, clock)
    answer = _answer(verdict, facts, lookout)
    ledger.step_says(run, STEP, clock(), verdict.sentence, done=decided, facts=answer)
    return answer


def is_preview(event: Mapping[str, Any]) -> bool:
    """Whether it is only asked what a run would decide; InputInvalid where that is neither said nor denied."""
    wanted = event.get("preview", False)
    if not isinstance(wanted, bool):
        raise InputInvalid(f'"preview" is {wanted!r}; it is true or false')
    return wanted


def preview(event: Mapping[str, Any], lookout: Lookout) -> dict[str, Any]:
    """What a run that begins now would decide, and what the machinery would without a person. Nothing is written.

    A person starts it, unless the event says otherwise. The lock is in nobody's way where a run would take it over:
    from a drill or a failback of this Region, which make room, and from `instead_of`, an owner known to be dead.
    """
    here = lookout.settings.aws_region
    owner = lookout.ledger.head().owner
    displaced = owner if owner is not None and (makes_room(owner, here) or owner == event.get("instead_of")) else None
    facts = lookout.look(asked(event, displaced, Trigger.MANUAL)).facts
    policy = policy_of(lookout.settings)
    by_itself = replace(facts, trigger=Trigger.AUTOMATIC, forced=False, mode=None)
    replica = facts.replica
    return {
        **_answer(decide(facts, policy), facts, lookout),
        "preview": True,
        "region": here,
        "at": facts.now,
        "active": facts.head.active,
        "state": facts.head.state.value,
        "epoch": facts.head.epoch,
        "owner": facts.head.owner,
        "takes_over_from": displaced,
        "door_opened": facts.head.door_opened,
        "replica": None if replica is None else {"status": replica.status, "source": replica.source},
        "peer_database": facts.peer_database,
        "policy": policy.approval.value,
        "max_data_loss_seconds": policy.max_data_loss_seconds,
        "by_itself": decide(by_itself, policy).as_dict(),
    }


def makes_room(owner: str, here: str) -> bool:
    """Whether the owner of the lock is a run that a failover stops: the state machine asks the same."""
    parts = owner.split(":")
    return len(parts) == 8 and parts[3] == here and parts[6].endswith(MAKES_ROOM)


def _answer(verdict: Verdict, facts: Facts, lookout: Lookout) -> dict[str, Any]:
    """The verdict with the views as they count now, and how far the newest commit here is behind."""
    signals = {view: signal.at(facts.now, lookout.settings.fresh_seconds) for view, signal in facts.signals.items()}
    replayed = facts.last_replayed_at
    return {
        **verdict.as_dict(),
        "views": {
            view.value: {"seen": s.seen.value, "since": s.since, "last_seen": s.last_seen, "sentence": s.sentence}
            for view, s in signals.items()
        },
        "lag_seconds": None if replayed is None else max(0.0, facts.now - replayed),
    }


def _note(run: Run, ledger: Ledger, facts: Facts, verdict: Verdict, clock: Callable[[], float]) -> None:
    """t0, t1 and t2 of a run that has decided; one that goes on behind the door takes over what the one before saw."""
    if verdict.finding is Finding.HALF_DONE and facts.head.promotion is not None:
        for name, at in ledger.timeline(facts.head.promotion.run)[0].items():
            ledger.mark(run, name, at)
    if facts.first_bad is not None:
        ledger.mark(run, "t0", facts.first_bad)
    if (detected := detected_at(facts)) is not None:
        ledger.mark(run, "t1", detected)
    ledger.mark(run, "t2", clock())
