"""Normalisation that keeps the order of colours."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nextpixel.nn import ops


class ColourNorm(nn.Module):
    """Layer norm over the features of each colour of each pixel on its own.

    Over all features of a pixel at once, the first colour's features would learn of the later ones through the mean.

    Args:
        features: colour of each feature, ascending (D,).
    """

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        self._sizes = [features.count(colour) for colour in range(max(features) + 1)]
        self.weight = nn.Parameter(torch.ones(len(features)))
        self.bias = nn.Parameter(torch.zeros(len(features)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to the same shape."""
        if len(self._sizes) == 1:
            return ops.normalise(x, self.weight, self.bias)
        return torch.cat([self.step(part, colour) for colour, part in enumerate(x.split(self._sizes, 1))], 1)

    def step(self, x: Tensor, colour: int) -> Tensor:
        """The features of one colour, (B, D_g, …), to the same shape."""
        first, size = sum(self._sizes[:colour]), self._sizes[colour]
        return ops.normalise(x, self.weight[first : first + size], self.bias[first : first + size])
