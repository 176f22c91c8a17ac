"""PixelCNN++: two streams through three resolutions, down and up again, with long skip connections."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nextpixel.errors import share, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.nn import ops, shifted
from nextpixel.nn.blocks import BlockAbove, BlockLeft, BlockLeftState, Features, Steps, features
from nextpixel.nn.causal import listed
from nextpixel.nn.shifted import Dense, Down, DownRight, Entrance, SpreadDown, SpreadDownRight, shift_down, with_ones
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours
from nextpixel.unroll import Backbone


class PixelCNNpp(Backbone):
    """Two streams, of rows above and of places to the left, at three resolutions [1, figure 2].

    The first half makes features of the image and halves the resolution twice; the second half goes back, and sees in
    each block the features that the first half had at the same place. Streams, blocks, weight normalisation and the
    start from data are those of the authors' code. It is meant for the `logistic_mixture` likelihood, which couples the
    colours; with another likelihood and several channels, colours must be independent.

    Sizes that cannot be halved are rounded up (a coarse place stands for what there is of 2x2 places), and what the way
    back makes beyond the edge is cut off.

    Args:
        filters: features of each stream (D).
        blocks: gated residual blocks of each resolution in the first half (the second has one more after a step up).
        scales: resolutions, each half of the one before.
        dropout: share of features within blocks that training drops.
        colours: "dependent" by the likelihood, or "independent".

    References:
        [1] Salimans et al., PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
        Modifications, 2017.

    Example:
        >>> spec = npx.ImageSpec(3, 8, 8, levels=256)
        >>> model = npx.build("pixelcnnpp", spec, "logistic_mixture", filters=4, blocks=1, mixtures=2)
        >>> model.sample(2, seed=0).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 160,
        blocks: int = 5,
        scales: int = 3,
        dropout: float = 0.5,
        colours: Colours = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        self.one_step("pixelcnnpp")
        for name, value in (("filters", filters), ("blocks", blocks), ("scales", scales)):
            whole(value, name, least=1)
        share(dropout, "dropout")

        def pairs(count: int, *, skips: bool) -> nn.ModuleList:
            return listed(Pair(filters, skips=skips, context=context, dropout=dropout) for _ in range(count))

        image, steps = len(self.image_colours) + 1, range(scales - 1)  # beside the image, ones tell where it ends
        self.first_above = Down(image, filters)
        self.first_left = Entrance(image, filters)
        self.up: list[list[Pair]] = listed(pairs(blocks, skips=False) for _ in range(scales))
        more = [blocks + 1 for _ in steps] + [blocks]  # for the finer scales, a block after the step up
        self.down: list[list[Pair]] = listed(pairs(count, skips=True) for count in more)
        self.halve_above: list[Down] = listed(Down(filters, filters, stride=2) for _ in steps)
        self.halve_left: list[DownRight] = listed(DownRight(filters, filters, stride=2) for _ in steps)
        self.double_above: list[SpreadDown] = listed(SpreadDown(filters, filters) for _ in steps)
        self.double_left: list[SpreadDownRight] = listed(SpreadDownRight(filters, filters) for _ in steps)
        self.parameters_of = Dense(filters, self.outputs)

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        image = with_ones(self.embed(levels))
        above = features(shift_down(self.first_above(image)), self.first_above.grid)
        left = features(self.first_left(image), self.first_left.grid)
        seen: list[list[tuple[Features, Features]]] = []
        last = len(self.up) - 1
        for scale, pairs in enumerate(self.up):
            if scale:
                halves = self.halve_above[scale - 1], self.halve_left[scale - 1]
                above, left = (
                    features(half(x.plain), half.grid) for half, x in zip(halves, (above, left), strict=True)
                )
            seen.append([(above, left)])
            for pair in pairs:
                above, left = pair(above, left, None, _coarse(context, scale))
                seen[-1].append((above, left))
        above, left = seen[last].pop()
        for scale in range(last, -1, -1):
            if scale < last:
                height, width = seen[scale][0][0].plain.shape[2:]
                doubles = self.double_above[scale], self.double_left[scale]
                above, left = (
                    features(double(x.plain)[:, :, :height, :width], double.grid)
                    for double, x in zip(doubles, (above, left), strict=True)
                )
            for pair in self.down[scale]:
                above, left = pair(above, left, seen[scale].pop(), _coarse(context, scale))
        return self.parameters_of(ops.elu(left.plain, self.down[0][-1].left.grids.result))

    def init_state(self, batch: int, context: Tensor | None) -> "PixelCNNppState":
        widths = [-(-self.spec.width // 2**scale) for scale in range(len(self.up))]
        coarse = [_coarse(context, scale) for scale in range(len(self.up))]
        up, down = (
            [
                [pair.init_state(batch, width, its) for pair in pairs]
                for pairs, width, its in zip(half, widths, coarse, strict=True)
            ]
            for half in (self.up, self.down)
        )
        fine = widths[:-1]  # of the finer scale at each step between two
        return PixelCNNppState(
            row=0,
            nothing=self.first_above.bias.new_zeros(batch, len(self.first_above.bias), 1, self.spec.width),
            first_above=self.first_above.init_state(batch, self.spec.width),
            first_left=self.first_left.init_state(batch, self.spec.width),
            up=up,
            down=down,
            halve_above=[layer.init_state(batch, width) for layer, width in zip(self.halve_above, fine, strict=True)],
            halve_left=[layer.init_state(batch, width) for layer, width in zip(self.halve_left, fine, strict=True)],
            double_above=[layer.weight() for layer in self.double_above],
            doubled_above=[[] for _ in fine],
            double_left=[layer.init_state(batch, width) for layer, width in zip(self.double_left, fine, strict=True)],
            parameters_of=self.parameters_of.at_place(batch),
        )

    def begin_row(self, row: int, above: Tensor | None, state: "PixelCNNppState") -> None:
        state.row = row
        image = None if above is None else with_ones(self.embed(above)[:, :, None])
        self.first_left.begin_row(image, state.first_left)
        stream = state.nothing if image is None else self.first_above.step(image, state.first_above)
        last, x = len(self.up) - 1, features(stream, self.first_above.grid)
        seen: list[list[Features]] = []
        for scale, (pairs, states) in enumerate(zip(self.up, state.up, strict=True)):
            if row % 2**scale:
                break
            if scale:
                halve = self.halve_above[scale - 1]
                x = features(halve.step(None, state.halve_above[scale - 1]), halve.grid)
                self.halve_left[scale - 1].begin_row(state.halve_left[scale - 1])
            seen.append([x])
            for pair, its in zip(pairs, states, strict=True):
                x = pair.begin_row(row >> scale, x, None, its)
                seen[scale].append(x)
            if scale < last:
                self.halve_above[scale].observe(x.plain, state.halve_above[scale])
        for scale in reversed(range(len(seen))):
            if scale == last:
                x = seen[scale].pop()
            else:
                if scale + 1 < len(seen):
                    width = seen[scale][0].plain.shape[3]
                    doubled = self.double_above[scale].step(x.plain, state.double_above[scale])[..., :width]
                    grid = self.double_above[scale].grid
                    state.doubled_above[scale] = [features(half, grid) for half in doubled.split(1, 2)]
                x = state.doubled_above[scale][(row >> scale) % 2]
            for pair, its in zip(self.down[scale], state.down[scale], strict=True):
                x = pair.begin_row(row >> scale, x, seen[scale].pop(), its)

    def step(self, column: int, substep: int, state: "PixelCNNppState") -> Tensor:
        last = len(self.up) - 1
        x = ops.settle(self.first_left.step(column, state.first_left), self.first_left.grid)
        seen: list[list[Tensor]] = []
        for scale, (pairs, states) in enumerate(zip(self.up, state.up, strict=True)):
            if (state.row | column) % 2**scale:
                break
            here = column >> scale
            if scale:
                halve = self.halve_left[scale - 1]
                x = ops.settle(halve.step(here, state.halve_left[scale - 1]), halve.grid)
            seen.append([its.left.enter.cells[here] for its in states])  # what the blocks will have put there
            for pair, its in zip(pairs, states, strict=True):
                x = pair.left.step(x, here, None, its.left)
            if scale < last:
                state.halve_left[scale].cells[here].copy_(x)
                seen[scale].append(ops.concat_elu(x, pairs[-1].left.grids.result))
        for scale in reversed(range(len(seen))):
            if scale < last:
                doubled = state.double_left[scale]
                if scale + 1 < len(seen):
                    self.double_left[scale].step(x, column >> (scale + 1), doubled)
                there = doubled.cells[(state.row >> scale) % 2][column >> scale]
                x = ops.settle(there, self.double_left[scale].grid)
            for pair, its in zip(self.down[scale], state.down[scale], strict=True):
                x = pair.left.step(x, column >> scale, seen[scale].pop(), its.left)
        return state.parameters_of(ops.elu(x, self.down[0][-1].left.grids.result))

    def observe(self, column: int, substep: int, levels: Tensor, state: "PixelCNNppState") -> None:
        self.first_left.observe(column, with_ones(self.embed(levels)), state.first_left)


class Pair(nn.Module):
    """A block of each stream; that of the stream at the left gets what the other one has made."""

    def __init__(self, filters: int, *, skips: bool, context: int, dropout: float) -> None:
        super().__init__()
        stream = 2 * filters
        self.above = BlockAbove(filters, beside=stream * skips, context=context, dropout=dropout)
        self.left = BlockLeft(filters, beside=stream * (1 + skips), context=context, dropout=dropout)

    def forward(
        self, above: Features, left: Features, seen: tuple[Features, Features] | None, context: Tensor | None
    ) -> tuple[Features, Features]:
        """Both streams, and what both were in the first half, to both streams."""
        above = self.above(above, None if seen is None else seen[0].both, context)
        beside = above.both if seen is None else torch.cat((above.both, seen[1].both), 1)
        return above, self.left(left, beside, context)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "PairState":
        return PairState(self.above.init_state(batch, width, context), self.left.init_state(batch, width, context))

    def begin_row(self, row: int, x: Features, seen: Features | None, state: "PairState") -> Features:
        """A row of the stream above, and all that the other one can do before its steps."""
        x = self.above.begin_row(row, x, None if seen is None else seen.both, state.above)
        self.left.begin_row(row, x.both, state.left)
        return x


class PairState(NamedTuple):
    """The states of a pair's blocks."""

    above: Steps
    left: BlockLeftState


@dataclass
class PixelCNNppState:
    """What the network keeps during an unroll; lists of lists are by scale and block, other lists by step of scale."""

    row: int  # the present one
    nothing: Tensor  # features that no row has made, (B, D, 1, W)
    first_above: shifted.DownState
    first_left: shifted.EntranceState
    up: list[list[PairState]]
    down: list[list[PairState]]
    halve_above: list[shifted.DownState]  # of the layers to the next coarser scale
    halve_left: list[shifted.DownRightState]
    double_above: list[Tensor]  # kernels of the stream above, from the next coarser scale
    doubled_above: list[list[Features]]  # two rows of the stream above, from the next coarser scale
    double_left: list[shifted.SpreadState]  # the same of the stream at the left
    parameters_of: shifted.AtPlace


def _coarse(context: Tensor | None, scale: int) -> Tensor | None:
    """The context of each scale's places: that of the first of the places that they stand for."""
    return None if context is None else context[:, :, :: 2**scale, :: 2**scale]
