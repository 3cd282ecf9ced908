"""Drawing acoustic frames: time across, frequency up on a logarithmic axis, level as colour."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avsc.features.filterbank import bin_frequencies
from avsc.features.specs import AcousticSpec

LOWEST = 50.0
"""Frequency at the foot of the axis, Hz; below it a logarithmic axis has little to show."""
ROWS = 144
"""Pixels from the foot to the top of the axis."""
RANGE = 70.0
"""Levels that are told apart, dB below the clip's maximum."""
DECIBELS = 20 / np.log(10)  # of one neper: features are natural logarithms of magnitudes
TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


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
        spec: that made them.
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
