"""A small real https server on the loopback address, which can be told to misbehave."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme


@dataclass
class Server:
    """What is served and how, and what was asked and sent."""

    content: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    status: int | None = None
    """Answer this instead, as often as `failures` says."""
    failures: int = 1_000_000
    location: str | None = None
    cuts: list[int] = field(default_factory=list)
    """After how many bytes each of the next answers breaks off."""
    asked: list[str | None] = field(default_factory=list)
    """The Range of each request."""
    sent: list[int] = field(default_factory=list)
    """Bytes of each answer."""
    url: str = ""
    context: ssl.SSLContext | None = None


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """A server of these bytes, with a certificate that its `context` trusts."""
    server = Server(content)
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    server.context = ssl.create_default_context()
    authority.configure_trust(server.context)
    handler = type("Handler", (_Handler,), {"told": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.socket = ours.wrap_socket(listening.socket, server_side=True)
        server.url = f"https://127.0.0.1:{listening.server_port}/data.tar"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    told: Server

    def log_message(self, *_: object) -> None:
        """Tests read what was asked, not a log."""

    def do_GET(self) -> None:
        told = self.told
        told.asked.append(self.headers.get("Range"))
        if told.location is not None:
            self._head(302, {"Location": told.location, "Content-Length": "0"})
        elif told.status is not None and told.failures > 0:
            told.failures -= 1
            self._head(told.status, {"Content-Length": "0"})
        else:
            self._send_content()

    def _send_content(self) -> None:
        told = self.told
        start = self._start()
        headers = {"Content-Length": str(len(told.content) - start)}
        if told.etag:
            headers["ETag"] = told.etag
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(told.content) - 1}/{len(told.content)}"
        self._head(206 if start else 200, headers)
        body = told.content[start:]
        if told.cuts:
            body = body[: told.cuts.pop(0)]
        told.sent.append(len(body))
        self.wfile.write(body)
        self.close_connection = True

    def _start(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in {None, self.told.etag}
        return int(asked[1]) if asked and same and self.told.ranges else 0

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
