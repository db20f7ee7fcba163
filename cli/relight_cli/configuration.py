"""What is wrong with an environment, as far as it can be told without asking AWS: held to the templates' own words."""

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping

from botocore.exceptions import UnknownRegionError
from botocore.session import Session

from lab import parameter
from lab.errors import StackRefused, TemplateError
from lab.expression import Expression, Scope
from lab.template import Template, load
from relight_cli.exit_code import Exit, Refused
from relight_cli.phases import UNKNOWN, Phase, Value, values
from relight_cli.samconfig import KEYS_OF, PEER_OF, REGIONAL, Environment, Slot

GLOBAL_REGION = "us-east-1"
# The state machine writes ARNs of this partition, and the global stack needs us-east-1.
PARTITION = "aws"
_SERVICES = ("rds", "stepfunctions", "scheduler", "dynamodb", "lambda", "autoscaling", "elbv2", "events", "kms")
# The one Region's applications stop by it, the other Region waits for it: unequal, it protects nothing.
_LEASE = ("LeaseTermSeconds", "LongestTransactionSeconds")
_LISTS = ("CommaDelimitedList", "List<")
# What botocore ships is asked, and not what this machine says of AWS: a profile that does not exist, a file that does
# not parse.
_NO_SETTINGS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def templates(environment: Environment) -> Mapping[Slot, Template]:
    """The template of each stack. Refused when one cannot be read."""
    try:
        return {slot: load(settings.template) for slot, settings in environment.stacks.items()}
    except TemplateError as error:
        raise Refused(error.what, where=error.where, do=error.do, code=Exit.BAD_INPUT) from error


def check(environment: Environment, loaded: Mapping[Slot, Template], passes: tuple[Phase, ...]) -> None:
    """Refused with the first thing that is wrong: Regions, the pair's agreement, parameters, rules, sizes, networks."""
    check_regions(environment)
    _check_pair(environment)
    for phase in passes:
        _check_phase(phase, environment, loaded[phase.slot])
    _check_sizes(environment, loaded)
    _check_networks(environment, loaded)


def check_regions(environment: Environment) -> None:
    """The pair is two Regions of one partition that have what is needed, as far as botocore knows."""
    primary, dr = (environment.stacks[slot].region for slot in REGIONAL)
    if primary == dr:
        raise _regions(f"both Regions are {primary}; Relight needs two", environment)
    session = Session(session_vars=_NO_SETTINGS)
    partitions = {}
    for region in (primary, dr):
        try:
            partitions[region] = session.get_partition_for_region(region)
        except UnknownRegionError:
            raise _regions(f"there is no Region {region}", environment) from None
    if partitions[primary] != partitions[dr]:
        raise _regions(f"{primary} and {dr} are in different partitions, which share nothing", environment)
    if partitions[primary] != PARTITION:
        raise _regions(f"{primary} is in the partition {partitions[primary]}, which is not supported", environment)
    for region in (primary, dr):
        for service in _SERVICES:
            if region not in session.get_available_regions(service, PARTITION):
                raise _regions(f"{region} has no {service}, as far as this botocore knows", environment)


def _regions(what: str, environment: Environment) -> Refused:
    return Refused(
        what,
        where=f"{environment.file.name} {environment.name}",
        do="choose two Regions of the partition aws",
        code=Exit.REGIONS,
    )


def _wrong(what: str, environment: Environment, slot: Slot, do: str = "", code: Exit = Exit.CONFIGURATION) -> Refused:
    where = f"{environment.file.name} [{environment.stacks[slot].config_env}.deploy.parameters]"
    return Refused(what, where=where, do=do, code=code)


