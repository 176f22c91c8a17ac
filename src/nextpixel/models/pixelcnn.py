"""PixelCNN: masked convolutions one after the other."""

from typing import Literal

from nextpixel.errors import odd, one_of, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.models.stack import Stack, normalised, read_out
from nextpixel.nn.layers import Chain, Layer, Masked
from nextpixel.nn.norm import NORMS
from nextpixel.spec import ImageSpec


class PixelCNN(Stack):
    """Masked convolutions: the first hides the pixel itself, the others only what comes after it.

    The paper replaces recurrence over all earlier pixels by a fixed window, which training computes for all pixels at
    once [1, section 3.4]. It has a blind spot, a wedge of pixels at the right above [2, figure 1]: to get d rows up, a
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
        colours: Literal["dependent", "independent"] = "dependent",
    ) -> None:
        super().__init__(spec, likelihood, colours=colours)
        whole(layers, "layers", least=0)
        odd(kernel, "kernel")
        odd(first_kernel, "first_kernel", least=3)
        one_of(norm, "norm", ("none", *NORMS))
        features, middle = self.share(filters=filters, head=head)
        made: list[Layer] = [Masked(self.image_colours, features, kernel=first_kernel, strict=True, context=context)]
        for _ in range(layers):
            made += normalised(norm, features)
            made += [Masked(features, features, kernel=kernel, rectify=True, context=context, gain=2**0.5)]
        made += [*normalised(norm, features), *read_out(features, middle, self.parameter_colours, context=context)]
        self.layers = Chain(made)
