"""Convolutions with weight normalisation, which start from data (Salimans & Kingma 2016)."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

STILL = 1e-3  # of a layer's largest output: a deviation below is that of a feature that does not vary


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
        self.direction = nn.Parameter(torch.randn(outputs, inputs, *size).mul_(0.05))
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
    output so normalised. Features that do not vary keep their length. To be used once, on fresh weights.
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
    # On small or plain images some features hardly vary: what little there is, or rounding, is not to be amplified.
    varies = deviation > max(STILL, 4 * torch.finfo(output.dtype).eps) * output.abs().max()
    factor = torch.where(varies, layer.scale / (deviation**2 + 1e-10).sqrt(), 1)
    layer.length.mul_(factor)
    layer.bias.sub_(mean).mul_(factor)
    return (output - mean[:, None, None]) * factor[:, None, None]
