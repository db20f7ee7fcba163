"""The question of a run, answered by a person: looked up, shown, and sent to the task that waits for it.

The ledger of the Region that is being activated holds the newest question with its task token. Whoever has a token can
answer, so it is never printed. Whether an answer came in time is Step Functions' to say, not this machine's clock's.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError
from relight.ledger import Ledger
from relight.moment import lasting, told
from relight.question import Answer, Question, Reply

from relight_cli.aws import NO_ANSWER, Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import identity, reaching, reading
from relight_cli.surroundings import aws_here

_CLOSED = frozenset({"InvalidToken", "TaskTimedOut", "TaskDoesNotExist"})
_DECLINED = "Declined"
"""The error name that the state machine catches."""
_ASKED_IN_VAIN = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})
_WHAT_FOLLOWS = {
    Reply.APPROVED: "it looks at the facts once more and goes on; follow it with",
    Reply.DECLINED: "it stands down and undoes what it has done; follow it with",
    Reply.STAY: "it makes the Region that serves home in both ledgers, and ends; follow it with",
}
_FAILBACK = "-failback:"
"""In the ARN of an execution of that state machine."""


@dataclass(frozen=True)
class Wish:
    """What the person on call has decided."""

    run: str
    reply: Reply
    because: str
    token: str | None = None
    """As the notification has it; None takes the ledger's."""


@dataclass(frozen=True)
class Asked:
    """What a ledger says of a run."""

    region: str
    written: bool
    """Whether anything was ever written to that ledger."""
    known: bool
    owner: str | None
    """Whose lock it is, as an execution's ARN: a run that asks holds it."""
    ended: bool
    question: Question | None
    answer: Answer | None
    loss: float | None
    """Estimated seconds of writes that would be lost; None is unknown."""
    last_words: str
    """What the run said last; empty where it said nothing."""

    @property
    def is_failback(self) -> bool:
        """Whether the run that asks goes home."""
        return _FAILBACK in (self.owner or "")

    @property
    def answered(self) -> Answer | None:
        """The answer to the newest question; one to a question before it does not count."""
        if self.answer is None or (self.question is not None and self.answer.at < self.question.asked_at):
            return None
        return self.answer


def asked(ledger: Ledger, region: str, run: str) -> Asked:
    """Read what a Region's ledger says of a run."""
    head, question, answer = ledger.head(), ledger.question(run), ledger.answer(run)
    marks, steps = ledger.timeline(run)
    facts = next((step.facts for step in steps if step.name == "assess"), {})
    loss = facts.get("estimated_loss_seconds")
    holds = _name(head.owner) == run
    return Asked(
        region=region,
        written=head.written,
        known=holds or bool(marks or steps or question or answer),
        owner=head.owner,
        ended=not holds,
        question=question,
        answer=answer,
        loss=None if loss is None else float(loss),
        last_words=steps[-1].sentence if steps else "",
    )


def _name(execution: str | None) -> str:
    return (execution or "").rpartition(":")[2]


def objection(found: Asked, wish: Wish) -> Refused | None:
    """Why this run cannot be answered now, or None. Pure."""
    run = f"run {wish.run} in {found.region}"
    if not found.known:
        return _unknown(found, wish)
    answer, question = found.answered, found.question
    if answer is not None and answer.answer is not Reply.UNANSWERED:
        what = f"{run} was {answer.answer.word} already at {told(answer.at)} by {answer.by}"
        return Refused(what, do=f"because: {answer.because}", code=Exit.ANSWERED)
    if found.ended:
        do = "a primary that stays dead makes another run ask"
        return Refused(f"{run} has ended{_last(found)}", do=do, code=Exit.ENDED)
    if answer is not None or question is None:
        return Refused(f"{run} asks nothing now{_last(found)}", do="wait for a question", code=Exit.NOTHING_ASKED)
    return _mismatch(found, question, wish)


