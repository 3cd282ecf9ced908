"""Recordings with sound and images of their own clock, and processes that send them."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from media import noise
from ports import free_ports
from videos import HEIGHT, WIDTH, drawn, repeatable

SENDER = Path(__file__).with_name("live_sender.py")


def write_av(
    path: Path,
    seconds: float = 4.0,
    *,
    fps: int = 25,
    rate: int = 48_000,
    codecs: tuple[str, str] = ("libx264", "aac"),
    channels: int = 2,
    reordered: bool = True,
    loudness: float = 1.0,
    seed: int = 0,
) -> Path:
    """Write noise and moving images, a key frame each second, `reordered` with B images."""
    layout = {1: "mono", 2: "stereo"}[channels]
    sound = (loudness * noise(seed, int(seconds * rate), channels)).astype(np.float32)
    with av.open(path, "w") as file:
        options = repeatable(codecs[0], {} if reordered else {"bf": "0"})
        video = file.add_stream(codecs[0], rate=fps, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size, video.codec_context.thread_count = fps, 1
        audio = file.add_stream(codecs[1], rate=rate, layout=layout)
        sample_format = audio.codec_context.format.name
        at = 0
        for i, image in enumerate(drawn(int(seconds * fps), np.random.default_rng(seed))):
            shown = av.VideoFrame.from_ndarray(image, format="rgb24")
            shown.pts, shown.time_base = i, Fraction(1, fps)
            file.mux(video.encode(shown))
            while at < min(len(sound), (i + 1) * rate // fps):
                part = sound[at : at + 1024]
                packed = part.T if sample_format.endswith("p") else part.reshape(1, -1)
                heard = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(packed), format=sample_format, layout=layout
                )
                heard.sample_rate, heard.pts, heard.time_base = rate, at, Fraction(1, rate)
                file.mux(audio.encode(heard))
                at += len(part)
        file.mux(video.encode(None))
        file.mux(audio.encode(None))
    return path


def write_long(path: Path, turns: int) -> Path:
    """Write 16 s (750 frames of AAC) again and again, under one clock, as a transport stream."""
    seconds = 16
    piece = write_av(path.with_name("piece.mkv"), seconds, reordered=False)
    with av.open(path, "w") as target:
        streams: dict[int, av.stream.Stream] = {}
        for turn in range(turns):
            with av.open(piece) as source:
                if not streams:
                    streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
                for packet in source.demux():
                    if packet.dts is None or not 0 <= packet.pts * packet.time_base < seconds:
                        continue
                    ticks = round(Fraction(seconds * turn) / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    packet.stream = streams[packet.stream_index]
                    target.mux(packet)
    return path


def left_out(
    path: Path, new: Path, kind: str, begin: float = 0.0, end: float = float("inf")
) -> Path:
    """Copy a recording without sound or video from `begin` to `end`, or without the stream."""
    with av.open(path) as source, av.open(new, "w") as target:
        whole = begin == 0 and end == float("inf")
        kept = [s for s in source.streams if not (whole and s.type == kind)]
        streams = {s.index: target.add_stream_from_template(s) for s in kept}
        zero = float(min(s.start_time * s.time_base for s in source.streams))
        for packet in source.demux():
            if packet.dts is None or packet.stream_index not in streams:
                continue
            is_in = begin <= float(packet.dts * packet.time_base) - zero < end
            if not (is_in and packet.stream.type == kind):
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return new


def free_port() -> int:
    """Return a port of UDP on loopback that nobody uses."""
    (port,) = free_ports(1, socket.SOCK_DGRAM)
    return port


@contextmanager
def sent(
    protocol: str, file: Path, pieces: list[tuple[float, float, float, float]], pace: float = 1.0
) -> Iterator[str]:
    """Send a recording from a second process (see `live_sender`); give the address."""
    port = 0 if protocol == "http" else free_port()
    command = [sys.executable, SENDER, protocol, str(port), file, str(pace), json.dumps(pieces)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"{protocol}://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
