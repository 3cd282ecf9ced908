"""A real HTTP server on loopback that can be told to misbehave.

`Server.faults` maps a path to what is done with its next requests, one a request; after these (and
for other paths) the server behaves: ranges, If-Range, entity tags, lengths.
"""

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

Fault = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Serves `Server.files`."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a request, with the fault that is due."""
        path = self.path.partition("?")[0]
        self.server.requests.append((path, self.headers.get("Range"), self.headers.get("If-Range")))
        if path not in self.server.files:
            return self.answer(404, b"no such file")
        data, faults = self.server.files[path], self.server.faults.get(path, [])
        fault = faults.pop(0) if faults else whole
        return fault(self, data)

    def tag(self, data: bytes) -> str:
        return f'"{hashlib.sha256(data).hexdigest()}"'

    def answer(self, status: int, body: bytes, **headers: object) -> None:
        """Send an answer; `headers` with underscores for dashes."""
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": len(body), **named}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def part(self, data: bytes) -> tuple[int, int]:
        """Return the status and the first byte that a well-behaved server answers with."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if asked is None or (condition is not None and condition != self.tag(data)):
            return 200, 0
        return 206, int(asked.removeprefix("bytes=").rstrip("-"))

    def drop(self) -> None:
        """Close the connection."""
        self.close_connection = True


def whole(handler: Handler, data: bytes) -> None:
    """Behave."""
    status, begin = handler.part(data)
    if begin >= len(data):
        return handler.answer(416, b"", Content_Range=f"bytes */{len(data)}")
    said = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
    return handler.answer(status, data[begin:], ETag=handler.tag(data), **said)


def breaking_after(count: int) -> Fault:
    """Break off after so many bytes of the body."""

    def fault(handler: Handler, data: bytes) -> None:
        status, begin = handler.part(data)
        said = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        left = len(data) - begin
        body = data[begin : begin + count]
        handler.answer(status, body, ETag=handler.tag(data), Content_Length=left, **said)
        handler.drop()

    return fault


def wrong_byte(handler: Handler, data: bytes) -> None:
    """Send one wrong byte."""
    middle = len(data) // 2
    whole(handler, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def ignoring_ranges(handler: Handler, data: bytes) -> None:
    """Send the whole file whatever was asked for."""
    handler.answer(200, data, ETag=handler.tag(data))


def ignoring_ranges_and_breaking_after(count: int) -> Fault:
    """Send the file's beginning whatever was asked for."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.answer(200, data[:count], Content_Length=len(data))
        handler.drop()

    return fault


def another_range(handler: Handler, data: bytes) -> None:
    """Send a range that nobody asked for."""
    handler.answer(206, data[1:], Content_Range=f"bytes 1-{len(data) - 1}/{len(data)}")


def saying_length(change: int) -> Fault:
    """Say that the file is longer or shorter than it is, and close after all of it."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.answer(200, data, Content_Length=len(data) + change)
        handler.drop()

    return fault


def too_much(handler: Handler, data: bytes) -> None:
    """Send more than the file, without a length."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(data + b"more")
    handler.drop()


def status(code: int, **headers: object) -> Fault:
    """Answer with a status."""
    return lambda handler, data: handler.answer(code, b"not now", **headers)


def silent(handler: Handler, data: bytes) -> None:
    """Say nothing until the server ends."""
    handler.server.ended.wait(600)
    handler.drop()


class Server(ThreadingHTTPServer):
    """Serves files on a free port of loopback while its `with` block lasts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no fault of the server's."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ended.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
