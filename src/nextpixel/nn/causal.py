"""Convolutions that are causal along one axis; `step` takes one slice along it, with the weights of `forward`."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.nn import ops


class RowsAbove(nn.Module):
    """A convolution over the rows that end with its own, or, if `strict`, with the one above; steps one row at a time.

    It sees `reach` rows above and columns to either side; rows below are cropped from the kernel, not masked. At the
    start, `gain` is the output's standard deviation for an input of 1.
    """

    grid: ops.Grid | None = None  # of an exact twin, what the output is brought to

    def __init__(self, inputs: int, outputs: int, *, reach: int, strict: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        self.reach, self.strict = reach, strict
        rows = reach if strict else reach + 1
        self.weight = nn.Parameter(torch.empty(outputs, inputs, rows, 2 * reach + 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        start(self.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, O, H, W)."""
        return self._window(self.padded(x))

    def padded(self, x: Tensor) -> Tensor:
        """The input with what its windows see around it."""
        return F.pad(x, (self.reach, self.reach, self.reach, -1 if self.strict else 0))

    def init_state(self, batch: int, width: int) -> Tensor:
        """The last rows seen, with the columns' padding: (B, D, rows, W + 2 reach); at first the padding above."""
        _, inputs, rows, columns = self.weight.shape
        empty = self.weight.new_zeros(batch, inputs, rows, width + columns - 1)
        return empty.contiguous(memory_format=torch.channels_last)

    def step(self, row: Tensor, past: Tensor) -> Tensor:
        """The next row of the input, (B, D, 1, W), to the next row of the output, (B, O, 1, W).

        Where `strict`, the output's row is the one below the input's.
        """
        past[:, :, :-1] = past[:, :, 1:].clone()
        past[:, :, -1:, self.reach : self.reach + row.shape[-1]] = row
        return self._window(past)

    def _window(self, padded: Tensor) -> Tensor:
        return ops.settle(ops.convolve(padded, self.weight, self.bias), self.grid)


Groups = Sequence[int]  # the colour of each feature
Addends = list[Sequence[Tensor | None]]  # for each colour and column, what is added to a layer's output, (B, O_g)


class Place(NamedTuple):
    """Where in a row an unroll is: the pixel, and which of its colours."""

    column: int
    substep: int


class Packed(NamedTuple):
    """The weights of `PixelsLeft` for one sub-step: only what it computes and may see."""

    rows: list[int]  # which features of the layer's output these are (O_g)
    weight: Tensor  # (taps · D, O_g), cut after the last feature that may be seen
    bias: Tensor | None  # (O_g,), where the layer has one


@dataclass(slots=True)
class LeftState:
    """What `PixelsLeft` keeps during an unroll."""

    packed: list[Packed]  # weights for each sub-step
    lane: "Lane | None"  # the input's features in this row; None where the input of a step is all that it sees
    width: int  # columns (W)
    addends: Addends  # what is added in this row, the bias included

    def observe(self, x: Tensor, place: Place) -> None:
        """Take note of the input's features of one colour at one place, (B, D_g)."""
        assert self.lane is not None, "a 1x1 layer gets its input with the step"
        self.lane.cells[place.substep][place.column].copy_(x)


