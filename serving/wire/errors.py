"""One error for everything that can go wrong with a request, on both sides of the network."""

from __future__ import annotations

import grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(RuntimeError):
    """A request failed.

    Attributes:
        code: gRPC's status code, such as `grpc.StatusCode.NOT_FOUND`.
        message: What went wrong, in TensorFlow Serving's words where it has a text for it.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class WrongAnswerError(ServingError):
    """INTERNAL: a server said something that cannot be an answer to what it was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(grpc.StatusCode.INTERNAL, f"the server's answer is wrong: {message}")


def from_number(number: int, message: str) -> ServingError:
    """The error with a status code's number, which is how TensorFlow's own errors carry it."""
    return ServingError(_CODES.get(number, grpc.StatusCode.UNKNOWN), message)


def invalid(message: str) -> ServingError:
    """The error INVALID_ARGUMENT: the request is wrong whatever the server holds."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> ServingError:
    """The error FAILED_PRECONDITION: the server lacks what the request takes for granted."""
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unavailable(message: str) -> ServingError:
    """The error UNAVAILABLE: the same request may be answered later, or by another server."""
    return ServingError(grpc.StatusCode.UNAVAILABLE, message)


def not_found(message: str) -> ServingError:
    """The error NOT_FOUND: there is no such model or version."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)
