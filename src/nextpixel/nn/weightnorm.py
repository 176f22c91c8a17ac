"""Convolutions with weight normalisation, which start from data (Salimans & Kingma 2016)."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightNorm(nn.Module, ABC):
    """A convolution whose kernels are directions v, each with a length g of its own: w = g · v / ‖v‖.

    Args:
        inputs: features of the input (D).
        outputs: features of the output (O).
        size: rows and columns of the kernel.
        scale: the standard deviation that `initialise` gives to the output.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.direction = nn.Parameter(0.05 * torch.randn(outputs, inputs, *size))
        self.length = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> Tensor:
        """The kernels, (O, D, h, w)."""
        norm = torch.linalg.vector_norm(self.direction, dim=(1, 2, 3), keepdim=True)
        return self.direction * (self.length[:, None, None, None] / norm)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, O, H', W')."""


@contextmanager
def initialising(network: nn.Module) -> Generator[None]:
    """While this lasts, a forward pass gives each weight-normed layer the length and bias that suit what it gets.

    Each output then has mean 0 and the layer's own standard deviation over the batch; layers behind it already get the
    output so normalised. To be used once, on fresh weights, without gradients.
    """
    hooks = [
        layer.register_forward_hook(_normalise_output) for layer in network.modules() if isinstance(layer, WeightNorm)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _normalise_output(layer: WeightNorm, inputs: Any, output: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(output, (0, 2, 3), correction=0)
    factor = layer.scale / (deviation**2 + 1e-10).sqrt()
    layer.length.mul_(factor)
    layer.bias.sub_(mean).mul_(factor)
    return (output - mean[:, None, None]) * factor[:, None, None]
