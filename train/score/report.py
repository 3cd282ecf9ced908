"""What an evaluation found, written so that it can be read, compared and cited."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc.manifests.publish import publish
from avsc.train.score.figures import confusion_picture, curves_picture
from avsc.train.score.metrics import Scores
from avsc.train.score.predictions import encode_predictions
from avsc.train.score.protocol import Protocol, Segments


@dataclass(frozen=True)
class Evaluation:
    """One run on one fold.

    Attributes:
        stamp: what was evaluated: run, checkpoint, store, versions; plain values.
        classes: scene labels.
        ids: of the store's clips, in row order.
        expected: segments that the fold has, made or not.
        segments: by protocol.
        scores: by protocol.
    """

    stamp: dict[str, Any]
    classes: tuple[str, ...]
    ids: Sequence[str]
    expected: int
    segments: dict[Protocol, Segments]
    scores: dict[Protocol, Scores]

    def table(self) -> str:
        """Return the scores as lines of text, by class and over classes."""
        width = max(map(len, (*self.classes, "mean over classes")))
        head = " ".join(f"{protocol:>20}" for protocol in self.scores)
        names = " ".join(f"{'log-loss':>10} {'acc/%':>9}" for _ in self.scores)
        lines = [f"{'':{width}} {head}", f"{'scene':{width}} {names}"]
        for index, name in enumerate(self.classes):
            cells = " ".join(
                f"{s.class_log_loss[index]:10.4f} {100 * s.class_accuracy[index]:9.2f}"
                for s in self.scores.values()
            )
            lines.append(f"{name:{width}} {cells}")
        means = " ".join(
            f"{s.log_loss:10.4f} {100 * s.accuracy:9.2f}" for s in self.scores.values()
        )
        lines.append(f"{'mean over classes':{width}} {means}")
        return "\n".join(lines)


def write_report(folder: Path, run: Path, found: Evaluation) -> None:
    """Write metrics.json, metrics.csv, predictions, pictures and report.md into a folder.

    Args:
        folder: where.
        run: the run's folder, for its training curves.
        found: what was found.
    """
    publish(folder / "metrics.json", (json.dumps(_values(found), indent=2) + "\n").encode())
    publish(folder / "metrics.csv", _csv(found))
    for protocol, segments in found.segments.items():
        data = encode_predictions(segments, found.ids, found.classes)
        publish(folder / f"predictions-{protocol}.tsv", data)
        title = f"{found.stamp['system']}, {found.stamp['fold']} fold, {protocol}, % of true class"
        picture = confusion_picture(found.scores[protocol].confusion, found.classes, title)
        publish(folder / f"confusion-{protocol}.png", picture)
    publish(folder / "curves.png", curves_picture(run / "metrics.csv"))
    publish(folder / "report.md", _markdown(found).encode())


def _values(found: Evaluation) -> dict[str, Any]:
    scores = {
        protocol: {
            "log_loss": s.log_loss,
            "accuracy": s.accuracy,
            "segments": len(found.segments[protocol]),
            "class_log_loss": dict(zip(found.classes, s.class_log_loss.tolist(), strict=True)),
            "class_accuracy": dict(zip(found.classes, s.class_accuracy.tolist(), strict=True)),
            "confusion": s.confusion.tolist(),
        }
        for protocol, s in found.scores.items()
    }
    return {**found.stamp, "expected_segments": found.expected, "protocols": scores}


def _csv(found: Evaluation) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["protocol", "scene", "segments", "log_loss", "accuracy"])
    for protocol, s in found.scores.items():
        counts = s.confusion.sum(1)
        for row in zip(found.classes, counts, s.class_log_loss, s.class_accuracy, strict=True):
            writer.writerow([protocol, *row])
        total = int(counts.sum())
        writer.writerow([protocol, "mean over classes", total, s.log_loss, s.accuracy])
    return text.getvalue().encode()


def _markdown(found: Evaluation) -> str:
    made = ", ".join(f"{len(s)} ({protocol})" for protocol, s in found.segments.items())
    stamp = "\n".join(f"- {name}: {value}" for name, value in found.stamp.items())
    pictures = "\n".join(f"![{p}](confusion-{p}.png)" for p in found.scores)
    return f"""# {found.stamp["system"]} on the {found.stamp["fold"]} fold

```
{found.table()}
```

Segments: {made} of {found.expected}.

{stamp}

{pictures}

![training curves](curves.png)
"""
