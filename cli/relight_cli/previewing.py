"""What a failback or a drill would do now: asked of the functions that the state machines ask, which change nothing."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relight.telling import one_line

from relight_cli.aws import Aws
from relight_cli.deployed import Deployed
from relight_cli.document import show
from relight_cli.exit_code import Exit, Refused
from relight_cli.failback import To
from relight_cli.going_home import read, target
from relight_cli.reaching import identity, invoked
from relight_cli.standby import acting
from relight_cli.surroundings import aws_here, relight_here

_LONGEST = 1000
_INPUT = "InputInvalid"


@dataclass(frozen=True)
class Preview:
    """What the function of a Region has answered, and how to begin in earnest: as a command, and as one of AWS's."""

    region: str
    found: Mapping[str, Any]
    command: str
    start: str

    @property
    def goes_ahead(self) -> bool:
        """Whether the run would begin, and nothing that can be seen now would stop it."""
        begins = self.found.get("begins", self.found.get("may_begin"))
        return begins is True and self.found.get("obstacle") is None

    def as_document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.found, "goes_ahead": self.goes_ahead, "command": self.command, "start": self.start}


def asked(deployed: Deployed, region: str, function: str, given: Mapping[str, Any], aws: Aws) -> dict[str, Any]:
    """What relight-<application>-<function> previews. Refused where it cannot be called, fails, or knows no preview."""
    name = f"relight-{deployed.application}-{function}"
    body, failed = invoked(aws, region, name, {"intent": "preview", **given})
    if failed:
        raise _failure(name, region, body)
    if body.get("preview") is not True or not isinstance(body.get("would"), list):
        what = f"{name} in {region} knows no preview"
        raise Refused(what, do="deploy this version of Relight there", code=Exit.CONFIGURATION)
    return body


def _failure(name: str, region: str, body: Mapping[str, Any]) -> Refused:
    error, message = str(body.get("errorType", "")), one_line(str(body.get("errorMessage", "")), _LONGEST)
    if error == _INPUT:
        return Refused(f"{name} in {region} refuses: {message}", code=Exit.BAD_INPUT)
    if "'preview'" in message:  # an older one does not know the intent
        what = f"{name} in {region} knows no preview"
        return Refused(what, do="deploy this version of Relight there", code=Exit.CONFIGURATION)
    what = f"{name} in {region} did not get to the end ({error or 'it failed'}: {message})"
    return Refused(what, do="look into its log", code=Exit.AWS)


def of_failback(deployed: Deployed, to: To, aws: Aws) -> Preview:
    """Of the Region that a failback would be started in. Refused where that is not known, or does not answer."""
    found = target([read(deployed, region, aws) for region in deployed.regions], to)
    region = found.region
    by = identity(deployed, aws, dict.fromkeys((region, *deployed.regions)))
    said = asked(deployed, region, "survey", {"to": to.value}, aws)
    given = {"reason": "WHY", "to": to.value}
    command = f"{relight_here()} failback {_there(deployed, region)} --to {to.value} --reason WHY"
    return Preview(region, said, command, _start(deployed, region, "failback", given, by))


def of_drill(deployed: Deployed, kind: str, keep_minutes: int | None, aws: Aws) -> Preview:
    """Of the Region that stands by. Refused where that is not known, or does not answer."""
    with acting(deployed, aws) as region:
        by = identity(deployed, aws, dict.fromkeys((region, *deployed.regions)))
        kept = {} if keep_minutes is None else {"keep_minutes": keep_minutes}
        said = asked(deployed, region, "drill", {"kind": kind, **kept}, aws)
    options = "" if keep_minutes is None else f" --keep-minutes {keep_minutes}"
    command = f"{relight_here()} drill {_there(deployed, region)} --kind {kind}{options} --reason WHY"
    start = _start(deployed, region, "drill", {"reason": "WHY", "kind": kind, **kept}, by)
    return Preview(region, said, command, start)


def _there(deployed: Deployed, region: str) -> str:
    return f"--app {shlex.quote(deployed.application)} --region {region}"


def _start(deployed: Deployed, region: str, machine: str, given: Mapping[str, Any], by: str) -> str:
    partition, account = by.split(":")[1], by.split(":")[4]
    arn = f"arn:{partition}:states:{region}:{account}:stateMachine:relight-{deployed.application}-{machine}"
    return (
        f"{aws_here()} stepfunctions start-execution --region {region} --state-machine-arn {arn} "
        f"--input {shlex.quote(json.dumps(given))}"
    )


def lines(preview: Preview, what: str) -> Iterator[str]:
    """The preview for people. Pure; what a function has said cannot steer a terminal."""
    found = preview.found
    yield f"{what} in {preview.region}, as things are now; nothing was changed"
    yield _verdict(preview)
    if "home" in found:
        yield f"  home is {_line(found['home'])}, and {_line(found['active'])} is active"
    if found.get("asks"):
        yield "  it asks a person first"
    for number, sentence in enumerate(found["would"], 1):
        yield f"  {number}. {_line(sentence)}"
    for sentence in found.get("not_passing") or ():
        yield f"  readiness: {_line(sentence)}"
    if preview.goes_ahead:
        yield f"start it with: {preview.command}"
        yield f"or with: {preview.start}"


def _verdict(preview: Preview) -> str:
    found, sentence = preview.found, _line(preview.found.get("sentence"))
    if preview.goes_ahead:
        return f"it would begin: {sentence}"
    if found.get("obstacle") is not None:
        return f"it would begin, and FAIL at once ({_line(found['obstacle'])})"
    return f"it would NOT begin ({_line(found.get('finding'))}): {sentence}"


def _line(text: object) -> str:
    return one_line(str(text), _LONGEST)


def conduct(preview: Preview, what: str, *, as_json: bool) -> int:
    """Show it: the exit code, 1 where it would not go ahead."""
    if as_json:
        show(preview.as_document())
    else:
        print("\n".join(lines(preview, what)))
    return Exit.DONE if preview.goes_ahead else Exit.OTHERWISE
