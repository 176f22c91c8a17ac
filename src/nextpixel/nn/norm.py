"""Normalisation that keeps the order of colours; and convolutions with weight normalisation, which start from data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import sizes

ByColour = list[Callable[[Tensor], Tensor]]


class ColourNorm(nn.Module):
    """Layer norm over the features of each colour of each pixel on its own: positional normalisation (Li et al. 2019).

    Over all features of a pixel at once, the first colour's features would learn of the later ones through the mean.
    Features are given by their colours, ascending (D,).
    """

    grid: ops.Grid | None = None  # of an exact twin, what the output is brought to

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        self._sizes = sizes(features)
        self.weight = nn.Parameter(torch.ones(len(features)))
        self.bias = nn.Parameter(torch.zeros(len(features)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to the same shape."""
        if len(self._sizes) == 1:
            return ops.normalise(x, self.weight, self.bias, grid=self.grid)
        return torch.cat([step(part) for step, part in zip(self.steps(), x.split(self._sizes, 1), strict=True)], 1)

    def steps(self) -> ByColour:
        """The same of the features of each colour, (B, D_g, …)."""
        parts = zip(self.weight.split(self._sizes), self.bias.split(self._sizes), strict=True)
        return [partial(ops.normalise, weight=weight, bias=bias, grid=self.grid) for weight, bias in parts]


class BatchNorm(nn.Module):
    """Batch norm: each feature by its mean and variance over a batch's images and places (Ioffe and Szegedy 2015).

    In training those statistics include pixels that come later and other images, so the training loss is not a
    likelihood: a leak, small in large batches. Evaluation uses running statistics, which are constants, and is exact.
    """

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        self._sizes = sizes(features)
        self.norm = nn.BatchNorm2d(len(features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to the same shape."""
        return self.norm(x)

    def steps(self) -> ByColour:
        """The same of the features of each colour at one place, (B, D_g), by the running statistics."""
        mean, variance = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        factor = self.norm.weight * (variance + self.norm.eps).rsqrt()
        parts = zip(factor.split(self._sizes), (self.norm.bias - mean * factor).split(self._sizes), strict=True)
        return [partial(ops.scale, factor=factor, shift=shift) for factor, shift in parts]


NORMS: dict[str, type[ColourNorm] | type[BatchNorm]] = {
    "layer": ColourNorm,
    "positional": ColourNorm,  # the same thing by the name that the literature of normalisation has for it
    "batch": BatchNorm,
}


STILL = 1e-3  # of a layer's largest output: a deviation below is that of a feature that does not vary


class WeightNorm(nn.Module, ABC):
    """A convolution whose kernels are directions v, each with a length g of its own: w = g · v / ‖v‖.

    `size` is rows and columns of the kernel, `scale` the standard deviation that `initialising` gives to the output.
    """

    grid: Any = None  # of an exact twin, what the sum that it is a part of is brought to, by what holds the layer
    stride = 1

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.direction = nn.Parameter(torch.randn(outputs, inputs, *size).mul_(0.05))
        self.length: Any = nn.Parameter(torch.ones(outputs))  # None of an exact twin, whose directions are the kernels
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> Tensor:
        """The kernels, (O, D, h, w)."""
        if self.length is None:
            return self.direction
        norm = torch.linalg.vector_norm(self.direction, dim=(1, 2, 3), keepdim=True)
        return self.direction * (self.length[:, None, None, None] / norm)

    def fresh(self) -> bool:
        """Whether lengths and biases are as they were made: neither trained nor from data."""
        return self.length is not None and bool((self.length == 1).all()) and not self.bias.any()

    def padded(self, x: Tensor) -> Tensor:
        """The input with what its windows see around it, a window every `stride` places."""
        return x

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, O, H', W')."""


@contextmanager
def initialising(network: nn.Module) -> Generator[None]:
    """While this lasts, a forward pass gives each weight-normed layer the length and bias that suit what it gets.

    Each output then has mean 0 and the layer's own standard deviation over the batch; layers behind it already get the
    output so normalised. Features that do not vary keep their length. To be used once, on fresh weights.
    """
    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, WeightNorm):
                hooks.enter_context(layer.register_forward_hook(_normalise_output))
        yield


def _normalise_output(layer: WeightNorm, inputs: Any, output: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(output, (0, 2, 3), correction=0)
    # On small or plain images some features hardly vary: what little there is, or rounding, is not to be amplified.
    varies = deviation > max(STILL, 4 * torch.finfo(output.dtype).eps) * output.abs().max()
    factor = torch.where(varies, layer.scale / (deviation**2 + 1e-10).sqrt(), 1)
    layer.length.mul_(factor)
    layer.bias.sub_(mean).mul_(factor)
    return (output - mean[:, None, None]) * factor[:, None, None]
