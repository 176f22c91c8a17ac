"""Gated PixelCNN: two stacks of gated convolutions, without a blind spot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.autoregressive import Backbone
from nextpixel.errors import BadInput
from nextpixel.nn import ops
from nextpixel.nn.causal import LeftState, PixelsLeft, Place, RowsAbove, one_by_one, split
from nextpixel.nn.norm import ColourNorm
from nextpixel.spec import ImageSpec


class GatedPixelCNN(Backbone):
    """Two stacks see everything earlier: the vertical one all rows above, the horizontal one this row's left.

    The paper replaces ReLUs by gates and removes the blind spot of masked convolutions [1, section 2]. Here a row of
    the vertical stack ends with the row above from the first layer on, so that nothing needs to be shifted between
    the stacks, and skip connections from every block are summed for the head.

    Args:
        filters: features in each stack (D).
        blocks: gated blocks after the first.
        kernel: odd width k of the blocks' convolutions, which see k // 2 rows above and k // 2 pixels to the left.
        first_kernel: the same for the first block, which sees the image.
        head: features of the skip connections and of the 1x1 layers before the parameters.
        norm: "layer" normalises both stacks before each block, the features of each colour on their own.
        dropout: share of gated features that training drops.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.

    References:
        [1] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016.

    Example:
        >>> import nextpixel as npx
        >>> model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 28, 28, levels=2), "bernoulli", filters=8, blocks=2)
        >>> model.sample(4, seed=0).shape
        torch.Size([4, 1, 28, 28])
    """

    def __init__(
        self,
        spec: ImageSpec,
        parameters: int,
        context: int = 0,
        *,
        filters: int = 128,
        blocks: int = 10,
        kernel: int = 3,
        first_kernel: int = 7,
        head: int = 64,
        norm: Literal["none", "layer"] = "none",
        dropout: float = 0.0,
        colours: Literal["dependent", "independent"] = "dependent",
    ) -> None:
        super().__init__(spec, parameters, colours=colours)
        _check(filters=filters, head=head, kernel=kernel, first_kernel=first_kernel, blocks=blocks, dropout=dropout)
        if min(filters, head) < self.substeps:
            raise BadInput(f"filters and head must be at least {self.substeps}, one feature a colour.")
        if norm not in ("none", "layer"):
            raise BadInput(f"norm must be none or layer, not {norm!r}.")
        pixel = split(spec.channels, self.substeps)
        features, skips = split(filters, self.substeps), split(head, self.substeps)
        made = [
            GatedBlock(
                features if index else pixel,
                features,
                skips,
                reach=(kernel if index else first_kernel) // 2,
                context=context,
                norm=norm == "layer" and index > 0,
                dropout=dropout,
                first=index == 0,
                last=index == blocks,
            )
            for index in range(blocks + 1)
        ]
        self.blocks = cast("list[GatedBlock]", nn.ModuleList(made))
        self.head = PixelsLeft(skips, skips, reach=0)
        self.parameters_of = PixelsLeft(skips, [colour for colour in pixel for _ in range(parameters)], reach=0)
        self.head_context = one_by_one(context, head, bias=False) if context else None

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        v = h = self.embed(levels)
        skips: Tensor | None = None
        for block in self.blocks:
            v, h, skips = block(v, h, skips, context)
        assert skips is not None, "there is always a first block"
        bias = None if self.head_context is None else self.head_context(context)
        return self.as_parameters(_read(skips, lambda x: self.head(x, bias), self.parameters_of))

    def init_state(self, batch: int, context: Tensor | None) -> "GatedState":
        width = self.spec.width
        return GatedState(
            blocks=[block.init_state(batch, width, context) for block in self.blocks],
            head=self.head.init_state(batch, width),
            parameters_of=self.parameters_of.init_state(batch, width),
            bias=None if self.head_context is None else self.head_context(context),
            addends=[[None] * width] * self.substeps,
        )

    def begin_row(self, row: int, above: Tensor | None, state: "GatedState") -> None:
        past, width = state.blocks[0].past, self.spec.width
        if above is None:
            v = past.new_zeros(past.shape[0], self.spec.channels, 1, width)
        else:
            v = self.embed(above)[:, :, None]
        for block, block_state in zip(self.blocks, state.blocks, strict=True):
            v = block.begin_row(row, v, block_state)
        if state.bias is not None:
            state.addends = _by_column(_row_of(state.bias, row), width, state.head)

    def step(self, column: int, substep: int, state: "GatedState") -> Tensor:
        place = Place(column, substep)
        h: Tensor | None = None
        skips: Tensor | None = None
        for block, block_state in zip(self.blocks, state.blocks, strict=True):
            h, skips = block.step(h, skips, place, block_state)
        assert skips is not None, "there is always a first block"
        parameters = _read(
            skips,
            lambda x: self.head.step(x, place, state.head, state.addends[substep][column]),
            lambda x: self.parameters_of.step(x, place, state.parameters_of),
        )
        return parameters.unflatten(1, (-1, self.parameters_each))

    def observe(self, column: int, substep: int, levels: Tensor, state: "GatedState") -> None:
        first = self.blocks[0]
        first.left.observe(self.embed(levels), Place(column, substep), state.blocks[0].left)


class GatedBlock(nn.Module):
    """A layer of both stacks [1, figure 2].

    Args:
        inputs: colour of each feature that comes in.
        features: colour of each feature of both stacks (D).
        skips: colour of each feature that goes to the head.
        reach: rows above and pixels to the left.
        context: features of the context, 0 without.
        norm: whether both inputs are normalised.
        dropout: share of gated features that training drops.
        first: it sees the image: nothing of the sub-pixel itself, and no residual connection.
        last: only the head follows.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        features: tuple[int, ...],
        skips: tuple[int, ...],
        *,
        reach: int,
        context: int,
        norm: bool,
        dropout: float,
        first: bool,
        last: bool,
    ) -> None:
        super().__init__()
        self.first, self.last = first, last
        wide = 2 * len(features)
        # The vertical stack never sees its own row, so its features have no order of colours to keep.
        self.norm_above = ColourNorm((0,) * len(inputs)) if norm else None
        self.norm_left = ColourNorm(inputs) if norm else None
        # A gate halves small numbers. What goes into it starts with a gain of 2, in the horizontal stack shared out
        # between its two sums, so that the image reaches the last block of a deep stack from the first step on.
        self.above = RowsAbove(len(inputs), wide, reach=reach, strict=first, gain=2.0)
        self.link = one_by_one(wide, wide, gain=0.5**0.5)
        self.left = PixelsLeft(inputs, features + features, reach=reach, strict=first, bias=False, gain=2**0.5)
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
        gated = self.dropout(ops.gate(self.left(left, above)))
        h = h if self.residual is None else self.residual(gated, None if self.first else h)
        return v, h, self.skip(gated, skips)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "BlockState":
        return BlockState(
            past=self.above.init_state(batch, width),
            bias=None if self.context is None else self.context(context),
            left=self.left.init_state(batch, width),
            residual=None if self.residual is None else self.residual.init_state(batch, width),
            skip=self.skip.init_state(batch, width),
            addends=[],
        )

    def begin_row(self, row: int, v: Tensor, state: "BlockState") -> Tensor:
        """The vertical stack for one row: (B, D, 1, W) to the same."""
        sums = self.above.step(v if self.norm_above is None else self.norm_above(v), state.past)
        v, above = self._down(sums, None if state.bias is None else _row_of(state.bias, row))
        state.addends = _by_column(above, v.shape[-1], state.left)
        return v

    def step(
        self, h: Tensor | None, skips: Tensor | None, place: Place, state: "BlockState"
    ) -> tuple[Tensor | None, Tensor]:
        """The horizontal stack for one sub-step: (B, D_g) to the same; None for the first block, as in `observe`."""
        left = h if h is None or self.norm_left is None else self.norm_left.step(h, place.substep)
        above = state.addends[place.substep][place.column]
        gated = ops.gate(self.left.step(left, place, state.left, above))
        skips = self.skip.step(gated, place, state.skip, skips)
        if self.residual is not None and state.residual is not None:
            h = self.residual.step(gated, place, state.residual, h)
        return h, skips

    def _down(self, sums: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the vertical stack gives to the next block and to the horizontal stack."""
        wide = sums.shape[1]
        above = _add(self.link(sums), None if bias is None else bias[:, :wide])
        if self.last:
            return sums, above
        return ops.gate(_add(sums, None if bias is None else bias[:, wide:])), above


@dataclass
class BlockState:
    """A block's part of an unroll.

    Attributes:
        past: the vertical stack's last rows.
        bias: of the context, (B, O, 1 or H, 1 or W).
        left, residual, skip: of the horizontal stack's layers.
        addends: what this row's rows above add to the horizontal stack, for each sub-step and column: (B, 2D_g).
    """

    past: Tensor
    bias: Tensor | None
    left: LeftState
    residual: LeftState | None
    skip: LeftState
    addends: "Addends"


@dataclass
class GatedState:
    """The state of an unroll: a part for each block, and the head's."""

    blocks: list[BlockState]
    head: LeftState
    parameters_of: LeftState
    bias: Tensor | None
    addends: "Addends"


Addends = list[Sequence[Tensor | None]]


def _read(skips: Tensor, head: Callable[[Tensor], Tensor], parameters_of: Callable[[Tensor], Tensor]) -> Tensor:
    return parameters_of(F.relu(head(F.relu(skips))))


def _add(x: Tensor, y: Tensor | None) -> Tensor:
    return x if y is None else x + y


def _row_of(context: Tensor, row: int) -> Tensor:
    """Row of a map that has one row for all or one for each: (B, O, 1, 1 or W)."""
    return context if context.shape[2] == 1 else context[:, :, row : row + 1]


def _by_column(row: Tensor, width: int, layer: LeftState) -> Addends:
    """(B, O, 1, 1 or W) to a tensor (B, O_g) for each sub-step and column."""
    columns = row.squeeze(2).permute(2, 0, 1).expand(width, -1, -1)
    parts = [columns] if len(layer.packed) == 1 else [columns[..., part.rows] for part in layer.packed]
    return [part.contiguous().unbind(0) for part in parts]


def _check(*, filters: int, head: int, kernel: int, first_kernel: int, blocks: int, dropout: float) -> None:
    for name, value, least in (("filters", filters, 1), ("head", head, 1), ("blocks", blocks, 0)):
        if not isinstance(value, int) or value < least:
            raise BadInput(f"{name} must be a whole number of at least {least}, not {value!r}.")
    for name, value, least in (("kernel", kernel, 1), ("first_kernel", first_kernel, 3)):
        if not isinstance(value, int) or value < least or value % 2 == 0:
            raise BadInput(f"{name} must be odd and at least {least}, not {value!r}.")
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise BadInput(f"dropout must be in [0, 1), not {dropout!r}.")
