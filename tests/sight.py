"""What one pixel of a model sees, for tests of receptive fields."""

import torch

import nextpixel as npx


def seen(model: npx.Autoregressive, row: int, column: int) -> torch.Tensor:
    """Which pixels (H, W) reach the parameters of one pixel, by gradient; of a model in float64, made positive for it.

    Small positive weights keep every rectifier open and every gate unsaturated, and let nothing cancel.
    """
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_().mul_(0.1).add_(0.001)
    levels = torch.full((1, *model.spec.shape), model.spec.levels - 1).double().requires_grad_()
    model.backbone(levels, None)[:, :, row, column].sum().backward()
    assert levels.grad is not None
    return (levels.grad != 0).any(0).any(0)


def window(size: int, row: int, column: int, *kernels: int) -> torch.Tensor:
    """Which pixels (H, W) a chain of masked convolutions leads to, by walking all paths; the first has mask A."""
    reached = {(row, column)}
    for index, kernel in enumerate(kernels):
        reach = kernel // 2
        left = [(0, across) for across in range(-reach, 1 if index else 0)]
        above = [(-up, across) for up in range(1, reach + 1) for across in range(-reach, reach + 1)]
        reached = {(r + up, c + across) for r, c in reached for up, across in left + above}
    inside = torch.zeros(size, size, dtype=torch.bool)
    for r, c in reached:
        if 0 <= r < size and 0 <= c < size:
            inside[r, c] = True
    return inside
