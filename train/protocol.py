"""From probabilities of samples to those of one-second segments, or of whole clips.

Source: section 3.2 of the paper ("we took the average of the frame-wise probability distribution in
the same segment") and the official task, which cuts each clip into segments of one second. Which
frames are *in* a segment is left open: ``strict`` takes those whose window lies wholly inside the
second, so that no audio outside the segment is used (2 or 3 frames per second); ``centred`` takes
those whose centre does (4 to 6). ``clip`` is not the official task: one prediction per clip, the
mean of all its frames; it is for clips with one label.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Samples

Protocol = Literal["strict", "centred", "clip"]
PROTOCOLS: tuple[Protocol, ...] = ("strict", "centred")
"""The two readings of the official task."""
EVERY: tuple[Protocol, ...] = (*PROTOCOLS, "clip")


@dataclass(frozen=True)
class Segments:
    """One-second segments, ordered by clip, then by second; or whole clips.

    Attributes:
        probability: float64 [segments, classes], rows sum to 1.
        clip: row of the clip in the clip table, int64 [segments].
        second: second k of the clip, int64 [segments]; None when each is a whole clip.
        scene: class index, int64 [segments].
    """

    probability: NDArray[np.float64]
    clip: NDArray[np.int64]
    second: NDArray[np.int64] | None
    scene: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.clip)


def named_protocols(names: str) -> tuple[Protocol, ...]:
    """Return the protocols that a list such as ``"strict,clip"`` names, in canonical order.

    Raises:
        SettingError: one is unknown, or there is none.

    >>> named_protocols("clip,strict")
    ('strict', 'clip')
    """
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in EVERY]
    if unknown:
        raise SettingError(
            f"--protocol is {names!r}: {unknown[0]!r} is unknown; any of {', '.join(EVERY)}, with "
            "commas between them."
        )
    return tuple(protocol for protocol in EVERY if protocol in wanted)


def segments(probability: NDArray[np.float64], samples: Samples, protocol: Protocol) -> Segments:
    """Return the mean of the probabilities of the samples in each segment or clip.

    Args:
        probability: of the samples, [samples, classes].
        samples: to which they belong.
        protocol: which samples count, and for what.
    """
    counts = frame_mask(samples, protocol)
    clip, second = samples.clip[counts], samples.second[counts]
    place = np.stack([clip, np.zeros_like(second) if protocol == "clip" else second])
    unique, first, segment = np.unique(place, axis=1, return_index=True, return_inverse=True)
    segment = segment.reshape(-1)
    total = np.zeros((unique.shape[1], probability.shape[1]))
    np.add.at(total, segment, probability[counts])
    number = np.bincount(segment, minlength=unique.shape[1])
    scene = samples.scene[counts][first]
    return Segments(
        total / number[:, None], unique[0], None if protocol == "clip" else unique[1], scene
    )


def frame_mask(samples: Samples, protocol: Protocol) -> NDArray[np.bool_]:
    """Return which samples count in a protocol, bool [samples]."""
    return samples.strict if protocol == "strict" else np.ones(len(samples), np.bool_)


def check_whole_clips(clips: Sequence[Clip], rows: Iterable[int]) -> None:
    """Raise a `SettingError` if a clip's label changes within it: one prediction has no truth.

    Args:
        clips: the clip table.
        rows: of the clips that are predicted as a whole.
    """
    for row in rows:
        if len(clips[row].labels) > 1:
            raise SettingError(
                f"clip {clips[row].id!r} is of {clips[row].label_text}, second by second, so that "
                "one prediction for all of it is neither right nor wrong. Use the protocols "
                f"{' and '.join(PROTOCOLS)}, and omit clip."
            )
