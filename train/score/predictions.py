"""Predictions as a file, in the form of DCASE 2021 task 1B: one row a segment, TAB between columns.

``filename``, ``scene_label`` (the class with the highest probability), then the probability of each
class under its own name. The task evaluates files cut to one second; segment k of a clip is named
``<clip>_<k>`` here, which is ours.
"""

import csv
import io
from collections.abc import Sequence

from avsc.train.score.protocol import Segments


def encode_predictions(segments: Segments, ids: Sequence[str], classes: Sequence[str]) -> bytes:
    """Return the bytes of a predictions file.

    Args:
        segments: what was predicted.
        ids: of the clips, in row order.
        classes: scene labels in the order of their indices.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["filename", "scene_label", *classes])
    for probability, clip, second in zip(
        segments.probability, segments.clip, segments.second, strict=True
    ):
        values = [repr(float(value)) for value in probability]
        writer.writerow([f"{ids[clip]}_{second}", classes[probability.argmax()], *values])
    return text.getvalue().encode()
