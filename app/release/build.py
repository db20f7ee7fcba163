"""Pack a release of the shop: `python -m app.release.build --arch arm64`, or `make release`.

A release is all that an instance needs beside Python 3.13: the application and the package of its write lease, wheels
for one architecture at the locked hashes, the units and scripts of this folder, and the commit it was made of. The same
sources make the same bytes.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.13"
ON_THE_INSTANCE = (
    "install.sh",
    "venv.sh",
    "logs.sh",
    "relight-app.service",
    "relight-app.logrotate",
    "amazon-cloudwatch-agent.json",
)
"""The files of this folder that go along, at the release's top."""
PACKAGES = {"app": Path("app"), "relight_lease": Path("lease", "relight_lease")}
"""The Python packages that go along, at the release's top, and where they lie in the checkout."""
_MACHINE = {"arm64": "aarch64", "x86_64": "x86_64"}
# Amazon Linux 2023 has glibc 2.34; wheels for an older one run there as well.
_GLIBC = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")


class ReleaseNotBuiltError(Exception):
    """A release could not be packed; the message is one sentence."""


def build(arch: str, target: Path, root: Path = ROOT) -> Path:
    """Pack a release of the checkout at `root` for that architecture (arm64 or x86_64) into the file `target`.

    Raises ReleaseNotBuiltError.
    """
    with tempfile.TemporaryDirectory(prefix="relight-release-") as scratch:
        stage = Path(scratch) / "release"
        _copy_application(root, stage)
        _fetch_wheels(arch, root / "requirements" / "app.txt", stage / "wheels", Path(scratch))
        (stage / "VERSION").write_text(f"{version(root)} {arch}\n", encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.unfinished")
        _pack(stage, unfinished)
        unfinished.replace(target)
    return target


def version(root: Path) -> str:
    """The commit, with `-changed` where the application is not as it was committed; `unknown` outside of git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)  # noqa: S607
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--", *map(str, PACKAGES.values()), "requirements/app.txt")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-changed" if changed else commit


def _copy_application(root: Path, stage: Path) -> None:
    for name, folder in PACKAGES.items():
        shutil.copytree(root / folder, stage / name, ignore=shutil.ignore_patterns("__pycache__", "release"))
    for name in ON_THE_INSTANCE:
        shutil.copy(root / "app" / "release" / name, stage / name)
    shutil.copy(root / "requirements" / "app.txt", stage / "requirements.txt")


def _fetch_wheels(arch: str, requirements: Path, wheels: Path, scratch: Path) -> None:
    platforms = [option for glibc in _GLIBC for option in ("--platform", f"{glibc}_{_MACHINE[arch]}")]
    abis = [option for abi in ("cp313", "abi3", "none") for option in ("--abi", abi)]
    command = [
        *_pip(scratch),
        *("download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--python-version", PYTHON, "--implementation", "cp", *abis, *platforms),
        *("--requirement", str(requirements), "--dest", str(wheels)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ReleaseNotBuiltError(f"the wheels for {arch} could not be had: {reason}")


def _pip(scratch: Path) -> list[str]:
    """The pip of this Python, or one in an environment of its own where there is none (uv makes none)."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    venv.create(scratch / "pip", with_pip=True)
    return [str(scratch / "pip" / "bin" / "python"), "-m", "pip"]


def _pack(stage: Path, target: Path) -> None:
    """Names in order, and neither owner nor time of this machine."""
    with (
        target.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(stage.rglob("*")):
            archive.add(path, path.relative_to(stage).as_posix(), recursive=False, filter=_nobodys)


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.name.endswith(".sh") else 0o644
    return entry


def main() -> None:
    """Exits 1 with one line where there is no release."""
    parser = argparse.ArgumentParser(prog="python -m app.release.build", description="Pack a release of the shop.")
    parser.add_argument("--arch", choices=sorted(_MACHINE), default="arm64", help="of the instances (default: arm64)")
    parser.add_argument("--to", type=Path, help="the file to write (default: build/release-<arch>.tar.gz)")
    given = parser.parse_args()
    target = given.to or ROOT / "build" / f"release-{given.arch}.tar.gz"
    try:
        build(given.arch, target)
    except ReleaseNotBuiltError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{target}  {version(ROOT)}\n")


if __name__ == "__main__":
    main()
