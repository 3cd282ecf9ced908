"""JPEG against the standard's own facts and against Pillow, a second implementation."""

import doctest
import io

import cv2
import numpy as np
import pytest
from PIL import Image
from videos import drawn

from avsc.features import jpeg
from avsc.features.jpeg import decode, encode, fitted, shape
from avsc.features.specs import ImageSpec
from avsc.manifests.errors import MediaError

# Luminance table of ITU-T T.81, annex K.1, first row.
TABLE = np.array([16, 11, 10, 16, 24, 40, 51, 61])


@pytest.fixture(scope="module")
def image():
    return next(drawn(1, np.random.default_rng(3), 180, 320))


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def pillow(data):
    return Image.open(io.BytesIO(data))


def saved(image, kind="JPEG", mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, kind, **options)
    return file.getvalue()


def test_examples():
    assert doctest.testmod(jpeg).failed == 0


@pytest.mark.parametrize("quality", [50, 75, 90, 100])
def test_header(quality, image):
    """Size, baseline, 4:2:0 and the quantisation table that the quality stands for."""
    image = pillow(encode(image, ImageSpec(short_side=0, quality=quality)))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (320, 180))
    assert [(across, down) for _, across, down, _ in image.layer] == [(2, 2), (1, 1), (1, 1)]
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    assert image.quantization[0][:8] == list(np.maximum(1, (TABLE * scale + 50) // 100))
    assert not image.info.get("progressive")


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_error_is_that_of_pillow(quality, image):
    """A loss within 0.25 dB of Pillow's encoder, and the very image of Pillow's decoder."""
    data = encode(image, ImageSpec(short_side=0, quality=quality))
    reference = pillow(saved(image, quality=quality, subsampling="4:2:0"))
    assert psnr(decode(data), image) > psnr(np.asarray(reference), image) - 0.25
    assert np.abs(decode(data).astype(int) - np.asarray(pillow(data))).max() <= 1


def test_round_trip_of_a_smooth_image():
    y, x = np.mgrid[0:64, 0:96]
    smooth = np.stack([2 * x, 3 * y, 255 - x - y], -1).astype(np.uint8)
    found = decode(encode(smooth, ImageSpec(short_side=0, quality=95))).astype(int)
    assert np.abs(found - smooth).max() <= 6


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (180, 320, 90, (90, 160)),
        (320, 180, 90, (160, 90)),
        (180, 320, 100, (100, 178)),
        (180, 320, 180, (180, 320)),
        (180, 320, 400, (180, 320)),
        (180, 320, 0, (180, 320)),
        (1, 500, 320, (1, 500)),
        (3, 5000, 1, (1, 1667)),
    ],
)
def test_short_side(height, width, side, expected, image):
    assert fitted(height, width, side) == expected
    resized = cv2.resize(image, (width, height))
    assert shape(encode(resized, ImageSpec(short_side=side))) == expected


def test_scaling_is_the_mean_over_areas(image):
    def apart(scaled):
        plain = encode(np.ascontiguousarray(scaled), ImageSpec(short_side=0, quality=100))
        return np.abs(found - decode(plain)).mean()

    image = image[:, :318]
    found = decode(encode(image, ImageSpec(short_side=60, quality=100))).astype(int)
    means = image.reshape(60, 3, 106, 3, 3).mean((1, 3))
    assert apart(np.round(means).astype(np.uint8)) < 0.75
    assert apart(image[1::3, 1::3]) > 3


def test_deterministic(image):
    spec = ImageSpec(short_side=100)
    assert encode(image, spec) == encode(image.copy(), spec)
    flipped = np.ascontiguousarray(image[::-1])[::-1]
    assert encode(flipped, spec) == encode(image, spec)


def test_decode_takes_bytes_arrays_and_grey(image):
    data = encode(image, ImageSpec(short_side=0))
    assert np.array_equal(decode(data), decode(np.frombuffer(data, np.uint8)))
    grey = decode(saved(image, mode="L"))
    assert grey.shape == image.shape
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_what_is_no_jpeg_is_refused(image):
    data = encode(image, ImageSpec(short_side=0))
    for bad in (b"", b"not an image", saved(image, "PNG"), data[:100], data[: len(data) // 2]):
        with pytest.raises(MediaError, match=f"{len(bad)} bytes are not a JPEG") as caught:
            decode(bad)
        assert caught.value.code == "undecodable"
    with pytest.raises(MediaError, match="CMYK"):
        decode(saved(image, mode="CMYK"))


def test_too_large(image, monkeypatch):
    data = encode(image, ImageSpec(short_side=0))
    monkeypatch.setattr(jpeg, "MAX_JPEG_PIXELS", 320 * 180 - 1)
    with pytest.raises(MediaError, match="320 x 180") as caught:
        decode(data)
    assert caught.value.code == "too-large"


def test_an_image_longer_than_a_jpeg_can_be_is_refused() -> None:
    """The decoder's limit is on pixels: 70,000 x 2 are few."""
    with pytest.raises(MediaError, match="70000 x 2; at most 65500 pixels a side") as fault:
        encode(np.zeros((2, 70_000, 3), np.uint8), ImageSpec())
    assert fault.value.code == "too-large"
