"""HTTP requests of which two readers may disagree where they end; how they get past a proxy.

The local server refuses all of them. They are no check of a server, since not all servers do.
"""

from __future__ import annotations


def ambiguous(path: str) -> dict[str, bytes]:
    """Requests of which two readers may disagree where they end, by what is odd.

    Each carries what a careless reader would take for a second request. All must be answered
    with 400 or 501, once, and their connection closed.

    Args:
        path: The path of the request.
    """
    second = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"
    length = b"Content-Length: " + str(len(second)).encode()
    chunks = b"0\r\n\r\n"
    heads = {
        "two lengths": b"Content-Length: 0\r\n" + length + b"\r\n\r\n",
        "two lengths in one": b"Content-Length: 0, 5\r\n\r\n",
        "a space after the name": length.replace(b":", b" :") + b"\r\n\r\n",
        "a space after the coding": b"Transfer-Encoding : chunked\r\n\r\n" + chunks,
        "a length and chunks": length + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
        "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + chunks,
        "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n" + chunks,
        "a NUL in a name": b"A\0b: 1\r\n" + length + b"\r\n\r\n",
        "a vertical tab in a name": b"\x0b" + length + b"\r\n\r\n",
        "a carriage return in a value": b"A: b\r" + length + b"\r\n\r\n",
        "5,000 digits": b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n",
        "a sign": length.replace(b": ", b": +") + b"\r\n\r\n",
        "a hexadecimal length": b"Content-Length: 0x5\r\n\r\n",
        "no length": b"Content-Length:\r\n\r\n",
        "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n" + chunks,
        "a chunk's wrong end": b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n" + chunks,
    }
    start = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode()
    found = {what: start + head + second for what, head in heads.items()}
    found["chunks in HTTP/1.0"] = (
        start.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + second
    )
    return found