class PixelsLeft(nn.Module):
    """A convolution over the pixels to the left and, by the order of colours, its own; steps one sub-pixel at a time.

    Colour g of the output sees every feature of the pixels to the left, and of its own pixel the features of colours
    up to g, or before g where `strict` (masks B and A of van den Oord et al. 2016a). With `reach` 0 this is a 1x1
    convolution that respects the order of colours. `inputs` are the colours of input features, ascending (D,),
    `outputs` those of output features, in any order (O,).
    """

    mask: Tensor | None
    grid: ops.Grid | None = None  # of an exact twin, what the output is brought to, the addend included

    def __init__(
        self, inputs: Groups, outputs: Groups, *, reach: int, strict: bool = False, bias: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.reach, self.colours, self._outputs = reach, max(outputs) + 1, tuple(outputs)
        # With one colour, the strict layer sees nothing of its own pixel: that tap is cropped away.
        self.own = not (strict and self.colours == 1)
        self._inputs = sizes(inputs)
        self._seen = [bisect_left(inputs, colour + (not strict)) for colour in range(self.colours)]
        self.weight = nn.Parameter(torch.empty(len(outputs), len(inputs), 1, reach + self.own))
        start(self.weight, gain)
        self.bias = nn.Parameter(torch.zeros(len(outputs))) if bias else None
        mask = None
        if self.colours > 1:
            mask = torch.ones(len(outputs), len(inputs), 1, reach + 1)
            mask[:, :, 0, reach] = torch.tensor(np.array(inputs) < np.array(outputs)[:, None] + (not strict))
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        """(B, D, H, W) to (B, O, H, W); `addend` is added to the result."""
        sums = ops.convolve(self.padded(x), self.masked(), self.bias)
        return ops.settle(sums if addend is None else ops.onto(sums, addend), self.grid)

    def padded(self, x: Tensor) -> Tensor:
        """The input with what its windows see at its left."""
        return F.pad(x, (self.reach, 0 if self.own else -1)) if self.reach else x

    def init_state(self, batch: int, width: int) -> "LeftState":
        """The weights of each sub-step as matrices, and room for a row of the input."""
        # (O, taps · D), as a window is pixels by features
        weight = self.masked().squeeze(2).transpose(1, 2).flatten(1)
        inputs = self.weight.shape[1]
        packed = []
        for colour in range(self.colours):
            rows = [row for row, owner in enumerate(self._outputs) if owner == colour]
            columns = self.reach * inputs + (self._seen[colour] if self.own else 0)
            bias = None if self.bias is None else self.bias[rows]
            packed.append(Packed(rows, weight[rows, :columns].t().contiguous(), bias))
        lane, reach = None, self.reach
        if reach or self.colours > 1:
            lengths = [len(part.weight) for part in packed]
            lane = Lane(weight, batch, width if reach else 1, reach=reach, colours=self._inputs, lengths=lengths)
            if not reach:  # nothing is to be kept: all columns share one place, in the processor's cache
                lane.cells, lane.windows = ([views * width for views in its] for its in (lane.cells, lane.windows))
        return LeftState(packed, lane, width, [[part.bias] * width for part in packed])

    def begin_row(self, addend: Tensor, state: LeftState) -> None:
        """In this row the steps add this to their results, (B, O, 1, 1 or W); a single column stands for all."""
        row = addend if self.bias is None else addend + self.bias[:, None, None]
        state.addends = by_column(row, state.width, [part.rows for part in state.packed])

    def step(
        self, x: Tensor | None, place: Place, state: LeftState, more: Tensor | None = None, *, out: Tensor | None = None
    ) -> Tensor:
        """The output's features of one colour at one place, (B, O_g), into `out` if that is given.

        It gets the input's features of that colour, (B, D_g), or None if it is strict: `observe` then tells its state
        of them later. `more` comes beside what `begin_row` was given.
        """
        column, colour = place
        lane, kept, window = state.lane, state.addends[colour][column], x
        if lane is not None:
            cell = lane.cells[colour][column]
            if x is not None and x is not cell:  # else the layer before has put it there
                cell.copy_(x)
            window = lane.windows[colour][column]
        assert window is not None, "only a strict layer, which has a lane, is told of its input later"
        if kept is not None:
            more = kept if more is None else kept + more
        return ops.settle(ops.multiply(window, state.packed[colour].weight, more, out=out), self.grid)

    def masked(self) -> Tensor:
        """The weight, (O, D, 1, taps), with zeros where the order of colours hides something."""
        return self.weight if self.mask is None else self.weight * self.mask


class Lane:
    """The features of one row so far, behind `reach` pixels of padding: what `PixelsLeft` takes its windows from.

    Rows need no reset: a window ends where writing has got to. All views are made once, as making one for each step
    would take as long as the step's arithmetic.

    `colours` says how many features the input has of each, `lengths` how many numbers its window has.
    """

    def __init__(
        self, like: Tensor, batch: int, width: int, *, reach: int, colours: Sequence[int], lengths: Sequence[int]
    ) -> None:
        features = sum(colours)
        self.padded = row = like.new_zeros(batch, (reach + width) * features)  # all numbers in order
        starts = [sum(colours[:colour]) for colour in range(len(colours))]
        # For each colour and column, where to write its features, (B, D_g), and what its sub-step sees, (B, length).
        self.cells = [
            [row.narrow(1, (reach + column) * features + start, size) for column in range(width)]
            for start, size in zip(starts, colours, strict=True)
        ]
        self.windows = [[row.narrow(1, column * features, length) for column in range(width)] for length in lengths]
        self.row = row.unflatten(1, (-1, features))[:, reach:].transpose(1, 2).unsqueeze(2)  # all cells: (B, D, 1, W)


def by_column(row: Tensor, width: int, colours: Sequence[Sequence[int]]) -> Addends:
    """Cut a row, (B, O, 1, W) or one column that stands for all, by columns and by the features of each colour."""
    columns = row.squeeze(2).permute(2, 0, 1).expand(width, -1, -1)
    parts = [columns] if len(colours) == 1 else [columns[..., features] for features in colours]
    return [part.contiguous().unbind(0) for part in parts]


def row_of(context: Tensor, row: int) -> Tensor:
    """The row of a map that has one row for all or one for each: (B, O, 1, 1 or W)."""
    return context if context.shape[2] == 1 else context[:, :, row : row + 1]


def split(features: int, colours: int) -> tuple[int, ...]:
    """The colour of each feature when `features` are shared out in order, as evenly as can be."""
    return tuple(feature * colours // features for feature in range(features))


def sizes(features: Groups) -> list[int]:
    """How many features each colour has, given the colour of each: the other way round from `split`."""
    return [features.count(colour) for colour in range(max(features) + 1)]


def one_by_one(inputs: int, outputs: int, *, bias: bool = True, gain: float = 1.0) -> PixelsLeft:
    """A 1x1 convolution that sees every feature of its place: for what depends on rows above, or on no pixel at all."""
    return PixelsLeft((0,) * inputs, (0,) * outputs, reach=0, bias=bias, gain=gain)


def listed(layers: Iterable[nn.Module]) -> Any:
    """A `ModuleList`, which may be declared to be a list of what is in it."""
    return nn.ModuleList(layers)


def start(weight: Tensor, gain: float) -> None:
    """Draw first weights that make the output's standard deviation `gain` for an input of 1."""
    bound = gain * math.sqrt(3 / max(1, weight[0].numel()))
    nn.init.uniform_(weight, -bound, bound)
