"""The gated blocks of Gated PixelCNN, with two stacks or one, and the sum of their skip connections."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import LeftState, PixelsLeft, Place, RowsAbove, one_by_one, row_of
from nextpixel.nn.layers import Masked, MaskedState
from nextpixel.nn.norm import ByColour, ColourNorm


class Activation(NamedTuple):
    """What stands between a block's sums and its features."""

    apply: Callable[..., Tensor]  # (B, n·D, …) to (B, D, …), into `out` if that is given
    sums: int  # how many numbers a feature takes (n)
    # What goes in starts with this standard deviation, so that the image reaches the last block of a deep stack from
    # the first step on: a gate halves small numbers.
    gain: float


ACTIVATIONS = {"gate": Activation(ops.gate, 2, 2.0), "relu": Activation(ops.rectify, 1, 2**0.5)}


@dataclass(frozen=True)
class Plan:
    """What a block is to be made of."""

    inputs: tuple[int, ...]  # colour of each feature that comes in
    features: tuple[int, ...]  # colour of each feature of both stacks (D)
    skips: tuple[int, ...]  # colour of each feature that goes to the head
    kernel: int  # odd width k
    context: int  # features of the context, 0 without
    norm: bool  # whether both inputs are normalised
    dropout: float  # share of gated features that training drops
    activation: Activation  # the gate, or what stands for it
    extra: int  # features that only the vertical stack gets
    first: bool  # it sees the image, and nothing of the sub-pixel itself
    last: bool  # only the head follows
    residual: bool  # whether the horizontal stack's input is added to its output

    @property
    def sums(self) -> tuple[int, ...]:
        """Colour of each number that the activation takes."""
        return self.features * self.activation.sums


class GatedBlock(nn.Module, ABC):
    """A layer of Gated PixelCNN: sums are gated, then go on to the next layer and to the head."""

    def finish(self, plan: Plan) -> None:
        """Make what is behind the sums."""
        features, self.adds, self.activate = plan.features, plan.residual, plan.activation.apply
        self.residual = None if plan.last else PixelsLeft(features, features, reach=0, bias=False, gain=0.5)
        self.skip = PixelsLeft(features, plan.skips, reach=0, bias=plan.first, gain=0.5)  # one bias for the sum
        self.dropout = nn.Dropout(plan.dropout)

    @abstractmethod
    def sums(self, v: Tensor, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both stacks, (B, D, H, W) each, to the vertical one's features and the sums of the horizontal one."""

    @abstractmethod
    def init_state(self, batch: int, width: int, context: Tensor | None) -> "BlockState": ...

    @abstractmethod
    def begin_row(self, row: int, v: Tensor, state: "BlockState") -> Tensor:
        """The vertical stack for one row: (B, D, 1, W) to the same."""

    def forward(
        self, v: Tensor, h: Tensor, skips: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both stacks, (B, D, H, W) each, and the sum of skip connections so far, to the same."""
        v, sums = self.sums(v, h, context)
        gated = self.dropout(self.activate(sums))
        h = h if self.residual is None else self.residual(gated, h if self.adds else None)
        return v, h, self.skip(gated, skips)

    def step(
        self, h: Tensor | None, place: Place, state: "BlockState", *, slot: Tensor, out: Tensor | None
    ) -> Tensor | None:
        """The horizontal stack for one sub-step, (B, D_g) to the same; None for the first block, which is told later.

        The gated features go into the slot, for the skip connections, and the result into `out` if that is given.
        """
        near, norm, residual = state
        left = h if h is None or norm is None else norm[place.substep](h)
        gated = self.activate(near.step(left, place, near.left), out=slot)
        if self.residual is None or residual is None:
            return None
        return self.residual.step(gated, place, residual, h if self.adds else None, out=out)


class BlockState(NamedTuple):
    """A block's part of an unroll."""

    near: MaskedState  # of the rows above and of this one
    norm: ByColour | None  # of what comes in from the left
    residual: LeftState | None


class TwoStackBlock(GatedBlock):
    """A layer of both stacks (van den Oord et al. 2016b, figure 2)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.last = plan.last
        reach, wide, gain = plan.kernel // 2, len(plan.sums), plan.activation.gain
        # The vertical stack never sees its own row, so its features have no order of colours to keep.
        self.norm_above = ColourNorm((0,) * len(plan.inputs)) if plan.norm else None
        self.norm_left = ColourNorm(plan.inputs) if plan.norm else None
        self.above = RowsAbove(len(plan.inputs) + plan.extra, wide, reach=reach, strict=plan.first, gain=gain)
        self.link = one_by_one(wide, wide, gain=0.5**0.5)  # the two sums of the horizontal stack share its gain
        left_gain = gain * 0.5**0.5
        self.left = PixelsLeft(plan.inputs, plan.sums, reach=reach, strict=plan.first, bias=False, gain=left_gain)
        self.finish(plan)
        biases = wide if plan.last else 2 * wide
        self.context = one_by_one(plan.context, biases, bias=False) if plan.context else None

    def sums(self, v: Tensor, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        bias = None if self.context is None else self.context(context)
        v, above = self._down(self.above(v if self.norm_above is None else self.norm_above(v)), bias)
        return v, self.left(h if self.norm_left is None else self.norm_left(h), above)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> BlockState:
        near = MaskedState(
            past=self.above.init_state(batch, width),
            bias=None if self.context is None else self.context(context),
            left=self.left.init_state(batch, width),
            step=self.left.step,
        )
        return BlockState(
            near, self.norm_left and self.norm_left.steps(), self.residual and self.residual.init_state(batch, width)
        )

    def begin_row(self, row: int, v: Tensor, state: BlockState) -> Tensor:
        past, bias, left, _ = state.near
        assert past is not None, "a block sees rows above"
        sums = self.above.step(v if self.norm_above is None else self.norm_above(v), past)
        v, above = self._down(sums, None if bias is None else row_of(bias, row))
        self.left.begin_row(above, left)
        return v

    def _down(self, sums: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the vertical stack gives to the next block and to the horizontal stack."""
        wide = sums.shape[1]
        above = self.link(sums)
        if bias is not None:
            above = ops.onto(above, bias[:, :wide])
            if not self.last:  # the gradient of the link needs its input as it was
                sums = sums + bias[:, wide:] if torch.is_grad_enabled() else ops.onto(sums, bias[:, wide:])
        return sums if self.last else self.activate(sums), above


class OneStackBlock(GatedBlock):
    """The same with a masked convolution and its blind spot; what comes in as the vertical stack is handed on."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.norm = ColourNorm(plan.inputs) if plan.norm else None
        settings = {"kernel": plan.kernel, "strict": plan.first, "context": plan.context}
        self.masked = Masked(plan.inputs, plan.sums, **settings, gain=plan.activation.gain)
        self.finish(plan)

    def sums(self, v: Tensor, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return v, self.masked(h if self.norm is None else self.norm(h), context)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> BlockState:
        near = self.masked.init_state(batch, width, context)
        return BlockState(
            near, self.norm and self.norm.steps(), self.residual and self.residual.init_state(batch, width)
        )

    def begin_row(self, row: int, v: Tensor, state: BlockState) -> Tensor:
        self.masked.begin_row(row, state.near)
        return v


class Skips:
    """The sum of all skip connections at one place, as one product: each block leaves its gated features in a slot.

    Slots are by colour, then by block: (B, D_g). The layers are the blocks' 1x1 convolutions to the head, of one size.
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
