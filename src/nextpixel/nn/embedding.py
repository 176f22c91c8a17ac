"""Where images and grids of codes enter a network: levels become features, once."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.spec import ImageSpec, centres

LARGEST = 64  # features of a name, at most


class Scaled(nn.Module):
    """Levels in order, such as brightness: a number in [−1, 1] for each.

    Attributes:
        whole: of an exact twin, the number for a level is 2l − (L − 1), whole, over the power of two from L − 1 on.
    """

    features = 1
    whole = False
    _unit: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("_unit", torch.ones(()), persistent=False)  # has the dtype and device of the weights

    def forward(self, levels: Tensor, first: int = 0) -> Tensor:
        """Levels (B, S, …) of any S channels to (B, S, …)."""
        if self.whole:
            return (2 * levels.to(self._unit.dtype) - (self.levels - 1)) / next_power(self.levels)
        return centres(levels.to(self._unit.dtype), self.levels)


def next_power(levels: int) -> int:
    """The power of two from L − 1 on, by which whole numbers of so many levels are divided."""
    return 1 << (levels - 2).bit_length()


class Named(nn.Module):
    """Levels that are names, such as codes: a learnt vector (E) for each of the L names of each of C channels."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.levels, self.features = levels, min(levels, LARGEST)
        self.weight = nn.Parameter(torch.randn(channels * levels, self.features))

    def forward(self, levels: Tensor, first: int = 0) -> Tensor:
        """Levels (B, S, …) of S channels, of which the first has the number `first`, to (B, S·E, …)."""
        channels = torch.arange(first, first + levels.shape[1], device=levels.device)
        rows = levels.long() + self.levels * channels.view(-1, *[1] * (levels.ndim - 2))
        return F.embedding(rows, self.weight).movedim(-1, 2).flatten(1, 2)


def entry(spec: ImageSpec) -> Scaled | Named:
    """How images of a spec enter a network."""
    return Scaled(spec.levels) if spec.ordinal else Named(spec.channels, spec.levels)
