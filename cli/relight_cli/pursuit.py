"""One run, followed to its end: found wherever it is, by Step Functions, and told by its Region's ledger."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import code_of
from relight_cli.drilling import Ended, ended
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reaching
from relight_cli.sight import KINDS, Onlooker, Running, Story, Unseen, at_once, attempt, because

_GOES_ON = frozenset({"RUNNING", "PENDING_REDRIVE"})
_UNKNOWN = frozenset({"ExecutionDoesNotExist", "StateMachineDoesNotExist", "InvalidArn"})


@dataclass(frozen=True)
class Followed:
    """The run as it was seen last. Times are epoch seconds."""

    run: Running
    status: str
    """As Step Functions has it."""
    story: Story
    end: Ended | None = None
    """How it ended; None while it goes on."""
    ended_at: float | None = None
    trouble: Unseen | None = None
    """Why what is told may be old."""

    @property
    def code(self) -> Exit:
        """How whoever follows it ends."""
        return Exit.DONE if self.end is not None and self.end.status == "SUCCEEDED" else Exit.OTHERWISE


@dataclass
class Pursuit:
    """Follows one run of an application."""

    onlooker: Onlooker
    name: str
    _last: Followed | None = field(default=None, repr=False)

    def find(self) -> Followed:
        """The run, under way or over. Refused where no Region knows it; for want of an answer, where one is silent."""
        found: dict[tuple[str, str], Any] = {}

        def ask(region: str, kind: str) -> None:
            found[region, kind] = attempt(lambda: self._describe(region, kind))

        places = [(region, kind) for region in self.onlooker.deployed.regions for kind in KINDS]
        at_once([partial(ask, *place) for place in places], self.onlooker.seconds)
        answers = {place: found.get(place, self.onlooker.late) for place in places}
        for (region, kind), described in answers.items():
            if isinstance(described, dict):
                return self._seen(_running(described, kind, region), described)
        for (region, _), described in answers.items():
            if isinstance(described, Unseen):
                what = (
                    f"there is no run {self.name} that could be seen, and {region} could not be asked ({described.why})"
                )
                raise Refused(what, do="try again", code=described.code)
        do = "take its id from the notification, from relight status or from relight history"
        where = " and ".join(self.onlooker.deployed.regions)
        raise Refused(f"there is no run {self.name} in {where}", do=do, code=Exit.UNKNOWN_RUN)

    def look(self) -> Followed:
        """The run now; as it was before, with the reason, where its Region does not say."""
        assert self._last is not None, "it was found first"
        run = self._last.run
        described = attempt(lambda: self._describe(run.region, run.kind))
        if described is None:
            described = Unseen(f"{run.region} does not know it any more", Exit.UNKNOWN_RUN)
        if isinstance(described, Unseen):
            return self.unheard(described)
        return self._seen(run, described)

    def unheard(self, why: Unseen) -> Followed:
        """As it was seen before."""
        last = self._last
        assert last is not None, "it was found first"
        return Followed(last.run, last.status, last.story, trouble=why)

    def _describe(self, region: str, kind: str) -> dict[str, Any] | None:
        """The execution of that name; None where there is none."""
        execution = f"{self.onlooker.arn(region, kind).replace(':stateMachine:', ':execution:', 1)}:{self.name}"
        with reaching(region, f"ask for the run {self.name}"):
            try:
                states = self.onlooker.aws.client("stepfunctions", region)
                return dict(states.describe_execution(executionArn=execution))
            except ClientError as error:
                if code_of(error) not in _UNKNOWN:
                    raise
                return None

    def _seen(self, run: Running, described: dict[str, Any]) -> Followed:
        story = attempt(lambda: self.onlooker.story(run.region, run.run))
        trouble = story if isinstance(story, Unseen) else None
        kept = Story() if self._last is None else self._last.story
        over = described["status"] not in _GOES_ON
        stopped = described.get("stopDate")
        self._last = Followed(
            run=run,
            status=str(described["status"]),
            story=kept if isinstance(story, Unseen) else story,
            end=ended(described) if over else None,
            ended_at=stopped.timestamp() if over and stopped is not None else None,
            trouble=trouble,
        )
        return self._last


def _running(described: dict[str, Any], kind: str, region: str) -> Running:
    began = described["startDate"].timestamp()
    return Running(described["name"], kind, region, described["executionArn"], began, because(described.get("input")))
