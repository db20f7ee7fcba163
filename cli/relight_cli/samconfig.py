"""samconfig.toml as `relight` reads it: an environment is five of SAM's, one for each stack, and an account."""

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from relight_cli.exit_code import Exit, Refused


class Slot(StrEnum):
    """A stack of an environment. `<environment>-<slot>` is its name in samconfig.toml."""

    KEYS_PRIMARY = "keys-primary"
    KEYS_DR = "keys-dr"
    PRIMARY = "primary"
    DR = "dr"
    GLOBAL = "global"


REGIONAL = (Slot.PRIMARY, Slot.DR)
KEYS_OF: Mapping[Slot, Slot] = {Slot.PRIMARY: Slot.KEYS_PRIMARY, Slot.DR: Slot.KEYS_DR}
PEER_OF: Mapping[Slot, Slot] = {Slot.PRIMARY: Slot.DR, Slot.DR: Slot.PRIMARY}
TEMPLATES: Mapping[Slot, str] = {
    Slot.KEYS_PRIMARY: "stacks/keys.yaml",
    Slot.KEYS_DR: "stacks/keys.yaml",
    Slot.PRIMARY: "template.yaml",
    Slot.DR: "template.yaml",
    Slot.GLOBAL: "stacks/global.yaml",
}
_ACCOUNT = re.compile(r"\d{12}")
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")


@dataclass(frozen=True)
class StackSettings:
    """What samconfig.toml says of one stack."""

    slot: Slot
    config_env: str
    stack_name: str
    region: str
    template: Path
    overrides: Mapping[str, str]


@dataclass(frozen=True)
class Environment:
    """One environment: its stacks, and the account that it belongs to."""

    name: str
    file: Path
    account: str
    stacks: Mapping[Slot, StackSettings]

    @property
    def folder(self) -> Path:
        """Where the templates are."""
        return self.file.parent

    @property
    def application(self) -> str:
        """The name that everything is named after; the templates' own default where it is not given."""
        return self.stacks[Slot.PRIMARY].overrides.get("Application", "shop")

    @property
    def home_region(self) -> str:
        """The Region of the primary."""
        return self.stacks[Slot.PRIMARY].region

    @property
    def domain(self) -> str:
        """The name that clients use."""
        return self.stacks[Slot.PRIMARY].overrides.get("Domain", "")

    def given(self, slot: Slot, name: str, default: str = "") -> str:
        """The value that samconfig.toml gives to a parameter."""
        return self.stacks[slot].overrides.get(name, default)

    @property
    def own_workload(self) -> bool:
        """Whether the database and the instances are of these templates too, and not brought along."""
        return self.given(Slot.PRIMARY, "CreateWorkload", "true") == "true"

    @property
    def data_bucket(self) -> Mapping[Slot, str]:
        """The data bucket of either Region."""
        return {slot: f"relight-data-{self.application}-{self.account}-{self.stacks[slot].region}" for slot in REGIONAL}


def environment(file: Path, name: str) -> Environment:
    """That environment of that file. Refused where the file or a part of it is missing or malformed."""
    config = _load(file)
    known = sorted(
        {key.removesuffix(f"-{Slot.PRIMARY}") for key in config if key.endswith(f"-{Slot.PRIMARY}")}
        - {f"{key.removesuffix(f'-{Slot.GLOBAL}')}-keys" for key in config if key.endswith(f"-{Slot.GLOBAL}")}
    )
    missing = [f"{name}-{slot}" for slot in Slot if f"{name}-{slot}" not in config]
    if missing:
        raise Refused(
            f"the environment {name} has no {missing[0]}",
            where=str(file),
            do=f"add [{missing[0]}.deploy.parameters], or choose one of: {' '.join(known) or 'none is complete'}",
            code=Exit.BAD_INPUT,
        )
    return Environment(
        name=name,
        file=file.resolve(),
        account=_account(config, name, file),
        stacks={slot: _stack(config, name, slot, file) for slot in Slot},
    )


def _load(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(
            f"samconfig.toml cannot be read ({error.strerror})",
            where=str(file),
            do="run this in the folder that holds it, or name it with --config",
            code=Exit.BAD_INPUT,
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(
            f"samconfig.toml does not parse: {error}", where=str(file), do="mend the TOML", code=Exit.CONFIGURATION
        ) from error


def _section(config: Mapping[str, Any], environment_name: str, command: str) -> dict[str, Any]:
    """`[<environment>.<command>.parameters]`, over what `[<environment>.global.parameters]` says for all commands."""
    found: dict[str, Any] = {}
    for name in ("global", command):
        section = config.get(environment_name, {}).get(name, {})
        parameters = section.get("parameters", {}) if isinstance(section, dict) else {}
        found |= parameters if isinstance(parameters, dict) else {}
    return found


def _account(config: Mapping[str, Any], name: str, file: Path) -> str:
    account = _section(config, name, "relight").get("account")
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account):
        raise Refused(
            f"[{name}.relight.parameters] does not say whose account this is",
            where=str(file),
            do='add account = "<12 digits>" there',
            code=Exit.CONFIGURATION,
        )
    return account


def _stack(config: Mapping[str, Any], name: str, slot: Slot, file: Path) -> StackSettings:
    config_env = f"{name}-{slot}"
    section = _section(config, config_env, "deploy")
    where = f"{file} [{config_env}.deploy.parameters]"
    texts = {"template_file": TEMPLATES[slot]} | section
    for key in ("stack_name", "region", "template_file"):
        if not texts.get(key):
            raise Refused(f"there is no {key}", where=where, do="add it", code=Exit.CONFIGURATION)
        if not isinstance(texts[key], str):
            what = f"{key} is {texts[key]!r}, which is no text"
            raise Refused(what, where=where, do="put it in quotes", code=Exit.CONFIGURATION)
    if not _STACK_NAME.fullmatch(texts["stack_name"]):
        what = f"stack_name is {texts['stack_name']!r}"
        do = "begin with a letter, go on with letters, digits and hyphens, 128 at most"
        raise Refused(what, where=where, do=do, code=Exit.CONFIGURATION)
    return StackSettings(
        slot=slot,
        config_env=config_env,
        stack_name=texts["stack_name"],
        region=texts["region"],
        template=file.resolve().parent / texts["template_file"],
        overrides=overrides(section.get("parameter_overrides", []), where),
    )


def overrides(value: Any, where: str) -> dict[str, str]:
    """SAM's `parameter_overrides` by name: a list of `Name=value`, one text of them, or a table. Refused otherwise."""
    if isinstance(value, dict):
        return {str(key): _text(item) for key, item in value.items()}
    try:
        pairs = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        what = f"parameter_overrides does not parse: {error}"
        raise Refused(what, where=where, do="mend the quotes", code=Exit.CONFIGURATION) from error
    if not isinstance(pairs, list):
        what = f"parameter_overrides is {pairs!r}"
        raise Refused(what, where=where, do='write ["Name=value", ...]', code=Exit.CONFIGURATION)
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, text = str(pair).partition("=")
        if not sign or not key:
            raise Refused(
                f"parameter_overrides has {pair!r}", where=where, do="write Name=value", code=Exit.CONFIGURATION
            )
        if key in found:
            raise Refused(f"{key} is given twice", where=where, do="keep one of them", code=Exit.CONFIGURATION)
        found[key] = text
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)
