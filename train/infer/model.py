"""A model: what it needs of a recording, and what turns that into probabilities.

A model computes features by the functions of extraction and
shows them to the network in the batches of `avsc.train.model.ten_seconds`, so that on a CPU the
probabilities of a recording are those that ``avsc-fit evaluate`` gives for it, bit for bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features.limits import Limits
from avsc.features.piecewise import Piece, PieceRequest, pieces
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.manifests.errors import MediaError, SettingError
from avsc.train import protocol as segmentation
from avsc.train.data.augment import UNCHANGED, ImageInput
from avsc.train.data.loader import ImageLoader, ImageRequest
from avsc.train.evaluate.calibration import tempered
from avsc.train.fit.compute import cores
from avsc.train.infer.arrays import Arrays
from avsc.train.infer.offset import (
    AudioLate,
    OffsetFinder,
    check_audio_late,
    correction,
    find_offset,
)
from avsc.train.infer.predict import Answering, Embeddings, embed_pieces, probabilities
from avsc.train.infer.prediction import Correction, Offset, Prediction
from avsc.train.infer.recording import InMemory
from avsc.train.infer.windows import Windows
from avsc.train.protocol import Segments
from avsc.train.systems import Answer, Modality

LONGEST = 86_400
"""Seconds of a recording that are read unless another limit is asked for."""


class Runtime(Protocol):
    """What turns features into values of samples: a network of PyTorch, a graph of ONNX, ...

    The arguments of both methods: `frames`, log magnitudes as the store has them, float32
    [B, channels, bins], or None; `images`, normalised, float32 [V, 3, S, S], or None; `view`, the
    row of `images` that each sample sees, int64 [B], or None where there are no images. All lie on
    `device`; they are called without gradients.
    """

    @property
    def device(self) -> torch.device:
        """Where the arguments are wanted."""
        ...

    def __call__(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Tensor:
        """Return logits, float32 [B, classes]."""
        ...

    def embed(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Tensor:
        """Return joined embeddings, float32 [B, features]; `SettingError` if it has none."""
        ...


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        name: the run or the folder that it was loaded from.
        system: such as ``joint``.
        classes: scene labels in the order of their indices.
        acoustic: spec of the acoustic frames; None for a model that does not hear.
        images: spec of the stored images; None for a model that does not see.
        image_input: size, mean, standard deviation and view of what the network sees of an image.
        protocol: which frames count for a second unless another is asked for: the run's own.
        temperature: divides the logarithms of the probabilities of complete recordings; 1 changes
            nothing.
        fingerprint: tells this model from others: of a run, its digest and the epoch; of an
            exported folder, the runtime and the digests of its files.
        runtime: what computes.
        takes_missing: whether a recording may lack its sound or its images.
        temperature_without: by the modality that a recording lacks; empty where none is applied.
        answer: whose answer the runtime gives.
        offsets: finds by how much the audio of a recording is late.
    """

    name: str
    system: str
    classes: tuple[str, ...]
    acoustic: AcousticSpec | None
    images: ImageSpec | None
    image_input: ImageInput | None
    protocol: segmentation.Protocol
    temperature: float
    fingerprint: str
    runtime: Runtime = field(repr=False)
    takes_missing: bool = False
    temperature_without: Mapping[Modality, float] = field(default_factory=dict)
    answer: Answer = "fused"
    offsets: OffsetFinder = field(default=OffsetFinder(Path(), None), repr=False)

    @property
    def image_size(self) -> int | None:
        """Height and width of the images that the network sees, pixels."""
        return None if self.image_input is None else self.image_input.size

    def __repr__(self) -> str:
        spec = self.acoustic
        hears = f"hears {spec.product} at {spec.sample_rate} Hz, " if spec else ""
        sees = f"sees images of {self.image_size} pixels, " if self.image_input else ""
        warm = [self.temperature, *self.temperature_without.values()]
        heat = "" if set(warm) == {1} else f", temperature {' / '.join(f'{t:g}' for t in warm)}"
        answer = "" if self.answer == "fused" else f", answer {self.answer}"
        return (
            f"<Model {self.name}: {self.system}{answer}, {len(self.classes)} scenes, {hears}{sees}"
            f"protocol {self.protocol}{heat}, on {self.runtime.device}>"
        )

    def lacking(self, *, audio: bool, visual: bool) -> tuple[Modality, ...]:
        """Return what is missing of what the model takes, by what there is."""
        takes: dict[Modality, bool] = {"audio": bool(self.acoustic), "visual": bool(self.images)}
        there: dict[Modality, bool] = {"audio": audio, "visual": visual}
        return tuple(modality for modality in takes if takes[modality] and not there[modality])

    def tempered(
        self, probability: NDArray[np.float64], without: Sequence[Modality] = ()
    ) -> NDArray[np.float64]:
        """Return probabilities of answers, [answers, classes], with the model's temperature.

        Args:
            without: what the recording lacks.
        """
        temperature = self.temperature
        if without and self.temperature_without:
            temperature = self.temperature_without[without[0]]
        if temperature == 1:
            return probability
        none = np.zeros(len(probability), np.int64)
        return tempered(Segments(probability, none, None, none), temperature).probability

    def predict(
        self,
        recording: str | Path | Arrays,
        *,
        audio: str | Path | None = None,
        window: float = 1.0,
        hop: float | None = None,
        smooth: float = 0.0,
        protocol: segmentation.Protocol | None = None,
        audio_late: AudioLate = 0.0,
    ) -> Prediction:
        """Classify a recording.

        Args:
            recording: a file (a video with its own sound, or sound alone for a model that only
                hears), or arrays.
            audio: a file of the sound, where that is not the video's own.
            window: length of the windows that are answered for, seconds.
            hop: from one window to the next, seconds; None: as long as the window.
            smooth: answers are averaged over so many seconds; 0 averages nothing.
            protocol: ``strict``, ``centred`` or ``clip``; None: the model's own.
            audio_late: seconds by which the audio is late, and is moved back (early where it is
                negative); ``auto``: what the run's offset head finds, where it is sure.

        Raises:
            MediaError: the recording lacks what the model takes, or cannot be read.
            SettingError: an argument cannot be used.
            AvscError: ``auto``, and the run has no offset head.
        """
        check_audio_late(self, audio_late)
        corrected = self._correction(recording, audio, audio_late)
        late = 0.0 if corrected is None else corrected.seconds
        name, pieces = self._pieces(recording, audio, late)
        windows = Windows(window, hop, smooth, protocol)
        answering = Answering(self, name, windows, cores(), corrected)
        for piece in pieces:
            answering.add(piece)
        return answering.result()

    def offset(self, recording: str | Path | Arrays, *, audio: str | Path | None = None) -> Offset:
        """Return by how much the audio of a recording is late, by the run's offset head.

        Raises:
            MediaError: it cannot be read, or is too short.
            SettingError: the model is of one modality, or no run.
            AvscError: the run has no offset head.
        """
        check_audio_late(self, "auto")
        return find_offset(self, *self._pieces(recording, audio), cores())

    def _correction(
        self, recording: str | Path | Arrays, audio: str | Path | None, late: AudioLate
    ) -> Correction | None:
        if late != "auto":
            return Correction(late) if late else None
        try:
            return correction(self.offset(recording, audio=audio))
        except MediaError as fault:
            return correction(fault)

    def embed(
        self, recording: str | Path | Arrays, *, audio: str | Path | None = None
    ) -> Embeddings:
        """Return the embeddings of a recording; arguments and faults are those of `predict`."""
        name, pieces = self._pieces(recording, audio)
        return embed_pieces(self, name, pieces, cores())

    def _pieces(
        self, recording: str | Path | Arrays, audio: str | Path | None, late: float = 0.0
    ) -> tuple[str, Iterator[Piece]]:
        if isinstance(recording, Arrays):
            if audio is not None:
                raise SettingError(
                    f"audio is {audio}, and the recording is arrays; give their `waveform`."
                )
            acoustic, images = self.acoustic, self.images
            silent, blind = recording.waveform is None, not recording.images
            if self.takes_missing and silent != blind:
                acoustic, images = None if silent else acoustic, None if blind else images
            return recording.name, recording.pieces(acoustic, images, late)
        path = Path(recording)
        sound = path if audio is None else Path(audio)
        return str(path), pieces(self.wanted(str(path), sound, path, audio_late=late))

    def wanted(
        self,
        name: str,
        audio: Path | None,
        video: Path | None,
        limits: Limits | None = None,
        audio_late: float = 0.0,
    ) -> PieceRequest:
        """Return what the model takes of a recording; see `avsc.features.piecewise`.

        Args:
            name: of the recording, for messages.
            audio: its sound; equal to `video` when that is the video file's own track.
            video: its images.
            limits: what is refused; None: recordings may be as long as a day.
            audio_late: seconds by which its sound is late.
        """
        shown = video if self.images else None
        limits = limits or Limits(seconds=LONGEST)
        return PieceRequest(
            name, audio, shown, self.acoustic, self.images, limits, self.takes_missing, audio_late
        )

    def views(self, jpegs: Sequence[bytes | NDArray[np.uint8]], workers: int = 0) -> Tensor:
        """Return what the network sees of JPEGs, float32 [n, 3, S, S], normalised, on its device.

        Raises:
            AvscError: a JPEG cannot be decoded.
            SettingError: the model takes no images.
        """
        if self.image_input is None:
            raise SettingError(f"{self.name}: a model of {self.system}, which takes no images.")
        device = self.runtime.device
        encoded = InMemory([np.frombuffer(jpeg, np.uint8) for jpeg in jpegs], self.name)
        loader = ImageLoader(encoded, self.image_input, UNCHANGED, workers, device)
        neutral = UNCHANGED.draw(np.random.default_rng(0), len(jpegs))
        return next(iter(loader.load([ImageRequest(np.arange(len(jpegs)), neutral)])))

    def classify(
        self, frames: Tensor | None, images: Tensor | None, view: Tensor | None = None
    ) -> NDArray[np.float64]:
        """Return the probabilities of samples, float64 [B, classes], temperature not applied.

        Args:
            frames: log magnitudes as extraction makes them, float32 [B, channels, bins]; None
                without sound.
            images: from `views`, float32 [V, 3, S, S]; None without images.
            view: the row of `images` that each sample sees, int64 [B]; None where each has its own.
        """
        device = self.runtime.device
        given = (None if each is None else each.to(device) for each in (frames, images, view))
        with torch.no_grad():
            return probabilities(self.runtime(*given))
