"""What the templates need once a person has told a failback to stay: parameters that the two stacks exchange.

The ledgers know which Region is home. The parameters do not: the next deployment would shrink the Region that serves,
and raise the one that stands by.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from relight_cli import configuration
from relight_cli.answering import After
from relight_cli.chosen import chosen
from relight_cli.deployed import Whereabouts
from relight_cli.exit_code import Refused
from relight_cli.samconfig import REGIONAL, Environment, Slot

EXCHANGED = {
    "MinSize": "instances",
    "DesiredCapacity": "instances",
    "MaxSize": "instances",
    "FailoverCapacity": "instances, of a run that knows no better",
    "WarmPoolSize": "instances",
    "CapacityReservation": "instances",
    "InstanceType": "instances",
    "MoreInstanceTypes": "instances",
    "NatGateways": "network",
    "DatabaseClass": "database; a change of class restarts it",
    "DatabaseMaxStorage": "database",
    "MultiAz": "database",
    "BackupRetentionDays": "database",
    "BackupReplication": "database; with Role dr the template starts none, so start it by hand there",
}
"""What is said of the Region that serves, or of the standby, and what it is about."""
KEPT = {
    "Role": "fixed at deployment: another one would replace the databases",
    "SourceDatabaseArn": "another one would replace a database, and none would promote it",
    "PeerRegion": "the pair stays the pair",
    "NetworkPrefix, PeerNetworkPrefix": "of the networks that exist",
    "CertificateArn, DataKeyArn, PeerDataKeyArn, TopicKeyArn, PeerNetworkAclId": "of the Regions themselves",
    "PrimaryRegion, DrRegion": "of the global stack: names and records stay where they are",
}
"""What must not be changed, and why."""


@dataclass(frozen=True)
class Exchange:
    """One parameter of which the two stacks exchange their values; None is a default that is not known here."""

    name: str
    primary: str | None
    """Of the stack with Role primary, as it is now; then it is the other one's."""
    dr: str | None
    about: str


def exchanges(primary: Mapping[str, str | None], dr: Mapping[str, str | None]) -> list[Exchange]:
    """The parameters that differ and say who serves, in the order of a template. Pure."""
    return [
        Exchange(name, primary.get(name), dr.get(name), about)
        for name, about in EXCHANGED.items()
        if primary.get(name) != dr.get(name)
    ]


def after(where: Whereabouts) -> After:
    """What is left to do, by name alone where there is no samconfig.toml at hand."""
    if where.env is None:
        names = ", ".join(EXCHANGED)
        lines = (
            "",
            "Before the next deployment, exchange between the two stacks of samconfig.toml what differs of:",
            f"  {names}",
            *_kept(),
        )
        return After(lines, {"exchange": None, "keep": list(KEPT)})
    environment = chosen(where.env, where.config)
    found = exchanges(*(_parameters(environment, slot) for slot in REGIONAL))
    return After(("", *_shown(environment, found), *_kept()), _document(environment, found))


def _parameters(environment: Environment, slot: Slot) -> dict[str, str | None]:
    """What is given, and the template's defaults where the template can be read."""
    try:
        declared = configuration.templates(environment)[slot].body.get("Parameters") or {}
    except Refused:
        declared = {}
    defaults = {name: _text(declared[name]["Default"]) for name in EXCHANGED if "Default" in declared.get(name, {})}
    return dict.fromkeys(EXCHANGED) | defaults | dict(environment.stacks[slot].overrides)


def _text(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _shown(environment: Environment, found: list[Exchange]) -> list[str]:
    one, other = (environment.stacks[slot].config_env for slot in REGIONAL)
    if not found:
        return [f"Nothing that says who serves differs between {one} and {other}: {environment.file.name} can stay."]
    width = max(len(each.name) for each in found)
    heading = f"Before the next deployment, exchange in {environment.file.name} between [{one}] and [{other}]:"
    lines = [
        f"  {each.name.ljust(width)}  {one}: {_value(each.primary)} -> {_value(each.dr)}"
        f"   {other}: {_value(each.dr)} -> {_value(each.primary)}   ({each.about})"
        for each in found
    ]
    return [heading, *lines]


def _value(value: str | None) -> str:
    return "the template's default" if value is None else value or '""'


def _kept() -> list[str]:
    return ["And do NOT change:", *(f"  {name}: {why}" for name, why in KEPT.items())]


def _document(environment: Environment, found: list[Exchange]) -> dict[str, object]:
    stacks = {slot.value: environment.stacks[slot].config_env for slot in REGIONAL}
    return {"stacks": stacks, "exchange": [asdict(each) for each in found], "keep": list(KEPT)}
