"""The rehearsal can fail: what it shows follows from the templates, from real parts, and from nothing else."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.rehearsal.conftest import ROOT, Rehearsed

pytestmark = pytest.mark.rehearsal
Rehearse = Callable[..., Rehearsed]
Altered = Callable[[Mapping[str, tuple[str, str]]], Path]


def test_with_the_rule_and_the_schedule_disabled_no_run_starts(rehearse: Rehearse, altered: Altered) -> None:
    schedule = "            Name: !Sub relight-${Application}-probe\n"
    template = altered({"stacks/watch.yaml": (schedule, f"{schedule}            State: DISABLED\n")})
    failover = template.parent / "stacks" / "failover.yaml"
    stateless = re.sub(r" +State: !If \[IsDr, ENABLED, DISABLED\]\n", "", failover.read_text())
    text, rules = re.subn(r"( +)(RuleName: .*\n)", r"\1\2\1State: DISABLED\n", stateless)
    assert rules
    failover.write_text(text)
    done = rehearse("--template", str(template))
    assert (done.code, done.document["status"]) == (1, "NO_RUN"), done.said
    assert done.document["executions"] == []
    assert done.document["promotions"] == 0
    assert done.document["outage_seconds"] is None, "nobody brought the site back"


def test_while_the_promotion_is_paused_dr_answers_nobody_and_loses_no_instance(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("paused.py"))],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == "SUCCEEDED"
    assert seen["promoted_after"] >= seen["paused_for"]
    assert seen["asked_of_dr_before"] == 0
    assert seen["dr_instances_while_paused"] == 2
    assert seen["dr_terminations"] == [], seen


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (
            "stacks/compute.yaml",
            ("AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::TrustStore"),
            "AWS::ElasticLoadBalancingV2::TrustStore",
        ),
        ("template.yaml", ("AllowedValues: [http, https]", "AllowedValues: [https]"), "Scheme"),
        ("stacks/failover.yaml", ("        ScaleFunction: !GetAtt Scale.Arn\n", ""), "ScaleFunction"),
        ("template.yaml", ("Transform: AWS", "Transform: [AWS"), "template.yaml"),
    ],
)
def test_a_template_that_the_lab_does_not_understand_is_refused(
    rehearse: Rehearse, altered: Altered, name: str, change: tuple[str, str], says: str
) -> None:
    done = rehearse("--template", str(altered({name: change})))
    assert done.code == 2
    complaint = [line for line in done.said.splitlines() if line.startswith("relight: ")]
    assert len(complaint) == 1
    assert says in complaint[0]
    assert "Traceback" not in done.said
    assert list(done.folder.iterdir()) == []
