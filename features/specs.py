"""Specs: what a product is made of, and the digest that names it.

A *product* is one kind of thing that a store keeps of each clip. Its *spec* is a frozen dataclass
of every parameter that changes the result; the SHA-256 of the spec's canonical JSON (sorted keys,
no spaces) is the digest that names the product's folder. `version` is the version of the algorithm
and is raised by hand when a bug fix changes results. Defaults are the paper's (section 2.2.1
and Table 1); what the paper leaves open is stated in docs/choices.md. A parameter that specs did
not have at first names in its metadata the value (``absent``) at which they are as they were: it is
then left out of the JSON, and the digest is the same.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import Any, ClassVar, Self, get_type_hints

from avsc.manifests.errors import SettingError

HALF = Fraction(1, 2)
MAX_PER_SECOND = 30
"""Images a second: every frame of usual video."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Base of all specs."""

    product: ClassVar[str]
    version: int = 1

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name, without those that are as if there were none."""
        absent = self.absent()
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in absent or value != absent[name]
        }

    @classmethod
    def absent(cls) -> dict[str, Any]:
        """Return parameters that specs did not have at first, with the values left out."""
        return {each.name: each.metadata["absent"] for each in fields(cls) if each.metadata}

    def canonical(self) -> str:
        """Return the canonical JSON: product and parameters, keys sorted, no spaces."""
        return json.dumps(
            {"product": self.product, **self.parameters()}, sort_keys=True, separators=(",", ":")
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a spec of what `parameters` gave; unknown names are an error."""
        known = {each.name for each in fields(cls)}
        unknown = sorted(set(values) - known - {"product"})
        if unknown:
            raise SettingError(
                f"{cls.product}: unknown parameter {unknown[0]!r}; known are "
                f"{', '.join(sorted(known))}."
            )
        kinds = get_type_hints(cls)
        for name, value in values.items():
            if name != "product" and type(value) is not kinds[name]:
                raise SettingError(f"{cls.product}: {name} is {value!r}; a {kinds[name].__name__}.")
        return cls(**{name: value for name, value in values.items() if name != "product"})


@dataclass(frozen=True, kw_only=True)
class AcousticSpec(Spec):
    """What both acoustic products share: resampling, framing, magnitude, logarithm.

    Attributes:
        sample_rate: rate that the sound is resampled to, Hz.
        window: length of the (periodic Hann) window, samples at `sample_rate` (512 ms).
        hop: distance between windows, samples (171 ms).
        floor: smallest value that the natural logarithm is taken of.
    """

    sample_rate: int = 16_000
    window: int = 8192
    hop: int = 2736
    floor: float = 1e-10

    def __post_init__(self) -> None:
        for name in ("sample_rate", "window", "hop"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value > 0):
                raise SettingError(f"{self.product}: {name} is {value!r}; a whole number > 0.")
        if not self.floor > 0:
            raise SettingError(f"{self.product}: floor is {self.floor!r}; a number > 0.")


@dataclass(frozen=True, kw_only=True)
class ScalogramSpec(AcousticSpec):
    """Long-term scalogram: Gaussian wavelets on the magnitude spectrum (290 with these defaults).

    Attributes:
        q: wavelets per octave above the elbow.
        t: support of the longest wavelet, samples.
    """

    product: ClassVar[str] = "scalogram"
    q: int = 41
    t: int = 8192


@dataclass(frozen=True, kw_only=True)
class FbankSpec(AcousticSpec):
    """Long-term log mel filter bank on the same magnitude spectrum.

    Attributes:
        bands: number of mel (HTK) bands.
        low: lower edge of the first band, Hz.
        high: upper edge of the last band, Hz.
    """

    product: ClassVar[str] = "fbank"
    bands: int = 256
    low: float = 0.0
    high: float = 8000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.window + 2  # each has a bin of its own or shares one with a neighbour
        if not 1 <= self.bands <= most:
            raise SettingError(
                f"{self.product}: bands is {self.bands}; 1 to {most} for a window of {self.window}."
            )


