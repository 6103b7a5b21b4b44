"""The server's REST door: uvicorn, in a thread of its own."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.rest_app import ABORT, RestApp
from tafe_tf.serving.server.running import RunningCalls

_BACKLOG = 2048  # connections that wait to be accepted
_CONNECTIONS = 4096  # open at a time; a further one takes the place of one that is idle
_IDLE_SECONDS = 60  # that a connection waits for the end of a request's header


class RestServer:
    """Listens as soon as it is made, and answers once `start` is called.

    Args:
        models: The models that requests ask.
        running: Counts the requests that run.
        host: The interface to listen on, such as "localhost".
        port: The TCP port; 0 for any free one.
        threads: The number of requests answered at a time.

    Raises:
        OSError: If the port is taken.
    """

    def __init__(
        self, models: ServedModels, running: RunningCalls, host: str, port: int, threads: int
    ) -> None:
        self._socket = socket.create_server((host, port), backlog=_BACKLOG)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            RestApp(models, running, threads),
            http=_Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            loop="asyncio",
            backlog=_BACKLOG,
            log_config=None,
            log_level="critical",  # what callers do wrong is told to them
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )

    def start(self) -> None:
        """Answers from a thread of its own."""
        _allow_files(2 * _CONNECTIONS)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Closes idle connections, and waits so long at most for the others."""
        if not self._thread.is_alive():
            self._socket.close()
            return
        self._server.should_exit = True
        self._thread.join(seconds)


class _Connection(H11Protocol):
    """uvicorn's connection, which has a limited time for each header, however it drips in.

    uvicorn itself waits for ever for a connection's first header, and for the end of any header
    whose first byte has come.
    """

    _clock: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= _CONNECTIONS:
            self._close_the_idlest()
        self.app_state = {**self.app_state, ABORT: transport.abort}
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answers a whole request of a caller who sends no more; says whether to keep writing."""
        if self._is_idle() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_clock()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        """Starts the clock of an idle connection, and stops it once a request's header is there."""
        if not self._is_idle():
            self._stop_clock()
        elif self._clock is None:
            self._idle_since = self.loop.time()
            self._clock = self.loop.call_later(_IDLE_SECONDS, self.timeout_keep_alive_handler)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _close_the_idlest(self) -> None:
        connections: set[Any] = self.connections
        idle = [other for other in connections if other._is_idle()]
        if idle:
            idlest = min(idle, key=lambda other: other._idle_since)
            idlest.timeout_keep_alive_handler()
            connections.discard(idlest)


def _allow_files(count: int) -> None:
    """Lets the process open so many files, as far as it may; each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
