"""Learned vectors in the place of the embeddings of a missing modality."""

import torch
from torch import Tensor, nn

from avsc.train.systems import ENCODER, Modality

COLUMN: dict[Modality, int] = {modality: column for column, modality in enumerate(ENCODER)}
"""Column of each modality in a mask of what is missing, bool [samples, 2]."""


class MissingEmbeddings(nn.Module):
    """One vector for each modality, which learns with the network; zeros at the start.

    Args:
        audio: values of an acoustic embedding.
        visual: values of a visual embedding.
    """

    def __init__(self, audio: int, visual: int) -> None:
        super().__init__()
        self.audio = nn.Parameter(torch.zeros(audio))
        self.visual = nn.Parameter(torch.zeros(visual))

    def vector(self, modality: Modality) -> Tensor:
        """Return the vector of a modality, float32 [features]."""
        return self.audio if modality == "audio" else self.visual

    def forward(
        self, audio: Tensor | None, visual: Tensor | None, missing: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return both embeddings, with the vectors in the place of those that are missing.

        Args:
            audio: float32 [B, features]; None where all of them are missing.
            visual: the same.
            missing: which samples lack which modality, bool [B, 2]; None where none does.
        """
        some = visual if audio is None else audio
        if some is None:
            raise ValueError("both modalities are missing; one must be there")
        embeddings: dict[Modality, Tensor | None] = {"audio": audio, "visual": visual}
        filled = []
        for modality, embedding in embeddings.items():
            vector = self.vector(modality)
            if embedding is None:
                embedding = vector.expand(len(some), -1)
            elif missing is not None:
                embedding = torch.where(missing[:, COLUMN[modality], None], vector, embedding)
            filled.append(embedding)
        return filled[0], filled[1]
