"""The LSTMs of PixelRNN: along rows, and along diagonals in both directions.

References:
    [1] van den Oord et al., Pixel Recurrent Neural Networks, 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import Addends, Lane, LeftState, PixelsLeft, Place, by_column, one_by_one, row_of, sizes, start
from nextpixel.nn.layers import Layer
from nextpixel.nn.scan import scan

GATES = 4  # output, forget, input, content: the sums of an LSTM have four numbers a feature


class RowLSTM(Layer):
    """An LSTM whose step is a row: each place sees its row to the left, and a triangle of the rows above [1, 3.1].

    Inputs (D,) and hidden features (O,) are given by their colours, ascending; `kernel` is the odd width of both
    convolutions along rows, `context` how many features the context has, 0 without.
    """

    def __init__(self, inputs: Sequence[int], features: Sequence[int], *, kernel: int, context: int) -> None:
        super().__init__()
        self.features = tuple(features)
        sums = self.features * GATES
        self.input = PixelsLeft(inputs, sums, reach=kernel // 2)
        self.state = nn.Parameter(torch.empty(len(sums), len(features), 1, kernel))
        start(self.state, 1.0)
        self.context = one_by_one(context, len(sums), bias=False) if context else None

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, D, H, W) to (B, O, H, W): the input's sums of all rows at once, then row after row."""
        sums = self.input(x, None if self.context is None else self.context(context))
        return scan(sums, self.state.squeeze(2))

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "LSTMState":
        each = sizes(self.features)
        return LSTMState(
            bias=None if self.context is None else self.context(context),
            input=self.input.init_state(batch, width),
            hidden=Lane(self.state, batch, width, reach=0, colours=each, lengths=[]),
            cells=Lane(self.state, batch, width, reach=0, colours=each, lengths=[]),
        )

    def begin_row(self, row: int, state: "LSTMState") -> None:
        above = self._from_above(state.hidden.row)
        self.input.begin_row(above if state.bias is None else above + row_of(state.bias, row), state.input)

    def step(self, x: Tensor | None, place: Place, state: "LSTMState") -> Tensor:
        column, colour = place
        sums = self.input.step(x, place, state.input)
        cell = state.cells.cells[colour][column]  # still that of the row above
        hidden, cells = ops.remember(sums, cell)
        cell.copy_(cells)
        state.hidden.cells[colour][column].copy_(hidden)
        return hidden

    def _from_above(self, hidden: Tensor) -> Tensor:
        reach = self.state.shape[-1] // 2
        return ops.convolve(F.pad(hidden, (reach, reach)), self.state)


@dataclass
class LSTMState:
    """What an LSTM keeps: hidden features and cells of this row as far as it goes, and beyond, of the row above."""

    bias: Tensor | None  # of the context
    input: LeftState
    hidden: Lane
    cells: Lane
    from_left: Sequence[Tensor] = ()  # weights of what arrives from the left, for each colour, of a `Diagonal`
    addends: Addends = field(default_factory=list)  # what arrives from above, of a `Diagonal`