def _check_pair(environment: Environment) -> None:
    """What the environments say of one another agrees."""
    same = ("Application", "Domain", "CreateWorkload", "Scheme", "SitePort", "ReadinessPath", *_LEASE)
    for name in same:
        stated = {slot: environment.given(slot, name) for slot in REGIONAL}
        if stated[Slot.PRIMARY] != stated[Slot.DR]:
            do = f"say the same for {Slot.PRIMARY} and {Slot.DR}"
            raise _wrong(f"{name} is {stated[Slot.PRIMARY]!r} and {stated[Slot.DR]!r}", environment, Slot.DR, do)
    for slot, name, wanted in _agreements(environment):
        said = environment.given(slot, name, wanted)
        if said != wanted:
            raise _wrong(f"{name} is {said!r}, and the other environments say {wanted!r}", environment, slot, "agree")
    if environment.stacks[Slot.GLOBAL].region != GLOBAL_REGION:
        raise _wrong(f"the global stack belongs to {GLOBAL_REGION}", environment, Slot.GLOBAL, "correct its region")
    for slot in REGIONAL:
        keys = KEYS_OF[slot]
        if environment.stacks[keys].region != environment.stacks[slot].region:
            raise _wrong(f"its region is not that of {slot}", environment, keys, "correct it")
    _check_names(environment)


def _check_names(environment: Environment) -> None:
    """No two stacks are one: the later would take the place of the earlier."""
    known: dict[tuple[str, str], Slot] = {}
    for slot, settings in environment.stacks.items():
        other = known.setdefault((settings.region, settings.stack_name), slot)
        if other is not slot:
            what = f"{settings.stack_name} in {settings.region} is the stack of {other} already"
            raise _wrong(what, environment, slot, "give it a stack_name of its own")


def _agreements(environment: Environment) -> Iterator[tuple[Slot, str, str]]:
    for slot in REGIONAL:
        yield slot, "Role", slot.value
        yield slot, "PeerRegion", environment.stacks[PEER_OF[slot]].region
        prefix = environment.given(PEER_OF[slot], "NetworkPrefix")
        if prefix:
            yield slot, "PeerNetworkPrefix", prefix
    yield Slot.GLOBAL, "PrimaryRegion", environment.stacks[Slot.PRIMARY].region
    yield Slot.GLOBAL, "DrRegion", environment.stacks[Slot.DR].region
    yield Slot.GLOBAL, "Domain", environment.domain
    for slot in (Slot.KEYS_PRIMARY, Slot.KEYS_DR, Slot.GLOBAL):
        yield slot, "Application", environment.application
    for name in ("Scheme", "SitePort", "ReadinessPath"):
        stated = environment.given(Slot.PRIMARY, name)
        if stated:
            yield Slot.GLOBAL, name, stated


def _check_phase(phase: Phase, environment: Environment, template: Template) -> None:
    settings = environment.stacks[phase.slot]
    declared = template.body.get("Parameters") or {}
    for name in settings.overrides:
        if name not in declared:
            do = f"leave it out, or correct it: {template.path.name} declares what there is"
            raise _wrong(f"there is no parameter {name}", environment, phase.slot, do)
    resolved = values(phase, environment, declared, {}, None)
    _require_certificate(environment, phase.slot, resolved)
    for name in declared:
        if name not in resolved:
            code = Exit.ZONE if name == "HostedZoneId" else Exit.CONFIGURATION
            do = "give it the id of the zone of the domain" if code is Exit.ZONE else "give it one"
            raise _wrong(f"{name} has no value and no default", environment, phase.slot, do, code)
    known = {name: value.value for name, value in resolved.items() if value.value is not None}
    try:
        parameter.check(template, known, _any_image)
        parameter.check_rules(template, _expressions(template, resolved, settings.region))
    except StackRefused as error:
        where = f"{error.where}, {environment.file.name} [{settings.config_env}.deploy.parameters]"
        raise Refused(error.what, where=where, do=error.do, code=Exit.CONFIGURATION) from error


def _require_certificate(environment: Environment, slot: Slot, resolved: Mapping[str, Value]) -> None:
    certificate, scheme = resolved.get("CertificateArn"), resolved.get("Scheme")
    if certificate and scheme and (scheme.value, certificate.value) == ("https", "") and environment.own_workload:
        do = "give CertificateArn, or Scheme=http where nothing else will do"
        raise _wrong("HTTPS needs a certificate", environment, slot, do, Exit.CERTIFICATE)
    if certificate and certificate.value and environment.own_workload:
        of = tuple(certificate.value.split(":")[3:5])
        here = (environment.stacks[slot].region, environment.account)
        if of != here:
            what = f"the certificate {certificate.value} is not of {here[0]} and the account {here[1]}"
            raise _wrong(what, environment, slot, "name one of there", Exit.CERTIFICATE)


