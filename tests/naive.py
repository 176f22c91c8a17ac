"""The slow sampler, which the fast one must agree with."""

from itertools import product

import torch
from torch import Tensor

from nextpixel import Autoregressive
from nextpixel.unroll import noise


def naive_sample(
    model: Autoregressive,
    count: int,
    context: object = None,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    given: Tensor | None = None,
    known: Tensor | None = None,
    order: int | None = None,
) -> Tensor:
    """`model.sample`, or `model.complete` of `given` where `known`, with one whole `predict` a sub-pixel.

    In a reading order, the noise belongs to the place at which a sub-pixel is read.
    """
    channels, height, width = model.spec.shape
    images = torch.zeros(count, channels, height, width, dtype=torch.long, device=model.device)
    if given is None or known is None:
        given, known = images, torch.zeros_like(images, dtype=torch.bool)
    images, known = torch.where(known, given, images), known.expand(images.shape)
    numbers = noise(model.spec, count, seed=seed).to(model.device)
    places = torch.tensor([*product(range(height), range(width))]).view(height, width, 2)
    if order is not None:
        places, numbers = read(places.permute(2, 0, 1), order).permute(1, 2, 0), read_back(numbers, order)
    with torch.no_grad():
        for (row, column), channel in product(places.flatten(0, 1).tolist(), range(channels)):
            here = (slice(None), channel, row, column)
            drawn = model.predict(images, context, order=order).temper(temperature).icdf(numbers)[here]
            images[here] = torch.where(known[here], images[here], drawn)
    return images


def read(x: Tensor, order: int) -> Tensor:
    """Images (…, H, W) as an order reads them, written down once more: mirrored, upside down, both; then transposed."""
    axes = [[], [-1], [-2], [-2, -1]][order % 4]
    return x.flip(axes) if order < 4 else x.flip(axes).transpose(-2, -1)


def read_back(x: Tensor, order: int) -> Tensor:
    """The other way round."""
    axes = [[], [-1], [-2], [-2, -1]][order % 4]
    return x.flip(axes) if order < 4 else x.transpose(-2, -1).flip(axes)
