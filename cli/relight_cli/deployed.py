"""Which deployed application a command is about: by samconfig.toml, or by its name and its Regions alone.

Whoever is called at night may have neither the project nor its settings: a name and a Region are enough. No default
Region is taken: on the night that counts it may be the lost one. What a person's own environment says counts where the
command line is silent: RELIGHT_ENV, or RELIGHT_APP with RELIGHT_REGIONS.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, chosen
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import Slot

# Not `type` statements: typer does not look behind them.
Env = Annotated[str | None, typer.Option("--env", metavar="NAME", help="The environment in samconfig.toml.")]
App = Annotated[str | None, typer.Option("--app", metavar="NAME", help="The application, without samconfig.toml.")]
Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The Region that the run is to activate.")
]
OneRegion = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The DR Region; with --app and --peer-region.")
]
PeerRegion = Annotated[
    str | None, typer.Option("--peer-region", metavar="REGION", help="The other Region; with --app and --region.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

ENV, APP, REGIONS = "RELIGHT_ENV", "RELIGHT_APP", "RELIGHT_REGIONS"
"""Of the person's environment: one of samconfig.toml, or a name and both Regions, the DR Region first."""
_LONGEST = 500
_APPLICATION = re.compile(r"[a-z][a-z0-9-]{1,17}")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")


@dataclass(frozen=True)
class Deployed:
    """An application as it was deployed."""

    application: str
    regions: tuple[str, ...]
    """Those whose ledgers count, the DR Region first."""
    account: str | None = None
    """Whose it is; None where nobody has said."""

    @property
    def table(self) -> str:
        """The ledger, in each Region."""
        return f"relight-{self.application}"


@dataclass(frozen=True)
class Whereabouts:
    """The options by which a command was told where to look."""

    env: str | None = None
    config: Path = DEFAULT
    app: str | None = None
    region: str | None = None
    peer_region: str | None = None

    def of_a_run(self, which: str = "run this is") -> Deployed:
        """Where a run, or what `which` says, may be: in one Region, or in either of an environment. Refused where that
        is not said.
        """
        found = self._whole()
        if found is not None:
            if self.region is None:
                return found
            if self.region not in found.regions:
                what = f"{self.region} is no Region of {self.env or found.application}"
                raise _wrong(what, f"choose one of: {' '.join(found.regions)}")
            return Deployed(found.application, (self.region,), found.account)
        if self.app is None or self.region is None:
            raise _wrong(f"it is not said which {which}", "give --env NAME, or --app NAME and --region REGION")
        return _named(self.app, self.region)

    def of_both(self) -> Deployed:
        """Both Regions of an application. Refused where they are not said."""
        found = self._whole()
        if found is not None:
            if self.region is not None or self.peer_region is not None:
                by = "--env" if self.env is not None else "the environment"
                raise _wrong(
                    f"{by} says the Regions already", "leave out --region and --peer-region, or give --app, too"
                )
            return found
        if self.app is None or self.region is None or self.peer_region is None:
            do = "give --env NAME, or --app NAME, --region REGION and --peer-region REGION"
            raise _wrong("it is not said which application this is, in which Regions", do)
        if self.region == self.peer_region:
            raise _wrong(f"both Regions are {self.region}", "name the DR Region and the other one")
        return _named(self.app, self.region, self.peer_region)

    def _whole(self) -> Deployed | None:
        """What --env names, or where no application is named, the person's environment; None where neither does."""
        if self.env is not None:
            return self._environment(self.env)
        if self.app is not None:
            return None
        if env := os.environ.get(ENV):
            return self._environment(env)
        app, regions = os.environ.get(APP), os.environ.get(REGIONS, "").replace(",", " ").split()
        if not app:
            return None
        if len(regions) != 2 or regions[0] == regions[1]:
            do = f"set {REGIONS} to two, the DR Region first: eu-central-1 eu-west-1"
            raise Refused(
                f"{APP} is set, and not its two Regions", where="in the environment", do=do, code=Exit.BAD_INPUT
            )
        return _named(app, *regions, where="in the environment")

    def _environment(self, env: str) -> Deployed:
        if self.app is not None:
            raise _wrong("--env says the application already", "leave out --app, or --env")
        found = chosen(env, self.config)
        regions = tuple(found.stacks[slot].region for slot in (Slot.DR, Slot.PRIMARY))
        return Deployed(found.application, regions, found.account)


def _named(application: str, *regions: str, where: str = "in the command line") -> Deployed:
    if not _APPLICATION.fullmatch(application):
        do = "give what the parameter Application is, such as shop"
        raise _wrong(f"{application!r} is no application's name", do, where)
    for region in regions:
        if not _REGION.fullmatch(region):
            raise _wrong(f"{region!r} is no Region's name", "give one such as eu-central-1", where)
    return Deployed(application, regions)


def _wrong(what: str, do: str, where: str = "in the command line") -> Refused:
    return Refused(what, where=where, do=do, code=Exit.BAD_INPUT)


def reason(text: str) -> str:
    """A reason on one line. Refused where there is none, or it is longer than what is kept of one."""
    # It is shown on others' terminals.
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if not line:
        raise _wrong("the reason is blank", "say why: it is kept, and others will read it")
    if len(line) > _LONGEST:
        raise _wrong(f"the reason has {len(line)} characters", f"say it in {_LONGEST}")
    return line
