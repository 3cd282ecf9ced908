"""What a page shows of a store's clips: their images, made smaller, and their acoustic frames.

Acoustic frames are drawn with time across, frequency up on a logarithmic axis, level as colour.
"""

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from avsc.features.filterbank import bin_frequencies
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.features.store.reader import Records, Store
from avsc.manifests.errors import StoreError

SHORT_SIDE = 144
"""Shorter side of an image on a page, pixels."""
QUALITY = 75
LOWEST = 50.0
"""Frequency at the foot of the axis, Hz; below it a logarithmic axis has little to show."""
ROWS = 144
"""Pixels from the foot to the top of the axis."""
RANGE = 70
"""Levels that are told apart, dB below the clip's maximum."""
DECIBELS = 20 / np.log(10)  # of one neper: features are natural logarithms of magnitudes
TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


class ClipMedia:
    """Images and scalograms of a store's clips, for pages.

    Args:
        store: where they are read from.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def shown(self, row: int) -> dict[str, Any]:
        """Return the images and acoustic frames of a clip, in JSON's types.

        Args:
            row: of the clip in the store's clip table.
        """
        return {"images": self._images(row), "spectra": self._spectra(row)}

    @cached_property
    def _records(self) -> dict[str, Records]:
        return {name: self.store.records(name) for name in self.store.products}

    def _rows(self, product: str, row: int) -> list[int]:
        records = self._records.get(product)
        if records is None:
            return []
        first, end = np.searchsorted(records.clip, [row, row + 1])
        return list(range(int(first), int(end)))

    def _images(self, row: int) -> list[dict[str, Any]]:
        shown = []
        for number in self._rows("images", row):
            records, spec = self._records["images"], self.store.spec("images")
            assert isinstance(spec, ImageSpec)
            image: dict[str, Any] = {"name": spec.name(int(records.key[number]))}
            try:
                image["webp"] = _smaller(records.read(number).tobytes())
            except (StoreError, cv2.error) as fault:
                image["damaged"] = str(fault)
            shown.append(image)
        return shown

    def _spectra(self, row: int) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = []
        for product in self.store.products:
            spec = self.store.spec(product)
            if not isinstance(spec, AcousticSpec):
                continue
            for number in self._rows(product, row):
                try:
                    drawing = draw(self._records[product].read(number), spec)
                except StoreError as fault:
                    shown.append({"product": product, "damaged": str(fault)})
                    continue
                shown.append(
                    {
                        "product": product,
                        "start": drawing.start,
                        "seconds": drawing.seconds,
                        "ticks": drawing.ticks,
                        "decibels": RANGE,
                        "png": [_base64(png) for png in drawing.png],
                    }
                )
        return shown


def _smaller(jpeg: bytes) -> str:
    """Return an image as it is shown, WebP in base64."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise cv2.error("not an image that can be decoded")
    height, width = image.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _base64(cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(frozen=True)
class SpectrumImages:
    """Acoustic frames as images, one per channel.

    Attributes:
        png: of each channel; a pixel across for each frame, `ROWS` up.
        ticks: frequencies, Hz, and where they lie: 0 at the foot, 1 at the top.
        start: second at which the first pixel begins: half a hop before its frame's centre.
        seconds: that the pixels span, one hop each.
    """

    png: tuple[bytes, ...]
    ticks: tuple[tuple[int, float], ...]
    start: float
    seconds: float


def draw(frames: npt.NDArray[np.float32], spec: AcousticSpec) -> SpectrumImages:
    """Return one clip's acoustic frames as images.

    Args:
        frames: natural logarithms of magnitudes, [frames, channels, bins].
    """
    centre = bin_frequencies(spec)
    top = float(centre[-1])
    axis = np.geomspace(LOWEST, top, ROWS)
    level = DECIBELS * frames.astype(np.float64)
    level -= level.max(initial=-np.inf) if level.size else 0
    channels = []
    for channel in level.swapaxes(0, 1):
        rows = np.array([np.interp(axis, centre, frame) for frame in channel]).T[::-1]
        grey = np.clip(255 * (1 + rows / RANGE), 0, 255).astype(np.uint8)
        coloured = cv2.applyColorMap(grey, cv2.COLORMAP_CIVIDIS)
        channels.append(cv2.imencode(".png", coloured, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    span = np.log(top / LOWEST)
    ticks = tuple((f, float(np.log(f / LOWEST) / span)) for f in TICKS if LOWEST <= f <= top)
    return SpectrumImages(
        tuple(png.tobytes() for png in channels),
        ticks,
        (spec.window - spec.hop) / 2 / spec.sample_rate,
        len(frames) * spec.hop / spec.sample_rate,
    )
