"""The gated blocks of Gated PixelCNN, with two stacks or one, and the sum of their skip connections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import Addends, LeftState, PixelsLeft, Place, RowsAbove, one_by_one, row_of
from nextpixel.nn.layers import Masked, MaskedState
from nextpixel.nn.norm import ColourNorm


class Activation(NamedTuple):
    """What stands between a block's sums and its features."""

    apply: Callable[..., Tensor]  # (B, n·D, …) to (B, D, …), into `out` if that is given
    sums: int  # how many numbers a feature takes (n)
    # What goes in starts with this standard deviation, so that the image reaches the last block of a deep stack from
    # the first step on: a gate halves small numbers.
    gain: float


ACTIVATIONS = {"gate": Activation(ops.gate, 2, 2.0), "relu": Activation(ops.rectify, 1, 2**0.5)}


class TwoStackBlock(nn.Module):
    """A layer of both stacks (van den Oord et al. 2016b, figure 2).

    Args:
        inputs: colour of each feature that comes in.
        features: colour of each feature of both stacks (D).
        skips: colour of each feature that goes to the head.
        kernel: odd width k.
        context: features of the context, 0 without.
        norm: whether both inputs are normalised.
        dropout: share of gated features that training drops.
        activation: the gate, or what stands for it.
        extra: features that only the vertical stack gets.
        first: it sees the image, and nothing of the sub-pixel itself.
        last: only the head follows.
        residual: whether the horizontal stack's input is added to its output.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        features: tuple[int, ...],
        skips: tuple[int, ...],
        *,
        kernel: int,
        context: int,
        norm: bool,
        dropout: float,
        activation: Activation,
        extra: int = 0,
        first: bool,
        last: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.last, self.adds, self.normalised, self.activate = last, residual, norm, activation.apply
        reach = kernel // 2
        sums, gain = features * activation.sums, activation.gain
        wide = len(sums)
        # The vertical stack never sees its own row, so its features have no order of colours to keep.
        self.norm_above = ColourNorm((0,) * len(inputs)) if norm else None
        self.norm_left = ColourNorm(inputs) if norm else None
        self.above = RowsAbove(len(inputs) + extra, wide, reach=reach, strict=first, gain=gain)
        self.link = one_by_one(wide, wide, gain=0.5**0.5)  # the two sums of the horizontal stack share its gain
        self.left = PixelsLeft(inputs, sums, reach=reach, strict=first, bias=False, gain=gain * 0.5**0.5)
        self.residual = None if last else PixelsLeft(features, features, reach=0, bias=False, gain=0.5)
        self.skip = PixelsLeft(features, skips, reach=0, bias=first, gain=0.5)  # one bias for the sum
        self.context = one_by_one(context, wide if last else 2 * wide, bias=False) if context else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, v: Tensor, h: Tensor, skips: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both stacks, (B, D, H, W) each, and the sum of skip connections so far, to the same."""
        bias = None if self.context is None else self.context(context)
        v, above = self._down(self.above(v if self.norm_above is None else self.norm_above(v)), bias)
        left = h if self.norm_left is None else self.norm_left(h)
        gated = self.dropout(self.activate(self.left(left, above)))
        h = h if self.residual is None else self.residual(gated, h if self.adds else None)
        return v, h, self.skip(gated, skips)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "BlockState":
        return BlockState(
            past=self.above.init_state(batch, width),
            bias=None if self.context is None else self.context(context),
            left=self.left.init_state(batch, width),
            residual=None if self.residual is None else self.residual.init_state(batch, width),
            addends=[],
        )

    def begin_row(self, row: int, v: Tensor, state: "BlockState") -> Tensor:
        """The vertical stack for one row: (B, D, 1, W) to the same."""
        sums = self.above.step(v if self.norm_above is None else self.norm_above(v), state.past)
        v, above = self._down(sums, None if state.bias is None else row_of(state.bias, row))
        state.addends = state.left.by_column(above, v.shape[-1])
        return v

    def step(
        self, h: Tensor | None, place: Place, state: "BlockState", *, slot: Tensor, out: Tensor | None
    ) -> Tensor | None:
        """The horizontal stack for one sub-step: (B, D_g) to the same.

        Args:
            h: what comes in; None for the first block, which is told of the image later.
            place: column and colour.
            slot: where the gated features go, for the skip connections.
            out: where the result goes, if not into a tensor of its own.
        """
        left = h if h is None or self.norm_left is None else self.norm_left.step(h, place.substep)
        above = state.addends[place.substep][place.column]
        gated = self.activate(self.left.step(left, place, state.left, above), out=slot)
        if self.residual is None or state.residual is None:
            return None
        return self.residual.step(gated, place, state.residual, h if self.adds else None, out=out)

    def _down(self, sums: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the vertical stack gives to the next block and to the horizontal stack."""
        wide = sums.shape[1]
        above = self.link(sums)
        if bias is not None:
            above = above + bias[:, :wide]
            sums = sums if self.last else sums + bias[:, wide:]
        return sums if self.last else self.activate(sums), above


class OneStackBlock(nn.Module):
    """The same block with a masked convolution instead of a vertical stack: its blind spot is that of `pixelcnn`.

    Args: as those of `TwoStackBlock`, without `extra`.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        features: tuple[int, ...],
        skips: tuple[int, ...],
        *,
        kernel: int,
        context: int,
        norm: bool,
        dropout: float,
        activation: Activation,
        first: bool,
        last: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.adds, self.normalised, self.activate = residual, norm, activation.apply
        self.norm = ColourNorm(inputs) if norm else None
        sums, gain = features * activation.sums, activation.gain
        self.masked = Masked(inputs, sums, kernel=kernel, strict=first, context=context, gain=gain)
        self.residual = None if last else PixelsLeft(features, features, reach=0, bias=False, gain=0.5)
        self.skip = PixelsLeft(features, skips, reach=0, bias=first, gain=0.5)  # one bias for the sum
        self.dropout = nn.Dropout(dropout)

    @property
    def left(self) -> PixelsLeft:
        return self.masked.left

    def forward(
        self, v: Tensor, h: Tensor, skips: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `TwoStackBlock`; what is handed to it as the vertical stack is handed on."""
        gated = self.dropout(self.activate(self.masked(h if self.norm is None else self.norm(h), context)))
        h = h if self.residual is None else self.residual(gated, h if self.adds else None)
        return v, h, self.skip(gated, skips)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "OneStackState":
        masked = self.masked.init_state(batch, width, context)
        return OneStackState(
            masked=masked,
            left=masked.left,
            residual=None if self.residual is None else self.residual.init_state(batch, width),
        )

    def begin_row(self, row: int, v: Tensor, state: "OneStackState") -> Tensor:
        self.masked.begin_row(row, state.masked)
        return v

    def step(
        self, h: Tensor | None, place: Place, state: "OneStackState", *, slot: Tensor, out: Tensor | None
    ) -> Tensor | None:
        left = h if h is None or self.norm is None else self.norm.step(h, place.substep)
        gated = self.activate(self.masked.step(left, place, state.masked), out=slot)
        if self.residual is None or state.residual is None:
            return None
        return self.residual.step(gated, place, state.residual, h if self.adds else None, out=out)


@dataclass
class BlockState:
    """A block's part of an unroll; `left` and `residual` are of the horizontal stack's layers."""

    past: Tensor  # the vertical stack's last rows
    bias: Tensor | None  # of the context, (B, O, 1 or H, 1 or W)
    left: LeftState
    residual: LeftState | None
    addends: Addends  # what this row's rows above add to the horizontal stack, for each sub-step and column: (B, 2D_g)


@dataclass
class OneStackState:
    """The same for a block with one stack."""

    masked: MaskedState
    left: LeftState
    residual: LeftState | None


class Skips:
    """The sum of all skip connections at one place, as one product: each block leaves its gated features in a slot.

    Args:
        layers: the blocks' 1x1 convolutions to the head, all of the same sizes.
        batch: images (B).

    Attributes:
        slots: for each colour and block, (B, D_g).
    """

    def __init__(self, layers: Sequence[PixelsLeft], batch: int) -> None:
        packed = [layer.init_state(batch, 1).packed for layer in layers]
        ends = [len(part.weight) for part in packed[0]]  # of what each colour may see
        sizes = [end - start for start, end in pairwise([0, *ends])]
        # By colour, then by block: what a colour may see of all blocks is then the beginning of one row.
        row = layers[0].weight.new_zeros(batch, ends[-1] * len(layers))
        columns = iter(row.split([size for size in sizes for _ in layers], 1))
        self.slots = [[next(columns) for _ in layers] for _ in sizes]
        self._windows = [row[:, : end * len(layers)] for end in ends]
        self._weights = [
            torch.cat([parts[colour].weight[end - size : end] for end, size in seen for parts in packed])
            for colour, seen in enumerate([list(zip(ends, sizes, strict=True))[: g + 1] for g in range(len(ends))])
        ]
        self._biases = [parts.bias for parts in packed[0]]  # the first block's is that of the sum

    def sum(self, colour: int) -> Tensor:
        """The sum for one colour, (B, S_g), once all blocks have filled their slots."""
        return ops.multiply(self._windows[colour], self._weights[colour], self._biases[colour])
