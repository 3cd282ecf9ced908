"""Which stream is taken, against what ffmpeg and players take."""

import av
import pytest
from painted import decoded, encode, ffmpeg, shown

from avsc.features.streams import default_stream


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Return a folder with a video, a video of one larger image, and a cover image."""
    folder = tmp_path_factory.mktemp("media")
    encode(folder / "v.mp4", "-c:v", "libx264", "-bf", 0, count=50)
    encode(folder / "one.mp4", "-c:v", "libx264", count=1, first=4000, size=(128, 192))
    ffmpeg("-i", folder / "one.mp4", folder / "cover.png")
    return folder


@pytest.mark.parametrize(
    ("suffix", "marks"),
    [
        *((s, m) for s in ("mp4", "mov") for m in ("0 default", "default 0", "default default")),
        *(("mkv", m) for m in ("0 default", "0 0", "default default")),
        *((s, "0 0") for s in ("avi", "ts")),
    ],
)
def test_a_still_image_before_the_video_is_passed_over(suffix, marks, media, tmp_path):
    still = media / ("one.mp4" if suffix == "ts" else "cover.png")
    first, second = marks.split()
    path = tmp_path / f"still.{suffix}"
    ffmpeg(
        *("-i", still, "-i", media / "v.mp4", "-map", "0:v", "-map", "1:v", "-c", "copy"),
        *("-disposition:v:0", first, "-disposition:v:1", second, path),
    )
    assert shown(path) == [12, 37]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_video_that_is_marked_as_default_is_taken(suffix, default, media, tmp_path):
    """What ffmpeg takes on its own account is what is taken here."""
    path = tmp_path / f"three.{suffix}"
    sources, maps, marks = [], [], []
    for i, bits in enumerate((100, 300, 200)):
        source = encode(
            tmp_path / f"{i}.mp4", "-c:v", "libx264", "-b:v", f"{bits}k", count=50, first=1000 * i
        )
        sources += ["-i", source]
        maps += ["-map", i]
        marks += [f"-disposition:v:{i}", "default" if i == default else 0]
    ffmpeg(*sources, *maps, "-c", "copy", *marks, path)
    assert shown(path) == [1000 * default + 12, 1000 * default + 37]
    assert decoded(path)[12] == 1000 * default + 12


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize(("default", "channels"), [(0, 1), (1, 2)])
def test_the_sound_that_is_marked_as_default_is_taken(suffix, default, channels, tmp_path):
    tones = "aevalsrc=0.3*sin(3000*t):d=1:s=48000", "aevalsrc=0.3*sin(3000*t)|0.1:d=1:s=48000"
    path = tmp_path / f"two.{suffix}"
    ffmpeg(
        *(option for tone in tones for option in ("-f", "lavfi", "-i", tone)),
        *("-map", 0, "-map", 1, "-c:a", "aac"),
        *(f"-disposition:a:{default}", "default", f"-disposition:a:{1 - default}", 0, path),
    )
    with av.open(path) as container:
        assert default_stream(container, "audio").codec_context.channels == channels
        assert default_stream(container, "video") is None


def test_a_cover_alone_is_no_video(media, tmp_path):
    path = tmp_path / "cover.mp4"
    sound = "aevalsrc=0.3*sin(3000*t):d=1:s=48000"
    ffmpeg(
        *("-f", "lavfi", "-i", sound, "-i", media / "cover.png", "-map", 0, "-map", 1),
        *("-c:v", "copy", "-disposition:v", "attached_pic", path),
    )
    with av.open(path) as container:
        assert default_stream(container, "video") is None
        assert default_stream(container, "audio") is not None


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_time_begins_with_the_first_stream_and_not_with_the_last(suffix, media, tmp_path):
    """The sound begins at 0 and the images one second later, as ffmpeg was told."""
    path = tmp_path / f"late.{suffix}"
    ffmpeg(
        *("-itsoffset", 1, "-i", media / "v.mp4", "-f", "lavfi", "-i", "sine=d=3"),
        *("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", path),
    )
    assert shown(path) == ["no-picture", 12, 37]