def _mismatch(found: Asked, question: Question, wish: Wish) -> Refused | None:
    """Why this question cannot be answered so."""
    run = f"run {wish.run} in {found.region}"
    if wish.reply is Reply.STAY and not found.is_failback:
        do = "answer it with relight approve or decline"
        return Refused(f"{run} is no failback, so it cannot be told to stay", do=do, code=Exit.NOT_A_FAILBACK)
    if wish.token not in {None, question.token}:
        what = f"this is not the token of question {question.asked}, the newest of {run}"
        return Refused(what, do="leave --token out to answer the newest", code=Exit.TOKEN)
    return None


def _last(found: Asked) -> str:
    return f" (it said last: {found.last_words})" if found.last_words else ""


def _unknown(found: Asked, wish: Wish) -> Refused:
    if not found.written:
        what = f"the ledger of {found.region} is empty: no run was ever there"
        return Refused(what, do="check application and Region", code=Exit.NO_LEDGER)
    on = f"the run that is on there is {_name(found.owner)}" if found.owner else "no run is on there"
    return Refused(f"there is no run {wish.run} in {found.region}", do=on, code=Exit.UNKNOWN_RUN)


def find(deployed: Deployed, run: str, aws: Aws) -> Asked:
    """The ledger that knows the run, and what it says. Of several Regions one may be lost: the others are asked still.

    Refused where none knows it and one could not be asked.
    """
    unknown: list[Asked] = []
    silent: list[Refused] = []
    for region in deployed.regions:
        try:
            with reading(deployed, region, aws) as ledger:
                found = asked(ledger, region, run)
        except Refused as refused:
            if refused.code not in _ASKED_IN_VAIN:
                raise
            silent.append(refused)
            continue
        if found.known:
            return found
        unknown.append(found)
    if not silent:
        return unknown[0]
    if not unknown:
        raise silent[0]
    what = f"there is no run {run} in {unknown[0].region}, and elsewhere: {silent[0].what}"
    raise Refused(what, where=silent[0].where, do=silent[0].do, code=silent[0].code)


@dataclass(frozen=True)
class Answering:
    """One answer on its way. What is shown before it is sent goes to `show`, a line each."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = time.time
    recorded_seconds: float = 5.0
    """How long somebody else's answer may take from Step Functions into the ledger, until it is not waited for."""

    def give(self, wish: Wish) -> dict[str, object]:
        """Answer the newest question of the run: what was answered, as a document. Refused where it cannot be."""
        found = find(self.deployed, wish.run, self.aws)
        refused = objection(found, wish)
        if refused is not None:
            raise refused
        assert found.question is not None, "a run without a question was objected to"
        for line in shown(found, found.question, wish, self.clock()):
            self.show(line)
        by = identity(self.deployed, self.aws, dict.fromkeys((found.region, *self.deployed.regions)))
        if not self._send(found.region, found.question.token, wish, by):
            self._explain(found, found.question, wish, by)
        follow = f"{aws_here()} stepfunctions describe-execution --region {found.region} --execution-arn {found.owner}"
        self.show(f"{wish.reply.word} by {by}, because: {wish.because}")
        self.show(f"{_what_follows(found, wish)}: {follow}")
        return as_document(found, found.question, wish, by)

    def _send(self, region: str, token: str, wish: Wish, by: str) -> bool:
        """Whether the task took the answer; False where it is closed."""
        states = self.aws.client("stepfunctions", region)
        said = {"by": by, "because": wish.because}
        with reaching(region, "send the answer"):
            try:
                if wish.reply is Reply.DECLINED:
                    states.send_task_failure(taskToken=token, error=_DECLINED, cause=json.dumps(said))
                else:
                    states.send_task_success(taskToken=token, output=json.dumps({"answer": wish.reply.value, **said}))
            except ClientError as error:
                if code_of(error) not in _CLOSED:
                    raise
                return False
        return True

    def _explain(self, found: Asked, question: Question, wish: Wish, by: str) -> None:
        """Why the task was closed: Refused. Nothing where it was this very answer, of which the reply was lost."""
        deadline = time.monotonic() + self.recorded_seconds
        now = found
        while now.answered is None and now.question == question and not now.ended and time.monotonic() < deadline:
            time.sleep(min(0.25, self.recorded_seconds))
            with reading(self.deployed, found.region, self.aws) as ledger:
                now = asked(ledger, found.region, wish.run)
        answer = now.answered
        if answer is not None and (answer.answer, answer.by, answer.because) == (wish.reply, by, wish.because):
            return
        if now.question != question and not now.ended:
            what = f"run {wish.run} in {found.region} has asked anew meanwhile"
            raise Refused(what, do="run this again to see its newest question", code=Exit.TOKEN)
        raise objection(now, wish) or self._closed(now, wish)

    def _closed(self, found: Asked, wish: Wish) -> Refused:
        """Of a task that is closed while the ledger knows of no answer."""
        run = f"run {wish.run} in {found.region}"
        if not self._runs(found):
            return Refused(f"{run} has ended", do="see its execution in the console", code=Exit.ENDED)
        why = "somebody has answered this moment, or it is over, or called back"
        what = f"the question of {run} is closed: {why}{_last(found)}"
        return Refused(what, do="run this again for what it says now", code=Exit.TOKEN)

    def _runs(self, found: Asked) -> bool:
        """Whether the run goes on; one that cannot be asked about does."""
        try:
            states = self.aws.client("stepfunctions", found.region)
            return bool(states.describe_execution(executionArn=found.owner)["status"] == "RUNNING")
        except ClientError as error:
            return code_of(error) != "ExecutionDoesNotExist"
        except NO_ANSWER:
            return True


