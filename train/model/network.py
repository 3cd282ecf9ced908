"""The whole network: acoustic encoder, visual encoder, scene classifier.

Source: equation 1 of the paper: e = AE(a) + VE(v) concatenated, acoustic first, then SC(e).
Either encoder may be absent: audio only, video only. Stored embeddings pass through an identity in
its place. A network that was trained with modality dropout has a learned vector for each modality
(`missing`), which stands for the embedding where a sample lacks it. With `fusion_norm` embeddings
are normalised before they are concatenated. One that was trained with unimodal heads (`heads`) may
answer instead of the classifier: see `Answer`.

A *frozen* encoder stays as pre-training left it: its parameters require no gradient, so that no
graph is kept through it, and it stays in evaluation mode whatever `train` says, so that its batch
statistics do not change and its dropout is off.
"""

from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor, nn

from avsc.train.data.augment import ImageInput
from avsc.train.model.classifiers import UnimodalHeads
from avsc.train.model.frozen import Compilation
from avsc.train.model.fusion_norm import FusionNorm
from avsc.train.model.missing import MissingEmbeddings
from avsc.train.model.precision import fast_dtype
from avsc.train.model.recompute import recompute_activations
from avsc.train.model.visual import VisualEncoder
from avsc.train.systems import Answer, Modality


