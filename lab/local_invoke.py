"""One function with one event through `sam local invoke`, against a kept rehearsal: what `make local-invoke` runs.

SAM exits 0 whatever the function raised; this fails where the answer holds `errorType`, too.
"""

import argparse
import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab import engine
from lab.environment_file import client, command, credentials, kept_one, region_of, vantage_of, write
from lab.errors import LabError
from lab.gateway import Gateway
from lab.kept import Kept
from lab.lent_lock import lent
from lab.sam_functions import ROOT, Packaged, build, function, sam_environment

_SECONDS = 300.0
EXIT_REFUSED, EXIT_ERROR = 2, 1
_ALARM = "CloudWatch Alarm State Change"
_CHECKERS = "us-east-1"


class UnknownEvent(LabError):
    """The event is no file, or holds no JSON object."""


class InvocationFailed(LabError):
    """SAM could not run the function at all."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    function: Packaged
    event: Mapping[str, Any]
    note: str = ""
    """What was made of the event, in a sentence; empty where it is handed on as it is."""


def read_event(path: Path, root: Path = ROOT) -> dict[str, Any]:
    """The event in that file; UnknownEvent names those there are."""
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UnknownEvent(f"there is no event {path}", where="in EVENT", do=_like(path, root)) from None
    except ValueError as error:
        raise UnknownEvent(f"{path} holds no JSON ({error})", where="in EVENT", do="correct it") from None
    if not isinstance(event, dict):
        raise UnknownEvent(f"{path} holds no JSON object", where="in EVENT", do="correct it")
    return event


def _like(path: Path, root: Path) -> str:
    known = [f"events/{file.name}" for file in sorted((root / "events").glob("*.json"))]
    near = difflib.get_close_matches(f"events/{path.name}", known, n=4, cutoff=0.5)
    return f"choose one of the {len(known)} in events/, such as {', '.join(near or known[:4])}"


def wanted(name: str, event: Mapping[str, Any]) -> Wanted:
    """That function with that event. Pure but for the templates that are read.

    An alarm's event goes to the state machine, whose first decision is assess's: assess is asked for a preview of just
    that, as the state machine would ask it.
    """
    of = function(name)
    if of.name != "assess" or event.get("detail-type") != _ALARM:
        return Wanted(of, event)
    asked: dict[str, Any] = {"preview": True, "trigger": "automatic"}
    alarm = str(event.get("detail", {}).get("alarmName", "an alarm"))
    if event.get("region") == _CHECKERS:
        asked["unseen_at"] = datetime.fromisoformat(str(event["time"])).timestamp()
    note = f"the rule gives the event of {alarm} to the state machine; assess is asked what that would decide"
    return Wanted(of, asked, f"{note}: {json.dumps(asked)}")


def is_error(answer: Any) -> bool:
    """Whether that is what the runtime answers for a function that raised. Pure."""
    return isinstance(answer, dict) and "errorType" in answer


def answered(said: str) -> Any:
    """The function's answer in what SAM wrote: the last line that is JSON. InvocationFailed where there is none."""
    for line in reversed(said.splitlines()):
        try:
            return json.loads(line)
        except ValueError:
            continue
    raise InvocationFailed("the function gave no answer", where="sam local invoke", do="look at what it logged above")


def invoke(kept: Kept, region: str, asked: Wanted) -> Any:
    """The function's answer, from a container of its own. Its log goes to standard error."""
    template = build()
    # A folder of its own: SAM locks images there, and the lock of one that was killed would be waited for.
    with TemporaryDirectory(prefix="relight-sam-") as folder, engine.bridge() as bridge, Gateway(bridge) as gateway:
        login = credentials(vantage_of(kept, region)) | {"TMPDIR": folder}
        # In there, too: what `make local-env` has written stays as it is, and so does that of another call.
        env_json = write(kept, region, gateway, Path(folder) / "env.json")
        table = f"relight-{kept.application}"
        words = command(template, env_json, region, bridge, ["invoke", asked.function.logical_id, "--event", "-"])
        with lent(asked.event, client(kept, "dynamodb", region), table) as event:
            done = subprocess.run(
                words,
                cwd=ROOT,
                env=sam_environment(os.environ) | login,
                input=json.dumps(event),
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
    sys.stderr.write(_log(done.stderr))
    if done.returncode:
        last = (done.stderr.strip() or "it says nothing").splitlines()[-1]
        raise InvocationFailed(f"sam local invoke failed: {last}", where=asked.function.name)
    return answered(done.stdout)


def _log(text: str) -> str:
    """What the function logged: without SAM's own progress, and the colours of a terminal."""
    lines = (re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line.startswith("{"))


def main() -> int:
    """`python -m lab.local_invoke FN EVENT`: print the answer; 1 where it is an error, 2 where none could be had."""
    parser = argparse.ArgumentParser(prog="make local-invoke", description=__doc__)
    parser.add_argument("fn", help="a folder of functions/")
    parser.add_argument("event", type=Path, help="a file of events/")
    parser.add_argument("--region", default=None, help="dr (unless given), primary, or a Region's name")
    given = parser.parse_args()
    try:
        asked = wanted(given.fn, read_event(given.event))
        kept = kept_one()
        region = region_of(kept, given.region)
        engine.require_engine()
        engine.require_image()
        if asked.note:
            print(asked.note, file=sys.stderr)
        answer = invoke(kept, region, asked)
    except LabError as error:
        print(f"relight: {error.sentence}", file=sys.stderr)
        return EXIT_REFUSED
    except (BotoCoreError, ClientError, subprocess.TimeoutExpired) as error:
        print(f"relight: the kept rehearsal, or SAM, does not answer: {error}", file=sys.stderr)
        return EXIT_REFUSED
    print(json.dumps(answer, indent=2))
    if is_error(answer):
        print(
            f"relight: {asked.function.name} raised {answer['errorType']}: {answer.get('errorMessage')}",
            file=sys.stderr,
        )
        return EXIT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
