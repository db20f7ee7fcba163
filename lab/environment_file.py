"""`env.json`: the variables of all functions of a Region of a kept rehearsal, as `sam local` takes them.

`python -m lab.environment_file` writes it, lets the engine's containers reach the rehearsal, and holds that open until
Ctrl-C: for whoever wants to call `sam local invoke` by hand.
"""

import argparse
import json
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab import engine
from lab.cloud import SECRET_KEY
from lab.engine import Bridge
from lab.errors import LabError
from lab.gateway import Gateway
from lab.kept import Kept, find, notes
from lab.region import Vantage, access_key
from lab.sam_functions import BUILD, ROOT, Packaged, build, functions, sam
from lab.sandbox import token_of

ENV_JSON = BUILD / "env.json"
_EVENT = ROOT / "events" / "assess-preview.json"
_CONFIG = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, proxies={})


class NothingKept(LabError):
    """No rehearsal is kept, or the one that is does not answer."""


class UnknownRegion(LabError):
    """The rehearsal has no such Region."""


def kept_one(where: Path | None = None) -> Kept:
    """The rehearsal that is kept; NothingKept says how to have one."""
    found = find(notes() if where is None else where)
    if found is None:
        raise NothingKept(
            "no rehearsal is kept", where="on this machine", do="run in another terminal: make rehearse ARGS=--keep"
        )
    return found


def region_of(kept: Kept, wanted: str | None) -> str:
    """The Region that is meant, by its name or its role (dr, primary); without one, the DR Region."""
    dr, *others = kept.regions
    known = {dr: dr, "dr": dr} | ({others[0]: others[0], "primary": others[0]} if others else {})
    if wanted and wanted not in known:
        raise UnknownRegion(
            f"the kept rehearsal has no Region {wanted}",
            where="in REGION",
            do=f"choose one of: {', '.join(kept.regions)}",
        )
    return known[wanted or dr]


def vantage_of(kept: Kept, region: str) -> Vantage:
    """From where its functions call."""
    return Vantage.DR if region == kept.regions[0] else Vantage.PRIMARY


def client(kept: Kept, service: str, region: str) -> Any:
    """A client of the kept rehearsal, as one outside both Regions has it; the user's own profile is ignored."""
    session: Any = boto3.session.Session(
        botocore_session=botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    )
    return session.client(
        service,
        region_name=region,
        endpoint_url=kept.endpoint_url,
        aws_access_key_id=access_key(Vantage.OUTSIDE),
        aws_secret_access_key=SECRET_KEY,
        config=_CONFIG,
    )


def credentials(vantage: Vantage) -> dict[str, str]:
    """By them the lab knows from where a call comes; SAM hands on what it is started with."""
    return {"AWS_ACCESS_KEY_ID": access_key(vantage), "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


def configured(kept: Kept, region: str, wanted: Iterable[Packaged]) -> dict[Packaged, dict[str, str]]:
    """What the Lambda API of that Region says of each function's variables.

    NothingKept where it does not answer: the Region that the rehearsal has lost never does.
    """
    functions_there = client(kept, "lambda", region)

    def ask(function: Packaged) -> dict[str, str]:
        name = function.in_aws(kept.application)
        answer = functions_there.get_function_configuration(FunctionName=name)
        return dict(answer.get("Environment", {}).get("Variables", {}))

    try:
        return {function: ask(function) for function in wanted}
    except (BotoCoreError, ClientError) as error:
        raise NothingKept(
            f"{region} of the kept rehearsal does not answer ({type(error).__name__})",
            where=kept.endpoint_url,
            do="name the Region that is not lost as REGION, or keep another: make rehearse ARGS='--fault none --keep'",
        ) from error


def written(
    of: Mapping[Packaged, Mapping[str, str]],
    endpoint_url: str,
    region: str,
    rewritten: Callable[[Mapping[str, str]], dict[str, str]],
    application: str,
) -> dict[str, dict[str, str]]:
    """The document: by each function's logical id, its variables as they hold in a container. Pure but for `rewritten`.

    The session token is the lab's way to know which function makes a call.
    """
    return {
        function.logical_id: rewritten({**variables, "AWS_ENDPOINT_URL": endpoint_url})
        | {"AWS_SESSION_TOKEN": token_of(region, function.in_aws(application))}
        for function, variables in of.items()
    }


def write(kept: Kept, region: str, gateway: Gateway, to: Path) -> Path:
    """Write env.json for all functions in a Region of a kept rehearsal, through that gateway."""
    of = configured(kept, region, functions().values())
    document = written(of, kept.endpoint_url, region, gateway.rewritten, kept.application)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(document, indent=2) + "\n")
    return to


def command(template: Path, env_json: Path, region: str, bridge: Bridge, more: Sequence[str]) -> list[str]:
    """`sam local` with these words, for a Region whose variables are in `env_json`."""
    return [
        *(str(sam()), "local", *more, "--template", str(template), "--env-vars", str(env_json)),
        *("--region", region, "--docker-network", bridge.name, "--skip-pull-image"),
        *("--parameter-overrides", f"Architecture={engine.architecture()}"),
        # S3 Control is called at a name that has the account in front; there is no DNS for that here.
        *("--add-host", f"123456789012.{bridge.address}:{bridge.address}"),
        *("--layer-cache-basedir", str(BUILD / "layers")),
    ]


def hold() -> None:
    """Wait for Ctrl-C."""
    threading.Event().wait()


def main() -> int:
    """Write it, say how to use it, and hold the way open until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make local-env", description=__doc__)
    parser.add_argument("--region", default=None, help="dr (unless given), primary, or a Region's name")
    parser.add_argument("--to", type=Path, default=ENV_JSON, metavar="FILE")
    given = parser.parse_args()
    try:
        kept = kept_one()
        region = region_of(kept, given.region)
        engine.require_engine()
        engine.require_image()
        template = build()
        with engine.bridge() as bridge, Gateway(bridge) as gateway, suppress(KeyboardInterrupt):
            path = write(kept, region, gateway, given.to)
            words = command(template, path.resolve(), region, bridge, ["invoke", "Assess", "--event", str(_EVENT)])
            print(_said(path, credentials(vantage_of(kept, region)), words), flush=True)
            hold()
    except LabError as error:
        print(f"relight: {error.sentence}", file=sys.stderr)
        return 2
    return 0


def _said(path: Path, login: Mapping[str, str], words: Sequence[str]) -> str:
    """The sentence, and below it the command on a line for each option, as a shell takes it."""
    names = " ".join(shlex.quote(f"{name}={value}") for name, value in login.items())
    typed = "".join(f" \\\n    {word}" if word.startswith("--") else f" {word}" for word in map(shlex.quote, words))
    return f"{path} holds until Ctrl-C. In another terminal:\n  {names}{typed}"


if __name__ == "__main__":
    sys.exit(main())
