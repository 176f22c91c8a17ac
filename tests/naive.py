"""The naive path, one whole pass a sub-pixel, which what is drawn fast must agree with."""

from typing import Any

import torch
from torch import Tensor

from nextpixel import Autoregressive
from nextpixel.unroll import noise
from zoo import part


def drawn_naively(
    model: Autoregressive,
    made: Tensor,
    context: Any = None,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    known: Tensor | None = None,
    order: int | None = None,
) -> Tensor:
    """What one whole pass a sub-pixel draws at each, where those read before it are as in `made`, those after it zeros.

    If it is `made` again, then `made` is what the naive path gives, sub-pixel by sub-pixel: as none of these passes
    waits for another one, they are one batch. Where `known`, `made` is given, to all passes. In a reading order, the
    noise belongs to the place at which a sub-pixel is read.
    """
    channels, height, width = model.spec.shape
    count, total = len(made), model.spec.subpixels
    known = torch.zeros_like(made, dtype=torch.bool) if known is None else known.expand(made.shape)
    numbers, when = noise(model.spec, count, seed=seed).to(model.device), torch.arange(height * width)
    if order is None:
        when = when.view(height, width)
    else:
        when = read_back(when.view((width, height) if order >= 4 else (height, width)), order)
        numbers = read_back(numbers, order)
    turn = (when * channels + torch.arange(channels).view(-1, 1, 1)).to(model.device)
    now = torch.arange(total, device=model.device).view(-1, 1, 1, 1, 1)
    partial = torch.where((turn < now) | known, made, 0).flatten(0, 1)  # (T·B, C, H, W)
    with torch.no_grad():
        each = model.predict(partial, part(context, [*range(count)] * total), order=order).temper(temperature)
        drawn = each.icdf(numbers.repeat(total, 1, 1, 1)).view(total, *made.shape)
    return torch.where(known, made, (drawn * (turn == now)).sum(0))


def read(x: Tensor, order: int) -> Tensor:
    """Images (…, H, W) as an order reads them, written down once more: mirrored, upside down, both; then transposed."""
    axes = [[], [-1], [-2], [-2, -1]][order % 4]
    return x.flip(axes) if order < 4 else x.flip(axes).transpose(-2, -1)


def read_back(x: Tensor, order: int) -> Tensor:
    """The other way round."""
    axes = [[], [-1], [-2], [-2, -1]][order % 4]
    return x.flip(axes) if order < 4 else x.transpose(-2, -1).flip(axes)
