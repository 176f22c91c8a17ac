"""PixelCNN with residual blocks."""

from typing import Literal

from nextpixel.errors import odd, one_of, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.models.stack import Stack, normalised, read_out
from nextpixel.nn.layers import Chain, Layer, Masked, Residual
from nextpixel.nn.norm import NORMS
from nextpixel.spec import ImageSpec


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
        colours: Literal["dependent", "independent"] = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(blocks, "blocks", least=0)
        whole(filters, "filters", least=2 * self.substeps, why="two features a colour")
        odd(kernel, "kernel")
        odd(first_kernel, "first_kernel", least=3)
        one_of(norm, "norm", ("none", *NORMS))
        features, half, middle = self.share(filters=filters, half=filters // 2, head=head)
        made: list[Layer] = [Masked(self.image_colours, features, kernel=first_kernel, strict=True, context=context)]
        for _ in range(blocks):
            block = Chain(
                [
                    Masked(features, half, kernel=1, rectify=True, context=context, gain=2**0.5),
                    Masked(half, half, kernel=kernel, rectify=True, context=context, gain=2**0.5),
                    Masked(half, features, kernel=1, rectify=True, context=context, gain=0.5),
                ]
            )
            made += [Residual(block), *normalised(norm, features)]
        made += read_out(features, middle, self.parameter_colours, context=context)
        self.layers = Chain(made)
