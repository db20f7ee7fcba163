"""`verify`: a write through this Region's own name, read back and compared, and the traffic's way to this Region."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relight import endpoint, traffic
from relight.errors import WriteNotReadBack
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import VerifySettings

SOON = 5


@dataclass(frozen=True)
class Verify:
    """One look, as a client outside takes it."""

    settings: VerifySettings
    ledger: Ledger
    clock: Callable[[], float]
    resolve: Callable[[str], str]  # as a client outside resolves names, caches included

    def writes(self, run: Run) -> Outcome:
        """Write an order, read it back, compare. WriteNotReadBack where an acknowledged write comes back different."""
        # The run's name cut short: it is 73 characters long where EventBridge has started it, and the shop takes 64.
        order = {"id": f"relight-{run.id[:36]}-{int(self.clock() * 1000)}", "item": "verification", "quantity": 1}
        url = self.settings.self_url + self.settings.transaction_path
        try:
            written = self._request(url, "POST", json.dumps(order).encode())
            if written.status != 201:
                return self._wait(f"the write was answered {written.status}")
            read = self._request(f"{url}/{order['id']}", "GET")
        except endpoint.Unreachable as error:
            return self._wait(f"the write was not answered: {error}")
        if written.region != self.settings.aws_region:
            return self._wait(f"the write was answered by {written.region or 'nobody who says where it is'}")
        if read.status >= 500:  # nobody has said what became of the order; 404 would be an answer
            return self._wait(f"the read was answered {read.status}")
        try:
            back = json.loads(read.body)
        except ValueError:
            back = None
        if read.status != 200 or not isinstance(back, dict) or any(back.get(k) != v for k, v in order.items()):
            raise WriteNotReadBack(f"order {order['id']} was acknowledged and read back as {read.status} {back}")
        self.ledger.mark(run, "t6", self.clock())
        return Outcome.done(f"order {order['id']} was written through {url} and read back", order=order["id"])

    def traffic(self, run: Run) -> Outcome:
        """DNS answers this Region (t7), and the site by its own name is answered by it (t8)."""
        s = self.settings
        if self.ledger.head().go_withheld:
            return self._wait("GO is not given before the writes are proven")
        why = traffic.elsewhere(s.domain, s.self_url, s.name_servers, s.sample_timeout_seconds)
        if why is not None:
            return self._wait(why)
        self.ledger.mark(run, "t7", self.clock())
        try:
            answer = self._request(f"{s.site_url}{s.readiness_path}", "GET")
        except endpoint.Unreachable as error:
            return self._wait(f"DNS answers this Region; the site does not answer yet: {error}")
        if answer.status != 200 or answer.region != s.aws_region:
            return self._wait(f"the site is answered {answer.status} by {answer.region or 'an unknown Region'} still")
        self.ledger.mark(run, "t8", self.clock())
        return Outcome.done(f"{s.site_url} is answered by {answer.region}", address=answer.address)

    def _request(self, url: str, method: str, body: bytes | None = None) -> endpoint.Answer:
        return endpoint.request(url, self.resolve, self.settings.sample_timeout_seconds, method=method, body=body)

    def _wait(self, sentence: str) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds / SOON)
