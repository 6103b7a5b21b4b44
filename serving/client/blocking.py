"""The client that blocks until the answer is there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import grpc

from tafe_tf.serving.client.answers import Predictions
from tafe_tf.serving.client.connection import Connection, failure
from tafe_tf.serving.client.conversation import asked
from tafe_tf.serving.client.deadline import Answer, Call, Deadline, Pause, Steps, persistent
from tafe_tf.serving.client.description import Seen
from tafe_tf.serving.wire.errors import ServingError


class Client(Connection):
    """Asks one model of a server, and blocks until the answer is there.

    A client may be used from many threads. It connects at the first call. A server that is
    UNAVAILABLE is asked again, after growing pauses, until the call's timeout is over; no other
    failure is tried again. An answer is returned only if it has the rows, the outputs, the types
    and the shapes that were asked for, and of a model that describes itself no NaN.

    Args:
        target: The server, "host:port" or "unix:PATH".
        model: The model's name on the server, "default" by default.
        version: The number of the version to ask. By default the latest one answers.
        label: The label of the version to ask, instead of its number.
        timeout: Seconds that one call may take in all, converting the columns included. Default:
            30, which outlasts a server's restart.
        rows_per_request: Rows that one request carries at most, 1024 by default. A longer call is
            sent in pieces, which are all answered by the same version.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None, the default, for plain text.
        log: A folder to which some calls are written, for `tafe drift` and as warm-up requests; or
            a `RequestLog`, which may serve several clients and is not closed with one of them.
            Default: None, no call is written.
        sample: The share of calls to write to the folder, above 0 and at most 1. Default: 0.01. A
            call in pieces is written whole.

    Raises:
        ValueError: If both a version and a label are given, or a number is out of its range.

    Example:
        The columns are those of the model's schema; `None` is a missing value.

        >>> from tafe_tf.serving.client import Client
        >>> client = Client("localhost:8500", "shop", timeout=2.0)
        >>> rows = {"user": ["u1", "u1"], "item": [7, 8], "price": [9.5, None]}
        >>> predictions = client.predict(rows)  # doctest: +SKIP
        >>> predictions["ctr"]  # doctest: +SKIP
        array([0.31, 0.12], dtype=float32)
        >>> predictions.version  # doctest: +SKIP
        3
        >>> client.close()
    """

    _api = grpc

    def predict(
        self,
        columns: Any,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Predictions:
        """Scores rows.

        Args:
            columns: A mapping from names to sequences, a pandas DataFrame or a pyarrow Table. A
                column goes by its own name or by that of its input, and has shape [n], or [n, any
                length] where the model takes lists. Columns that the model does not take are left
                out. None is a missing value.
            signature: The signature to ask, "serving_default" by default. "rank" takes one row of
                the user's columns and n rows of the others.
            outputs: Names of the outputs to return. By default all are returned.
            timeout: Seconds that this call may take, instead of the client's own timeout.

        Returns:
            The outputs by name, [n] each, and the version that computed them.

        Raises:
            ServingError: With the code and the text of what went wrong.
        """
        deadline = self._deadline(timeout)
        steps = self._conversation.predict(columns, signature, outputs, deadline.check)
        return self._run(steps, deadline)

    def seen(self, columns: Any, *, timeout: float | None = None) -> Seen:
        """Finds which values of rows are missing, and which the model did not see in training.

        Unseen values are no error: the model answers for them by what it learned of rare ones. Many
        of them mean that the rows are not like those of training, or are spelled otherwise.

        Args:
            columns: As for `predict`.
            timeout: Seconds that this call may take, instead of the client's own timeout.

        Returns:
            The shares of missing and of unseen values by field, beside those of training.

        Raises:
            ServingError: With the code and the text of what went wrong. FAILED_PRECONDITION if the
                model was exported before exports had the signatures `fields` and `describe`.

        Example:
            >>> seen = client.seen({"user": ["u1"], "item": [7], "price": [9.5]})  # doctest: +SKIP
            >>> seen.unseen["user"], seen.training["unseen"]["user"]  # doctest: +SKIP
            (1.0, 0.03)
        """
        deadline = self._deadline(timeout)
        return self._run(self._conversation.seen(columns, deadline.check), deadline)

    def status(self) -> dict[int, str]:
        """The state of each version by its number, such as `{3: "AVAILABLE", 2: "END"}`.

        Raises:
            ServingError: With the code and the text of what went wrong.
        """
        return self._run(self._conversation.status(), self._deadline(None))

    def signatures(self) -> dict[str, Any]:
        """The model's `SignatureDef`s by name, which are messages of `serving.wire`.

        Raises:
            ServingError: With the code and the text of what went wrong.
        """
        return self._run(self._conversation.signatures(), self._deadline(None))

    def call(self, method: str, request: Any, *, timeout: float | None = None) -> Any:
        """Sends one request as it is: neither its model nor its columns are filled in or checked.

        Args:
            method: A name of `messages.METHODS`, such as "Predict".
            request: The method's request, such as a `PredictRequest`, of TensorFlow Serving's class
                or of that in `serving.wire.messages`.
            timeout: Seconds that this call may take, instead of the client's own timeout.

        Returns:
            The method's response, such as a `PredictResponse` of `serving.wire.messages`.

        Raises:
            ServingError: With the code and the text of the server's error.
        """
        return self._run(asked(method, request), self._deadline(timeout))

    def _run(self, steps: Steps[Answer], deadline: Deadline) -> Answer:
        """Carries out a conversation."""
        is_logged = self._is_logged()
        actions = persistent(steps, deadline)
        try:
            action = next(actions)
            while True:
                try:
                    result = self._do(action)
                except ServingError as error:
                    action = actions.throw(error)
                else:
                    if is_logged and isinstance(action, Call):
                        self._note(action, result)
                    action = actions.send(result)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    def _do(self, action: Call | Pause) -> Any:
        if isinstance(action, Pause):
            return time.sleep(action.seconds)
        try:
            return self._methods[action.method](action.request, timeout=action.timeout)
        except (grpc.RpcError, ValueError) as error:
            raise failure(error) from None

    def close(self) -> None:
        """Closes the connection, once what waits for the log is written."""
        self._channel.close()
        self._close_log()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
