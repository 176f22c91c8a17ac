"""What the models of van den Oord et al. 2016a have in common: one layer after the other, from image to parameters."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from nextpixel.autoregressive import Backbone
from nextpixel.likelihoods import Likelihood
from nextpixel.nn.causal import Place
from nextpixel.nn.layers import Chain, ChainState, Entry, Layer, Masked, Normalise
from nextpixel.spec import ImageSpec


class Stack(Backbone):
    """A backbone that is a chain of layers, given by a model; the first layer hides the pixel itself."""

    layers: Chain

    def __init__(
        self, spec: ImageSpec, likelihood: Likelihood, *, colours: Literal["dependent", "independent"]
    ) -> None:
        super().__init__(spec, likelihood, colours=colours, carries=True)

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        return self.layers(self.embed(levels), context)

    def init_state(self, batch: int, context: Tensor | None) -> ChainState:
        return self.layers.init_state(batch, self.spec.width, context)

    def begin_row(self, row: int, above: Tensor | None, state: ChainState) -> None:
        self.layers.begin_row(row, state)

    def step(self, column: int, substep: int, state: ChainState) -> Tensor:
        return self.layers.step(None, Place(column, substep), state)

    def observe(self, column: int, substep: int, levels: Tensor, state: ChainState) -> None:
        first = self.layers.layers[0]
        assert isinstance(first, Entry), "the first layer makes its step before it sees the pixel"
        first.observe(self.embed(levels, substep), Place(column, substep), state.states[0])


def read_out(
    features: Sequence[int], head: Sequence[int], parameters: Sequence[int], *, context: int
) -> tuple[Layer, ...]:
    """The last layers: ReLU, 1x1, ReLU, 1x1 [table 1 of the paper].

    They are given the colours of what comes in, of what is in between and of the parameters, and how many features the
    context has.
    """
    return (
        Masked(features, head, kernel=1, rectify=True, context=context, gain=2**0.5),
        Masked(head, parameters, kernel=1, rectify=True, context=context),
    )


def normalised(kind: str, features: Sequence[int]) -> tuple[Layer, ...]:
    """A norm of that kind, or nothing for "none"."""
    return () if kind == "none" else (Normalise(kind, features),)
