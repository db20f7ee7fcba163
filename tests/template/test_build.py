"""`sam build`: what is deployed is there, in the shape that Lambda takes it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.template import load
from tests.template.reading import ROOT, of_type

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
PARTS = ("template.yaml", "samconfig.toml", ".python-version", "stacks", "statemachine", "functions", "layers")
STACKS = {"Watch": "watch", "Failover": "failover"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts of a copy of the project, so that nobody's own build is touched."""
    project = tmp_path_factory.mktemp("project")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, project / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, project / part)
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [SAM, "build"],
        cwd=project,
        env=os.environ | {"SAM_CLI_TELEMETRY": "0", "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return project / ".aws-sam" / "build"


@pytest.mark.parametrize("stack", STACKS)
def test_each_function_is_built_with_its_handler(built: Path, stack: str) -> None:
    written = of_type(load(ROOT / "stacks" / f"{STACKS[stack]}.yaml"), "AWS::Serverless::Function")
    assert written
    for name in written:
        assert (built / stack / name / "handler.py").is_file(), name


@pytest.mark.parametrize("stack", STACKS)
def test_the_layer_has_the_core_and_what_it_needs(built: Path, stack: str) -> None:
    layer = built / stack / "CoreLayer" / "python"
    for module in ("relight/ledger.py", "relight/rds_ca.pem", "aws_lambda_powertools", "dns", "pg8000"):
        assert (layer / module).exists(), module


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_built_names_what_is_built(built: Path, stack: str) -> None:
    template = load(built / stack / "template.yaml")
    for name, properties in of_type(template, "AWS::Serverless::Function").items():
        assert (built / stack / properties["CodeUri"] / "handler.py").is_file(), name
    root = load(built / "template.yaml")
    assert (built / root.resources[stack]["Properties"]["TemplateURL"]).is_file()
