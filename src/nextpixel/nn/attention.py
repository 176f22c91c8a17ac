"""Attention of each place to all places before it, in raster order, and to nothing else."""

from typing import NamedTuple

import torch
from torch import Tensor

from nextpixel.nn import ops


def attend(query: Tensor, keys: Tensor, values: Tensor, grid: ops.Grids | None = None, *, heads: int) -> Tensor:
    """What each place takes from those before it, the first zeros: (B, heads · d, H, W) twice, (B, heads · v, H, W).

    Of an exact twin, the values' grid is that of what is taken.
    """
    q, k, v = (part.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3) for part in (query, keys, values))
    seen = torch.zeros_like(v[:, :, :1])  # (B, heads, places, v)
    if q.shape[2] > 1:  # the second place sees the first, and so on: without the first query this is the usual mask
        seen = torch.cat((seen, ops.attention(q[:, :, 1:], k[:, :, :-1], v[:, :, :-1], grid, causal=True)), 2)
    return ops.settle(seen.transpose(2, 3).flatten(1, 2).unflatten(2, query.shape[2:]), grid).to(values)


class Memory(NamedTuple):
    """The keys and values of all places so far: what attention keeps during an unroll."""

    keys: Tensor  # (B, heads, H·W, d)
    values: Tensor  # (B, heads, H·W, v)

    def observe(self, place: int, keys: Tensor, values: Tensor) -> None:
        """Take note of a place, by its number: (B, heads · d) and (B, heads · v)."""
        heads = self.keys.shape[1]
        self.keys[:, :, place] = keys.unflatten(1, (heads, -1))
        self.values[:, :, place] = values.unflatten(1, (heads, -1))

    def recall(self, place: int, query: Tensor, grid: ops.Grids | None = None) -> Tensor:
        """What a place takes from those before it: (B, heads · d) to (B, heads · v)."""
        if place == 0:
            return torch.zeros_like(self.values[:, :, 0]).flatten(1).to(query)
        q = query.unflatten(1, (self.keys.shape[1], 1, -1))
        seen = ops.attention(q, self.keys[:, :, :place], self.values[:, :, :place], grid)
        return ops.settle(seen.flatten(1), grid).to(query)
