"""The arithmetic, named: every product, gate and norm of `forward` and `step`, of exact twins too (see `Grid`)."""

from abc import ABC, abstractmethod
from functools import cache
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor


class Grid(NamedTuple):
    """What numbers of an exact twin are brought to: multiples of a power of two, up to a limit.

    Floating point adds and multiplies such numbers without rounding, in whatever order, while every sum stays below
    2^24 of its unit (2^53 in float64), which `nextpixel.proof` proves. So these are integers; scales cost nothing.
    """

    unit: float
    limit: float  # at most 2^22 units


class Grids(ABC):
    """A grid of each of D features, and on it the functions of blocks, by tables (see `nextpixel.nn.tables`)."""

    @abstractmethod
    def settle(self, x: Tensor) -> Tensor:
        """(B, D, …) to the same, in place."""

    @abstractmethod
    def elu(self, x: Tensor) -> Tensor:
        """Of numbers on the grid, (B, D, …), to others on it."""

    @abstractmethod
    def concat_elu(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """The same of their negatives too: (B, D, …) to (B, 2D, …)."""

    @abstractmethod
    def attention(self, query: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Tensor:
        """See `attention`; float64, and not on the grid."""

    @abstractmethod
    def glu(self, x: Tensor) -> Tensor:
        """Of numbers of any size, (B, D, …) to (B, D / 2, …), to what the block's own result is a multiple of."""


def settle(x: Tensor, grid: "Grid | Grids | None") -> Tensor:
    """Bring numbers to a grid, in place: the nearest multiple of its unit, of two the even one; or leave them without.

    Beside 1.5 · 2^23 units, float32 has no place for less than a unit (float64: 2^52): adding that rounds, by IEEE 754.
    """
    if grid is None:
        return x
    if isinstance(grid, Grids):
        return grid.settle(x)
    far = number(1.5 * grid.unit / torch.finfo(x.dtype).eps, x.dtype, x.device)
    return x.clamp_(-grid.limit, grid.limit).add_(far).sub_(far)


@cache
def number(value: float | int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number as a tensor, (): torch would make it one at each call, which takes longer than a step's arithmetic."""
    return torch.tensor(value, dtype=dtype, device=device)


def spaced(index: Tensor, count: int, steps: int) -> Tensor:
    """Number `index` of `count` numbers from −1 to 1, to the nearest multiple of 1 / steps, by integers: float32."""
    gaps = max(1, count - 1)
    return ((index.long() * (4 * steps) + gaps) // (2 * gaps)).float() / steps - 1


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int | tuple[int, int] = 1) -> Tensor:
    """A convolution without padding: (B, D, H, W) by (O, D, h, w) to (B, O, H − h + 1, W − w + 1) for a stride of 1."""
    return F.conv2d(x, weight, bias, stride)


def convolve_row(x: Tensor, weight: Tensor, bias: Tensor, *, stride: int = 1) -> Tensor:
    """The same where the output is one row, as high as the kernels: (B, D, h, W) to (B, O, 1, W').

    The row of a single image takes as long as reading the kernels, which a convolution would reorder first.
    """
    if len(x) > 1:
        return convolve(x, weight, bias, stride=stride)
    windows = F.unfold(x, weight.shape[2:], stride=stride)[0]
    return torch.addmm(bias[:, None], weight.flatten(1), windows)[None, :, None]


def spread(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution of stride 2: (B, D, H, W) by (O, D, h, w) to (B, O, 2H − 2 + h, 2W − 2 + w)."""
    return F.conv_transpose2d(x, weight.transpose(0, 1), bias, stride=2)


def multiply(x: Tensor, weight: Tensor, addend: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """The same sum at a single place: x · weight + addend, (B, D) by (D, O) to (B, O); into `out`, if given.

    The weight may also come in parts, see `packed`; then there is no `out`.
    """
    if weight.ndim == 3:
        parts, rows = len(weight), x.expand(len(weight), 1, -1)
        sums = torch.bmm(rows, weight) if addend is None else torch.baddbmm(addend.view(parts, 1, -1), rows, weight)
        return sums.view(1, -1)
    return torch.mm(x, weight, out=out) if addend is None else torch.addmm(addend, x, weight, out=out)


def packed(kernels: Tensor, batch: int) -> Tensor:
    """Kernels (O, D) as `multiply` reads them fastest: (D, O), or for a single image a part a thread, (n, D, O / n).

    The product of a single row takes as long as reading the kernels, and one thread does not read as fast as two.
    """
    outputs = len(kernels)
    threads = min(torch.get_num_threads(), 8) if batch == 1 and kernels.device.type == "cpu" else 1
    parts = max(n for n in range(1, threads + 1) if outputs % n == 0)
    if parts > 1:
        return kernels.contiguous().view(parts, outputs // parts, -1).transpose(1, 2)
    return kernels.contiguous().t()


def multiply_row(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """The same at all places of a row, and with kernels as they are: (B, W, D) by (O, D) to (B, W, O)."""
    # The windows of a single image are read where they are; those of several would be copied image by image.
    return F.linear(x if len(x) == 1 else x.contiguous(), kernels, bias)


def add(x: Tensor | None, y: Tensor | None) -> Tensor | None:
    """The sum of those that are there; None if neither is."""
    return y if x is None else x if y is None else x + y


def onto(sums: Tensor, addend: Tensor) -> Tensor:
    """Their sum, with as many axes each, in the place of the first, which nobody else holds.

    A convolution's gradient needs no result of it.
    """
    fits = sums.shape == addend.shape or all(n in (1, size) for size, n in zip(sums.shape, addend.shape, strict=True))
    return sums.add_(addend) if fits and sums.dtype == addend.dtype else sums + addend


def gate(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """tanh of the first half of the features times the logistic function of the second: (B, 2D, …) to (B, D, …)."""
    value, valve = x.chunk(2, 1)
    return torch.mul(torch.tanh(value), torch.sigmoid(valve), out=out)


def glu(x: Tensor, grids: Grids | None = None) -> Tensor:
    """The first half of the features times the logistic function of the second: (B, 2D, …) to (B, D, …)."""
    if grids is not None:
        return grids.glu(x)
    if not x.requires_grad:
        return F.glu(x, 1)
    value, valve = x.chunk(2, 1)
    return value * torch.sigmoid(valve)  # the gradient of torch's own takes four times as long as that of these two


def elu(x: Tensor, grids: Grids | None = None) -> Tensor:
    """ELU: x, or exp(x) − 1 where it is negative."""
    return F.elu(x) if grids is None else grids.elu(x)


def concat_elu(x: Tensor, grids: Grids | None = None, *, out: Tensor | None = None) -> Tensor:
    """ELU of the features and of their negatives: (B, D, …) to (B, 2D, …), into `out`, if given."""
    if grids is not None:
        return grids.concat_elu(x, out=out)
    if out is None and x.requires_grad:
        return cast(Tensor, _ConcatELU.apply(x))
    return F.elu(torch.cat((x, -x), 1, out=out), inplace=True)


class _ConcatELU(torch.autograd.Function):
    """`concat_elu` with one exponential of each feature, not two, and a gradient that needs nothing but the result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        low = x.abs().neg_().exp_().sub_(1)  # ELU of the one of x and −x that is negative; the other is larger
        both = torch.cat((torch.maximum(x, low), torch.maximum(-x, low)), 1)
        ctx.save_for_backward(both)
        return both

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (both,) = ctx.saved_tensors
        slopes = torch.ops.aten.elu_backward(slope, 1, 1, 1, True, both)  # True: `both` is the result
        features = both.shape[1] // 2
        return slopes[:, :features] - slopes[:, features:]


def join(*parts: Tensor) -> Tensor:
    """Features of several, (B, D, H, W) each, side by side of every place, as convolutions want them in memory."""
    return torch.cat(parts, 1).contiguous(memory_format=torch.channels_last)  # torch's own choice is that of the first


def attention(
    query: Tensor, keys: Tensor, values: Tensor, grids: Grids | None = None, *, causal: bool = False
) -> Tensor:
    """Values weighted by the softmax of query · key / √d: (B, heads, N, d), (…, M, d), (…, M, v) to (…, N, v).

    If `causal`, query n sees the keys up to n only. The kernel that never holds all N · M weights wants keys as long as
    values, so zeros make up for what is missing, and the features of a place side by side: else torch takes the one
    that does, and does not say so.
    """
    if grids is not None:
        return grids.attention(query, keys, values, causal=causal)
    scale, size = query.shape[-1] ** -0.5, values.shape[-1]
    if query.shape[2] == 1:  # of one query there is one row of weights, and no zeros to be copied to all keys
        return torch.matmul(torch.matmul(query * scale, keys.transpose(2, 3)).softmax(-1), values)
    width = max(query.shape[-1], size)
    query, keys, values = (F.pad(part, (0, width - part.shape[-1])).contiguous() for part in (query, keys, values))
    seen = F.scaled_dot_product_attention(query, keys, values, is_causal=causal, scale=scale)
    return seen[..., :size]


def remember(sums: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM (van den Oord et al. 2016a, eq. 3): hidden features and new cells, (B, D, …) each.

    Of the sums, (B, 4D, …), the quarters open the output, forget and input gates, and are the content.
    """
    features = cells.shape[1]
    output, forget, admit = torch.sigmoid(sums.narrow(1, 0, 3 * features)).chunk(3, 1)
    cells = forget * cells + admit * torch.tanh(sums.narrow(1, 3 * features, features))
    return output * torch.tanh(cells), cells


def rectify(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Negative numbers become zero."""
    return F.relu(x) if out is None else torch.clamp_min(x, 0, out=out)


def scale(x: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """Each feature times a factor of its own, and shifted: (B, D) by (D,) and (D,) to (B, D)."""
    return torch.addcmul(shift, x, factor)


def normalise(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float = 1e-5, *, grid: Grid | None = None) -> Tensor:
    """Layer norm over the features of each place on its own: (B, D, …) to the same.

    With a grid, of numbers on one (|x| at most 2^12 units, D at most 2^11): sums and products are exact, those of
    squares in float64, so that none is rounded twice, in whatever way it is computed; what follows is one correctly
    rounded operation of IEEE 754 after the other, in float32 whatever the network's own type.
    """
    if grid is None:
        return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, epsilon).movedim(-1, 1)
    some, count, form = x.float(), x.shape[1], (-1, *[1] * (x.ndim - 2))
    total = some.sum(1, keepdim=True)
    squares = (some * some).sum(1, keepdim=True, dtype=torch.float64)
    least, one = (number(value, torch.float64, x.device) for value in (epsilon * count * count, -1.0))
    spread, wide = torch.add(least, squares, alpha=count), total.double()
    inverse = torch.div(one, spread.addcmul_(wide, wide, value=-1).sqrt_()).float()
    scaled = torch.sub(total, some, alpha=count).mul_(inverse).mul_(weight.float().view(form))
    return settle(scaled.add_(bias.float().view(form)), grid).to(x.dtype)