def shown(found: Asked, question: Question, wish: Wish, now: float) -> Iterator[str]:
    """What is being answered, for people: a line each. Pure."""
    left = question.expires_at - now
    open_for = f"{lasting(left)} left" if left > 0 else "over by this machine's clock"
    times = f"asked {told(question.asked_at)}, open until {told(question.expires_at)}, {open_for}"
    yield f"run {wish.run} in {found.region}, question {question.asked} ({question.urgency}): {times}"
    yield f"  {question.sentence}"
    if found.is_failback:
        yield f"  finding {question.finding}, mode {question.mode}: no write is lost, none is taken meanwhile"
        return
    lost = "unknown" if found.loss is None else f"{found.loss:.0f} s of writes"
    yield f"  finding {question.finding}, mode {question.mode}, estimated loss {lost}"


def _what_follows(found: Asked, wish: Wish) -> str:
    if not found.is_failback:
        return _WHAT_FOLLOWS[wish.reply]
    return {
        Reply.APPROVED: "it warms up and switches over; follow it with",
        Reply.DECLINED: "it ends, and the Region that serves goes on; follow it with",
    }.get(wish.reply, _WHAT_FOLLOWS[wish.reply])


def as_document(found: Asked, question: Question, wish: Wish, by: str) -> dict[str, object]:
    """The answer as JSON has it; times are epoch seconds."""
    return {
        "run": wish.run,
        "region": found.region,
        "execution": found.owner,
        "answer": wish.reply.value,
        "by": by,
        "because": wish.because,
        "question": {
            "asked": question.asked,
            "asked_at": question.asked_at,
            "expires_at": question.expires_at,
            "finding": question.finding,
            "sentence": question.sentence,
            "mode": question.mode,
            "urgency": question.urgency.value,
            "estimated_loss_seconds": found.loss,
        },
    }


@dataclass(frozen=True)
class After:
    """What is for people to do once the answer is given: lines, and the same as JSON has it."""

    lines: tuple[str, ...]
    document: Mapping[str, object]


def conduct(deployed: Deployed, wish: Wish, *, as_json: bool, after: After | None = None) -> int:
    """Answer, and say so, and what comes after it: the exit code."""
    said = Answering(deployed, Aws(), show=_silent if as_json else print).give(wish)
    if as_json:
        print(json.dumps({**said, **(after.document if after else {})}, indent=2))
    elif after:
        print("\n".join(after.lines))
    return Exit.DONE


def _silent(_: str) -> None:
    """JSON stands alone on stdout."""
