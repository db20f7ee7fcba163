"""The phases of a deployment: which stack, and what it takes from those before it. Data, and one pure function."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from relight_cli.samconfig import PEER_OF, Environment, Slot

# What stands in the place of a value that only a later phase knows; never handed to AWS.
UNKNOWN = "(not known yet)"


class Origin(StrEnum):
    """Where the value of a parameter comes from."""

    GIVEN = "given"
    OUTPUT = "output"
    SET = "set"
    ZONE = "zone"
    DEFAULT = "default"


@dataclass(frozen=True)
class Source:
    """An output of another phase's stack. One that is optional may not exist yet: the default holds until then."""

    slot: Slot
    output: str
    optional: bool = False

    @property
    def sentence(self) -> str:
        """How the plan names it."""
        return f"output {self.output} of {self.slot}"


@dataclass(frozen=True)
class Phase:
    """One pass over one stack. A value that samconfig.toml gives is preferred to all others but those that are set."""

    name: str
    slot: Slot
    takes: Mapping[str, Source] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    """What this pass is about; it cannot be given."""
    from_zone: tuple[str, ...] = ()
    """Parameters that are the hosted zone's name servers."""


@dataclass(frozen=True)
class Value:
    """A parameter as a phase passes it; None is a value that is not known yet."""

    value: str | None
    origin: Origin
    source: str = ""


def _regional(name: str, slot: Slot, peer_ready: str, more: Mapping[str, Source]) -> Phase:
    own, peer = (Slot.KEYS_PRIMARY, Slot.KEYS_DR) if slot is Slot.PRIMARY else (Slot.KEYS_DR, Slot.KEYS_PRIMARY)
    return Phase(
        name,
        slot,
        takes={
            "DataKeyArn": Source(own, "DataKeyArn"),
            "PeerDataKeyArn": Source(peer, "DataKeyArn"),
            "TopicKeyArn": Source(own, "TopicKeyArn"),
            **more,
        },
        sets={"PeerReady": peer_ready},
        from_zone=("NameServers",),
    )


_ACL = {slot: Source(PEER_OF[slot], "NetworkAclId", optional=True) for slot in (Slot.PRIMARY, Slot.DR)}
_KEYS = (Phase("keys, primary", Slot.KEYS_PRIMARY), Phase("keys, dr", Slot.KEYS_DR))
_PRIMARY_ALONE = _regional("primary", Slot.PRIMARY, "false", {})
_DR = _regional(
    "dr",
    Slot.DR,
    "true",
    {
        "PeerNetworkAclId": _ACL[Slot.DR],
        "SourceDatabaseArn": Source(Slot.PRIMARY, "DatabaseArn", optional=True),
    },
)
_PRIMARY_PAIRED = _regional("primary, peer ready", Slot.PRIMARY, "true", {"PeerNetworkAclId": _ACL[Slot.PRIMARY]})
_GLOBAL = Phase(
    "global",
    Slot.GLOBAL,
    takes={
        "PrimaryBalancerName": Source(Slot.PRIMARY, "BalancerName", optional=True),
        "PrimaryBalancerZoneId": Source(Slot.PRIMARY, "BalancerZoneId", optional=True),
        "DrBalancerName": Source(Slot.DR, "BalancerName", optional=True),
        "DrBalancerZoneId": Source(Slot.DR, "BalancerZoneId", optional=True),
    },
)


def phases(*, peer_exists: bool) -> tuple[Phase, ...]:
    """All passes in their order. Where the dr stack exists, the primary is never again deployed as if it did not."""
    if peer_exists:
        return (*_KEYS, _PRIMARY_PAIRED, _DR, _GLOBAL)
    return (*_KEYS, _PRIMARY_ALONE, _DR, _PRIMARY_PAIRED, _GLOBAL)


def values(
    phase: Phase,
    environment: Environment,
    declared: Mapping[str, Mapping[str, object]],
    outputs: Mapping[Slot, Mapping[str, str]],
    name_servers: str | None,
) -> dict[str, Value]:
    """The value of each parameter that the template declares.

    `outputs` are those of the stacks that exist; of one that is missing there, nothing is known. `declared` is the
    template's section Parameters: what it does not declare is not passed, unless it is given, so that AWS refuses it.
    """
    settings = environment.stacks[phase.slot]
    found: dict[str, Value] = {}
    for name, parameter in declared.items():
        value = _value(name, phase, settings.overrides, outputs, name_servers)
        if value is not None:
            found[name] = value
        elif "Default" in parameter:
            found[name] = Value(_default(parameter["Default"]), Origin.DEFAULT)
    return found


def _default(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(
    name: str,
    phase: Phase,
    given: Mapping[str, str],
    outputs: Mapping[Slot, Mapping[str, str]],
    name_servers: str | None,
) -> Value | None:
    if name in phase.sets:
        return Value(phase.sets[name], Origin.SET, "by this pass")
    if name in given:
        return Value(given[name], Origin.GIVEN)
    if name in phase.from_zone:
        return Value(name_servers, Origin.ZONE, "name servers of the hosted zone")
    source = phase.takes.get(name)
    if source is None:
        return None
    known = outputs.get(source.slot)
    if known is not None and source.output not in known and source.optional:
        return None
    return Value((known or {}).get(source.output), Origin.OUTPUT, source.sentence)
