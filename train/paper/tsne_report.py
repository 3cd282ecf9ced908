"""The picture of two runs' embeddings, its numbers and its points, as files.

tsne.png, tsne.svg    the picture
tsne.json             the numbers, with what was drawn
tsne.csv              the points: clip, second, scene, and their place in each map
tsne.md               picture and numbers on one page; written last
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avsc.manifests import escape
from avsc.manifests.folder_claims import publish_together
from avsc.train.evaluate.fonts import lettered
from avsc.train.evaluate.markdown import markdown_table
from avsc.train.paper.tsne_figure import Panel, draw, png, svg
from avsc.train.paper.tsne_maps import Map, Maps
from avsc.train.paper.tsne_plane import NEIGHBOURS, Measures

SAID = {
    "fused": "fused: the classifier's input, both encoders' outputs joined (e in equation 1)",
    "hidden": "hidden: the classifier's hidden units, before its last layer",
    "acoustic": "acoustic: the acoustic encoder's output",
}


def write_maps(folder: Path, found: Maps, stamp: dict[str, Any]) -> None:
    """Write the files.

    Args:
        folder: where.
        found: what was found.
        stamp: what was drawn, and how; plain values.

    Raises:
        AvscError: a file cannot be written.
    """
    runs = list(dict.fromkeys(each.run.name for row in found.maps for each in row))
    with lettered(*found.classes, *runs) as names:
        classes, names = names[: len(found.classes)], names[len(found.classes) :]
        run_names = dict(zip(runs, names, strict=True))
        panels = [[_panel(each, found, run_names) for each in row] for row in found.maps]
        figure = draw(panels, found.points.scene, classes)
        picture, vectors = png(figure), svg(figure)
    files = {
        "tsne.png": picture,
        "tsne.svg": vectors,
        "tsne.csv": _csv(found),
        "tsne.json": (json.dumps(_values(found, stamp), indent=2) + "\n").encode(),
        "tsne.md": _page(found, stamp).encode(),
    }
    publish_together(folder, files)


def numbers_table(found: Maps) -> str:
    """Return the numbers as a Markdown table."""
    head = ["layer", "run", "values", "space", "silhouette", "purity", "other locations"]
    rows = [
        [
            each.layer if space == "embedding" else "",
            f"{each.run.name}" if space == "embedding" else "",
            str(each.dimensions) if space == "embedding" else "2",
            space,
            f"{numbers.silhouette:+.3f}",
            f"{numbers.purity:.3f}",
            "-" if math.isnan(numbers.purity_elsewhere) else f"{numbers.purity_elsewhere:.3f}",
        ]
        for row in found.maps
        for each in row
        for space, numbers in (("embedding", each.space), ("plane", each.plane))
    ]
    return markdown_table([head, *rows], left=2)


def legend(found: Maps) -> str:
    """Say what the numbers are."""
    return (
        f"{len(found.points):,} of {found.points.of:,} segments. Silhouette: over all scenes. "
        f"Purity: mean share of the {NEIGHBOURS} nearest that are of the point's own scene, among "
        f'{", ".join(found.among)}; "other locations": without neighbours from the same location.'
    )


def _panel(each: Map, found: Maps, names: Mapping[str, str]) -> Panel:
    note = (
        f"silhouette {each.space.silhouette:+.2f} (plane {each.plane.silhouette:+.2f}), "
        f"purity {each.space.purity:.2f} ({each.plane.purity:.2f})"
    )
    same_system = len({other.system for row in found.maps for other in row}) == 1
    name = f"{each.system}, {names[each.run.name]}" if same_system else each.system
    return Panel(f"{each.layer}: {name}", note, each.points)


def _values(found: Maps, stamp: dict[str, Any]) -> dict[str, Any]:
    maps = [
        {
            "layer": each.layer,
            "run": str(each.run),
            "system": each.system,
            "values": each.dimensions,
            "embedding": _plain(each.space),
            "plane": _plain(each.plane),
        }
        for row in found.maps
        for each in row
    ]
    return {**stamp, "points": len(found.points), "segments": found.points.of,
            "among": list(found.among), "maps": maps}  # fmt: skip


def _plain(numbers: Measures) -> dict[str, float | None]:
    return {name: None if math.isnan(each) else each for name, each in asdict(numbers).items()}


def _csv(found: Maps) -> bytes:
    maps = [(f"{each.layer}_{number}", each) for row in found.maps for number, each in
            enumerate(row, 1)]  # fmt: skip
    axes = [f"{name}_{axis}" for name, _ in maps for axis in "xy"]
    table: list[list[object]] = [["clip", "second", "scene", *axes]]
    for point, (clip, second) in enumerate(found.points.places):
        places = [float(value) for _, each in maps for value in each.points[point]]
        table.append([clip, second, found.classes[found.points.scene[point]], *places])
    return escape.csv_sheet(table)


def _page(found: Maps, stamp: dict[str, Any]) -> str:
    about = "\n".join(
        f"| {name} | {escape.markdown(str(value))} |" for name, value in stamp.items()
    )
    layers = "\n".join(f"- {SAID[row[0].layer]}" for row in found.maps)
    return f"""# t-SNE of {" and ".join(each.system for each in found.maps[0])}

![t-SNE](tsne.png)

{layers}

A point is one second of a clip: the strict frame in its middle, with the second's picture.
Distances between far clusters, and their sizes, mean nothing in the plane; so each number is given
in the space of the embeddings too.

{numbers_table(found)}

{escape.markdown(legend(found))}

| | |
|---|---|
{about}
"""
