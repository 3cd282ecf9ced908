"""Draw docs/protocol.svg: the acoustic frames of a second under each protocol.

    python docs/make_protocol_figure.py

Frames and their seconds are computed by `avsc.features.framing`, as in extraction.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from avsc.features import framing
from avsc.features.specs import ScalogramSpec

SHOWN = 1
"""The second that is shown, with its neighbours as far as its windows reach."""
COLOURS = {"strict and centred": "#1f77b4", "centred": "#a6cbe6", "neither": "#e4e4e4"}


def main() -> None:
    """Write the figure beside this file."""
    spec = ScalogramSpec()
    frame = np.arange(framing.n_frames(10 * spec.sample_rate, spec))
    first = framing.first_sample(frame, spec) / spec.sample_rate
    length = spec.window / spec.sample_rate
    centred = framing.second(frame, spec) == SHOWN
    strict = centred & framing.inside(frame, spec)
    near = (first + length > SHOWN - 0.3) & (first < SHOWN + 1.3)

    figure = Figure(figsize=(8, 3.9), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(SHOWN, SHOWN + 1, color="#fff3d6", zorder=0)
    for i in frame[near]:
        kind = "strict and centred" if strict[i] else "centred" if centred[i] else "neither"
        axes.barh(i, length, left=first[i], height=0.7, color=COLOURS[kind], zorder=2)
        axes.plot(first[i] + length / 2, i, "k.", markersize=4, zorder=3)
    axes.plot(SHOWN + 0.5, frame[near][-1] + 1.4, "kv", markersize=8)
    axes.annotate(
        f"image {SHOWN}", (SHOWN + 0.5, frame[near][-1] + 1.4), (8, 0),
        textcoords="offset points", va="center",
    )  # fmt: skip
    for edge in (SHOWN, SHOWN + 1):
        axes.axvline(edge, color="black", linewidth=1, zorder=1)
    axes.set_xlim(SHOWN - 0.6, SHOWN + 1.6)
    axes.set_ylim(frame[near][0] - 0.8, frame[near][-1] + 2.2)
    axes.set_yticks(frame[near])
    axes.set_xlabel("time / s")
    axes.set_ylabel("acoustic frame")
    title = f"Acoustic frames of segment {SHOWN}, the second [{SHOWN}, {SHOWN + 1})"
    axes.set_title(title, fontsize=11)
    axes.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in COLOURS.items()],
        title="counts under", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False,
    )  # fmt: skip
    with mpl.rc_context({"svg.hashsalt": "protocol"}):
        figure.savefig(Path(__file__).with_name("protocol.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
