"""The control target: something in yet another Region that answers whoever can reach it."""

from typing import Self

from lab.network import Path, Relay
from lab.pipe import Address

_HOST = "127.0.0.1"


class ControlTarget:
    """A context manager: an address at which the Regions' APIs answer too, on a path of its own that can be cut."""

    def __init__(self, api_port: int) -> None:
        """`api_port` is where the Regions' APIs listen on 127.0.0.1."""
        self.path = Path.OPEN
        """What happens to those who try to reach it."""
        self._relay = Relay((_HOST, 0), (_HOST, api_port), lambda: self.path)

    def __enter__(self) -> Self:
        self._relay.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._relay.stop()

    @property
    def address(self) -> Address:
        """Where it listens, once it is entered."""
        return self._relay.address

    @property
    def url(self) -> str:
        """As the parameter ControlTargets takes it."""
        host, port = self.address
        return f"http://{host}:{port}"

    def cut(self, how: Path) -> None:
        """Nobody reaches it from now on."""
        self.path = how
        self._relay.poke()
