"""The two PixelRNNs: Row LSTM and Diagonal BiLSTM."""

from typing import Literal

from nextpixel.errors import odd, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.models.stack import Stack, read_out
from nextpixel.nn import recurrent
from nextpixel.nn.layers import Chain, Layer, Masked, Residual, Sum
from nextpixel.spec import ImageSpec


class RowLSTM(Stack):
    """An LSTM that goes down the rows, all places of a row at once: each sees a triangle of the rows above.

    Input-to-state and state-to-state are convolutions along rows; the triangle misses places at both sides above
    [1, section 3.1]. Layers are residual: a 1x1 convolution takes the hidden features back to twice as many, and the
    input is added [1, figure 4].

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
        colours: Literal["dependent", "independent"] = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(layers, "layers", least=0)
        whole(filters, "filters", least=2 * self.substeps, why="two features a colour")
        odd(kernel, "kernel")
        odd(first_kernel, "first_kernel", least=3)
        features, hidden, middle = self.share(filters=filters, hidden=filters // 2, head=head)
        made: list[Layer] = [Masked(self.image_colours, features, kernel=first_kernel, strict=True, context=context)]
        for _ in range(layers):
            lstm = recurrent.RowLSTM(features, hidden, kernel=kernel, context=context)
            made += [Residual(Chain([lstm, Masked(hidden, features, kernel=1)]))]
        made += read_out(features, middle, self.parameter_colours, context=context)
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
        colours: Literal["dependent", "independent"] = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(layers, "layers", least=0)
        whole(filters, "filters", least=2 * self.substeps, why="two features a colour")
        odd(first_kernel, "first_kernel", least=3)
        features, hidden, middle = self.share(filters=filters, hidden=filters // 2, head=head)
        image = self.image_colours
        convolution = Masked(image, features, kernel=first_kernel, strict=True, context=context)
        made: list[Layer] = [Sum(convolution, recurrent.FromRight(image, features, context=context))]
        for _ in range(layers):
            lstm = recurrent.DiagonalBiLSTM(features, hidden, context=context)
            made += [Residual(Chain([lstm, Masked(hidden, features, kernel=1)]))]
        made += read_out(features, middle, self.parameter_colours, context=context)
        self.layers = Chain(made)
