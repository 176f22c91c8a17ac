"""How fast a training step is beside the same network written plainly, in one run: a ratio, as machines differ.

    python benchmarks/training.py
    python benchmarks/training.py --filters 64 --batch 32 --json

Plainly: float32, the usual memory layout, and kernels of full size whose forbidden taps are masked by zeros. Both
compute the same function, which is checked first. Nothing else should run on the machine meanwhile.
"""

import argparse
import copy
import json
import statistics
import time

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import nextpixel as npx
from nextpixel.nn.causal import PixelsLeft, RowsAbove


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--size", type=int, default=28, help="height and width")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is taken")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    spec = npx.ImageSpec(1, options.size, options.size, levels=2)
    model = npx.build("gated_pixelcnn", spec, "bernoulli", filters=options.filters, blocks=options.blocks)
    baseline = plain(model)
    x = torch.randint(2, (options.batch, *spec.shape))
    with torch.no_grad():
        torch.testing.assert_close(model(x[:2]), baseline(x[:2]), rtol=1e-4, atol=1e-2)
    seconds = {
        "written plainly": _step(baseline, x, options.repeats, bf16=False),
        "ours in float32": _step(model, x, options.repeats, bf16=False),
        "ours in bfloat16": _step(model, x, options.repeats, bf16=True),
    }
    rates = {what: options.batch / second for what, second in seconds.items()}
    plainly, first = next(iter(rates.items()))
    if options.json:
        rows = [
            {
                "what": f"training, images a second: {what} ÷ {plainly}",
                "ratio": rate / first,
                "must": must,
                "images_per_second": rate,
            }
            for (what, rate), must in zip(rates.items(), ("", "", "≥ 1.8"), strict=True)
        ]
        print(json.dumps(rows[1:], indent=1))
        return
    title = f"gated_pixelcnn, {options.filters} filters, {options.blocks} blocks, batch {options.batch}"
    table = Table("training step", "images/s", "ratio", title=f"{title}, {torch.get_num_threads()} threads")
    for what, rate in rates.items():
        table.add_row(what, f"{rate:.1f}", f"{rate / first:.2f}")
    Console().print(table)


def _step(model: npx.Autoregressive, x: Tensor, repeats: int, *, bf16: bool) -> float:
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            loss = -model(x).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first call of a kernel is slow


if __name__ == "__main__":
    main()
