"""Layers of a single stack, and how they are put together: `forward` takes whole images, `step` one sub-pixel."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from nextpixel.nn import ops
from nextpixel.nn.causal import LeftState, PixelsLeft, Place, RowsAbove, listed, one_by_one, row_of
from nextpixel.nn.norm import NORMS, ByColour


class Layer(nn.Module, ABC):
    """Features to features; each place sees those before it, and of its own pixel what the order of colours allows.

    In an unroll, `begin_row` comes when the row above has been stepped through, and does what depends only on it.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, D, H, W), and an encoded context (B, d, 1 or H, 1 or W), to (B, O, H, W)."""

    @abstractmethod
    def init_state(self, batch: int, width: int, context: Tensor | None) -> Any:
        """Buffers for `batch` images of `width` columns, and the constants of weights and context."""

    @abstractmethod
    def begin_row(self, row: int, state: Any) -> None:
        """Do what depends only on rows above."""

    @abstractmethod
    def step(self, x: Tensor | None, place: Place, state: Any) -> Tensor:
        """The features of one colour at one place, (B, D_g) to (B, O_g); None for what stands first: see `observe`."""

    def observe(self, x: Tensor, place: Place, state: Any) -> None:
        """Take note of the image at one place, (B, C_g), after the step there; only some layers may stand first."""
        raise NotImplementedError


Parts = list[tuple[Layer, Any]]
"""The state of layers that are put together: each of them with its own state, as looking it up takes time."""


class Several(Layer):
    """Layers that are put together."""

    @abstractmethod
    def parts(self) -> Iterable[Layer]:
        """Which they are."""

    def init_state(self, batch: int, width: int, context: Tensor | None) -> Parts:
        return [(layer, layer.init_state(batch, width, context)) for layer in self.parts()]

    def begin_row(self, row: int, state: Parts) -> None:
        for layer, its in state:
            layer.begin_row(row, its)


class Chain(Several):
    """Layers one after the other."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.layers: list[Layer] = listed(layers)

    def parts(self) -> Iterable[Layer]:
        return self.layers

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, context)
        return x

    def step(self, x: Tensor | None, place: Place, state: Parts) -> Tensor:
        for layer, its in state:
            x = layer.step(x, place, its)
        assert x is not None, "a chain has layers"
        return x

    def observe(self, x: Tensor, place: Place, state: Parts) -> None:
        first, its = state[0]
        first.observe(x, place, its)


class Residual(Several):
    """What comes in is added to what a chain of layers makes of it; of an exact twin, the sum is brought to a grid."""

    grid: ops.Grid | None = None

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.body = Chain(layers)

    def parts(self) -> Iterable[Layer]:
        return self.body.layers

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        return ops.settle(x + self.body(x, context), self.grid)

    def step(self, x: Tensor | None, place: Place, state: Parts) -> Tensor:
        assert x is not None, "a strict layer has no residual connection"
        return ops.settle(x + self.body.step(x, place, state), self.grid)


class Sum(Several):
    """Two layers side by side, added up. Files have their weights under the names given here."""

    def __init__(self, **both: Layer) -> None:
        super().__init__()
        for name, layer in both.items():
            self.add_module(name, layer)

    def parts(self) -> Iterable[Layer]:
        return cast("Iterable[Layer]", self.children())

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        first, second = self.children()
        return first(x, context) + second(x, context)

    def step(self, x: Tensor | None, place: Place, state: Parts) -> Tensor:
        (first, one), (second, other) = state
        return first.step(x, place, one) + second.step(x, place, other)

    def observe(self, x: Tensor, place: Place, state: Parts) -> None:
        for layer, its in state:
            layer.observe(x, place, its)


class Normalise(Layer):
    """One of `NORMS`, by its name, for features of these colours, ascending (D,)."""

    def __init__(self, kind: str, features: Sequence[int]) -> None:
        super().__init__()
        self.norm = NORMS[kind](features)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.norm(x)

    def init_state(self, batch: int, width: int, context: Tensor | None) -> ByColour:
        return self.norm.steps()

    def begin_row(self, row: int, state: ByColour) -> None:
        pass

    def step(self, x: Tensor | None, place: Place, state: ByColour) -> Tensor:
        assert x is not None, "it stands behind a layer"
        return state[place.substep](x)


class Masked(Layer):
    """The masked convolution of van den Oord et al. 2016a, figure 2: k x k around the pixel, without what comes later.

    The mask is a rectangle above and a line to the left, so both are convolutions of their own, and nothing is masked
    but the colours of the pixel itself. Arguments are those of `PixelsLeft`, and whether the input goes through a ReLU.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        kernel: int,
        strict: bool = False,
        rectify: bool = False,
        context: int = 0,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.rectify = rectify
        reach = kernel // 2
        above, left = reach * kernel, reach + (not strict)  # taps, which share out the variance
        gains = [gain * (taps / (above + left)) ** 0.5 for taps in (above, left)]
        self.above = RowsAbove(len(inputs), len(outputs), reach=reach, strict=True, gain=gains[0]) if reach else None
        self.left = PixelsLeft(inputs, outputs, reach=reach, strict=strict, bias=not reach, gain=gains[1])
        self.context = one_by_one(context, len(outputs), bias=False) if context else None

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        if self.rectify:
            x = ops.rectify(x)
        above = None if self.above is None else self.above(x)
        bias = None if self.context is None else self.context(context)
        return self.left(x, ops.add(above, bias))

    def init_state(self, batch: int, width: int, context: Tensor | None) -> "MaskedState":
        return MaskedState(
            past=None if self.above is None else self.above.init_state(batch, width),
            bias=None if self.context is None else self.context(context),
            left=self.left.init_state(batch, width),
            step=self.left.step,
        )

    def begin_row(self, row: int, state: "MaskedState") -> None:
        above = None
        if self.above is not None and state.past is not None:
            assert state.left.lane is not None, "a layer that sees rows above sees pixels to the left too"
            above = self.above.step(state.left.lane.row, state.past)
        addend = ops.add(above, None if state.bias is None else row_of(state.bias, row))
        if addend is not None:
            self.left.begin_row(addend, state.left)

    def step(self, x: Tensor | None, place: Place, state: "MaskedState") -> Tensor:
        if self.rectify and x is not None:
            lane = state.left.lane
            x = ops.rectify(x, out=None if lane is None else lane.cells[place.substep][place.column])
        return state.step(x, place, state.left)

    def observe(self, x: Tensor, place: Place, state: "MaskedState") -> None:
        state.left.observe(x, place)


class MaskedState(NamedTuple):
    """What `Masked` keeps during an unroll."""

    past: Tensor | None  # the rows above, see `RowsAbove`
    bias: Tensor | None  # of the context, (B, O, 1 or H, 1 or W)
    left: LeftState  # this row
    step: Callable[..., Tensor]  # of the layer for this row; a look-up for each pixel would cost much
