"""A second process that sends a recording as MPEG-TS, at its own pace, over HTTP or UDP.

    python live_sender.py http|udp PORT FILE PACE PIECES

PIECES is JSON, a list of [from, to, offset, pause]: seconds of the recording (from and to on key
frames), what is added to their clock, and seconds of pause before. Over HTTP each piece answers one
request and then the connection is closed; a request more gets status 503. Over UDP the pieces are
sent one after another, once somebody listens. PORT 0 picks one; the port is printed when it is
ready.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av

DATAGRAM = 7 * 188


class Writer:
    """A file that hands on what is written to it."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send

    def write(self, data: bytes) -> int:
        self._send(bytes(data))
        return len(data)


def send_piece(
    file: str, send: Callable[[bytes], object], pace: float, begin: float, end: float, offset: float
) -> None:
    """Send a piece of a recording, each packet when it is due."""
    options = {"flush_packets": "1", "pes_payload_size": "0"}
    with (
        av.open(file) as source,
        av.open(Writer(send), "w", format="mpegts", options=options) as target,
    ):
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        began, first = time.monotonic(), None
        for packet in source.demux():
            if packet.dts is None or not begin <= float(packet.dts * packet.time_base) < end:
                continue
            due = float(packet.dts * packet.time_base)
            first = due if first is None else first
            time.sleep(max(0.0, began + (due - first) / pace - time.monotonic()))
            ticks = round(offset / packet.time_base)
            packet.dts += ticks
            packet.pts += ticks
            packet.stream = streams[packet.stream_index]
            target.mux(packet)


def serve_http(port: int, file: str, pace: float, pieces: list[list[float]]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if not pieces:
                self.send_error(503)
                return
            begin, end, offset, pause = pieces.pop(0)
            time.sleep(pause)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            send_piece(file, self.wfile.write, pace, begin, end, offset)

    server = HTTPServer(("127.0.0.1", port), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def send_udp(port: int, file: str, pace: float, pieces: list[list[float]]) -> None:
    print(port, flush=True)
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        time.sleep(0.02)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(data: bytes) -> None:
            for i in range(0, len(data), DATAGRAM):
                sender.sendto(data[i : i + DATAGRAM], ("127.0.0.1", port))

        for begin, end, offset, pause in pieces:
            time.sleep(pause)
            send_piece(file, send, pace, begin, end, offset)


if __name__ == "__main__":
    protocol, port, file, pace, pieces = sys.argv[1:]
    serve = serve_http if protocol == "http" else send_udp
    serve(int(port), file, float(pace), json.loads(pieces))