@dataclass(frozen=True, kw_only=True)
class ImageTimes(Spec):
    """When the images of a clip are: with N a second, image k is on show at (k + 0.5) / N s.

    It stands for the interval [k / N, (k + 1) / N). A clip has it if its instant is before the
    clip's end, and if the clip has the second that it lies in: whatever N, a clip has the same
    seconds.

    Attributes:
        per_second: N, 1 to 30; the paper's is 1.
    """

    per_second: int = field(default=1, metadata={"absent": 1})

    def __post_init__(self) -> None:
        if not 1 <= self.per_second <= MAX_PER_SECOND:
            raise SettingError(
                f"{self.product}: per_second is {self.per_second}; 1 to {MAX_PER_SECOND} images a "
                "second."
            )

    def count(self, end: Fraction | float) -> int:
        """Return how many images a clip has that ends after so many seconds.

        >>> ImageSpec().count(9.6), ImageSpec(per_second=2).count(9.6)
        (10, 19)
        >>> ImageSpec().count(9.4), ImageSpec(per_second=2).count(9.4)
        (9, 18)
        """
        seconds, images = (ceil(n * end - HALF) for n in (1, self.per_second))
        return max(0, min(seconds * self.per_second, images))

    def instant(self, k: int) -> Fraction:
        """Return when image k is on show, seconds."""
        return (k + HALF) / self.per_second

    def name(self, k: int) -> str:
        """Return what image k is called in messages.

        >>> ImageSpec().name(3), ImageSpec(per_second=2).name(3)
        ('second 3', 'image 3 (1.75 s)')
        """
        if self.per_second == 1:
            return f"second {k}"
        return f"image {k} ({float(self.instant(k)):g} s)"


@dataclass(frozen=True, kw_only=True)
class ImageSpec(ImageTimes):
    """JPEG images of a clip, one for each second unless more are asked for.

    Attributes:
        short_side: shorter side of the stored image, pixels; 0 keeps the source's size.
            Images are never enlarged.
        quality: JPEG quality, 1 to 100.
    """

    product: ClassVar[str] = "images"
    short_side: int = 320
    quality: int = 90

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.short_side < 0:
            raise SettingError(f"images: short_side is {self.short_side}; 0 or more pixels.")
        if not 1 <= self.quality <= 100:
            raise SettingError(f"images: quality is {self.quality}; 1 to 100.")


SPECS: dict[str, type[Spec]] = {
    spec.product: spec for spec in (ScalogramSpec, FbankSpec, ImageSpec)
}
DEFAULT_PRODUCTS = ("scalogram", "fbank", "images")
"""What is extracted unless other products are named: the paper's."""
ACOUSTIC = tuple(name for name, spec in SPECS.items() if issubclass(spec, AcousticSpec))
"""The acoustic features, by product."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec(Spec):
    """What a trained encoder made of another product: float32 vectors, as many as that has items.

    Attributes:
        encoder: SHA-256 of the encoder's weights; of an acoustic one, with mean and std.
        source: SHA-256 of the content of the product that was encoded, its spec included.
        shown: what the encoder saw of it: size and view of images, their mean and std.
        features: values of a vector.
    """

    encoder: str
    source: str
    shown: str
    features: int


@dataclass(frozen=True, kw_only=True)
class AcousticEmbeddingSpec(EmbeddingSpec):
    """Embeddings of acoustic frames: of each clip one record, a row for each frame."""

    product: ClassVar[str] = "acoustic-embeddings"


@dataclass(frozen=True, kw_only=True)
class VisualEmbeddingSpec(EmbeddingSpec, ImageTimes):
    """Embeddings of images: of each image one record of one row, with the image's key."""

    product: ClassVar[str] = "visual-embeddings"


STORED: dict[str, type[Spec]] = {
    **SPECS,
    **{spec.product: spec for spec in (AcousticEmbeddingSpec, VisualEmbeddingSpec)},
}
"""Every product that a store may hold; those of `SPECS` are extracted from recordings."""
