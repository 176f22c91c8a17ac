"""Normalisation that keeps the order of colours."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import sizes


class ColourNorm(nn.Module):
    """Layer norm over the features of each colour of each pixel on its own: positional normalisation by colour groups.

    Over all features of a pixel at once, the first colour's features would learn of the later ones through the mean.

    Args:
        features: colour of each feature, ascending (D,).

    Attributes:
        grid: of an exact twin, what the output is brought to.

    References:
        Li et al., Positional Normalization, 2019.
    """

    grid: ops.Grid | None = None

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        self._sizes = sizes(features)
        self.weight = nn.Parameter(torch.ones(len(features)))
        self.bias = nn.Parameter(torch.zeros(len(features)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to the same shape."""
        if len(self._sizes) == 1:
            return ops.normalise(x, self.weight, self.bias, grid=self.grid)
        return torch.cat([self.step(part, colour) for colour, part in enumerate(x.split(self._sizes, 1))], 1)

    def step(self, x: Tensor, colour: int) -> Tensor:
        """The features of one colour, (B, D_g, …), to the same shape."""
        first, size = sum(self._sizes[:colour]), self._sizes[colour]
        part = slice(first, first + size)
        return ops.normalise(x, self.weight[part], self.bias[part], grid=self.grid)


class BatchNorm(nn.Module):
    """Batch norm: each feature by its mean and variance over the images and places of a batch [1].

    In training those statistics include pixels that come later and other images, so the training loss is not a
    likelihood: a leak, small in large batches. Evaluation uses running statistics, which are constants, and is exact.

    Args:
        features: colour of each feature, ascending (D,).

    References:
        [1] Ioffe and Szegedy, Batch Normalization, 2015.
    """

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        ends = list(accumulate(sizes(features), initial=0))
        self._parts = [slice(start, end) for start, end in pairwise(ends)]
        self.norm = nn.BatchNorm2d(len(features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to the same shape."""
        return self.norm(x)

    def step(self, x: Tensor, colour: int) -> Tensor:
        """The features of one colour, (B, D_g), to the same shape, by the running statistics."""
        part, norm = self._parts[colour], self.norm
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        return ops.standardise(x, mean[part], variance[part], norm.weight[part], norm.bias[part], norm.eps)


NORMS: dict[str, type[ColourNorm] | type[BatchNorm]] = {
    "layer": ColourNorm,
    "positional": ColourNorm,  # the same thing by the name that the literature of normalisation has for it
    "batch": BatchNorm,
}
