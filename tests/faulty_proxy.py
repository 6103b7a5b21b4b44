"""An HTTP proxy before a store that fails as stores do: busy, cut bodies, late answers."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator

_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclasses.dataclass
class Faults:
    """What goes wrong, by the number of the request, from 1.

    Attributes:
        busy: Every so many requests are answered by 503; 0 for none.
        cut: Of every so many answers half the body is sent; 0 for none.
        late: Every so many answers wait for `seconds`; 0 for none.
        seconds: How long they wait.
        silent: Every so many requests are never answered; 0 for none.
        lost: Every so many requests are done, and then the connection ends; 0 for none.
    """

    busy: int = 0
    cut: int = 0
    late: int = 0
    seconds: float = 0.2
    silent: int = 0
    lost: int = 0
    requests: list[str] = dataclasses.field(default_factory=list)  # method, path and range
    done: dict[str, int] = dataclasses.field(default_factory=dict)  # how often each fault was made


@contextlib.contextmanager
def before(port: int, faults: Faults) -> Iterator[int]:
    """Starts a proxy before a server on a port, and gives its own port."""
    numbers = itertools.count(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the faults are counted."""

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            what = f"{self.command} {self.path} {self.headers.get('Range') or ''}".strip()
            faults.requests.append(what)
            number = next(numbers)
            if _is_due("silent", faults.silent, number, faults):
                time.sleep(60)
                self.close_connection = True
                return
            if _is_due("busy", faults.busy, number, faults):
                self._answer(503, [("Content-Type", "application/xml")], _BUSY, len(_BUSY))
                return
            if _is_due("late", faults.late, number, faults):
                time.sleep(faults.seconds)
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if _is_due("lost", faults.lost, number, faults):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            length = answer.getheader("Content-Length") or str(len(content))
            end = len(content)
            if end > 1 and _is_due("cut", faults.cut, number, faults):
                end //= 2
            self._answer(answer.status, answer.getheaders(), content[:end], int(length))
            if end < len(content):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def _answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            body: bytes,
            length: int,
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
                self.wfile.flush()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _is_due(
    name: str,
    every: int,
    number: int,
    faults: Faults,
) -> bool:
    is_due = every > 0 and number % every == 0
    if is_due:
        faults.done[name] = faults.done.get(name, 0) + 1
    return is_due
