"""A network of one's own: any causal `forward`, streamed by whole passes."""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from nextpixel.likelihoods import Likelihood
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours
from nextpixel.unroll import Backbone


@dataclass
class Unfinished:
    """The image so far, int64, (B, C, H, W), zero where nothing is chosen yet; its context; and the row at work."""

    levels: Tensor
    context: Tensor | None
    row: int = 0


class Network(Backbone):
    """A model in one method: `forward` gives every sub-pixel's parameters, each from what comes before it.

    Samples, completions and the rest follow, one whole pass a sub-step; a `Backbone` with steps of its own is faster. A
    subclass takes `(spec, likelihood, context=0, *, settings …)`, where context is how many features the encoded
    context has, and hands the first two on. `nextpixel.checks.check` says whether what it predicts is hidden from it.

    Args:
        spec: the images.
        likelihood: what the `outputs` numbers of a pixel mean.
        colours: "dependent": a pixel's channels in order, each given those before, with equal parts of the outputs;
            "independent": all at once.

    Example:
        >>> class RowsAbove(npx.Network):
        ...     def __init__(self, spec, likelihood, context=0, *, filters=8):
        ...         super().__init__(spec, likelihood, colours="independent")
        ...         self.first = torch.nn.Conv2d(spec.channels, filters, (2, 3), padding=(2, 1))
        ...         self.last = torch.nn.Conv2d(filters, self.outputs, 1)
        ...
        ...     def forward(self, levels, context):
        ...         return self.last(self.first(self.embed(levels))[:, :, : self.spec.height].relu())
        >>> model = npx.build(RowsAbove, npx.ImageSpec(1, 5, 4, levels=3), filters=6)
        >>> model.sample(2, seed=0).shape
        torch.Size([2, 1, 5, 4])
    """

    def __init__(self, spec: ImageSpec, likelihood: Likelihood, *, colours: Colours = "dependent") -> None:
        super().__init__(spec, likelihood, colours=colours, carries=False)

    def init_state(self, batch: int, context: Tensor | None) -> Unfinished:
        some = next((its for its in chain(self.parameters(), self.buffers(), [context]) if its is not None), None)
        levels = torch.zeros(batch, *self.spec.shape, dtype=torch.long, device="cpu" if some is None else some.device)
        return Unfinished(levels, context)

    def begin_row(self, row: int, above: Tensor | None, state: Unfinished) -> None:
        if above is not None:
            state.levels[:, :, row - 1] = above
        state.row = row

    def step(self, column: int, substep: int, state: Unfinished) -> Tensor:
        each = self.outputs // self.substeps
        every = self.numbers(state.levels, state.context)[:, :, state.row, column]
        return every[:, substep * each : (substep + 1) * each]

    def observe(self, column: int, substep: int, levels: Tensor, state: Unfinished) -> None:
        each = self.spec.channels // self.substeps
        state.levels[:, substep * each : (substep + 1) * each, state.row, column] = levels
