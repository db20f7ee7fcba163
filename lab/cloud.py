"""The Regions' APIs: moto's server in this process, behind a front that knows from where each call comes.

The front reads the credential scope of a call, in its header or its query: the access key says from where it is
made, the Region where it goes. Route 53 and IAM, which a custom endpoint signs with the client's own Region, count
as us-east-1; STS counts as the Region of its scope. A call on a refused path loses its connection at once; on a
black-holed one no byte ever comes. moto checks neither signatures nor permissions here, and this says nothing
about IAM.
"""

import contextlib
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path as File
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.route53.models import HostedZoneIdentifier
from moto.stepfunctions.parser.asl.utils import boto_client as moto_boto_client
from werkzeug.serving import make_server

from lab import composite, iam_documents, iam_simulation
from lab.errors import PortBusy
from lab.network import Network, Path
from lab.region import GLOBAL, Place, Vantage, access_key, place_of, side_of, vantage_of
from lab.seam import Seams, require

ACCOUNT = "123456789012"
HOST = "127.0.0.1"
SECRET_KEY = "no-signature-is-checked"  # noqa: S105 (moto checks none)
CLIENT_CONFIG = Config(
    connect_timeout=2,
    read_timeout=20,
    retries={"total_max_attempts": 2, "mode": "standard"},
    max_pool_connections=4,
    proxies={},
)
"""For the lab's own clients. Moto's server closes each connection, so that a pool saves nothing."""

# The key that moto's interpreter of state machines signs its own calls with, for the Region of the state machine.
_EXECUTOR_KEY = "ak"
_GLOBAL_SERVICES = frozenset({"iam", "route53"})
_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_QUERY_SCOPE = re.compile(r"X-Amz-Credential=([^&]+?)%2F\d+%2F([^&]+?)%2F([^&]+?)%2Faws4_request")
_POLL = 0.05
# Endpoint rules for what AWS would reach by a subdomain.
_MODELS = str(File(__file__).parent / "api_models")

require(moto_boto_client, "boto_client_for", "moto_server_port")

type WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Cloud:
    """The APIs of all Regions at one address. Starts at once; `stop` ends it. One at a time in a process."""

    def __init__(self, network: Network, port: int = 0) -> None:
        """`port` 0 takes a free one. PortBusy when something else listens on it."""
        self._network = network
        self._session = _session()
        self._clients: dict[tuple[str, str, Vantage], Any] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._listening: list[tuple[str, list[str]]] = []
        self._undo_config = _configure_moto()
        try:
            listener = _listen(port)
        except OSError as error:
            self._undo_config()
            raise PortBusy(
                "the port of the Regions' APIs is taken", where=f"{HOST}:{port}", do="choose another one"
            ) from error
        moto = DomainDispatcherApplication(create_backend_app)
        with listener:
            self._server = make_server(
                HOST, 0, self._front(moto), threaded=True, request_handler=_Quiet, fd=listener.fileno()
            )
        self.port = int(self._server.server_address[1])
        self.endpoint_url = f"http://{HOST}:{self.port}"
        self._port_before = os.environ.get("MOTO_PORT")
        os.environ["MOTO_PORT"] = str(self.port)  # moto's executor calls back there
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _POLL}, name="cloud", daemon=True
        )
        self._thread.start()

    def client(self, service: str, region: str, vantage: Vantage = Vantage.OUTSIDE) -> Any:
        """A boto3 client that calls from `vantage`. The same one for the same arguments; safe in any thread."""
        key = (service, region, vantage)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make_client(service, region, vantage)
            return self._clients[key]

    def environment(self, vantage: Vantage, region: str | None = None) -> dict[str, str]:
        """What a child process needs to call from `vantage` with boto3's defaults, and nothing of the user's own.

        `region` is the default Region of its clients; without it there is none.
        """
        own = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}
        return own | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DATA_PATH": _MODELS,
            "AWS_ACCESS_KEY_ID": access_key(vantage),
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextlib.contextmanager
    def heard(self, token: str) -> Generator[list[str]]:
        """The calls that are made with that session token as long as the block lasts, each as where it goes."""
        calls: list[str] = []
        with self._lock:
            self._listening.append((token, calls))
        try:
            yield calls
        finally:
            with self._lock:
                self._listening = [one for one in self._listening if one[1] is not calls]

    def stop(self) -> None:
        """Close the address and let go of every call that hangs. A second call does nothing."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._undo_config()
        if self._port_before is None:
            os.environ.pop("MOTO_PORT", None)
        else:
            os.environ["MOTO_PORT"] = self._port_before
        for client in self._clients.values():
            client.close()

    def _make_client(self, service: str, region: str, vantage: Vantage) -> Any:
        # Version 2, boto3's choice for presigned URLs at a custom endpoint, carries no scope.
        config = CLIENT_CONFIG.merge(Config(signature_version="s3v4")) if service == "s3" else CLIENT_CONFIG
        return self._session.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            config=config,
            aws_access_key_id=access_key(vantage),
            aws_secret_access_key=SECRET_KEY,
        )

    def _front(self, moto: WsgiApp) -> WsgiApp:
        def front(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            way = _way(environ)
            if way is None:
                return _refuse_unsigned(start_response)
            self._note(environ, way)
            self._pass(environ, way)
            with contextlib.closing(_closable(moto(environ, start_response))) as chunks:
                answer = list(chunks)
            # What was done is done, but its answer does not come out of a Region that was lost meanwhile.
            self._pass(environ, way)
            return answer

        return front

    def _note(self, environ: Mapping[str, Any], way: tuple[Vantage, Place]) -> None:
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
        with self._lock:
            for listened, calls in self._listening:
                if listened == token:
                    calls.append(f"{way[1]} {environ.get('PATH_INFO', '')}")

    def _pass(self, environ: Mapping[str, Any], way: tuple[Vantage, Place]) -> None:
        """Return when the way is open; else end the call as its path demands, by a ConnectionError."""
        path = self._network.state(*way)
        if path is Path.OPEN:
            return
        connection: socket.socket = environ["werkzeug.socket"]
        if path is Path.BLACK_HOLED:
            self._stay_silent(connection)
        _reset(connection)
        raise ConnectionAbortedError(path)

    def _stay_silent(self, connection: socket.socket) -> None:
        """Wait until the caller gives up or the lab stops."""
        connection.settimeout(_POLL)
        while not self._stopped.is_set():
            try:
                if not connection.recv(65536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


class _Quiet(MotoRequestHandler):  # type: ignore[misc]  # moto is untyped
    """Requests are no news, and a connection that was cut on purpose is not read again."""

    def log(self, *_: Any) -> None:
        pass

    def connection_dropped(self, *_: Any) -> None:
        self.close_connection = True


def _session() -> Any:
    """One for all clients, as it keeps the services' models, which take long to read. The user's profile is ignored."""
    nothing = (None, None, None, None)
    no_file = (None, None, os.devnull, None)
    models = (None, None, _MODELS, None)
    own = {"profile": nothing, "config_file": no_file, "credentials_file": no_file, "data_path": models}
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=own))


def _configure_moto() -> Callable[[], None]:
    """Interpret state machines, make ids of hosted zones as AWS does, and take composite alarms.

    Returns what undoes it.
    """
    before = default_user_config["stepfunctions"]["execute_state_machine"]
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    seams = Seams()
    seams.wrap(HostedZoneIdentifier, "generate", lambda original: lambda *of, **more: f"Z{original(*of, **more)[1:]}")
    without_composites = composite.install()
    iam_documents.install(seams)
    iam_simulation.install(seams)

    def undo() -> None:
        without_composites()
        default_user_config["stepfunctions"]["execute_state_machine"] = before
        seams.undo()

    return undo


def _listen(port: int) -> socket.socket:
    """A listening socket; werkzeug alone would end the process when the port is taken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _way(environ: Mapping[str, Any]) -> tuple[Vantage, Place] | None:
    """From where to where a call goes; None when it says neither, or names a Region that the lab does not have."""
    match = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")) or _QUERY_SCOPE.search(environ.get("QUERY_STRING", ""))
    if match is None:
        return None
    key, region, service = match.groups()
    region = GLOBAL if service in _GLOBAL_SERVICES or region == "aws-global" else region
    try:
        place = place_of(region)
        return (Vantage.of(side_of(region)) if key == _EXECUTOR_KEY else vantage_of(key)), place
    except ValueError:
        return None


def _refuse_unsigned(start_response: Any) -> list[bytes]:
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"The lab answers calls that are signed (version 4) for one of its Regions."]


def _closable(chunks: Iterable[bytes]) -> Generator[bytes]:
    """What WSGI asks for: the iterable's own `close`, where it has one, is called after use."""
    try:
        yield from chunks
    finally:
        getattr(chunks, "close", lambda: None)()


def _reset(connection: socket.socket) -> None:
    """Close so that the caller sees a reset at once: no lingering, and no copy of the descriptor kept by werkzeug."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    descriptor = connection.detach()
    if descriptor >= 0:
        os.close(descriptor)
