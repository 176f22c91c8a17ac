"""Gated residual blocks of PixelCNN++ and PixelSNAIL: of the stream above, of the stream at the left, of a place."""

from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar, cast

from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import one_by_one, row_of
from nextpixel.nn.norm import WeightNorm
from nextpixel.nn.shifted import Dense, Down, DownRight, DownRightState


class Features(NamedTuple):
    """Features of a stream, (B, D, …), and `ops.concat_elu` of them, which is what most layers take: (B, 2D, …)."""

    plain: Tensor
    both: Tensor


def features(plain: Tensor, grid: ops.Grids | None = None) -> Features:
    """Features with their `concat_elu`; of an exact twin, brought to their grid."""
    plain = ops.settle(plain, grid)
    return Features(plain, ops.concat_elu(plain, grid))


class Brought(NamedTuple):
    """The grids of a block of an exact twin: before its second convolution, of the sums behind it, of its result."""

    middle: ops.Grids | None = None
    sums: ops.Grids | None = None
    result: ops.Grids | None = None


class Steps(NamedTuple):
    """The layers of a block as functions, which in an unroll know their weights and what came before."""

    enter: Callable[[Tensor], Tensor]
    beside: Callable[[Tensor], Tensor] | None
    leave: Callable[[Tensor], Tensor]
    bias: Tensor | None = None  # of the context, (B, 2D, 1 or H, 1 or W)
    grids: Brought = Brought()

    def block(self, x: Features, beside: Tensor | None, bias: Tensor | None) -> Tensor:
        """The block: features (B, D, …), what comes in beside them (B, …), and a bias (B, 2D, …), to (B, D, …)."""
        middle = self.enter(x.both)
        if beside is not None and self.beside is not None:
            middle = ops.onto(middle, self.beside(beside))
        sums = self.leave(ops.concat_elu(ops.settle(middle, self.grids.middle), self.grids.middle))
        gated = ops.glu(sums if bias is None else ops.onto(sums, bias), self.grids.sums)
        return ops.settle(ops.onto(gated, x.plain), self.grids.result)


Kind = TypeVar("Kind", bound=WeightNorm)


class Block(nn.Module, Generic[Kind]):
    """A gated residual block (Salimans et al. 2017, section 2.4, and the authors' code) of `filters` features (D).

    `beside` and `context` are how many features these have, 0 without; dropout is between the convolutions.
    """

    kind: Callable[..., Kind]  # makes its convolutions: one of 2D features to D, one of 2D to 2D
    grids, given = Brought(), cast("ops.Grids | None", None)  # of an exact twin; the other is that of what comes in

    def __init__(self, filters: int, *, beside: int = 0, context: int = 0, dropout: float) -> None:
        super().__init__()
        self.enter = self.kind(2 * filters, filters)
        self.leave = self.kind(2 * filters, 2 * filters, scale=0.1)
        self.beside = Dense(beside, filters) if beside else None
        self.context = one_by_one(context, 2 * filters, bias=False) if context else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Features, beside: Tensor | None, context: Tensor | None) -> Features:
        """Features (B, D, H, W), what comes in beside them (B, …, H, W), and a context, to the same."""
        steps = Steps(self.enter, self.beside, lambda middle: self.leave(self.dropout(middle)), grids=self.grids)
        made = steps.block(x, beside, None if self.context is None else self.context(context))
        return Features(made, ops.concat_elu(made, self.grids.result))


class BlockAbove(Block[Down]):
    """A block of the stream above; steps one row at a time."""

    kind = Down

    def init_state(self, batch: int, width: int, context: Tensor | None) -> Steps:
        beside = self.beside
        return Steps(
            enter=partial(self.enter.step, state=self.enter.init_state(batch, width)),
            beside=beside and partial(ops.convolve, weight=beside.weight(), bias=beside.bias),
            leave=partial(self.leave.step, state=self.leave.init_state(batch, width)),
            bias=None if self.context is None else self.context(context),
            grids=self.grids,
        )

    def begin_row(self, row: int, x: Features, beside: Tensor | None, state: Steps) -> Features:
        """The whole block for one row, (B, D, 1, W) to the same."""
        made = state.block(x, beside, None if state.bias is None else row_of(state.bias, row))
        return Features(made, ops.concat_elu(made, self.grids.result))


class BlockLeft(Block[DownRight]):
    """A block of the stream at the left; steps one place at a time.

    What comes in beside, if anything, is 2D features of the stream above, and behind them, perhaps, 2D of its own.
    """

    kind = DownRight

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "BlockLeftState":
        beside = () if self.beside is None else self.beside.weight().split(self.enter.direction.shape[1], 1)
        return BlockLeftState(
            enter=self.enter.init_state(batch, width),
            leave=self.leave.init_state(batch, width),
            above=beside[0].flatten(1).contiguous() if beside else None,
            left=ops.packed(beside[1].flatten(1), batch) if len(beside) > 1 else None,
            bias=None if self.context is None else self.context(context),
        )

    def begin_row(self, row: int, above: Tensor | None, state: "BlockLeftState") -> None:
        """Do what depends on rows above: the block's own last row, and a row of the stream above, (B, 2D, 1, W)."""
        addend = None
        if self.beside is not None and above is not None and state.above is not None:
            addend = ops.multiply_row(places_of(above), state.above, self.beside.bias)
        self.enter.begin_row(state.enter, addend)
        self.leave.begin_row(state.leave, None if state.bias is None else places_of(row_of(state.bias, row)))

    def step(self, x: Tensor, column: int, left: Tensor | None, state: "BlockLeftState") -> Tensor:
        """The block at a column of its level: features (B, D), and from its own stream what comes in beside (B, 2D)."""
        enter, leave, grids = state.enter, state.leave, self.grids
        ops.concat_elu(x, self.given, out=enter.cells[column])  # where the second half of PixelCNN++ will look for it
        middle = self.enter.step(column, enter)
        if left is not None and state.left is not None:
            middle = ops.multiply(left, state.left, middle)
        ops.concat_elu(ops.settle(middle, grids.middle), grids.middle, out=leave.cells[column])
        return ops.settle(x + ops.glu(self.leave.step(column, leave), grids.sums), grids.result)


class BlockLeftState(NamedTuple):
    """What `BlockLeft` keeps during an unroll; `enter` and `leave` are of its convolutions."""

    enter: DownRightState
    leave: DownRightState
    above: Tensor | None  # kernels for the stream above, if that comes in, (D, 2D)
    left: Tensor | None  # of 2D features to D, for what comes in beside from its own stream, `ops.packed`
    bias: Tensor | None  # of the context, (B, 2D, 1 or H, 1 or W)


def places_of(row: Tensor) -> Tensor:
    """A row of features, (B, O, 1, W), place by place: (B, W, O)."""
    return row.squeeze(2).transpose(1, 2)


class BlockPlace(Block[Dense]):
    """A block that sees one place only, and steps there; without a context."""

    kind = Dense

    def init_state(self, batch: int) -> Steps:
        """Its `block` is the step, from features (B, D), without a bias."""
        beside = self.beside and self.beside.at_place(batch)
        return Steps(self.enter.at_place(batch), beside, self.leave.at_place(batch), grids=self.grids)
