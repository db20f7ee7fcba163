"""The container engine of this machine, and a network of our own in it: what `sam local` runs in, and how it gets out.

Everything goes through the engine's own command. The network has a bridge, whose address on this machine is the one
besides loopback on which the lab ever listens, and only while that network exists. Whatever is on the network is ours,
and goes with it.
"""

import ipaddress
import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from lab.errors import LabError

_SECONDS = 60.0
_ATTEMPTS = 5
_AT_ONCE = 6
LABEL = "relight.lab"
"""Says of a network to whom it belongs: process id and time of start, with a hyphen between."""
_IMAGES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

type Run = Callable[..., str]
"""What runs the engine's command with these words, and gives what it says; EngineMissing where it fails."""


class EngineMissing(LabError):
    """There is no container engine, or it does not do what it is asked."""


@dataclass(frozen=True)
class Bridge:
    """A network of the engine, as this machine sees it."""

    name: str
    address: str
    """This machine's own, on the network."""
    subnets: tuple[str, ...]
    """From where the engine's containers call: those of this network, and of the default one that they are on, too."""

    def admits(self, host: str) -> bool:
        """Whether a caller's address is one of the engine's containers, or this machine's own on the bridge. Pure."""
        return any(ipaddress.ip_address(host) in ipaddress.ip_network(subnet) for subnet in self.subnets)


def docker(*words: str) -> str:
    """Run the engine's command: what it says. EngineMissing where there is none, or it fails."""
    try:
        done = subprocess.run(
            ["docker", *words],  # noqa: S607 - whichever a person has on the path
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineMissing(
            f"no container engine answers ({error})", where="docker", do="install Docker and start it"
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        raise EngineMissing(f"the container engine does not do it: {said}", where=f"docker {' '.join(words[:2])}")
    return done.stdout


def require_engine(run: Run = docker) -> None:
    """EngineMissing, with what to do, where no container engine is running here."""
    try:
        run("version", "--format", "{{.Server.Version}}")
    except EngineMissing as error:
        raise EngineMissing(
            "no container engine is running here, and `sam local` runs each function in a container",
            where=error.what,
            do="start Docker (for example: sudo systemctl start docker), and try again",
        ) from error


def architecture() -> str:
    """This machine's own, as AWS calls it; EngineMissing for one that Lambda has none of."""
    machine = platform.machine().lower()
    if machine not in _IMAGES:
        raise EngineMissing(f"Lambda has no architecture like {machine}", where="this machine")
    return _IMAGES[machine]


def image() -> str:
    """The image that SAM CLI looks for."""
    return f"public.ecr.aws/lambda/python:3.13-{architecture()}"


def require_image(run: Run = docker) -> None:
    """EngineMissing, with what to do, where the image is not on this machine: nothing is pulled in passing."""
    name = image()
    try:
        run("image", "inspect", "--format", "{{.Id}}", name)
    except EngineMissing as error:
        raise EngineMissing(
            "the image of the Lambda runtime is not on this machine", where=name, do=f"run: docker pull {name}"
        ) from error


@contextmanager
def bridge(run: Run = docker) -> Iterator[Bridge]:
    """A network of our own, for as long as the block lasts; what is on it then goes with it.

    Networks of labs that were killed, and what is still on them, are taken away first.
    """
    require_engine(run)
    for name in _forsaken(run):
        remove(name, run)
    me = psutil.Process()
    name = f"relight-{me.pid}-{secrets.token_hex(3)}"
    with _watched(name):
        run("network", "create", "--label", f"{LABEL}={owner(me)}", name)
        try:
            yield _described(name, run)
        finally:
            remove(name, run)


def owner(process: psutil.Process) -> str:
    """A process as the label tells it: ids are used again, so its start belongs to it."""
    return f"{process.pid}-{process.create_time():.2f}"


def containers(name: str, run: Run = docker) -> list[str]:
    """The ids of all containers on that network, stopped ones too."""
    return run("ps", "--all", "--quiet", "--no-trunc", "--filter", f"network={name}").split()


def clear(name: str, run: Run = docker) -> None:
    """Take all away that is on that network."""
    for _ in range(_ATTEMPTS):
        if not (found := containers(name, run)):
            return
        with suppress(EngineMissing), ThreadPoolExecutor(_AT_ONCE) as pool:  # one is going already, or has just come
            list(pool.map(lambda one: run("rm", "--force", "--volumes", one), found))


def remove(name: str, run: Run = docker) -> None:
    """Take that network away, and all that is on it. Nothing where there is none."""
    clear(name, run)
    if run("network", "ls", "--quiet", "--filter", f"name=^{name}$").split():
        run("network", "rm", name)


def _described(name: str, run: Run) -> Bridge:
    own, default = (_configuration(network, run) for network in (name, "bridge"))
    address = next((str(one["Gateway"]) for one in own if "." in str(one.get("Gateway", ""))), "")
    if not address or ipaddress.ip_address(address.partition("/")[0]).is_unspecified:
        raise EngineMissing("the engine's network has no address on this machine", where=name)
    subnets = tuple(str(one["Subnet"]) for one in (*own, *default) if "." in str(one.get("Subnet", "")))
    return Bridge(name, address.partition("/")[0], subnets)


def _configuration(network: str, run: Run) -> Sequence[dict[str, Any]]:
    described: list[dict[str, Any]] = json.loads(run("network", "inspect", network))
    return described[0]["IPAM"]["Config"] or []


def _forsaken(run: Run) -> list[str]:
    """The networks of labs whose process is gone."""
    listed = run("network", "ls", "--filter", f"label={LABEL}", "--format", f'{{{{.Name}}}} {{{{.Label "{LABEL}"}}}}')
    found = (line.split() for line in listed.splitlines())
    return [words[0] for words in found if len(words) == 2 and not _lives(words[1])]


def _lives(label: str) -> bool:
    pid, _, started = label.partition("-")
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1
    except (psutil.Error, ValueError):
        return False


@contextmanager
def _watched(name: str) -> Iterator[None]:
    """A process that takes the network and all on it away once this one is gone, however that came.

    It is in a session of its own, so that neither Ctrl-C nor a kill of the whole group ends it first.
    """
    reading, writing = os.pipe()
    try:
        watcher = subprocess.Popen(
            [sys.executable, "-m", "lab.engine", name],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(reading)
    try:
        yield
    finally:
        watcher.kill()
        watcher.wait()
        os.close(writing)


def main() -> None:
    """`python -m lab.engine NAME`: wait for the end of standard input, then remove that network."""
    sys.stdin.read()
    remove(sys.argv[1])


if __name__ == "__main__":
    main()
