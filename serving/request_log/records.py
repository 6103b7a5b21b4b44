"""One call as a record of a log, a `PredictionLog`."""

from __future__ import annotations

from typing import NamedTuple

from tafe_tf.serving.wire import messages

DESCRIBE = "describe"  # the signature that tells what an export is, and holds no rows


class Served(NamedTuple):
    """A call that was answered.

    Attributes:
        request: The `PredictRequest`, serialized.
        response: The `PredictResponse`, serialized.
        seconds: When it was answered, in seconds since 1970.
    """

    request: bytes
    response: bytes
    seconds: int

    @property
    def size(self) -> int:
        """The bytes of request and response."""
        return len(self.request) + len(self.response)

    def record(self) -> bytes:
        """The `PredictionLog`, serialized.

        What was sent stands in it as it was sent: it is not read again. A message within a message
        is its tag, its length and its bytes.
        """
        request = messages.PredictRequest.FromString(self.request)
        metadata = messages.LogMetadata(model_spec=request.model_spec, timestamp_secs=self.seconds)
        exchange = _within(1, self.request) + _within(2, self.response)
        return _within(1, metadata.SerializeToString()) + _within(6, exchange)


def _within(number: int, content: bytes) -> bytes:
    """A message as field `number` of another."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
