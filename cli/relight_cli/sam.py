"""The SAM CLI: it builds, packages and makes change sets. What it says is kept in a file for the case that it fails."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import Environment, Slot, StackSettings

BUILT = Path(".aws-sam/build/template.yaml")
_LOGS = Path("build/deploy")
_CHANGE_SET = re.compile(r"arn:[a-z-]+:cloudformation:[a-z0-9-]+:\d{12}:changeSet/[^\s\"']+")


@dataclass(frozen=True)
class Sam:
    """The SAM CLI in one working folder."""

    program: Path
    folder: Path

    @classmethod
    def find(cls, folder: Path) -> "Sam":
        """The project's own one, or the one on the PATH. Refused where there is none."""
        own = folder / ".tools/sam/bin/sam"
        on_path = shutil.which("sam")
        if own.exists():
            return cls(own, folder)
        if on_path:
            return cls(Path(on_path), folder)
        raise Refused(
            "the SAM CLI is missing",
            where=".tools/sam/bin/sam, and sam on the PATH",
            do="run make build, which installs it",
            code=Exit.BAD_INPUT,
        )

    def build(self, region: str) -> None:
        """Build the functions and their layer once, for all phases."""
        self._run("build", ["build", "--template-file", "template.yaml", "--region", region])

    def prepare(self, environment: Environment, settings: StackSettings, parameters: Mapping[str, str]) -> str | None:
        """Package and upload, and make a change set: its ARN, or None where AWS finds no change at all."""
        template = settings.template
        if settings.slot in {Slot.PRIMARY, Slot.DR}:
            template = self.folder / BUILT
            if not template.exists():
                raise Refused(
                    "nothing is built yet", where=str(BUILT), do="leave --skip-build out", code=Exit.BAD_INPUT
                )
        said = self._run(
            f"{environment.name}-{settings.slot}",
            [
                "deploy",
                *("--config-file", str(environment.file)),
                *("--config-env", settings.config_env),
                *("--template-file", str(template)),
                *("--stack-name", settings.stack_name),
                *("--region", settings.region),
                "--no-confirm-changeset",
                "--no-execute-changeset",
                "--no-fail-on-empty-changeset",
                "--no-progressbar",
                "--parameter-overrides",
                *(quoted(name, value) for name, value in sorted(parameters.items())),
            ],
        )
        found = _CHANGE_SET.findall(said)
        return found[-1] if found else None

    @contextmanager
    def alone(self) -> Generator[None]:
        """One deployment at a time in a folder: two would take each other's build. Refused while another is on.

        The lock is the kernel's, so it ends with the process, however that ends.
        """
        file = self.folder / _LOGS / "lock"
        with _writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = file.open("a", encoding="utf-8")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                do = "wait until it has ended, or work in a copy of the project"
                raise Refused("another deployment is on", where=str(self.folder), do=do, code=Exit.BAD_INPUT) from None
            yield

    def _run(self, name: str, arguments: Sequence[str]) -> str:
        """What it said on stdout. Refused, with the last thing that it said, when it fails."""
        log = self.folder / _LOGS / f"{name}.log"
        with _writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            ended = subprocess.run(
                [str(self.program), *arguments],
                cwd=self.folder,
                env=os.environ
                | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": os.environ.get("SAM_CLI_POLL_DELAY", "5")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            log.write_text(f"{ended.stdout}\n{ended.stderr}", encoding="utf-8")
        if ended.returncode:
            lines = [line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
            said = next(
                (line for line in reversed(lines) if line.lower().startswith("error")), lines[-1] if lines else ""
            )
            raise Refused(
                f"sam {arguments[0]} failed for {name}: {said}",
                do=f"all that it said is in {log.relative_to(self.folder)}",
                code=Exit.OTHERWISE,
            )
        return ended.stdout


@contextmanager
def _writing(file: Path) -> Generator[None]:
    """Say in one line that the project's folder cannot be worked in: Refused."""
    try:
        yield
    except OSError as error:
        what = f"the project's folder cannot be worked in: {error.strerror}"
        do = "work in a folder that you may write"
        raise Refused(what, where=str(error.filename or file), do=do, code=Exit.BAD_INPUT) from error


def quoted(name: str, value: str) -> str:
    """One override as SAM takes it: without quotes it would end a value at the first space."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'
