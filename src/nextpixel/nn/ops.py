"""The arithmetic, named: every product, gate and norm of a network goes through here.

`forward` computes an image at once and `step` one slice of it; both call these functions, so that an exact
integer arithmetic could replace the floating point one in a single place.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution without padding: (B, D, H, W) by (O, D, h, w) to (B, O, H − h + 1, W − w + 1)."""
    return F.conv2d(x, weight, bias)


def multiply(x: Tensor, weight: Tensor, addend: Tensor | None = None) -> Tensor:
    """The same sum at a single place: x · weight + addend, (B, D) by (D, O) to (B, O)."""
    return x @ weight if addend is None else torch.addmm(addend, x, weight)


def gate(x: Tensor) -> Tensor:
    """tanh of the first half of the features times the logistic function of the second: (B, 2D, …) to (B, D, …)."""
    value, valve = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(valve)


def normalise(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Layer norm over the features of each place on its own: (B, D, …) to the same."""
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, epsilon).movedim(-1, 1)