class Network(nn.Module):
    """Acoustic frames and images to logits of scenes.

    Args:
        acoustic: acoustic encoder, an identity for stored embeddings, or None.
        visual: the same for images.
        classifier: classifier over the concatenated embeddings.
        frozen_visual: keep the visual encoder as it is (joint training; the paper's choice).
        frozen_acoustic: keep the acoustic encoder as it is (pipeline, ablation III).
        low_precision: compute the visual encoder in the device's `fast_dtype` (autocast: weights
            and their updates stay float32).
        missing: learned vectors in the place of missing embeddings; None where nothing may be
            missing.
        fusion_norm: normalises embeddings before they are joined; None leaves them as they are.
        heads: a classifier for each modality; None where there are none.

    Attributes:
        answer: whose answer counts.
        mirrors: whether the visual encoder is shown the mirror image of every image.
        recomputes: whether activations of the image model are computed twice.
    """

    def __init__(
        self,
        acoustic: nn.Module | None,
        visual: nn.Module | None,
        classifier: nn.Module,
        *,
        frozen_visual: bool = True,
        frozen_acoustic: bool = False,
        low_precision: bool = False,
        missing: MissingEmbeddings | None = None,
        fusion_norm: FusionNorm | None = None,
        heads: UnimodalHeads | None = None,
    ) -> None:
        super().__init__()
        self.acoustic = acoustic
        self.visual = visual
        self.classifier = classifier
        self.frozen_visual = frozen_visual
        self.frozen_acoustic = frozen_acoustic
        self.low_precision = low_precision
        self.missing = missing
        self.fusion_norm = fusion_norm
        self.heads = heads
        self.answer: Answer = "fused"
        self.mirrors = self.recomputes = False
        for encoder in self._frozen():
            encoder.requires_grad_(False)
        self.train(self.training)

    def _frozen(self) -> list[nn.Module]:
        candidates = ((self.acoustic, self.frozen_acoustic), (self.visual, self.frozen_visual))
        return [encoder for encoder, frozen in candidates if encoder is not None and frozen]

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen encoders stay in evaluation mode."""
        super().train(mode)
        for encoder in self._frozen():
            encoder.eval()
        return self

    def trainable_parameters(self) -> list[nn.Parameter]:
        """What an optimiser updates: every parameter outside the frozen encoders."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @property
    def image_input(self) -> ImageInput | None:
        """The images that the network takes; None where it takes none, or vectors instead."""
        return getattr(self.visual, "image_input", None)

    def compile_visual(self, compilation: Compilation | None) -> None:
        """Let PyTorch compile a frozen image model at its first use; None: run it as it is again.

        Results are the same but for rounding.
        """
        if self.frozen_visual and isinstance(self.visual, VisualEncoder):
            self.visual.frozen.compilation = compilation

    def recompute_visual(self) -> None:
        """Compute activations of a trained image model again in the backward pass.

        Raises:
            SettingError: the model cannot do that.
        """
        if self.image_input is not None and not self.frozen_visual:
            assert isinstance(self.visual, VisualEncoder)
            recompute_activations(self.visual.model)
            self.recomputes = True

    def visual_dtype(self, device: torch.device) -> torch.dtype:
        """Return the type that the visual encoder computes in on a device."""
        low = self.low_precision and self.image_input is not None
        return fast_dtype(device) if low else torch.float32

    def embed_sound(self, frames: Tensor) -> Tensor:
        """Embed acoustic frames [B, channels, bins], or vectors, as float32 [B, 1024]."""
        if self.acoustic is None:
            raise ValueError("the network has no acoustic encoder")
        return self.acoustic(frames)  # type: ignore[no-any-return]

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed normalised images [B, 3, S, S], or vectors, as float32 [B, features]."""
        if self.visual is None:
            raise ValueError("the network has no visual encoder")
        images = images.flip(-1) if self.mirrors else images
        dtype = self.visual_dtype(images.device)
        exact = dtype == torch.float32
        # Also a frozen one that is compiled: training and evaluation then share one graph.
        gradients = torch.is_grad_enabled() and not self.frozen_visual
        with (
            torch.set_grad_enabled(gradients),
            nullcontext() if exact else torch.autocast(images.device.type, dtype),
        ):
            embedding: Tensor
            if self.frozen_visual and isinstance(self.visual, VisualEncoder):
                embedding = self.visual.frozen(self.visual, images, dtype)
            else:
                embedding = self.visual(images)
        return embedding if exact else embedding.float()

    @property
    def takes_missing(self) -> bool:
        """Whether either modality may be missing."""
        return self.asks_heads or self.missing is not None

    @property
    def asks_heads(self) -> bool:
        """Whether unimodal heads answer, for all samples or those that lack a modality."""
        return self.answer != "fused"

    def absent(self, modality: Modality) -> Tensor:
        """Return what stands for an embedding that is missing, broadcast to [features].

        NaN where heads answer, which is then without that head; else the learned vector, or zeros
        where there is none.
        """
        if self.asks_heads:
            return torch.tensor(torch.nan)
        return torch.zeros(()) if self.missing is None else self.missing.vector(modality).detach()

    def scaled(self, modality: Modality, embedding: Tensor) -> Tensor:
        """Return embeddings [B, features] of a modality as classifiers see them."""
        return embedding if self.fusion_norm is None else self.fusion_norm(modality, embedding)

    def _scaled(
        self, acoustic: Tensor | None, visual: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        return (
            None if acoustic is None else self.scaled("audio", acoustic),
            None if visual is None else self.scaled("visual", visual),
        )

    def _concatenate(
        self, acoustic: Tensor | None, visual: Tensor | None, missing: Tensor | None
    ) -> Tensor:
        if self.missing is not None:
            acoustic, visual = self.missing(acoustic, visual, missing)
        elif missing is not None:
            raise ValueError("the network has nothing in the place of a missing modality")
        return torch.cat([part for part in (acoustic, visual) if part is not None], dim=1)

    def join(
        self, acoustic: Tensor | None, visual: Tensor | None, missing: Tensor | None = None
    ) -> Tensor:
        """Concatenate embeddings, acoustic first: what the classifier sees.

        Args:
            acoustic: float32 [B, features]; None without audio, or where all of it is missing.
            visual: the same of images.
            missing: which samples lack which modality, bool [B, 2] (audio, visual), for networks
                that take it; their embeddings are replaced. None where no sample lacks one.

        Returns:
            Float32 [B, features].
        """
        return self._concatenate(*self._scaled(acoustic, visual), missing)

    def decide(
        self, acoustic: Tensor | None, visual: Tensor | None, missing: Tensor | None = None
    ) -> Tensor:
        """Return logits, float32 [B, classes], of embeddings; arguments as in `join`."""
        if not self.asks_heads:
            return self.classifier(self.join(acoustic, visual, missing))  # type: ignore[no-any-return]
        if self.heads is None or missing is not None:
            raise ValueError("this answer needs heads, and None or NaN for what is missing")
        scaled = self._scaled(acoustic, visual)
        if self.answer == "late":
            return self.heads.product(*scaled)
        return self.heads.fall_back(self.classifier, *scaled)

    def decide_each(
        self, acoustic: Tensor | None, visual: Tensor | None, missing: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the logits of the classifier, and those of each unimodal head; as `decide`."""
        acoustic, visual = self._scaled(acoustic, visual)
        fused = self.classifier(self._concatenate(acoustic, visual, missing))
        return fused, [] if self.heads is None else self.heads(acoustic, visual)

    def embeddings(
        self, acoustic: Tensor | None, images: Tensor | None, view: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Embed frames and images; arguments as in `forward`.

        Each image is embedded once; only an encoder that is being trained sees it as often as there
        are samples of it, so that it counts for each.
        """
        heard = None if acoustic is None else self.embed_sound(acoustic)
        if images is None:
            return heard, None
        if view is not None and self.training and not self.frozen_visual:
            images, view = images[view], None
        seen = self.embed_images(images)
        return heard, seen if view is None else seen[view]

    def embed(
        self,
        acoustic: Tensor | None,
        images: Tensor | None,
        view: Tensor | None = None,
        missing: Tensor | None = None,
    ) -> Tensor:
        """Return what the classifier sees of frames and images; arguments as in `forward`."""
        return self.join(*self.embeddings(acoustic, images, view), missing)

    def classify(
        self,
        acoustic: Tensor | None,
        visual_embedding: Tensor | None,
        missing: Tensor | None = None,
    ) -> Tensor:
        """Classify acoustic frames and embeddings of images; None where there is no such input.

        Args:
            acoustic: float32 [B, channels, bins], vectors, or None.
            visual_embedding: float32 [B, features] or None, from `embed_images`.
            missing: as in `join`.

        Returns:
            Logits, float32 [B, classes].
        """
        heard = None if acoustic is None else self.embed_sound(acoustic)
        return self.decide(heard, visual_embedding, missing)

    def forward(
        self,
        acoustic: Tensor | None,
        images: Tensor | None,
        view: Tensor | None = None,
        missing: Tensor | None = None,
    ) -> Tensor:
        """Classify acoustic frames and images.

        Args:
            acoustic: float32 [B, channels, bins], vectors, or None.
            images: normalised, float32 [views, 3, S, S], vectors, or None.
            view: which image each sample sees, int64 [B]; None where each has its own.
            missing: as in `join`.

        Returns:
            Logits, float32 [B, classes].
        """
        return self.decide(*self.embeddings(acoustic, images, view), missing)
