"""Readiness shown: what the function of the standby has just found, or what its ledger has of the last look."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from relight.moment import lasting, told
from relight.readiness import Level
from relight.telling import one_line
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relight_cli.aws import Aws, code_of
from relight_cli.complaint import complain
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reaching, reading
from relight_cli.standby import acting

OLD_SECONDS = 2 * 1800.0
"""Readiness is looked at each half hour: what is older than two of them is no answer to a question about now."""
LEVELS = (Level.FAIL, Level.WARN, Level.PASS)
"""The worst first, as they are shown."""
_LONGEST = 1000
_COLUMNS = ("level", "area", "name", "sentence", "todo")


@dataclass(frozen=True)
class Look:
    """What was found in a Region, as the function tells it; `at` is epoch seconds."""

    region: str
    found: Mapping[str, Any]

    @property
    def at(self) -> float:
        return float(self.found["at"])

    @property
    def checks(self) -> list[Mapping[str, str]]:
        """The worst first, and as they were made within a level."""
        return sorted(self.found["checks"], key=lambda check: LEVELS.index(check["level"]))

    @property
    def on_duty(self) -> bool:
        """Whether anything was judged; in the active Region nothing is."""
        return bool(self.found.get("on_duty", True))

    @property
    def ready(self) -> bool:
        """It was judged, and no check fails."""
        return self.on_duty and all(check["level"] != Level.FAIL for check in self.found["checks"])

    @property
    def sentence(self) -> str:
        """Score and counts; why there are none, where nothing was judged."""
        if not self.on_duty:
            why = "; ".join(check["sentence"] for check in self.checks) or "nothing is judged there"
            return f"{self.region} at {told(self.at)}: {one_line(why, _LONGEST)}"
        many = Counter(check["level"] for check in self.found["checks"])
        counts = ", ".join(f"{many[level]} {level}" for level in LEVELS if many[level]) or "no checks"
        state = "ready" if self.ready else "NOT READY"
        return f"{self.region} at {told(self.at)}: {state}, score {self.found['score']} of 100 ({counts})"

    def as_document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.found, "region": self.region, "ready": self.ready}


def look(region: str, given: Any, where: str) -> Look:
    """What a function or a ledger has told, looked through. Refused where it is not what readiness is."""
    try:
        found = dict(given)
        float(found["at"]), int(found["score"])
        for check in found["checks"]:
            if check["level"] not in LEVELS or not all(isinstance(check[name], str) for name in _COLUMNS):
                raise ValueError(check)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{where} in {region} says something else than readiness"
        raise Refused(what, do="deploy this version of Relight there", code=Exit.CONFIGURATION) from error
    return Look(region, found)


def asked(deployed: Deployed, region: str, aws: Aws) -> Look:
    """What the function finds now. Refused where it cannot be called, or fails."""
    name = f"relight-{deployed.application}-readiness"
    with reaching(region, f"call {name}"):
        try:
            given = json.dumps({"reason": "relight readiness"}).encode()
            answer = aws.client("lambda", region).invoke(FunctionName=name, Payload=given)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            what, do = f"there is no function {name} in {region}", "deploy this version of Relight there first"
            raise Refused(what, do=do, code=Exit.CONFIGURATION) from error
    body = _parsed(answer["Payload"].read())
    if "FunctionError" in answer:
        said = body if isinstance(body, dict) else {}
        why = f"{said.get('errorType', 'it failed')}: {one_line(str(said.get('errorMessage', '')), _LONGEST)}"
        do = "look into its log, or at the last look with --last"
        raise Refused(f"{name} in {region} did not get to the end ({why})", do=do, code=Exit.AWS)
    return look(region, body, name)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body or b"null")
    except ValueError:
        return None


def kept(deployed: Deployed, region: str, aws: Aws) -> Look:
    """What the ledger has of the last look. Refused where there was none."""
    with reading(deployed, region, aws) as ledger:
        found = ledger.readiness()
    if found is None:
        what, do = f"readiness of {region} has not been looked at yet", "leave out --last"
        raise Refused(what, do=do, code=Exit.NO_LEDGER)
    return look(region, found, f"the ledger {deployed.table}")


def rich_table(checks: Iterable[Mapping[str, str]]) -> Table:
    """For a terminal and for a pipe."""
    shown = Table(show_edge=False, pad_edge=False)
    for heading in ("level", "area", "check", "what was seen", "what to do"):
        shown.add_column(heading, overflow="fold", no_wrap=heading == "level")
    for check in checks:
        shown.add_row(*(Text(one_line(check[name], _LONGEST)) for name in _COLUMNS))
    return shown


def conduct(deployed: Deployed, *, last: bool, as_json: bool) -> int:
    """Show it: the exit code."""
    aws = Aws()
    with acting(deployed, aws) as region:
        seen = kept(deployed, region, aws) if last else asked(deployed, region, aws)
    if as_json:
        print(json.dumps(seen.as_document(), indent=2))
    else:
        print(seen.sentence)
        if seen.on_duty:
            Console().print(rich_table(seen.checks))
    age = time.time() - seen.at
    old = last and age > OLD_SECONDS
    if old:
        complain(f"the last look at {region} is {lasting(age)} old, leave out --last to look now")
    return Exit.DONE if seen.ready and not old else Exit.OTHERWISE
