"""The environments of samconfig.toml: complete, in agreement, allowed by the templates, and valid to the SAM CLI."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from relight_cli import configuration
from relight_cli.phases import phases, values
from relight_cli.samconfig import REGIONAL, Environment, Slot, environment

from tests.template.reading import REGIONS, ROOT, written

NAMES = ("prod", "staging")
TEMPLATE_OF = {
    slot: Path(settings.template).stem for slot, settings in environment(ROOT / "samconfig.toml", "prod").stacks.items()
}
SAM = ROOT / ".tools/sam/bin/sam"


@pytest.fixture(scope="module", params=NAMES)
def env(request: pytest.FixtureRequest) -> Environment:
    return environment(ROOT / "samconfig.toml", request.param)


def test_each_environment_is_what_the_templates_allow(env: Environment) -> None:
    loaded = configuration.templates(env)
    for peer_exists in (False, True):
        configuration.check(env, loaded, phases(peer_exists=peer_exists))


def test_each_parameter_has_a_value_in_each_phase(env: Environment) -> None:
    for peer_exists in (False, True):
        for phase in phases(peer_exists=peer_exists):
            declared = written(TEMPLATE_OF[phase.slot]).body["Parameters"]
            assert values(phase, env, declared, {}, None).keys() == declared.keys(), phase.name


@pytest.mark.parametrize("phase", phases(peer_exists=False), ids=lambda phase: phase.name)
def test_what_a_phase_takes_and_sets_is_declared_and_put_out(phase: object) -> None:
    """A name that one template changes and the phases do not would be passed by nobody, or from nowhere."""
    passes = {one.name: one for one in phases(peer_exists=False)}
    one = passes[phase.name]  # type: ignore[attr-defined]
    declared = written(TEMPLATE_OF[one.slot]).body["Parameters"]
    assert {*one.takes, *one.sets, *one.from_zone} <= declared.keys()
    for source in one.takes.values():
        assert source.output in written(TEMPLATE_OF[source.slot]).body["Outputs"], source.sentence


def test_the_environments_describe_the_same_pair_of_regions(env: Environment) -> None:
    assert {slot.value: env.stacks[slot].region for slot in REGIONAL} == REGIONS


def test_no_two_environments_share_a_name_or_a_network() -> None:
    both = [environment(ROOT / "samconfig.toml", name) for name in NAMES]
    assert len({one.application for one in both}) == len({one.domain for one in both}) == len(NAMES)
    prefixes = [one.given(slot, "NetworkPrefix") for one in both for slot in REGIONAL]
    assert len(set(prefixes)) == len(prefixes)
    stacks = [(settings.stack_name, settings.region) for one in both for settings in one.stacks.values()]
    assert len(set(stacks)) == len(stacks)


def test_only_the_example_account_is_named() -> None:
    text = (ROOT / "samconfig.toml").read_text()
    assert {env.account for env in (environment(ROOT / "samconfig.toml", name) for name in NAMES)} == {"111122223333"}
    assert text.count(":111122223333:certificate/") == text.count("CertificateArn=") == len(NAMES) * 2


def test_the_pilot_light_runs_no_instance_and_can_carry_the_primary(env: Environment) -> None:
    assert (env.given(Slot.DR, "MinSize"), env.given(Slot.DR, "DesiredCapacity")) == ("0", "0")
    assert int(env.given(Slot.DR, "MaxSize")) >= int(env.given(Slot.PRIMARY, "DesiredCapacity"))
    assert int(env.given(Slot.PRIMARY, "DesiredCapacity")) >= int(env.given(Slot.PRIMARY, "MinSize")) >= 1


def test_prod_is_the_seed_table() -> None:
    prod = environment(ROOT / "samconfig.toml", "prod")
    sizes = [prod.given(Slot.PRIMARY, name) for name in ("MinSize", "DesiredCapacity", "MultiAz")]
    assert sizes == ["1", "2", "true"]


def test_both_regions_say_the_same_but_for_what_makes_them_two(env: Environment) -> None:
    differing = {
        "Role",
        "PeerRegion",
        "CertificateArn",
        "NetworkPrefix",
        "PeerNetworkPrefix",
        "MinSize",
        "DesiredCapacity",
    }
    primary, dr = (dict(env.stacks[slot].overrides) for slot in REGIONAL)
    assert primary.keys() == dr.keys()
    assert {name for name in primary if primary[name] != dr[name]} <= differing


def test_each_stack_is_allowed_what_cloudformation_asks_leave_for(env: Environment) -> None:
    """Without CAPABILITY_IAM it makes no role, without CAPABILITY_NAMED_IAM none that the template names, and without
    CAPABILITY_AUTO_EXPAND it transforms no nested template.
    """
    given = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for slot, settings in env.stacks.items():
        needed = capabilities(TEMPLATE_OF[slot])
        assert set(given[settings.config_env]["deploy"]["parameters"].get("capabilities", [])) == needed, slot


def capabilities(name: str) -> set[str]:
    """What the template of that name, and those nested in it, need leave for."""
    body = written(name).body
    found = {"CAPABILITY_AUTO_EXPAND"} if "Transform" in body else set()
    for resource in body["Resources"].values():
        kind = resource["Type"]
        if kind.startswith("AWS::IAM::") or kind in {"AWS::Serverless::Function", "AWS::Serverless::StateMachine"}:
            named = {"RoleName", "ManagedPolicyName", "InstanceProfileName"} & resource.get("Properties", {}).keys()
            found.add("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
        if kind == "AWS::CloudFormation::Stack":
            found |= capabilities(Path(resource["Properties"]["TemplateURL"]).stem)
    return found - {"CAPABILITY_IAM"} if "CAPABILITY_NAMED_IAM" in found else found


@pytest.mark.deploy
@pytest.mark.parametrize("slot", Slot)
@pytest.mark.parametrize("name", NAMES)
def test_sam_validates_each_environment(name: str, slot: Slot) -> None:
    ended = subprocess.run(
        # Both environments deploy the same templates to the same Regions: linting each once is enough.
        [SAM, "validate", *(["--lint"] if name == "prod" else []), "--config-env", f"{name}-{slot}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SAM_CLI_TELEMETRY": "0"},
    )
    assert ended.returncode == 0, ended.stderr
    expected = ROOT / {"template": "template.yaml"}.get(TEMPLATE_OF[slot], f"stacks/{TEMPLATE_OF[slot]}.yaml")
    assert f"{expected} is a valid SAM Template" in ended.stdout
