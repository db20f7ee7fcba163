"""What is on this machine: the tools that a person may want beside this one, and whether names of AWS resolve."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from relight_cli.check import Check, failed, passed, warned

_PYTHON = (3, 13)
_TOOLS = {
    "AWS CLI": ("aws", "install it: the documentation gives the plain aws command for each of these"),
    "SAM CLI": ("sam", "install it where relight deploy is to run, or functions locally"),
}
_PROXIES = ("HTTPS_PROXY", "https_proxy")


def tools(path: str | None = None, version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Iterator[Check]:
    """The AWS CLI, the SAM CLI and Python: none of them keeps this command from working, so the worst is a WARN."""
    for name, (program, todo) in _TOOLS.items():
        found = shutil.which(program, path=path)
        yield passed(name, f"it is {found}") if found else warned(name, f"there is no {program} on the PATH", todo)
    told = ".".join(str(part) for part in version)
    if version < _PYTHON:
        yield warned("Python", f"it is {told}", f"use {_PYTHON[0]}.{_PYTHON[1]}, which the functions run on, too")
    else:
        yield passed("Python", f"it is {told}")


def host_of(region: str) -> str:
    """A name that AWS has in each Region."""
    return f"sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def resolve(host: str) -> bool:
    """Whether the name has an address."""
    try:
        return bool(socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM))
    except OSError:
        return False


def names(
    regions: Iterable[str], resolves: Callable[[str], bool], environment: Mapping[str, str] = os.environ
) -> Iterator[Check]:
    """Whether the names of AWS in each Region resolve; a proxy would do that for this machine."""
    proxied = any(environment.get(name) for name in _PROXIES)
    for region in regions:
        host = host_of(region)
        if resolves(host):
            yield passed("name resolution", f"{host} has an address", region)
        elif proxied:
            yield warned("name resolution", f"{host} has no address here, HTTPS_PROXY may know it", "", region)
        else:
            todo = "look at this machine's name servers; another network may do"
            yield failed("name resolution", f"{host} has no address here", todo, region)
