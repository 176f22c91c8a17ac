"""The models of van den Oord et al. 2016a: layers one after the other, masked convolutions or LSTMs."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from nextpixel.errors import odd, one_of, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.nn import recurrent
from nextpixel.nn.causal import Place
from nextpixel.nn.layers import Chain, Layer, Masked, Normalise, Parts, Residual, Sum
from nextpixel.nn.norm import NORMS
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours
from nextpixel.unroll import Backbone


class Stack(Backbone):
    """A backbone that is a chain of layers, given by a model; the first layer hides the pixel itself."""

    layers: Chain

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        return self.layers(self.embed(levels), context)

    def init_state(self, batch: int, context: Tensor | None) -> Parts:
        return self.layers.init_state(batch, self.spec.width, context)

    def begin_row(self, row: int, above: Tensor | None, state: Parts) -> None:
        self.layers.begin_row(row, state)

    def step(self, column: int, substep: int, state: Parts) -> Tensor:
        return self.layers.step(None, Place(column, substep), state)

    def observe(self, column: int, substep: int, levels: Tensor, state: Parts) -> None:
        self.layers.observe(self.embed(levels, substep), Place(column, substep), state)

    def first(self, features: Sequence[int], *, kernel: int, context: int) -> Masked:
        """The masked convolution over the image, given the colours of its features."""
        odd(kernel, "first_kernel", least=3)
        return Masked(self.image_colours, features, kernel=kernel, strict=True, context=context)

    def last(self, features: Sequence[int], head: Sequence[int], *, context: int) -> tuple[Layer, Layer]:
        """ReLU, 1x1, ReLU, 1x1 [table 1 of the paper], given the colours of what comes in and what is in between."""
        return (
            Masked(features, head, kernel=1, rectify=True, context=context, gain=2**0.5),
            Masked(head, self.parameter_colours, kernel=1, rectify=True, context=context),
        )

    def share_halves(self, *, filters: int, head: int) -> tuple[tuple[int, ...], ...]:
        """The colours of the features between layers, of half as many within, and of those of the head."""
        whole(filters, "filters", least=2 * self.substeps, why="two features a colour")
        return self.share(filters=filters, half=filters // 2, head=head)


class PixelCNN(Stack):
    """Masked convolutions: the first hides the pixel itself, the others only what comes after it.

    The paper replaces recurrence over all earlier pixels by a fixed window, which training computes for all pixels at
    once [1, section 3.5]. It has a blind spot, a wedge of pixels at the right above [2, figure 1]: to get d rows up, a
    path takes at most d convolutions upwards, and only those can go to the right, each k // 2 places. `gated_pixelcnn`
    has none.

    Args:
        filters: features of each layer (D).
        layers: masked k x k convolutions after the first.
        kernel: their odd width k.
        first_kernel: the width of the first.
        head: features of the 1x1 layer before the parameters.
        norm: "layer" or "positional" (one operation): over the features of each colour of each pixel. "batch": over the
            batch, a leak in training, see `BatchNorm`.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.

    References:
        [1] van den Oord et al., Pixel Recurrent Neural Networks, 2016.
        [2] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016.

    Example:
        >>> model = npx.build("pixelcnn", npx.ImageSpec(1, 28, 28, levels=2), "bernoulli", filters=8, layers=2)
        >>> model.sample(4, seed=0).shape
        torch.Size([4, 1, 28, 28])
    """

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 64,
        layers: int = 5,
        kernel: int = 7,
        first_kernel: int = 7,
        head: int = 64,
        norm: Literal["none", "layer", "positional", "batch"] = "none",
        colours: Colours = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(layers, "layers", least=0)
        odd(kernel, "kernel")
        one_of(norm, "norm", ("none", *NORMS))
        features, middle = self.share(filters=filters, head=head)
        made: list[Layer] = [self.first(features, kernel=first_kernel, context=context)]
        for _ in range(layers):
            made += _normalised(norm, features)
            made += [Masked(features, features, kernel=kernel, rectify=True, context=context, gain=2**0.5)]
        made += [*_normalised(norm, features), *self.last(features, middle, context=context)]
        self.layers = Chain(made)


class ResidualPixelCNN(Stack):
    """Masked convolutions in residual blocks: 1x1 to half the features, k x k, 1x1 back, added to what came in.

    The paper trains twelve and more layers by these blocks [1, figure 5 and table 1]. The blind spot is that of
    `pixelcnn`.

    Args:
        filters: features between blocks (D, the paper's 2h); inside there is half as many.
        blocks: residual blocks after the first layer.
        kernel: odd width k of the blocks' masked convolutions.
        first_kernel: the width of the first layer.
        head: features of the 1x1 layer before the parameters.
        norm: after each block, as in `pixelcnn`.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.

    References:
        [1] van den Oord et al., Pixel Recurrent Neural Networks, 2016.

    Example:
        >>> spec = npx.ImageSpec(3, 8, 8, levels=4)
        >>> npx.build("residual_pixelcnn", spec, filters=12, blocks=1, head=12).sample(2, seed=0).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 128,
        blocks: int = 8,
        kernel: int = 3,
        first_kernel: int = 7,
        head: int = 128,
        norm: Literal["none", "layer", "positional", "batch"] = "none",
        colours: Colours = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(blocks, "blocks", least=0)
        odd(kernel, "kernel")
        one_of(norm, "norm", ("none", *NORMS))
        features, half, middle = self.share_halves(filters=filters, head=head)
        made: list[Layer] = [self.first(features, kernel=first_kernel, context=context)]
        for _ in range(blocks):
            block = Residual(
                Masked(features, half, kernel=1, rectify=True, context=context, gain=2**0.5),
                Masked(half, half, kernel=kernel, rectify=True, context=context, gain=2**0.5),
                Masked(half, features, kernel=1, rectify=True, context=context, gain=0.5),
            )
            made += [block, *_normalised(norm, features)]
        made += self.last(features, middle, context=context)
        self.layers = Chain(made)


class RowLSTM(Stack):
    """An LSTM that goes down the rows, all places of a row at once: each sees a triangle of the rows above.

    Input-to-state and state-to-state are convolutions along rows; the triangle misses places at both sides above
    [1, section 3.1]. Layers are residual: a 1x1 convolution takes the hidden features back to twice as many, and the
    input is added [1, figure 5].

    Args:
        filters: features between layers (D, the paper's 2h); hidden are half as many.
        layers: LSTM layers after the first convolution.
        kernel: odd width k of the convolutions along rows.
        first_kernel: the width of the first, masked convolution.
        head: features of the 1x1 layer before the parameters.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.

    References:
        [1] van den Oord et al., Pixel Recurrent Neural Networks, 2016.

    Example:
        >>> spec = npx.ImageSpec(1, 28, 28, levels=2)
        >>> npx.build("row_lstm", spec, filters=8, layers=1, head=8).sample(2, seed=0).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 32,
        layers: int = 7,
        kernel: int = 3,
        first_kernel: int = 7,
        head: int = 32,
        colours: Colours = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(layers, "layers", least=0)
        odd(kernel, "kernel")
        features, hidden, middle = self.share_halves(filters=filters, head=head)
        made: list[Layer] = [self.first(features, kernel=first_kernel, context=context)]
        for _ in range(layers):
            lstm = recurrent.RowLSTM(features, hidden, kernel=kernel, context=context)
            made += [Residual(lstm, Masked(hidden, features, kernel=1))]
        made += self.last(features, middle, context=context)
        self.layers = Chain(made)


class DiagonalBiLSTM(Stack):
    """LSTMs along both diagonals of the image: each place sees everything earlier, already in the first layer.

    A skewed image makes a diagonal a column, all places of which are computed at once; the LSTM from the right is
    shifted one row down [1, section 3.2, figure 3]. Layers are residual, as those of `row_lstm`.

    The paper's layers miss a pixel: the last one of the row above is hidden from the features at its own place by the
    first convolution, and no place at its right could see it. Here another LSTM from the right, which may see the image
    itself as it is shifted too, is added to that convolution.

    Args:
        filters: features between layers (D, the paper's 2h); hidden are half as many.
        layers: bidirectional LSTM layers after the first convolution.
        first_kernel: the width of the first, masked convolution.
        head: features of the 1x1 layer before the parameters.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.

    References:
        [1] van den Oord et al., Pixel Recurrent Neural Networks, 2016.

    Example:
        >>> spec = npx.ImageSpec(1, 28, 28, levels=2)
        >>> npx.build("diagonal_bilstm", spec, filters=8, layers=1, head=8).sample(2, seed=0).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        filters: int = 32,
        layers: int = 7,
        first_kernel: int = 7,
        head: int = 32,
        colours: Colours = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(layers, "layers", least=0)
        features, hidden, middle = self.share_halves(filters=filters, head=head)
        convolution = self.first(features, kernel=first_kernel, context=context)
        from_right = recurrent.FromRight(self.image_colours, features, context=context)
        made: list[Layer] = [Sum(first=convolution, second=from_right)]
        for _ in range(layers):
            left = recurrent.Diagonal(features, hidden, context=context)
            lstm = Sum(left=left, right=recurrent.FromRight(features, hidden, context=context))
            made += [Residual(lstm, Masked(hidden, features, kernel=1))]
        made += self.last(features, middle, context=context)
        self.layers = Chain(made)


def _normalised(kind: str, features: Sequence[int]) -> tuple[Layer, ...]:
    """A norm of that kind, or nothing for "none"."""
    return () if kind == "none" else (Normalise(kind, features),)
