"""Whoever operates: a session that signs in as the commands do, with little patience, and a Region refused or not."""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from relight_cli.aws import Aws, asking, keep_roles, wants_a_code
from relight_cli.blockade import Blockade
from relight_cli.exit_code import Exit, Refused
from relight_cli.signin import SignedIn, signed_in

# A Region that is lost must not keep anybody waiting: two calls and the pause between them take 7 s at most.
_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2, "mode": "standard"})
_NOTHING = (None, None, None, None)
_NO_FILE = (None, None, os.devnull, None)


class Operator(Aws):
    """Clients that give up soon; safe in any thread."""

    def __init__(self, blockade: Blockade | None = None) -> None:
        """`blockade` stands before the sign-in, too."""
        super().__init__()
        self._blockade = blockade
        self._making = threading.RLock()

    def sign_in(self) -> SignedIn:
        """Get credentials now, anew. Refused where there are none, or whoever issues them does not answer."""
        with self._mending(), asking("look for credentials"):
            return signed_in(self.session())

    def session(self) -> Any:
        """The botocore session. Refused when its profile does not exist, or AWS's settings here are broken."""
        with self._making:
            if self._session is None:
                with self._mending(), asking("look for credentials"):
                    made = botocore.session.Session()
                    # For the clients, too, by which the SDK itself signs in.
                    made.set_default_client_config(_CONFIG)
                    if self._blockade is not None:
                        self._blockade.stand_before(made)
                    if self._blockade is None or wants_a_code(made):  # behind it, a role is assumed anew if it can be
                        keep_roles(made)
                    made.get_credentials()
                    self._session = made
            return self._session

    def client(self, service: str, region: str) -> Any:
        """The client of that service. Refused as `session`."""
        with self._making:
            if (service, region) not in self._clients:
                session = self.session()
                # As the commands do before they ask who is calling. What signs in has been made before this.
                session.set_config_variable("sts_regional_endpoints", "regional")
                with self._mending(), asking("look for credentials"):
                    self._clients[service, region] = session.create_client(service, region_name=region, config=_CONFIG)
            return self._clients[service, region]

    @contextmanager
    def _mending(self) -> Generator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            # botocore's own words for an endpoint that is no URL, and for a credential_process that does not exist or
            # says no JSON.
            what, where = "the settings of AWS on this machine cannot be used", "AWS_..., and ~/.aws/config"
            do = f"mend this: {' '.join(str(error).split())}"
            raise Refused(what, where=where, do=do, code=Exit.NO_CREDENTIALS) from error


class Stranger(Aws):
    """Nobody in particular: asks without a signature, whatever this machine's settings are. AWS answers with a refusal
    that has the time in it.
    """

    def client(self, service: str, region: str) -> Any:
        """The client of that service, unsigned."""
        own = {"profile": _NOTHING, "config_file": _NO_FILE, "credentials_file": _NO_FILE}
        session: Any = botocore.session.Session(session_vars=own)
        config = _CONFIG.merge(Config(signature_version=UNSIGNED))
        # Keys, so that none are looked for.
        keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nobody"}
        return session.create_client(service, region_name=region, config=config, **keys)
