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
) -> Tensor:
    """`model.sample`, or `model.complete` of `given` where `known`, with one whole `predict` a sub-pixel."""
    channels, height, width = model.spec.shape
    images = torch.zeros(count, channels, height, width, dtype=torch.long, device=model.device)
    if given is None or known is None:
        given, known = images, torch.zeros_like(images, dtype=torch.bool)
    images, known = torch.where(known, given, images), known.expand(images.shape)
    numbers = noise(model.spec, count, seed=seed).to(model.device)
    with torch.no_grad():
        for row, column, channel in product(range(height), range(width), range(channels)):
            here = (slice(None), channel, row, column)
            drawn = model.predict(images, context).temper(temperature).icdf(numbers)[here]
            images[here] = torch.where(known[here], images[here], drawn)
    return images
