"""What the address of a live source means; no device is needed to see how one would be opened."""

from pathlib import Path

import av
import pytest

from avsc.features.limits import Limits
from avsc.features.live.address import Kind, parse_address, parse_addresses
from avsc.features.live.connection import Needs, connected
from avsc.manifests.errors import MediaError, SettingError


def test_devices_are_opened_by_their_format_with_options() -> None:
    camera = parse_address("v4l2:/dev/video0?video_size=1280x720&framerate=25")
    assert (camera.kind, camera.format, camera.url) == (Kind.DEVICE, "v4l2", "/dev/video0")
    assert camera.options == {"timestamps": "abs", "video_size": "1280x720", "framerate": "25"}
    sound = parse_address("alsa:hw:1,0?sample_rate=44100")
    assert (sound.kind, sound.format, sound.url) == (Kind.DEVICE, "alsa", "hw:1,0")
    assert sound.options == {"channels": "2", "sample_rate": "44100"}


def test_what_ffmpeg_is_asked_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def opened(url: str, mode: str, **settings: object) -> None:
        asked.append((url, settings["format"], settings["options"], settings["timeout"]))
        raise OSError(19, "No such device")

    monkeypatch.setattr(av, "open", opened)
    addresses = parse_addresses("alsa:default", None)
    with (
        pytest.raises(MediaError, match=r"^alsa:default: no such device; wanted a source that is"),
        connected(addresses, Needs(frozenset({"audio"})), 7.0, Limits()),
    ):
        pass
    options = {"channels": "2", "sample_rate": "48000"}
    assert asked == [("default", "alsa", options, (7.0, 7.0))]


@pytest.mark.parametrize("url", ["rtsp://cam/1", "http://h/a.ts", "https://h/a", "udp://@:5000"])
def test_streams_are_opened_by_their_address_and_read_no_file(url: str) -> None:
    address = parse_address(url)
    assert (address.kind, address.format, address.url) == (Kind.NETWORK, None, url)
    assert "file" not in address.options["protocol_whitelist"].split(",")


def test_a_password_is_not_shown() -> None:
    address = parse_address("rtsp://user:pa@ss@cam:554/1")
    assert address.name == "rtsp://cam:554/1"
    assert "pa@ss" not in repr(address)
    with pytest.raises(SettingError, match=r"^ftp://h/a: ftp:// is unknown; wanted http://"):
        parse_address("ftp://me:secret@h/a")


def test_wrong_addresses(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"v4l2:: names no device; wanted e\.g\. v4l2:/dev/"):
        parse_address("v4l2:")
    with pytest.raises(SettingError, match=r"no\.mp4: no such file.*; wanted a file, an address"):
        parse_address(str(tmp_path / "no.mp4"))
    with pytest.raises(SettingError, match="not a file"):
        parse_address(str(tmp_path))


def test_sound_of_its_own_needs_a_common_clock(tmp_path: Path) -> None:
    camera, microphone = parse_addresses("v4l2:/dev/video0", "alsa:default")
    assert (camera.format, microphone.format) == ("v4l2", "alsa")
    with pytest.raises(SettingError, match="have no clock in common"):
        parse_addresses("rtsp://cam/1", "alsa:default")
