"""The embeddings of clips' samples, kept, so that a classifier can be asked many questions of them.

What a classifier says when a modality is missing, late or of another clip depends on the embeddings
alone. Each acoustic frame and each image is therefore embedded once, in the batches in which
`avsc-fit evaluate` embeds it, and a condition only says which rows a sample reads. The row after
the last stands for what is missing: what the network has in its place (`Network.absent`).

Embeddings of TAU2021's test fold (204,120 frames, 36,450 images) take 1.0 GB in float32.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from avsc.train.data.samples import Ints, Samples
from avsc.train.data.source import Source
from avsc.train.evaluate.predict import ClipSamples
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.model.inference import evaluating
from avsc.train.model.network import Network
from avsc.train.model.ten_seconds import Compute, compute_by_ten_seconds, cuts
from avsc.train.systems import Modality


def rows_of(samples: Samples, modality: Modality) -> Ints | None:
    """Return which row of a modality each sample reads; None where it reads none of it."""
    return samples.frame if modality == "audio" else samples.image


def with_rows(samples: Samples, modality: Modality, rows: Ints | None) -> Samples:
    """Return samples that read other rows of a modality."""
    if modality == "audio":
        return replace(samples, frame=rows)
    return replace(samples, image=rows)


@dataclass(frozen=True)
class ClassifierInputs:
    """Samples of some clips, and the embeddings that they read.

    Attributes:
        vectors: by modality, float32 [n + 1, features]; the last row stands for what is missing.
        samples: whose frames and images are rows of the vectors.
        expected: the segments that the clips should have, int64 [2, segments]: clip row, second.
    """

    vectors: dict[Modality, NDArray[np.float32]]
    samples: Samples
    expected: Ints

    def absent(self, modality: Modality) -> int:
        """Return the row that stands for what is missing of a modality."""
        return len(self.vectors[modality]) - 1

    @property
    def source(self) -> Source:
        """The vectors as what a network of `classifier_alone` reads."""
        audio, visual = self.vectors.get("audio"), self.vectors.get("visual")
        return Source(audio, None, self.samples, visual)

    @cached_property
    def seconds(self) -> dict[int, int]:
        """Number of seconds of each clip, by its row."""
        rows, count = np.unique(self.expected[0], return_counts=True)
        return dict(zip(rows.tolist(), count.tolist(), strict=True))

    @cached_property
    def segment(self) -> Ints:
        """Number of the expected segment that each sample lies in, int64 [samples]."""
        span = 1 + int(self.expected[1].max(initial=0))
        every = self.expected[0] * span + self.expected[1]  # ascending
        return np.searchsorted(every, self.samples.clip * span + self.samples.second)

    def images_of(self, clip: Ints, second: Ints) -> Ints:
        """Return the rows of the images of some seconds; that of `absent` where there is none.

        Of several images a second, it is the one that lies where the sample's own does.
        """
        assert self.samples.image is not None
        key = second * self.samples.rate + self.samples.time % self.samples.rate
        span = 1 + max(int(self.samples.time.max()), int(key.max(initial=0)))
        there, first = np.unique(self.samples.clip * span + self.samples.time, return_index=True)
        wanted = clip * span + key
        place = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        row = self.samples.image[first[place]]
        return np.where(there[place] == wanted, row, self.absent("visual"))


def classifier_alone(network: Network) -> Network:
    """Return a network of the same classifiers that reads embeddings, in evaluation mode."""
    acoustic = None if network.acoustic is None else nn.Identity()
    visual = None if network.visual is None else nn.Identity()
    alone = Network(acoustic, visual, network.classifier, heads=network.heads)
    alone.answer = network.answer
    return alone.eval()


def embed_clips(
    network: Network, clips: ClipSamples, computing: Computing, console: Console
) -> ClassifierInputs:
    """Embed the samples of clips, each frame and each image once.

    Args:
        network: that embeds them.
        clips: what it reads.
        computing: where and how.
        console: shows the progress.
    """
    samples = clips.samples
    vectors: dict[Modality, NDArray[np.float32]] = {}
    if samples.frame is not None:
        vectors["audio"] = embed_modality("audio", network, clips, computing, console)
        samples = replace(samples, frame=np.arange(len(samples)))
    if samples.image is not None:
        vectors["visual"] = embed_modality("visual", network, clips, computing, console)
        samples = replace(samples, image=_rows(_images_by_part(clips.samples), samples.image))
    return ClassifierInputs(vectors, samples, clips.expected)


def embed_modality(
    modality: Modality,
    network: Network,
    clips: ClipSamples,
    computing: Computing,
    console: Console,
) -> NDArray[np.float32]:
    """Return the embeddings of one modality as they are joined, float32 [n + 1, features].

    Of audio, n is the number of samples; of images, that of different images. The last row stands
    for what is missing.
    """
    network = network.to(computing.device)
    embed: dict[Modality, Compute] = {
        "audio": lambda frames, images, view: network.scaled(
            "audio", network.embed_sound(_there(frames))
        ),
        "visual": lambda frames, images, view: network.scaled(
            "visual", network.embed_images(_there(images))
        ),
    }
    samples = with_rows(clips.samples, "visual" if modality == "audio" else "audio", None)
    parts: list[NDArray[np.float32]] = []
    with evaluating(network):
        for part in compute_by_ten_seconds(
            embed[modality],
            clips.source,
            samples,
            network.image_input,
            workers=computing.workers,
            device=computing.device,
        ):
            parts.append(part.float().numpy())
            if console.due():
                console.show(modality, len(parts), len(cuts(samples)))
    absent = np.empty_like(parts[0][:1])
    absent[0] = network.absent(modality).cpu().numpy()
    return np.concatenate([*parts, absent])


def _there(inputs: Tensor | None) -> Tensor:
    assert inputs is not None
    return inputs


def _images_by_part(samples: Samples) -> Ints:
    """Return the images of samples in the order in which they are embedded."""
    image = samples.image
    assert image is not None
    return np.concatenate([np.unique(image[part]) for part in cuts(samples)])


def _rows(images: Ints, wanted: Ints) -> Ints:
    """Return where in a list of different images each of the wanted ones is."""
    order = np.argsort(images)
    return order[np.searchsorted(images[order], wanted)]
