"""The functions as `sam build` leaves them: which there are, what each is called, and templates that a lab can run.

`sam local` gives a function no variable that its template does not have, so the built templates, never the project's
own, get those by which a function finds the lab.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.engine import architecture
from lab.errors import LabError
from lab.template import load

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".aws-sam" / "local"
FUNCTION = "AWS::Serverless::Function"
_STACK = "AWS::CloudFormation::Stack"
_ADDED = ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN")
"""The variables by which a function finds the lab, and the lab knows the function."""


class NotBuilt(LabError):
    """`sam build` failed, or is not there."""


class UnknownFunction(LabError):
    """There is no function of that name."""


@dataclass(frozen=True)
class Packaged:
    """A function of the templates."""

    name: str
    """Of its folder in functions/, and the end of its name in AWS."""
    logical_id: str
    stack: str
    """The logical id of the nested stack that has it."""

    def in_aws(self, application: str) -> str:
        """What it is called in a Region."""
        return f"relight-{application}-{self.name}"


@cache
def functions(root: Path = ROOT) -> Mapping[str, Packaged]:
    """The functions of the template and its nested stacks, by name."""
    found: dict[str, Packaged] = {}
    for stack, nested in load(root / "template.yaml").resources.items():
        if nested["Type"] != _STACK:
            continue
        for logical_id, resource in load(root / nested["Properties"]["TemplateURL"]).resources.items():
            if resource["Type"] == FUNCTION:
                name = Path(resource["Properties"]["CodeUri"]).name
                found[name] = Packaged(name, logical_id, stack)
    return found


def function(name: str, root: Path = ROOT) -> Packaged:
    """The function of that name. UnknownFunction names those there are."""
    known = functions(root)
    if name not in known:
        raise UnknownFunction(
            f"there is no function {name!r}", where="in FN", do=f"choose one of: {' '.join(sorted(known))}"
        )
    return known[name]


def sam(root: Path = ROOT) -> Path:
    """The SAM CLI as the make targets install it; NotBuilt where it is not there."""
    program = root / ".tools" / "sam" / "bin" / "sam"
    if not os.access(program, os.X_OK):
        raise NotBuilt("the SAM CLI is not installed", where=str(program), do="run: make local-invoke")
    return program


def sam_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the SAM CLI is started with: nothing of the user's AWS, no telemetry, and this Python first on the path."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("AWS_", "SAM_CLI_"))}
    return kept | {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def build(root: Path = ROOT, to: Path = BUILD) -> Path:
    """Build all layers and functions for this machine's architecture; the template to run them by.

    Nothing is built where nothing has changed since the last time. NotBuilt with the last that SAM said.
    """
    template, stamp = to / "build" / "template.yaml", to / "built"
    if stamp.exists() and template.exists() and _changed_at(root) < stamp.stat().st_mtime:
        return template
    began = time.time()
    words = [
        *(str(sam(root)), "build", "--template-file", str(root / "template.yaml")),
        *("--build-dir", str(template.parent), "--cached", "--cache-dir", str(to / "cache"), "--parallel"),
        *("--parameter-overrides", f"Architecture={architecture()}", "--no-use-container"),
    ]
    done = subprocess.run(words, cwd=root, env=sam_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        raise NotBuilt(f"sam build failed: {said}", where=str(root / "template.yaml"), do="run: make build")
    for path in template.parent.rglob("template.yaml"):
        _add_variables(path)
    stamp.touch()
    os.utime(stamp, (began, began))  # what was changed meanwhile may not be in it
    return template


def _changed_at(root: Path) -> float:
    """When a file that a build reads was changed last, epoch seconds."""
    folders = (root / "functions", root / "layers", root / "stacks", root / "statemachine")
    files = (path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return max(path.stat().st_mtime for path in (root / "template.yaml", *files))


def _add_variables(path: Path) -> None:
    """Declare in a built template what its functions need to find the lab; the values come with each invocation."""
    body = load(path).body
    if not any(resource["Type"] == FUNCTION for resource in body["Resources"].values()):
        return
    shared = body.setdefault("Globals", {}).setdefault("Function", {}).setdefault("Environment", {})
    shared.setdefault("Variables", {}).update(dict.fromkeys(_ADDED, ""))
    # JSON is YAML too, and keeps what the tags have become.
    path.write_text(json.dumps(body, indent=1), encoding="utf-8")
