"""AWS that answers every call with one and the same refusal, each service in its own protocol, on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Refusing:
    """A context manager: the endpoint of all services and Regions. `code` is what it answers with."""

    def __init__(self) -> None:
        """It listens at once, on a port of its own."""
        self.code = "AccessDenied"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(refusing: Refusing) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, said = refusing.code, "it is so"
            inner = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
            body, kind = inner, "text/xml"
            if "X-Amz-Target" in self.headers or self.path.startswith("/2015-03-31/"):
                name = code if code.endswith("Exception") else f"{code}Exception"
                body, kind = json.dumps({"__type": name, "message": said}), "application/json"
                code = name
            elif "form-urlencoded" in self.headers.get("Content-Type", ""):
                body = f"<ErrorResponse>{inner}<RequestId>1</RequestId></ErrorResponse>"
            self.send_response(400 if "Denied" not in code else 403)
            self.send_header("Content-Type", kind)
            self.send_header("x-amzn-ErrorType", code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _refuse  # noqa: N815 - as the base class calls them

        def log_message(self, *_: object) -> None:
            """Nothing: stderr is looked at."""

    return Handler
