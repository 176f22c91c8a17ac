"""The moving average of the weights."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn


class MovingAverage:
    """An exponential moving average of a model's weights that does not remember where it began.

    After t updates the decay is min(decay, (1 + t) / (10 + t)), so the random initial weights, or zeros, have no part
    in the average of a short run, and it never spans much more than the last tenth of the updates.

    Args:
        model: whose parameters are averaged, and its running statistics, which belong to them.
        decay: the part of the average that a late update keeps; 0 for the weights themselves, 1 for no limit but that.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        kept = model.state_dict(keep_vars=True)
        statistics = {name: each for name, each in model.named_buffers() if name in kept and each.is_floating_point()}
        self._present = dict(model.named_parameters()) | statistics
        self.average = {name: tensor.detach().clone() for name, tensor in self._present.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, tensor in self._present.items():
            self.average[name].lerp_(tensor, 1 - decay)

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Within this context the model has the average weights; afterwards its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, tensor in self._present.items():
            present = tensor.clone()
            tensor.copy_(self.average[name])
            self.average[name].copy_(present)