class FromRight(Layer):
    """An LSTM along diagonals from the top right, shifted one row down, so that it brings only what lies in rows above.

    Its input therefore needs no order of colours, and may even be the image itself. Arguments are those of `RowLSTM`.
    """

    def __init__(self, inputs: Sequence[int], features: Sequence[int], *, context: int) -> None:
        super().__init__()
        self.sizes = sizes(inputs)
        self.lstm = Diagonal((0,) * len(inputs), (0,) * len(features), context=context)
        self.rows = [[row for row, owner in enumerate(features) if owner == g] for g in range(max(features) + 1)]

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, D, H, W) to (B, O, H, W)."""
        mirrored = self.lstm(x.flip(3), None if context is None else context.flip(3))
        return F.pad(mirrored.flip(3), (0, 0, 1, -1))

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "RightState":
        return RightState(
            lstm=self.lstm.init_state(batch, width, None if context is None else context.flip(3)),
            input=Lane(self.lstm.state, batch, width, reach=0, colours=self.sizes, lengths=[]),
            addends=[],
        )

    def begin_row(self, row: int, state: "RightState") -> None:
        if row > 0:  # it goes through the row above, now that that is complete
            self.lstm.begin_row(row - 1, state.lstm, state.input.row.flip(3))
            for column in range(state.lstm.input.width):
                self.lstm.step(None, Place(column, 0), state.lstm)
        state.addends = by_column(state.lstm.hidden.row[..., 1:].flip(3), state.lstm.input.width, self.rows)

    def step(self, x: Tensor | None, place: Place, state: "RightState") -> Tensor:
        if x is not None:
            self.observe(x, place, state)
        brought = state.addends[place.substep][place.column]
        assert brought is not None, "a row has been begun"
        return brought

    def observe(self, x: Tensor, place: Place, state: "RightState") -> None:
        state.input.cells[place.substep][place.column].copy_(x)


class Diagonal(Layer):
    """An LSTM at each place of which those at its left and above it arrive, by diagonals [1, section 3.2]."""

    def __init__(self, inputs: Sequence[int], features: Sequence[int], *, context: int) -> None:
        super().__init__()
        self.features = tuple(features)
        sums = self.features * GATES
        self.input = PixelsLeft(inputs, sums, reach=0)
        self.state = nn.Parameter(torch.empty(len(sums), len(features), 2, 1))  # from above, from the left
        start(self.state, 1.0)
        self.context = one_by_one(context, len(sums), bias=False) if context else None

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, D, H, W) to (B, O, H, W): the input's sums of all places at once, then diagonal after diagonal."""
        sums = self.input(x, None if self.context is None else self.context(context))
        return scan(sums, self.state.squeeze(3), diagonal=True)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> LSTMState:
        each = sizes(self.features)
        seen = [len(self.features)] * len(each)
        inputs = self.input.init_state(batch, width)
        from_left = self.state[:, :, 1, 0]
        # Lanes have a column more than the image, at its left, where nothing is ever written.
        return LSTMState(
            bias=None if self.context is None else self.context(context),
            input=inputs,
            from_left=[from_left[part.rows].t().contiguous() for part in inputs.packed],
            hidden=Lane(self.state, batch, width + 1, reach=0, colours=each, lengths=seen),
            cells=Lane(self.state, batch, width + 1, reach=0, colours=each, lengths=[]),
        )

    def begin_row(self, row: int, state: LSTMState, x: Tensor | None = None) -> None:
        """Do what depends only on rows above, and on the input of this row, (B, D, 1, W), if that is known."""
        addend = ops.convolve(state.hidden.row[..., 1:], self.state[:, :, :1])
        if state.bias is not None:
            addend = addend + row_of(state.bias, row)
        if x is not None:
            addend = self.input(x, addend)
        state.addends = by_column(addend, state.input.width, [part.rows for part in state.input.packed])

    def step(self, x: Tensor | None, place: Place, state: LSTMState) -> Tensor:
        """The features of one colour at one place, (B, D_g) to (B, O_g); None where `begin_row` was given the input."""
        column, colour = place
        left, addend = state.hidden.windows[colour][column], state.addends[colour][column]
        sums = ops.multiply(left, state.from_left[colour], addend)
        if x is not None:
            sums = self.input.step(x, place, state.input, sums)
        hidden, cells = ops.remember(sums, state.cells.cells[colour][column])
        state.cells.cells[colour][column + 1].copy_(cells)
        state.hidden.cells[colour][column + 1].copy_(hidden)
        return hidden


@dataclass
class RightState:
    """What `FromRight` keeps: its LSTM's state, mirrored; the input's row; and what it brings to this row."""

    lstm: LSTMState
    input: Lane
    addends: Addends
