"""Layers of the streams of PixelCNN++: one goes down the rows, one down and right; each as a whole and in steps.

The stream above sees rows above, a whole row at a time; the stream at the left sees, in rows above and in its own,
places up to its column. Both are kept away from the pixel itself by their first layers only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import Lane
from nextpixel.nn.norm import WeightNorm


class Down(WeightNorm):
    """A convolution over the row above and its own, and the columns to both sides; steps one row at a time.

    A stride of 2 gives every other row and column, from the first on. Other arguments are those of `WeightNorm`.
    """

    def __init__(
        self, inputs: int, outputs: int, *, rows: int = 2, columns: int = 3, stride: int = 1, scale: float = 1.0
    ) -> None:
        super().__init__(inputs, outputs, (rows, columns), scale=scale)
        self.rows, self.side, self.stride = rows, columns // 2, stride

    def padded(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.side, self.side, self.rows - 1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return ops.convolve(self.padded(x), self.weight(), self.bias, stride=self.stride)

    def init_state(self, batch: int, width: int) -> "DownState":
        weight = self.weight().contiguous()
        past = weight.new_zeros(batch, weight.shape[1], self.rows, width + 2 * self.side)
        return DownState(weight, past if batch == 1 else past.contiguous(memory_format=torch.channels_last))

    def observe(self, row: Tensor, state: "DownState") -> None:
        """Take note of the next row of the input, (B, D, 1, W)."""
        if self.rows > 1:
            state.past[:, :, :-1] = state.past[:, :, 1:].clone()
        state.past[:, :, -1:, self.side : self.side + row.shape[-1]] = row

    def step(self, row: Tensor | None, state: "DownState") -> Tensor:
        """The output's row that ends with this row of the input, or with the one observed last: (B, O, 1, W')."""
        if row is not None:
            self.observe(row, state)
        return ops.convolve_row(state.past, state.weight, self.bias, stride=self.stride)


class DownState(NamedTuple):
    """The kernels, and the last rows of the input with the padding of columns."""

    weight: Tensor
    past: Tensor


class DownRight(WeightNorm):
    """A 2x2 convolution that ends with its own place; steps one place at a time, what is above once a row."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, scale: float = 1.0) -> None:
        super().__init__(inputs, outputs, (2, 2), scale=scale)
        self.stride = stride

    def padded(self, x: Tensor) -> Tensor:
        return F.pad(x, (1, 0, 1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return ops.convolve(self.padded(x), self.weight(), self.bias, stride=self.stride)

    def init_state(self, batch: int, width: int) -> "DownRightState":
        weight = self.weight()
        inputs = weight.shape[1]
        lane = Lane(weight, batch, width, reach=1, colours=[inputs], lengths=[2 * inputs])
        above, own = weight.permute(2, 0, 3, 1).flatten(2)  # (O, 2D): a window is places, then features
        seen = lane.padded.unfold(1, 2 * inputs, self.stride * inputs)
        return DownRightState(above.contiguous(), ops.packed(own, batch), seen, lane.cells[0], lane.windows[0], [])

    def begin_row(self, state: "DownRightState", addend: Tensor | None = None) -> None:
        """Do what depends on the row above, which the last steps have seen; `addend` (B, 1 or W', O) is added to it."""
        above = ops.multiply_row(state.seen, state.above, self.bias)
        state.addends = (above if addend is None else above.add_(addend)).unbind(1)

    def step(self, column: int, state: "DownRightState") -> Tensor:
        """The output at its column of that number, (B, O), once the input's place below it is in its cell."""
        return ops.multiply(state.windows[column * self.stride], state.matrix, state.addends[column])


@dataclass(slots=True)
class DownRightState:
    """What `DownRight` keeps during an unroll."""

    above: Tensor  # kernels for the row above, (O, 2D)
    matrix: Tensor  # for its own row, of 2D features to O, `ops.packed`
    seen: Tensor  # what the output at each of its columns sees of the input's last row, (B, W', 2D)
    cells: Sequence[Tensor]  # where the input of each column goes, (B, D)
    windows: Sequence[Tensor]  # what the output at each column of the input sees, (B, 2D)
    addends: Sequence[Tensor]  # what the row above adds, for each column of the output, (B, O)


AtPlace = Callable[[Tensor], Tensor]


class Dense(WeightNorm):
    """A 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0) -> None:
        super().__init__(inputs, outputs, (1, 1), scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        return ops.settle(ops.convolve(self._given(x), self.weight(), self.bias), self.grid)

    def at_place(self, batch: int) -> AtPlace:
        """The same at a single place, (B, D) to (B, O), with kernels that are made once."""
        weight = ops.packed(self.weight().flatten(1), batch)
        return lambda x: ops.settle(ops.multiply(self._given(x), weight, self.bias), self.grid)

    def _given(self, x: Tensor) -> Tensor:
        return x if self.grid is None else x.to(self.bias)  # the last layer of an exact twin computes in float64


class SpreadDown(WeightNorm):
    """A transposed convolution that makes two rows of each row, and twice as many columns."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, (2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, self.weight())

    def step(self, x: Tensor, weight: Tensor) -> Tensor:
        """The same of one row, (B, D, 1, W), with kernels that were made once: two rows."""
        return ops.spread(x, weight, self.bias)[..., 1:]


class SpreadDownRight(WeightNorm):
    """A transposed convolution that makes 2x2 places of each place."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, (2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return ops.spread(x, self.weight(), self.bias)

    def init_state(self, batch: int, width: int) -> "SpreadState":
        weight = self.weight()
        outputs, inputs = weight.shape[:2]
        room = weight.new_zeros(2, width, batch, outputs)
        return SpreadState(
            ops.packed(weight.permute(2, 3, 0, 1).reshape(4 * outputs, inputs), batch),
            self.bias.repeat(4),
            room,
            [list(row.unbind(0)) for row in room.unbind(0)],
        )

    def step(self, x: Tensor, column: int, state: "SpreadState") -> None:
        """Put the four places that one place, (B, D), becomes into the room for them."""
        four = ops.multiply(x, state.matrix, state.bias).unflatten(1, (2, 2, -1)).permute(1, 2, 0, 3)
        state.room[:, 2 * column : 2 * column + 2] = four[:, : state.room.shape[1] - 2 * column]


class SpreadState(NamedTuple):
    """What `SpreadDownRight` keeps during an unroll."""

    matrix: Tensor  # of D features to 4 · O, for each of 2x2 places, `ops.packed`
    bias: Tensor  # (4 · O,)
    room: Tensor  # two rows of the output, (2, W, B, O)
    cells: Sequence[Sequence[Tensor]]  # the same, for each of the rows and each column: (B, O)


class Entrance(nn.Module):
    """Where the stream at the left begins: the row above, and what is left of a pixel, but not the pixel itself."""

    grid: ops.Grids | None = None  # of an exact twin, what the sum is brought to, by the network

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.above = Down(channels, filters, rows=1)
        self.left = Down(channels, filters, columns=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H, W)."""
        return shift_down(self.above(image)) + shift_right(self.left(image))

    def init_state(self, batch: int, width: int) -> "EntranceState":
        weight = self.left.weight()
        channels = weight.shape[1]
        lane = Lane(weight, batch, width, reach=1, colours=[channels], lengths=[channels])
        return EntranceState(
            above=self.above.init_state(batch, width),
            left_above=weight[:, :, :1].contiguous(),
            left=weight[:, :, 1].flatten(1).t().contiguous(),
            cells=lane.cells[0],
            windows=lane.windows[0],
            nothing=weight.new_zeros(batch, channels, 1, width),
            addends=[],
        )

    def begin_row(self, image: Tensor | None, state: "EntranceState") -> None:
        """Take note of the row above, (B, C, 1, W), if there is one."""
        sums = shift_right(ops.convolve(state.nothing if image is None else image, state.left_above, self.left.bias))
        if image is not None:
            sums = sums + self.above.step(image, state.above)
        state.addends = sums.squeeze(2).permute(2, 0, 1).contiguous().unbind(0)

    def step(self, column: int, state: "EntranceState") -> Tensor:
        """The features at one place, (B, D)."""
        return ops.multiply(state.windows[column], state.left, state.addends[column])

    def observe(self, column: int, pixel: Tensor, state: "EntranceState") -> None:
        """Take note of the image at one place, (B, C)."""
        state.cells[column].copy_(pixel)


@dataclass(slots=True)
class EntranceState:
    """What `Entrance` keeps during an unroll."""

    above: DownState  # of the layer that looks at the row above
    left_above: Tensor  # kernels, for the row above, of the one that looks to the left
    left: Tensor  # the same for its own row
    cells: Sequence[Tensor]  # where the image's row goes, for each column (B, C)
    windows: Sequence[Tensor]  # what is to the left of each column, (B, C)
    nothing: Tensor  # what stands above the first row, (B, C, 1, W)
    addends: Sequence[Tensor]  # what the row above adds at each column, (B, D)


def with_ones(image: Tensor) -> Tensor:
    """The image with one more channel, of ones, which tells it from the zeros around it: (B, C, …) to (B, C + 1, …)."""
    return torch.cat((image, torch.ones_like(image[:, :1])), 1)


def shift_down(x: Tensor) -> Tensor:
    """Each row takes the place of the next; the first becomes zeros."""
    return F.pad(x, (0, 0, 1, -1))


def shift_right(x: Tensor) -> Tensor:
    """Each column takes the place of the next; the first becomes zeros."""
    return F.pad(x, (1, -1))
