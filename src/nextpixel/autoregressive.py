"""A network, what its output means, and everything that follows: likelihoods, samples, completions."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, final, get_args

import torch
from torch import Tensor, nn

from nextpixel.distributions import Finite
from nextpixel.errors import BadInput, one_of, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.model import Model, evaluating
from nextpixel.nn.causal import split
from nextpixel.nn.context import Context
from nextpixel.nn.embedding import entry
from nextpixel.nn.weightnorm import WeightNorm, initialising
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours, Number, PerImage, Whole
from nextpixel.unroll import Choose, Site, Streaming, draw, noise, unroll


class Backbone(nn.Module, Streaming):
    """A network from images to the parameters of every sub-pixel's distribution, each from what comes before it.

    `forward` gives all of them at once, for a known image; the four methods of `Streaming`, which `unroll` calls, give
    them one sub-step at a time, for an image in the making. Both must use the same lines and weights.

    Args:
        spec: the images.
        likelihood: what the numbers that the network gives mean, and so how many they are.
        colours: "dependent": a pixel's channels in order, each given those before; "independent": all at once.
        carries: whether a row's steps leave what later rows need, so that even a known row must be stepped through.

    Attributes:
        outputs: numbers that it gives for a pixel (P).
        substeps: steps a pixel: one a colour, or one where colours are independent, or dependent by the likelihood.
        together: channels that are drawn at once.
    """

    def __init__(self, spec: ImageSpec, likelihood: Likelihood, *, colours: Colours, carries: bool = True) -> None:
        super().__init__()
        one_of(colours, "colours", get_args(Colours))
        self.spec = spec
        if likelihood.couples and colours == "independent":
            raise BadInput("This likelihood couples the colours by itself: it needs colours='dependent'.")
        self.outputs = likelihood.parameters
        self.substeps = spec.channels if colours == "dependent" and not likelihood.couples else 1
        self.together = 1 if likelihood.couples else spec.channels // self.substeps
        self.carries = carries
        self.entry = entry(spec)

    @property
    def image_colours(self) -> tuple[int, ...]:
        """The colour, by the order of drawing, of each feature that `embed` makes of the image."""
        features = self.entry.features
        return tuple(colour for colour in split(self.spec.channels, self.substeps) for _ in range(features))

    @property
    def parameter_colours(self) -> tuple[int, ...]:
        """The same of each number that the network gives for a pixel (P)."""
        return split(self.outputs, self.substeps)

    def share(self, **sizes: int) -> tuple[tuple[int, ...], ...]:
        """The colour of each feature of layers of such sizes: shared out in order, as evenly as can be.

        Raises:
            BadInput: a size that is not a whole number, or below one feature a colour.
        """
        for name, size in sizes.items():
            whole(size, name, least=self.substeps, why="one feature a colour" if self.substeps > 1 else "")
        return tuple(split(size, self.substeps) for size in sizes.values())

    @abstractmethod
    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        """Levels (B, C, H, W) and an encoded context (B, d, h, w) to parameters (B, P, H, W)."""

    def one_step(self, name: str) -> None:
        """Refuse several steps a pixel, for a model that has no order of colours in its features.

        Raises:
            BadInput: the colours are dependent, and the likelihood does not couple them.
        """
        if self.substeps > 1:
            raise BadInput(
                f"{name} makes one step a pixel, so its colours are dependent only by a likelihood that couples them: "
                "take likelihood logistic_mixture, or colours='independent'."
            )

    def embed(self, levels: Tensor, substep: int = 0) -> Tensor:
        """Levels of all channels, or of those of a sub-step, (B, S, …), to features: where images enter the network."""
        return self.entry(levels, substep * self.spec.channels // self.substeps)

    def places(self) -> Tensor:
        """Row and column of each place, from −1 to 1: (1, 2, H, W)."""
        row, column = torch.linspace(-1, 1, self.spec.height), torch.linspace(-1, 1, self.spec.width)
        return torch.stack(torch.meshgrid(row, column, indexing="ij"))[None]


@final
class Autoregressive(Model):
    """An exact model of images: p(x) is the product over sub-pixels, in raster order, of p(each given those before).

    Made by `nextpixel.build` or `nextpixel.load`.

    Args:
        spec: the images.
        backbone: gives the parameters of every sub-pixel.
        likelihood: what the parameters mean.
        context: what the images are conditioned on, or None.
        recipe: the arguments of `build` that make this model again, as JSON values.
    """

    def __init__(
        self,
        spec: ImageSpec,
        backbone: Backbone,
        likelihood: Likelihood,
        context: Context | None,
        *,
        recipe: dict[str, Any],
    ) -> None:
        super().__init__()
        self.spec, self.likelihood, self.context, self.recipe = spec, likelihood, context, recipe
        self.encoder = None if context is None else context.encoder(spec)
        # oneDNN and cuDNN convolve fastest with the features of a pixel side by side.
        self.backbone: Backbone = backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        """`log_prob` without checks: what training wraps. Levels (B, C, H, W) to nats (B,)."""
        return self._distribution(x, context).log_prob(x).flatten(1).sum(1)

    def initialise(self, x: Tensor, context: Any = None) -> None:
        """Let the layers that start from data (see `initialising`) take it from these images; once, when fresh."""
        if any(isinstance(layer, WeightNorm) for layer in self.modules()):
            network = evaluating(self)
            with initialising(network), torch.no_grad():
                network(x.to(self.device), None if self.context is None else context)

    def log_prob(self, x: Tensor, context: object = None) -> PerImage:
        """Log-likelihood of images, in evaluation mode, whatever the model's own is: to train it, there is `forward`.

        Args:
            x: levels, any integer dtype, shape (B, C, H, W).
            context: what the model is conditioned on, for example labels (B,).

        Returns:
            Nats, shape (B,).

        Raises:
            BadInput: images or context are not what the model is about.
        """
        x, context = self._check(x, context)
        return evaluating(self)(x, context)

    def predict(self, x: Tensor, context: object = None) -> Finite:
        """The distribution of every sub-pixel of `x`, given the earlier ones of `x`; from one pass in evaluation mode.

        Arguments and errors are those of `log_prob`.

        Returns:
            A torch Distribution with batch shape (B, C, H, W); its `log_prob(x)` is in nats and sums to `log_prob`.
        """
        x, context = self._check(x, context)
        return evaluating(self)._distribution(x, context)

    def sample(
        self, count: Whole, context: object = None, *, seed: Whole = 0, temperature: Number = 1.0, first: Whole = 0
    ) -> Tensor:
        """Draw images. Image i depends on the seed, on first + i and on its context, not on `count`.

        Args:
            count: how many images (B).
            context: what the model is conditioned on; a single label stands for all images.
            seed: of the noise.
            temperature: 1 draws from the model; below 1, each pixel's distribution is sharpened.
            first: the number of the first image, for drawing a long row of images in pieces.

        Returns:
            Levels, int64, shape (B, C, H, W).

        Raises:
            BadInput: a count below 1, a temperature not above 0, a context that does not fit.
        """
        count = whole(count, "The number of samples", least=1)
        numbers = noise(self.spec, count, seed=seed, first=first).to(self.device)
        return self.unroll(draw(numbers, temperature), count, context)

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
    ) -> Tensor:
        """Draw the unknown sub-pixels, each given all *earlier* ones in raster order; the known ones stay.

        Args:
            x: levels, shape (B, C, H, W); what stands where `known` is False does not matter.
            known: bool, shape (B, 1 or C, H, W).
            context, seed, temperature, first: as in `sample`.

        Returns:
            Levels, int64, shape (B, C, H, W).

        Raises:
            BadInput: images, mask or context are not what the model is about.
        """
        known = self._mask(x, known)
        given = torch.where(known, x.to(self.device), torch.zeros_like(x, device=self.device))
        given, context = self._check(given, context)
        drawn = draw(noise(self.spec, len(given), seed=seed, first=first).to(self.device), temperature)

        def choose(site: Site, distribution: Finite) -> Tensor:
            here = (slice(None), site.channels, site.row, site.column)
            return torch.where(known[here], given[here], drawn(site, distribution))

        rows = [row for row in range(self.spec.height) if not bool(known[:, :, row].all())]
        return self.unroll(choose, len(given), context, given=given, rows=rows)

    def unroll(
        self,
        choose: Choose,
        count: int,
        context: object = None,
        *,
        given: Tensor | None = None,
        rows: Sequence[int] | None = None,
    ) -> Tensor:
        """Visit the sub-pixels of `count` images in raster order; `choose` names their levels.

        The network computes in the dtype of its weights, under `torch.autocast` too: its steps write into buffers of
        that dtype, and products of single places gain nothing from another.

        Args:
            choose: gets a `Site` and the distribution of its sub-pixels, gives their levels (B, S).
            count: how many images (B).
            context: what the model is conditioned on.
            given: levels of the rows that are not visited, (B, C, H, W).
            rows: the rows to visit, ascending; all by default.

        Returns:
            Levels, int64, shape (B, C, H, W).
        """
        context = self._check_context(context, count)
        network = evaluating(self)
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            encoded, shape = network._encode(context), (count, *self.spec.shape)
            images = torch.zeros(shape, dtype=torch.long, device=self.device) if given is None else given.long()
            rows = range(self.spec.height) if rows is None else rows
            made = unroll(network.backbone, self.likelihood, choose, images=images, context=encoded, rows=rows)
        return made.clone()  # outside of inference mode, so that it may take part in a gradient

    def _distribution(self, x: Tensor, context: Any) -> Finite:
        return self.likelihood.distribution(self.backbone(x, self._encode(context)), x)

    def _mask(self, x: Tensor, known: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.is_floating_point() or x.ndim != 4:
            self.spec.check(x)  # which refuses it
        if not isinstance(known, Tensor):
            kind = type(known).__name__
            raise BadInput(f"The mask of known pixels must be a bool tensor, not a {kind}; torch.as_tensor makes one.")
        if known.dtype != torch.bool:
            kind = str(known.dtype).removeprefix("torch.")
            raise BadInput(f"The mask of known pixels must be bool, not {kind}; known.bool() takes all but 0 as known.")
        batch, channels, *grid = x.shape
        if known.shape not in ((batch, 1, *grid), (batch, channels, *grid)):
            raise BadInput(
                f"The mask of known pixels must have shape (B, 1 or C, H, W) for images of shape {tuple(x.shape)}, "
                f"not {tuple(known.shape)}."
            )
        return known.expand(x.shape).to(self.device)

    def _check(self, x: Tensor, context: object) -> tuple[Tensor, Any]:
        x = self.spec.check(x).to(self.device)
        return x, self._check_context(context, len(x))

    def _check_context(self, context: object, batch: int) -> Any:
        if self.context is not None:
            return self.context.check(context, batch, self.spec)
        if context is not None:
            raise BadInput(f"This model is not conditioned on anything, but was given {_brief(context)}.")
        return None

    def _encode(self, context: Any) -> Tensor | None:
        return None if self.encoder is None or context is None else self.encoder(context)


def _brief(context: object) -> str:
    return f"a context of shape {tuple(context.shape)}" if isinstance(context, Tensor) else f"the context {context!r}"