def _any_image(_: str) -> str:
    """What stands behind a public SSM parameter is not known here, and no rule asks for it."""
    return UNKNOWN


def _expressions(template: Template, resolved: Mapping[str, Value], region: str) -> Callable[[str], Expression]:
    declared = template.body.get("Parameters") or {}

    def known(name: str) -> str | list[str]:
        text = UNKNOWN if resolved[name].value is None else str(resolved[name].value)
        if str(declared[name].get("Type", "")).startswith(_LISTS):
            return [item.strip() for item in text.split(",")] if text else []
        return text

    def nothing(*_: str) -> str:
        raise KeyError

    scope = Scope(
        parameters={name: known(name) for name in resolved} | {"AWS::Region": region, "AWS::Partition": PARTITION},
        mappings=template.body.get("Mappings") or {},
        conditions=template.body.get("Conditions") or {},
        ref=nothing,
        attribute=nothing,
        zones=lambda _: [],
    )
    return lambda where: Expression(scope, where)


def _number(environment: Environment, loaded: Mapping[Slot, Template], slot: Slot, name: str) -> int | None:
    declared = (loaded[slot].body.get("Parameters") or {}).get(name)
    if declared is None:
        return None
    return int(float(environment.given(slot, name, str(declared.get("Default", 0)))))


def _check_sizes(environment: Environment, loaded: Mapping[Slot, Template]) -> None:
    """CloudFormation's rules cannot compare numbers; an Auto Scaling group refuses these only when it is made."""
    if not environment.own_workload:
        return
    for slot in REGIONAL:
        sizes = {name: _number(environment, loaded, slot, name) for name in ("MinSize", "DesiredCapacity", "MaxSize")}
        smallest, wanted, largest = sizes.values()
        if smallest is None or wanted is None or largest is None:
            return
        if not smallest <= wanted <= largest:
            stated = ", ".join(f"{name} {number}" for name, number in sizes.items())
            raise _wrong(f"{stated}: they must not decrease", environment, slot, "correct them")
        failover = _number(environment, loaded, slot, "FailoverCapacity")
        if failover is not None and failover > largest:
            do = "raise MaxSize, or lower FailoverCapacity"
            raise _wrong(f"FailoverCapacity {failover} is above MaxSize {largest}", environment, slot, do)
    # In both directions: which of them serves by its parameters is the owner's to say (`relight stay`).
    for slot in REGIONAL:
        there = PEER_OF[slot]
        largest_there = _number(environment, loaded, there, "MaxSize") or 0
        wanted_here = _number(environment, loaded, slot, "DesiredCapacity") or 0
        if wanted_here > largest_there:
            who = "the primary" if slot is Slot.PRIMARY else "dr"
            what = f"{who} runs {wanted_here} instances, and the MaxSize of {there} is {largest_there}"
            raise _wrong(what, environment, there, "raise MaxSize, so that a failover can bring up as many")


def _check_networks(environment: Environment, loaded: Mapping[Slot, Template]) -> None:
    networks = {}
    for slot in REGIONAL:
        default = (loaded[slot].body.get("Parameters") or {}).get("NetworkPrefix", {}).get("Default", "")
        prefix = environment.given(slot, "NetworkPrefix", default)
        try:
            networks[slot] = ipaddress.ip_network(f"{prefix}.0.0/16")
        except ValueError:
            raise _wrong(
                f"NetworkPrefix {prefix!r} is no start of a network", environment, slot, "10.0 to 10.255"
            ) from None
    if networks[Slot.PRIMARY].overlaps(networks[Slot.DR]):
        what = f"the networks overlap, {networks[Slot.PRIMARY]} and {networks[Slot.DR]}"
        raise _wrong(what, environment, Slot.DR, "give each Region a NetworkPrefix of its own")
