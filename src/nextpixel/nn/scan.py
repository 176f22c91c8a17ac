"""An LSTM over many places at once, step after step: what training computes, with a gradient of its own.

A step is small here, so what torch spends on each operation counts. Gradients of the kernels therefore wait until all
steps are done, and are one product then; what a gradient needs of the gates is computed for all steps together.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor


def scan(sums: Tensor, kernel: Tensor, *, diagonal: bool = False) -> Tensor:
    """Hidden features of all places, (B, D, H, W), by what the input adds to the sums of each, (B, 4D, H, W).

    A step is a row; or if `diagonal`, all places whose row and column add up to its number, from the top to the bottom.
    The kernel (4D, D, k) says what arrives of k places of the step before, around the same column (the same row, if
    `diagonal`), one more before it than after where k is even. Beyond the edge, and before the first step, are zeros.
    Gates are those of `ops.remember`.
    """
    kernel = kernel.to(sums.dtype).permute(2, 1, 0)
    with torch.autocast(sums.device.type, enabled=False):
        hidden = cast(Tensor, _Scan.apply(sums.permute(0, 2, 3, 1), kernel, diagonal))
    return hidden.permute(0, 3, 1, 2)


class _Scan(torch.autograd.Function):
    """The same with features last: sums (B, H, W, 4D) and a kernel (k, D, 4D) to (B, H, W, D); within, (T, B, P, …)."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, kernel: Tensor, diagonal: bool) -> Tensor:
        taps, features, _ = kernel.shape
        gates = _by_step(sums, diagonal)
        seen = gates.new_zeros(*gates.shape[:3], taps, features)  # by each place, of the step before
        cells, bent, hidden = (torch.empty_like(gates[..., :features]).contiguous() for _ in range(3))
        matrix = kernel.flatten(0, 1)
        before = torch.zeros_like(cells[0])
        rows = zip(gates.flatten(1, 2).unbind(0), seen.flatten(3).flatten(1, 2).unbind(0), strict=True)
        opened, content = gates[..., : 3 * features].unbind(0), gates[..., 3 * features :].unbind(0)
        output, forget, admit, _ = (part.unbind(0) for part in gates.chunk(4, 3))
        arrivals = [(there[1:].unbind(0), here.unbind(0)) for there, here in _shifts(seen, hidden)]
        kept, bends, out = cells.unbind(0), bent.unbind(0), hidden.unbind(0)
        for step, (row, windows) in enumerate(rows):
            if step:
                row.addmm_(windows, matrix)
            opened[step].sigmoid_()
            content[step].tanh_()
            torch.mul(forget[step], before, out=kept[step]).addcmul_(admit[step], content[step])
            before = kept[step]
            torch.tanh(before, out=bends[step])
            torch.mul(output[step], bends[step], out=out[step])
            if step + 1 < len(out):
                for there, here in arrivals:
                    there[step].copy_(here[step])
        ctx.save_for_backward(gates, seen, cells, bent, kernel)
        ctx.places, ctx.diagonal = sums.shape[1:3], diagonal
        return _by_place(hidden, *ctx.places)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if torch.is_grad_enabled():  # by create_graph=True: what is kept here would count as constant
            raise NotImplementedError("The scan of an LSTM has a first gradient only, and none of that gradient.")
        gates, seen, cells, bent, kernel = ctx.saved_tensors
        output, forget, admit, content = gates.chunk(4, 3)
        # What each sum's gradient is to that of its hidden feature, the first part, or of its cell, the others.
        factors = torch.empty_like(gates)
        to_output, to_forget, to_admit, to_content = factors.chunk(4, 3)
        torch.mul(bent, output, out=to_output).mul_(1 - output)
        torch.mul(forget[1:], 1 - forget[1:], out=to_forget[1:]).mul_(cells[:-1])
        to_forget[0] = 0  # before the first step there is no cell
        torch.mul(admit, 1 - admit, out=to_admit).mul_(content)
        torch.addcmul(admit, admit * content, content, value=-1, out=to_content)
        to_cell = (1 - bent * bent).mul_(output).unbind(0)
        of_hidden = _by_step(slope, ctx.diagonal)
        of_seen = torch.empty_like(seen[0])
        arrivals = [(there, here.unbind(0)) for there, here in _shifts(of_seen[None], of_hidden)]
        transposed = kernel.flatten(0, 1).t().contiguous()
        of_cell = torch.zeros_like(cells[0])
        heads = zip(to_output.unbind(0), factors.unflatten(3, (4, -1))[..., 1:, :].unbind(0), strict=True)
        parts, hiddens, forgets = list(heads), of_hidden.unbind(0), forget.unbind(0)
        sums = factors.flatten(1, 2).unbind(0)
        for step in reversed(range(len(parts))):
            first, others = parts[step]
            of_cell.addcmul_(hiddens[step], to_cell[step])
            first.mul_(hiddens[step])
            others.mul_(of_cell.unsqueeze(2))  # the factors become the sums' gradients
            of_cell.mul_(forgets[step])
            if step:
                torch.mm(sums[step], transposed, out=of_seen.flatten(2).flatten(0, 1))
                for there, here in arrivals:
                    here[step - 1].add_(there[0])
        of_kernel = seen.flatten(3).flatten(0, 2).t() @ factors.flatten(0, 2)
        return _by_place(factors, *ctx.places), of_kernel.unflatten(0, kernel.shape[:2]), None


def _by_step(x: Tensor, diagonal: bool) -> Tensor:
    """Rows, or diagonals, as steps: (B, H, W, F) to (H, B, W, F) or (W + H − 1, B, H, F), zeros beyond the image."""
    batch, height, width, features = x.shape
    if not diagonal:
        return x.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    steps = x.new_zeros(width + height - 1, batch, height, features)
    _by_place(steps, height, width).copy_(x)
    return steps


def _by_place(steps: Tensor, height: int, width: int) -> Tensor:
    """Undo `_by_step`, as a view."""
    if len(steps) == height and steps.shape[2] == width:
        return steps.transpose(0, 1)
    of_step, of_image, of_place, of_feature = steps.stride()
    size = steps.shape[1], height, width, steps.shape[3]
    return steps.as_strided(size, (of_image, of_step + of_place, of_step, of_feature))


def _shifts(seen: Tensor, hidden: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each place of a kernel, those that see something by it, of (T, B, P, k, D), and what: of (T, B, P, D)."""
    places, taps = seen.shape[2:4]
    for tap in range(taps):
        shift = tap - taps // 2
        first, last = max(0, -shift), min(places, places - shift)
        if first < last:
            yield seen[:, :, first:last, tap], hidden[:, :, first + shift : last + shift]
