"""The files of t-SNE maps.

tsne.png, tsne.svg    the figure
tsne.json             the numbers, with what was drawn
tsne.csv              the points: clip, second, scene, and their coordinates in each map
tsne.md               figure and numbers on one page; written last
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avsc.manifests import escape
from avsc.manifests.folder_claims import publish_together
from avsc.train.evaluate.figures import drawable_names, drawn
from avsc.train.evaluate.writing import json_bytes, markdown_table, provenance_table
from avsc.train.paper.tsne_figure import DOTS_PER_INCH, Panel, draw
from avsc.train.paper.tsne_maps import NEIGHBOURS, LayerMap, Maps, Separation

DESCRIPTIONS = {
    "fused": "fused: the classifier's input, both encoders' outputs concatenated (e in equation 1)",
    "hidden": "hidden: the classifier's hidden units, before its last layer",
    "acoustic": "acoustic: the acoustic encoder's output",
}


def write_maps(folder: Path, maps: Maps, provenance: dict[str, Any]) -> None:
    """Write the files.

    Args:
        provenance: what was drawn, and how; plain values.

    Raises:
        AvscError: a file cannot be written.
    """
    runs = list(dict.fromkeys(layer_map.run.name for layer_map in maps))
    with drawable_names(*maps.classes, *runs) as names:
        classes, names = names[: len(maps.classes)], names[len(maps.classes) :]
        run_names = dict(zip(runs, names, strict=True))
        panels = [[_panel(layer_map, maps, run_names) for layer_map in row] for row in maps.rows]
        figure = draw(panels, maps.points.scene, classes)
        files = drawn(figure, DOTS_PER_INCH).files("tsne")
    files |= {
        "tsne.csv": _csv(maps),
        "tsne.json": json_bytes(_values(maps, provenance)),
        "tsne.md": _page(maps, provenance).encode(),
    }
    publish_together(folder, files)


def numbers_table(maps: Maps) -> str:
    """Return the numbers as a Markdown table."""
    header = ["layer", "run", "values", "space", "silhouette", "purity", "other locations"]
    rows = []
    for layer_map in maps:
        about = [layer_map.layer, layer_map.run.name, str(layer_map.dimensions), "embedding"]
        rows.append([*about, *_numbers(layer_map.space)])
        rows.append(["", "", "2", "plane", *_numbers(layer_map.plane)])
    return markdown_table([header, *rows], left=2)


def _numbers(separation: Separation) -> list[str]:
    elsewhere = separation.purity_elsewhere
    return [
        f"{separation.silhouette:+.3f}",
        f"{separation.purity:.3f}",
        "-" if math.isnan(elsewhere) else f"{elsewhere:.3f}",
    ]


def legend(maps: Maps) -> str:
    """Return what the numbers are."""
    return (
        f"{len(maps.points):,} of {maps.points.available:,} segments. Silhouette: over all scenes. "
        f"Purity: mean share of the {NEIGHBOURS} nearest neighbours that are of the point's own "
        f'scene, among {", ".join(maps.among)}; "other locations": without neighbours from the '
        "same location."
    )


def _panel(layer_map: LayerMap, maps: Maps, names: Mapping[str, str]) -> Panel:
    space, plane = layer_map.space, layer_map.plane
    note = (
        f"silhouette {space.silhouette:+.2f} (plane {plane.silhouette:+.2f}), "
        f"purity {space.purity:.2f} ({plane.purity:.2f})"
    )
    same_system = len({other.system for other in maps}) == 1
    run = names[layer_map.run.name]
    name = f"{layer_map.system}, {run}" if same_system else layer_map.system
    return Panel(f"{layer_map.layer}: {name}", note, layer_map.points)


def _values(maps: Maps, provenance: dict[str, Any]) -> dict[str, Any]:
    return {
        **provenance,
        "points": len(maps.points),
        "segments": maps.points.available,
        "among": list(maps.among),
        "maps": [
            {
                "layer": layer_map.layer,
                "run": str(layer_map.run),
                "system": layer_map.system,
                "values": layer_map.dimensions,
                "embedding": _plain(layer_map.space),
                "plane": _plain(layer_map.plane),
            }
            for layer_map in maps
        ],
    }


def _plain(separation: Separation) -> dict[str, float | None]:
    values = asdict(separation).items()
    return {name: None if math.isnan(value) else value for name, value in values}


def _csv(maps: Maps) -> bytes:
    columns = [
        (f"{layer_map.layer}_{number}", layer_map.points)
        for row in maps.rows
        for number, layer_map in enumerate(row, 1)
    ]
    axes = [f"{name}_{axis}" for name, _ in columns for axis in "xy"]
    table: list[list[object]] = [["clip", "second", "scene", *axes]]
    for number, (clip, second) in enumerate(maps.points.segments):
        coordinates = [float(value) for _, points in columns for value in points[number]]
        scene = maps.classes[maps.points.scene[number]]
        table.append([clip, second, scene, *coordinates])
    return escape.csv_sheet(table)


def _page(maps: Maps, provenance: dict[str, Any]) -> str:
    layers = "\n".join(f"- {DESCRIPTIONS[row[0].layer]}" for row in maps.rows)
    return f"""# t-SNE of {" and ".join(layer_map.system for layer_map in maps.rows[0])}

![t-SNE](tsne.png)

{layers}

A point is one second of a clip: the strict frame in its middle, with the second's image. Distances
between distant clusters, and cluster sizes, mean nothing in the plane; each number is therefore
given in the space of the embeddings too.

{numbers_table(maps)}

{escape.markdown(legend(maps))}

{provenance_table(provenance)}
"""
