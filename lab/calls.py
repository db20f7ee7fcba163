"""The API calls that change something, counted where CloudFormation makes them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.cloud import Cloud

_LOOKING = ("Describe", "Get", "List", "Query", "Scan", "BatchGet", "Head", "Lookup", "Filter", "Test", "Validate")


class Calls:
    """Gives the clients of the cloud out, and hears what they are used for. Safe in any thread."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._heard: set[int] = set()
        self._kept: list[list[str]] = []

    def client(self, service: str, region: str) -> Any:
        """As the cloud's own."""
        client = self._cloud.client(service, region)
        with self._lock:
            if id(client) not in self._heard:
                self._heard.add(id(client))
                client.meta.events.register("before-call", self._hear, unique_id="relight-lab-calls")
        return client

    @contextmanager
    def changing(self) -> Iterator[list[str]]:
        """Service and operation of each call that is no mere look, as long as the block lasts."""
        kept: list[str] = []
        with self._lock:
            self._kept.append(kept)
        try:
            yield kept
        finally:
            with self._lock:
                self._kept.remove(kept)

    def _hear(self, model: Any, **_: Any) -> None:
        if not model.name.startswith(_LOOKING):
            with self._lock:
                for kept in self._kept:
                    kept.append(f"{model.service_model.service_name} {model.name}")
