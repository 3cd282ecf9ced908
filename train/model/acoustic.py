"""Acoustic encoder: Res-DCNN, a 1-D residual CNN over the frequency bins of one acoustic frame.

Source: Table 1 and section 2.1 of the paper. Axes are [batch, channel, bin]; channels are average
and difference. Four blocks ``Conv(k3, s1, p0)-BN-ReLU-AvgPool(k2, s2, p1)`` with 2-4-8-16-32
channels; each adds a convolution of its input, "to match the dimension of input and output", and
nothing follows the sum. A block takes L bins to floor(L / 2): 290-145-72-36-18, 256-128-64-32-16.

Chosen here, as the paper leaves them open: the shortcut's shape (k2, s2, p0: the simplest whose
output has the branch's length for every L); whether the pool's padding counts in its mean (it does,
as by default in PyTorch: an outermost mean with a padded zero is half its one value); biases
(everywhere, also PyTorch's default).
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from avsc.manifests.errors import AvscError, SettingError

EMBEDDING = 1024
"""Values in an acoustic embedding."""


class ResidualBlock(nn.Module):
    """One residual block: [B, inputs, L] to [B, outputs, floor(L / 2)]; L is at least 3."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv1d(inputs, outputs, kernel_size=3),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.AvgPool1d(kernel_size=2, stride=2, padding=1, count_include_pad=True),
        )
        self.shortcut = nn.Conv1d(inputs, outputs, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the branch."""
        return self.branch(x) + self.shortcut(x)  # type: ignore[no-any-return]


class AcousticEncoder(nn.Module):
    """Acoustic frames [B, channels, bins] to embeddings [B, 1024].

    The frames are natural logarithms as the store keeps them; they are normalised per channel and
    bin with `mean` and `deviation` (standard deviation), buffers that are saved with the weights.
    Until they are set, by `set_normalisation` or from a state dict, encoding is an error.

    Args:
        channels: channels of a frame (2: average, difference).
        bins: bins of a frame (290 for the scalogram, 256 for FBank).
        concat: what is flattened into the first linear layer: ``"input"`` takes the normalised
            input and the last block's output (1,156 values at 290 bins, 1,024 at 256), ``"all"``
            the input and every block's.
        dropout: dropout probability of hidden units.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        channels: int,
        bins: int,
        concat: Literal["input", "all"] = "input",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if bins < 24:
            raise SettingError(
                f"acoustic frames have {bins} bins; four blocks that halve them need 24 or more."
            )
        if concat not in ("input", "all"):
            raise SettingError(f"concat is {concat!r}; 'input' or 'all'.")
        self.concat = concat
        self.register_buffer("mean", torch.full((channels, bins), torch.nan))
        self.register_buffer("deviation", torch.full((channels, bins), torch.nan))
        self._normalisation_checked = False

        widths = [channels, 4, 8, 16, 32]
        self.blocks = nn.ModuleList(
            ResidualBlock(inputs, outputs) for inputs, outputs in pairwise(widths)
        )
        sizes = [width * (bins >> halvings) for halvings, width in enumerate(widths)]
        flat = sum(sizes) if concat == "all" else sizes[0] + sizes[-1]
        self.linear = nn.Sequential(
            nn.Linear(flat, 2048),
            nn.BatchNorm1d(2048),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2048, EMBEDDING),
            nn.BatchNorm1d(EMBEDDING),
            nn.ReLU(),
        )

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the mean and the standard deviation of the training frames, each [channels, bins].

        Raises:
            AvscError: another shape, a value that is not finite, or a standard deviation
                that is not > 0.
        """
        for name, values in (("mean", mean), ("deviation", deviation)):
            if values.shape != self.mean.shape:
                raise AvscError(
                    f"acoustic {name} has shape {tuple(values.shape)}; wanted [channels, bins] = "
                    f"{tuple(self.mean.shape)}, as the frames have."
                )
        unusable = ~(mean.isfinite() & deviation.isfinite() & (deviation > 0))
        if unusable.any():
            channel, bin_ = unusable.nonzero()[0].tolist()
            raise AvscError(
                f"acoustic channel {channel}, bin {bin_}: mean {mean[channel, bin_]:g}, "
                f"standard deviation {deviation[channel, bin_]:g}; both must be finite, "
                "the latter above 0. "
                f"A channel that never varies (two equal channels have no difference) cannot be "
                f"normalised: look at the recordings of the training fold."
            )
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames [B, channels, bins] as [B, 1024]."""
        self._check_normalisation()
        x = (frames - self.mean) / self.deviation
        outputs = [x]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        joined = outputs if self.concat == "all" else [outputs[0], outputs[-1]]
        return self.linear(torch.cat([part.flatten(1) for part in joined], dim=1))  # type: ignore[no-any-return]

    def _check_normalisation(self) -> None:
        # Once: reading a value back from a GPU at every batch would make the host wait for it.
        if self._normalisation_checked:
            return
        if not (self.mean.isfinite().all() and self.deviation.isfinite().all()):
            raise AvscError(
                "the acoustic encoder has no mean and standard deviation yet; measure them on "
                "the training frames and give them to set_normalisation, or load a trained state."
            )
        self._normalisation_checked = True
