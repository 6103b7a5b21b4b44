"""One error for everything that can go wrong with a request, on both sides of the wire."""

from __future__ import annotations

import grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(RuntimeError):
    """A request failed.

    Attributes:
        code: the canonical status code, as gRPC names it.
        message: what was wrong; where TensorFlow Serving has a text for it, that text.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code, self.message = code, message


def from_number(number: int, message: str) -> ServingError:
    """The error of a canonical code's number, as TensorFlow's own errors carry it."""
    return ServingError(_CODES.get(number, grpc.StatusCode.UNKNOWN), message)


def invalid(message: str) -> ServingError:
    """INVALID_ARGUMENT."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> ServingError:
    """FAILED_PRECONDITION."""
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)


def not_found(message: str) -> ServingError:
    """NOT_FOUND."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)
