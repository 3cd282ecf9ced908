"""What a live source's address means: how FFmpeg opens it.

| address | is |
|---|---|
| ``rtsp://``, ``rtsps://``, ``http://``, ``https://``, ``udp://`` | a stream from the network |
| ``v4l2:/dev/video0?framerate=25`` | a camera; options of FFmpeg's device after ``?`` |
| ``alsa:hw:1?sample_rate=48000`` | a microphone |
| anything else | a file, read at its own pace |

Devices stamp what they give with the system's clock, so that a camera and a microphone can be used
together; two sources with clocks of their own cannot.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qsl

from avsc.manifests.clips import missing_reason
from avsc.manifests.errors import SettingError


class Kind(Enum):
    """What a source is."""

    NETWORK = "network"
    DEVICE = "device"
    FILE = "file"


NETWORK_OPTIONS: dict[str, dict[str, str]] = {
    # A playlist over HTTP may name further addresses, but no local file.
    "http": {"protocol_whitelist": "http,https,tcp,tls,crypto,data,httpproxy"},
    "https": {"protocol_whitelist": "http,https,tcp,tls,crypto,data,httpproxy"},
    "rtsp": {"protocol_whitelist": "rtsp,rtp,tcp,udp,tls", "rtsp_transport": "tcp"},
    "rtsps": {"protocol_whitelist": "rtsp,rtp,tcp,udp,tls", "rtsp_transport": "tcp"},
    # What arrives while the decoder is busy waits in a buffer of 188-byte packets (5 MB).
    "udp": {"protocol_whitelist": "udp", "fifo_size": "28000", "overrun_nonfatal": "1"},
}
DEVICE_OPTIONS: dict[str, dict[str, str]] = {
    "v4l2": {"timestamps": "abs"},
    "alsa": {"channels": "2", "sample_rate": "48000"},
}
PROBING = {"analyzeduration": "1000000", "probesize": "1000000"}
"""A stream is looked at for at most 1 s (of its clock) or 1 MB before it is decoded."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """An address that can be opened.

    Attributes:
        name: the address without its password, for messages.
        kind: what it is.
        url: what FFmpeg is to open; a file is opened here and read through Python.
        format: FFmpeg's name of the container or device; None to find out.
        options: of the container.
    """

    name: str
    kind: Kind
    url: str = field(repr=False)
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def parse_address(text: str) -> Address:
    """Return how an address is opened.

    Raises:
        SettingError: its scheme is unknown, or there is no such file.
    """
    device, _, rest = text.partition(":")
    if device in DEVICE_OPTIONS:
        url, _, query = rest.partition("?")
        options = {**DEVICE_OPTIONS[device], **dict(parse_qsl(query, keep_blank_values=True))}
        if not url:
            raise SettingError(f"{text}: names no device; wanted e.g. {_example(device)}.")
        return Address(text, Kind.DEVICE, url, device, options)
    if scheme := _SCHEME.match(text):
        protocol = scheme[1].lower()
        if protocol not in NETWORK_OPTIONS:
            known = ", ".join(f"{name}://" for name in NETWORK_OPTIONS)
            raise SettingError(
                f"{_without_password(text)}: {protocol}:// is unknown; wanted {known}, "
                "v4l2:DEVICE, alsa:DEVICE or a file."
            )
        options = {**PROBING, **NETWORK_OPTIONS[protocol]}
        return Address(_without_password(text), Kind.NETWORK, text, None, options)
    path = Path(text)
    if not path.is_file():
        reason = "not a file" if path.exists() else missing_reason(path)
        raise SettingError(
            f"{text}: {reason}; wanted a file, an address such as rtsp://, http:// or udp://, "
            "v4l2:DEVICE or alsa:DEVICE."
        )
    return Address(text, Kind.FILE, text, None, {"protocol_whitelist": "none"})


def parse_addresses(source: str, audio: str | None = None) -> tuple[Address, ...]:
    """Return the addresses of a source and, when it is another one, of its sound.

    Raises:
        SettingError: an address is wrong, or the two have no clock in common.
    """
    first = parse_address(source)
    if audio is None:
        return (first,)
    second = parse_address(audio)
    if {first.kind, second.kind} != {Kind.DEVICE}:
        raise SettingError(
            f"{first.name} and {second.name} have no clock in common; wanted one source with "
            "both audio and video, or two devices (v4l2:DEVICE and alsa:DEVICE)."
        )
    return first, second


def _example(device: str) -> str:
    return "v4l2:/dev/video0" if device == "v4l2" else "alsa:default"


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/]*@", "", url)
