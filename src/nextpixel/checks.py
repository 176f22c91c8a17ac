"""Slow references: what the fast paths must agree with, for tests, benchmarks and a leak check on any model."""

import torch
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.distributions import Finite
from nextpixel.unroll import Site, noise


def stepwise_log_prob(model: Autoregressive, x: Tensor, context: object = None) -> Tensor:
    """`model.predict(x).log_prob(x)`, but every sub-pixel is predicted before the next is shown to the network.

    A network that sees what it predicts scores better in one parallel pass than here.

    Args:
        model: any exact model.
        x: levels, shape (B, C, H, W).
        context: what the model is conditioned on.

    Returns:
        Nats, shape (B, C, H, W).
    """
    x = model.spec.check(x).to(model.device)
    dtype = torch.promote_types(next(model.parameters()).dtype, torch.float32)  # of the likelihoods
    nats = torch.zeros(x.shape, dtype=dtype, device=model.device)

    def choose(site: Site, distribution: Finite) -> Tensor:
        here = (slice(None), site.channels, site.row, site.column)
        nats[here] = distribution.log_prob(x[here])
        return x[here]

    model.unroll(choose, len(x), context)
    return nats


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
    """`model.sample`, or `model.complete` of `given` where `known`, with one whole `predict` a sub-pixel.

    Returns:
        Levels, int64, shape (B, C, H, W).
    """
    channels, height, width = model.spec.shape
    images = torch.zeros(count, channels, height, width, dtype=torch.long, device=model.device)
    if given is not None and known is not None:
        images = torch.where(known, given, images)
    numbers = noise(model.spec, count, seed=seed).to(model.device)
    with torch.no_grad():
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    here = (slice(None), channel, row, column)
                    drawn = model.predict(images, context).temper(temperature).icdf(numbers)[here]
                    fixed = None if known is None else known.expand(images.shape)[here]
                    images[here] = drawn if fixed is None else torch.where(fixed, images[here], drawn)
    return images
