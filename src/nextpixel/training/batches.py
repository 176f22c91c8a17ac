"""The training batches in their order."""

from typing import Any

import numpy as np
from torch import Tensor

from nextpixel.data import Split
from nextpixel.nn.context import Context
from nextpixel.pairing import given


class Batches:
    """The batches of all epochs; any one by its number, so that a run can go on where it stopped.

    Each epoch is a permutation of its own. An incomplete last batch is left out, unless it is the only one.

    Args:
        split: the training images.
        size: images in a batch (B).
        seed: of the permutations and of the noise that the split's transform draws.
        context: what a model is to be given with the images; None for nothing.
    """

    def __init__(self, split: Split, *, size: int, seed: int, context: Context | None = None) -> None:
        self.split, self.size, self.seed, self.context = split, size, seed, context
        self.per_epoch = max(1, len(split) // size)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, step: int) -> tuple[Tensor, Any]:
        """Images (B, C, H, W) of a step of the run, and what is given with them."""
        return self.part(step, slice(None))

    def part(self, step: int, own: slice) -> tuple[Tensor, Any]:
        """Some images of a step."""
        indices = self.indices(step)
        noise = np.random.default_rng([self.seed, *divmod(step, self.per_epoch)])
        if self.split.draw is not None:  # the noise is drawn for the batch as a whole
            images = self.split.batch(indices, noise)[0][own]
        else:
            images, _ = self.split.batch(indices[own], noise)
        return images, given(self.context, self.split, indices[own])

    def indices(self, step: int) -> np.ndarray:
        """Which images of the split a step learns from."""
        epoch, number = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.split))
        return self._order[number * self.size : (number + 1) * self.size]
