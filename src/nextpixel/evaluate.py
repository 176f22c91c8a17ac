"""Likelihoods at the edge: bits per dimension, and the average over a data set with its standard error."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.typing import PerImage


def bits_per_dim(model: Autoregressive, x: Tensor, context: object = None) -> PerImage:
    """−log₂ p(x) over the number of sub-pixels, for each image.

    Args:
        model: any exact model.
        x: levels, shape (B, C, H, W).
        context: what the model is conditioned on.

    Returns:
        Bits, shape (B,).

    Raises:
        BadInput: as `model.log_prob`.
    """
    with torch.no_grad():
        return -model.log_prob(x, context) / (model.spec.subpixels * math.log(2))


@dataclass(frozen=True)
class Evaluation:
    """A mean over images.

    Attributes:
        images: how many there were.
        nats: mean of −log p(x) in nats an image.
        nats_error: standard error of that mean.
        bits_per_dim: the same in bits a sub-pixel.
        bits_per_dim_error: standard error of that.
    """

    images: int
    nats: float
    nats_error: float
    bits_per_dim: float
    bits_per_dim_error: float


def summarise(nats: Tensor, subpixels: int) -> Evaluation:
    """The mean of −log p(x), shape (N,), with its standard error (0 for a single image)."""
    nats = nats.double()
    mean = float(nats.mean())
    error = float(nats.std() / math.sqrt(len(nats))) if len(nats) > 1 else 0.0
    bits = 1 / (subpixels * math.log(2))
    return Evaluation(len(nats), mean, error, mean * bits, error * bits)
