"""Small lists of TAU2021."""

from pathlib import Path

HEAD = "filename_audio\tfilename_video\tscene_label"
STEMS = {  # stem -> fold
    "bus-lyon-1102-41514": "train",
    "airport-helsinki-3-112": "train",
    "metro_station-paris-9-402": "test",
}


def row(stem: str) -> str:
    return f"audio/{stem}.wav\tvideo/{stem}.mp4\t{stem.split('-')[0]}"


def write_lists(folder: Path, labels: bool = True, suffix: str = "") -> None:
    """Write lists as released; `labels` are those of the test fold."""
    setup = folder / "evaluation_setup"
    setup.mkdir(parents=True)
    meta = [f"{HEAD}\tidentifier"]
    lists = {"train": [HEAD], "test": [HEAD]}
    for stem, fold in STEMS.items():
        meta.append(f"{row(stem + suffix)}\t{'-'.join(stem.split('-')[1:3])}")
        lists[fold].append(row(stem + suffix))
    if not labels:
        lists["test"] = [line.rpartition("\t")[0] for line in lists["test"]]
    (folder / "meta.csv").write_text("\n".join(meta) + "\n")
    (setup / "fold1_train.csv").write_text("\n".join(lists["train"]) + "\n")
    name = "fold1_evaluate.csv" if labels else "fold1_test.csv"
    (setup / name).write_text("\n".join(lists["test"]) + "\n")
