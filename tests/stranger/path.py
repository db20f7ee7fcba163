"""The stranger's path: what README says under "See it", done by somebody who has nothing yet.

    python -m tests.stranger.path

A clean clone of HEAD in a temporary folder, an empty home, and of the environment only the search path and what the
installation of packages needs on this machine. Where this runs as root, and the unprivileged user of the lab's servers
finds a Python 3.13, it is that user. The commands are read from README; exit code 0 where each ended well and the
rehearsal has printed its closing table. Two to three minutes.
"""

import ast
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.child import unprivileged_user
from lab.score import PHASES

ROOT = Path(__file__).parents[2]
HEADING = "## See it"
ONLY_LOOKED_FOR = frozenset({"make test"})
"""What takes too long: that make could do it is all that is asked."""
SECONDS = 600.0

_HANDED_ON = re.compile(
    r"PATH|LANG|LC_ALL|PYENV_ROOT|(PIP|UV)_.+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(https?|all|no)_proxy",
    re.IGNORECASE,
)
_TABLE = (
    *(rf"^ +{phase} .* \+\d+\.\d\d s " for phase in PHASES),
    r"^ +RTO +\d+\.\d\d s ",
    r"^ SUCCEEDED \(region_lost\)",
)


def commands(readme: str) -> list[str]:
    """The lines of the first fenced block under HEADING. Pure; ValueError without one."""
    _, found, below = readme.partition(f"\n{HEADING}\n")
    block = re.search(r"^```\w*\n(.*?)^```$", below.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    if not found or block is None:
        raise ValueError(f"README has no fenced block under {HEADING!r}")
    return [line for line in block[1].splitlines() if line.strip()]


def environment(home: Path, given: Mapping[str, str], of_pip: Mapping[str, str]) -> dict[str, str]:
    """All that the stranger's commands are told. Nothing of it is printed or written down. Pure."""
    handed_on = {name: value for name, value in given.items() if _HANDED_ON.fullmatch(name)}
    # A developer's virtual environment is none of the stranger's.
    path = [place for place in given.get("PATH", os.defpath).split(os.pathsep) if ".venv" not in Path(place).parts]
    own = {"HOME": str(home), "TMPDIR": str(home), "TERM": "dumb", "PATH": os.pathsep.join(path)}
    return {**of_pip, **handed_on, **own}


def of_pip() -> dict[str, str]:
    """Where pip finds packages by its files, which an empty home has not got, as its variables."""
    # A virtual environment made by uv has no pip.
    python = Path(sys.base_prefix) / "bin" / "python3"
    asked = subprocess.run([python, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True)
    found: dict[str, str] = {}
    for line in asked.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in {"global", "install"}:
            found[f"PIP_{option.upper().replace('-', '_')}"] = " ".join(str(ast.literal_eval(value)).split())
    return found


def missing(said: str) -> list[str]:
    """What the closing table should hold, and this does not. Pure."""
    return [wanted for wanted in _TABLE if not re.search(wanted, said, re.MULTILINE)]


@dataclass(frozen=True)
class Stranger:
    """A clone, an empty home beside it, and the user who works there; None is the user that this is."""

    clone: Path
    told: Mapping[str, str]
    user: tuple[int, int] | None = None

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """One command, as a shell takes it; what it says on both streams is in stdout."""
        uid, gid = self.user or (None, None)
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.clone,
            env=self.told,
            user=uid,
            group=gid,
            extra_groups=None if gid is None else [gid],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@contextmanager
def stranger() -> Iterator[Stranger]:
    """A stranger, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="relight-stranger-"))
    try:
        clone, home = folder / "relight", folder / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", str(clone)], check=True)
        told = environment(home, os.environ, of_pip())
        user = unprivileged_user()
        if user is not None:
            _give(folder, user)
            if Stranger(clone, told, user).run(".ci/find-python").returncode:
                # Such as a Python in root's own home.
                user = None
                _give(folder, (os.getuid(), os.getgid()))
        yield Stranger(clone, told, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give(folder: Path, user: tuple[int, int]) -> None:
    for place in (folder, *folder.rglob("*")):
        os.chown(place, *user, follow_symlinks=False)


def follow() -> list[str]:
    """Do what README says: a sentence for each thing that is not as it says."""
    wrong: list[str] = []
    with stranger() as somebody:
        who = pwd.getpwuid(somebody.user[0] if somebody.user else os.geteuid()).pw_name
        print(f"as {who}, with an empty home, in {somebody.clone}", flush=True)
        for command in commands((somebody.clone / "README.md").read_text(encoding="utf-8")):
            asked = f"{command.replace('make', 'make -n', 1)} >/dev/null" if command in ONLY_LOOKED_FOR else command
            print(f"$ {asked}", flush=True)
            done = somebody.run(asked)
            print(done.stdout, flush=True)
            if done.returncode:
                wrong.append(f"{command}: exit code {done.returncode}")
            if command == "make rehearse":
                wrong += [f"{command}: its table has no {each}" for each in missing(done.stdout)]
    return wrong


def main() -> int:
    """Follow the path, and say what is wrong with it."""
    wrong = follow()
    for sentence in wrong:
        sys.stderr.write(f"{sentence}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
