"""After damage that the decoder gets over, what it makes up of the rest is no image."""

from pathlib import Path

import av
import numpy as np
import pytest
from videos import drawn, write_video

from avsc.features.images import frames_on_show
from avsc.manifests.errors import MediaError

SECONDS, RATE = 6, 10


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MPEG-4 without B images, of which each but the first is built on the one before."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    scene = drawn(SECONDS * RATE, np.random.default_rng(4))
    return write_video(path, scene, rate=RATE, codec="mpeg4", options={"g": "60"})


def first_doubt(path: Path) -> int | None:
    """Return the first packet that a decoder takes exception to, or marks the image of."""
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        context.thread_type = "NONE"
        context.options = {"err_detect": "explode"}
        for index, packet in enumerate(container.demux(video=0)):
            try:
                if any(frame.is_corrupt for frame in context.decode(packet)):
                    return index
            except av.error.FFmpegError:
                return index
    return None


def test_no_image_after_damage_is_given_out(video: Path, tmp_path: Path) -> None:
    with av.open(video) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [packet.pos + packet.size // 2 for packet in packets]
    right = {k: frame.to_ndarray() for k, frame in frames_on_show(video)}
    bad, doubts = tmp_path / "bad.mp4", 0
    for place in places[2:34:2]:
        data = bytearray(video.read_bytes())
        data[place] ^= 0x10
        bad.write_bytes(data)
        doubt = first_doubt(bad)
        if doubt is None:  # another image as good as any
            continue
        doubts += 1
        for k, frame in frames_on_show(bad):
            if RATE * k + RATE // 2 >= doubt:
                assert isinstance(frame, MediaError) and frame.code == "corrupt", (place, k)
            else:
                np.testing.assert_array_equal(frame.to_ndarray(), right[k])
    assert doubts > 5
