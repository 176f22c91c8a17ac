"""The same network written plainly, which a training step is compared with.

Plainly: float32, the usual memory layout, and kernels of full size whose forbidden taps are masked by zeros. Both
compute the same function, which is checked first.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nextpixel as npx
from measures import seconds
from nextpixel.nn.causal import PixelsLeft, RowsAbove
from subjects import Bench


class FullKernel(nn.Module):
    """A causal layer as a convolution with a kernel of odd size, masked in every forward."""

    mask: Tensor

    def __init__(self, layer: RowsAbove | PixelsLeft) -> None:
        super().__init__()
        outputs, inputs, rows, columns = layer.weight.shape
        height = 2 * layer.reach + 1 if isinstance(layer, RowsAbove) else 1
        weight = torch.zeros(outputs, inputs, height, 2 * layer.reach + 1)
        mask = torch.zeros_like(weight)
        inner = getattr(layer, "mask", None)
        weight[:, :, :rows, :columns] = layer.weight.detach()
        mask[:, :, :rows, :columns] = 1 if inner is None else inner
        self.padding = (height // 2, layer.reach)
        self.weight = nn.Parameter(weight)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        sums = F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
        return sums if addend is None else sums + addend


def plain(model: npx.Autoregressive) -> npx.Autoregressive:
    """The same network with full masked kernels, in the usual memory layout."""
    other: npx.Autoregressive = copy.deepcopy(model)
    other.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    for parent in list(other.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, RowsAbove | PixelsLeft):
                setattr(parent, name, FullKernel(layer))
    return other


def compare(bench: Bench, *, bf16: bool) -> dict[str, float]:
    """How many times as fast a training step of ours is as the same network's written plainly."""
    assert isinstance(bench.model, npx.Autoregressive)
    ours, other, repeats = bench.model, plain(bench.model), 1 if bench.quick else 3
    x = bench.images(2)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), other(x), rtol=1e-4, atol=1e-2)
    times = {
        kind: seconds(bench.step(bench.batch, bf16=kind == "bf16"), repeats) for kind in ["float32"] + ["bf16"] * bf16
    }
    bench.model = other
    slow = seconds(bench.step(bench.batch), repeats)
    bench.model = ours
    return {kind: slow / fast for kind, fast in times.items()}
