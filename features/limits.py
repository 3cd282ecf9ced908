"""How much of a machine one clip may take; checked before it is taken.

Limits refuse and change nothing that is made: they are no part of a spec. Sound must have two
channels whatever they say, and its rate must lie in `RATES`.
"""

from dataclasses import dataclass, fields

from avsc.manifests.errors import SettingError

RATES = range(1_000, 384_001)
"""Sample rates, Hz, of sound that is read."""

MAX_JPEG_PIXELS = 8192 * 8192
"""A JPEG with more pixels is never decoded."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused.

    Attributes:
        megabytes: size of a recording's file, 10^6 bytes; it is held in memory whole.
        seconds: length of a recording, sound or video.
        pixels: of one frame of a video, width times height; at most `MAX_JPEG_PIXELS`.
        timeout: wall-clock time for a clip, seconds.
    """

    megabytes: int = 1_000
    seconds: int = 900
    pixels: int = 4096 * 4096
    timeout: int = 600

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise SettingError(f"limit of {field.name}: {getattr(self, field.name)}; 1 or more")
        if self.pixels > MAX_JPEG_PIXELS:
            raise SettingError(f"limit of pixels: {self.pixels}; at most {MAX_JPEG_PIXELS}.")
