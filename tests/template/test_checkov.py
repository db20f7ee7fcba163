"""What the linters of templates let pass: each exception has its reason in writing, and covers no more than it says."""

import re

import pytest
import yaml

from tests.template.reading import ROOT, STACKS, written

TEMPLATES = ["template", *STACKS]
CONFIG = (ROOT / ".checkov.yaml").read_text()


def skips(name: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (logical_id, skip)
        for logical_id, resource in written(name).resources.items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_skip_beside_a_resource_has_a_reason(name: str) -> None:
    for logical_id, skip in skips(name):
        assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"]), logical_id
        assert len(skip["comment"].split()) >= 4, f"{logical_id} {skip['id']}: {skip['comment']}"


def test_what_is_skipped_for_all_has_a_reason_above_it_and_stands_nowhere_else() -> None:
    everywhere = yaml.safe_load(CONFIG)["skip-check"]
    lines = CONFIG.splitlines()
    for check in everywhere:
        above = lines[lines.index(f"  - {check}") - 1]
        assert above.startswith("  # "), f"{check} has no reason"
    beside = {skip["id"] for name in TEMPLATES for _, skip in skips(name)}
    assert not beside & set(everywhere)


def test_checkov_is_asked_about_every_template_and_asks_nobody() -> None:
    config = yaml.safe_load(CONFIG)
    assert (config["framework"], config["skip-download"]) == (["cloudformation"], True)
    assert not {"soft-fail", "soft-fail-on", "skip-path", "baseline"} & config.keys()
    makefile = (ROOT / "Makefile").read_text()
    part = re.search(r"^check-templates:.*?\n\n", makefile, re.MULTILINE | re.DOTALL)
    assert part is not None
    assert "$(CHECKOV) --config-file .checkov.yaml --file template.yaml stacks/*.yaml\n" in part[0]
    assert re.search(r"^check: .*\bcheck-templates\b", makefile, re.MULTILINE)


def test_a_function_that_a_schedule_calls_has_a_dead_letter_queue() -> None:
    """CKV_AWS_116 is skipped for all functions, because those of a run answer Step Functions."""
    checked = []
    for name in TEMPLATES:
        shared = written(name).body.get("Globals", {}).get("Function", {})
        for logical_id, resource in written(name).resources.items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::Serverless::Function" and properties.get("Events"):
                assert "DeadLetterQueue" in shared | properties, logical_id
                checked.append(logical_id)
    assert len(checked) >= 3


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_rule_that_cfn_lint_ignores_has_a_reason_beside_it(name: str) -> None:
    file = ROOT / ("template.yaml" if name == "template" else f"stacks/{name}.yaml")
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        if "ignore_checks" in line:
            comment = line.partition("#")[2] or lines[number - 1].partition("#")[2]
            assert len(comment.split()) >= 4, f"{file.name}:{number + 1}"


def test_cfn_lint_ignores_nothing_for_all_templates() -> None:
    config = yaml.safe_load((ROOT / ".cfnlintrc").read_text())
    assert config.keys() == {"templates", "regions"}
    assert config["templates"] == ["template.yaml", "stacks/*.yaml"]
