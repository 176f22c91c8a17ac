"""A network, what its output means, and everything that follows: likelihoods, samples, completions."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from nextpixel.distributions import Finite
from nextpixel.errors import BadInput, called, flag, shown, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.model import Model, are_finite, evaluating
from nextpixel.nn.context import Context
from nextpixel.nn.norm import WeightNorm, initialising
from nextpixel.nn.tables import Tables, exactly
from nextpixel.orders import Orders
from nextpixel.particles import Completion, Particles
from nextpixel.spec import ImageSpec, kind
from nextpixel.typing import Number, PerImage, Whole
from nextpixel.unroll import Ancestors, Backbone, Choose, Progress, draw, noise, unroll

NEAR = 2**13  # pixels whose activations stay near a processor; those of a twin are gone through many times


@final
class Autoregressive(Model):
    """An exact model of images: p(x) is the product over sub-pixels, in raster order, of p(each given those before).

    With several reading orders [1, 2] it is the mean over orders of such products, each in raster order of the turned
    image, and the network is told which. Made by `nextpixel.build` or `nextpixel.load`.

    Args:
        spec, context, recipe: as of `Model`.
        backbone: gives the parameters of every sub-pixel.
        likelihood: what the parameters mean.
        orders: how many reading orders there are (see `Orders`).

    References:
        [1] Jain et al., Locally Masked Convolution for Autoregressive Models, 2020 (there masks in every layer).
        [2] Jun et al., Distribution Augmentation for Generative Modeling, 2020.
    """

    def __init__(
        self,
        spec: ImageSpec,
        backbone: Backbone,
        likelihood: Likelihood,
        context: Context | None,
        *,
        recipe: dict[str, Any],
        orders: int = 1,
    ) -> None:
        super().__init__()
        self.spec, self.likelihood, self.context, self.recipe = spec, likelihood, context, recipe
        self.reading, self.orders = Orders(spec, orders), orders
        self.tables: Tables | None = None  # of an exact twin
        self.encoder = None if context is None else context.encoder(spec)
        # oneDNN and cuDNN convolve fastest with the features of a pixel side by side.
        self.backbone: Backbone = backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, context: Any = None, drawn: Tensor | None = None) -> Tensor:
        """`log_prob` without checks: what training wraps. Levels (B, C, H, W) to nats (B,).

        While training, or with orders `drawn` for the images, (B,), it is that of one order for each.
        """
        if self.training and drawn is None and self.orders > 1:
            drawn = torch.randint(self.orders, (len(x),), device=x.device)
        each = [self._nats(x, context, order) for order in (self.reading.every(len(x)) if drawn is None else [drawn])]
        return each[0] if len(each) == 1 else torch.stack(each).logsumexp(0) - math.log(len(each))

    def initialise(self, x: Tensor, context: Any = None) -> None:
        """Let the layers that start from data (see `initialising`) take it from these images, if they are fresh."""
        layers = [layer for layer in self.modules() if isinstance(layer, WeightNorm)]
        if layers and all(layer.fresh() for layer in layers):
            network, x = evaluating(self), x.to(self.device)
            some = torch.arange(len(x), device=x.device) % self.orders
            with initialising(network), torch.no_grad():
                network(x, None if self.context is None else context, some if self.orders > 1 else None)

    def drawn(self, count: int, noise: np.random.Generator) -> Tensor | None:
        """The order in which a training step reads each of its images, (B,)."""
        return torch.from_numpy(noise.integers(self.orders, size=count)) if self.orders > 1 else None

    def log_prob(self, x: Tensor, context: object = None, *, order: Whole | Tensor | None = None) -> PerImage:
        """Log-likelihood of images, nats, (B,), in evaluation mode always: to train a model, there is `forward`.

        Args:
            x: levels, any integer dtype, shape (B, C, H, W); all go through the network at once (see `evaluate`).
            context: what the model is conditioned on, for example labels (B,).
            order: the reading order whose likelihood is asked for, or one an image, (B,); None for the mixture of all,
                which takes a pass of the network each.

        Raises:
            BadInput: images, context or order are not what the model is about.
        """
        x, context = self._check(x, context)
        return evaluating(self)(x, context, None if order is None else self.reading.check(order, len(x)))

    def predict(self, x: Tensor, context: object = None, *, order: Whole | Tensor | None = None) -> Finite:
        """The distribution of every sub-pixel of `x`, given the earlier ones of `x`; from one pass in evaluation mode.

        It is a torch Distribution with batch shape (B, C, H, W), whose `log_prob(x)` is in nats and sums to `log_prob`.
        Arguments and errors are those of `log_prob`, but that a model of several orders must be told which: what comes
        before a sub-pixel depends on it.
        """
        x, context = self._check(x, context)
        if order is None and self.orders > 1:
            raise BadInput(f"This model reads in {self.orders} orders; say in which to predict: order=0, for one.")
        return evaluating(self)._distribution(x, context, self.reading.check(order, len(x)))

    def sample(
        self,
        count: Whole,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
        order: Whole | Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw images, int64, (B, C, H, W). Image i depends on the seed, first + i and its context, not on `count`.

        Args:
            count: how many images (B).
            context: what the model is conditioned on; a single label stands for all images.
            seed: of the noise.
            temperature: 1 draws from the model; below 1, each pixel's distribution is sharpened.
            first: the number of the first image, for drawing a long row of images in pieces.
            order: in which to draw, or one an image, (B,); None draws one for each image too.
            progress: gets a copy of the images whenever a row of them is drawn; what it raises ends the work.

        Raises:
            BadInput: a count below 1, a temperature not above 0, a context or an order that does not fit.
        """
        count = whole(count, "The number of samples", least=1)
        called(progress, "progress")
        self._can_draw()
        numbers = noise(self.spec, count, seed=seed, first=first).to(self.device)
        if order is None:
            chosen = self.reading.drawn(torch.zeros(count, self.orders), seed=seed, first=first)
        else:
            chosen = self.reading.check(order, count)
        watch = None if progress is None else lambda images: progress(self.reading.turn_back(images, chosen))
        images = self.unroll(draw(numbers, temperature), count, context, order=chosen, progress=watch)
        return self.reading.turn_back(images, chosen)

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
        particles: Whole = 1,
    ) -> Tensor:
        """Draw the unknown sub-pixels; the known ones stay. Gives levels, int64, of the shape of `x`.

        Each image is read in the order with the fewest pairs of a known sub-pixel after an unknown one. Where there is
        no such pair, all are drawn given all that is known: exactly from the model's distribution in that order. So it
        is for the upper part of an image with 1 order, for the upper and lower one with 4, for any half or strip at a
        side with 8. The order is drawn from its posterior given the known pixels where there are several such.
        Elsewhere a sub-pixel is drawn given the *earlier* ones only, and `particles` mend that.

        Args:
            x: levels, shape (B, C, H, W).
            known: bool, shape (B, 1 or C, H, W).
            context: what the model is conditioned on.
            seed, temperature, first: as in `sample`.
            particles: images in the making for each image (N), weighed by the known sub-pixels that they meet and drawn
                anew by these weights; with N growing, completions at temperature 1 follow the distribution given all
                that is known, in the order in which the image is read.

        Raises:
            BadInput: images, mask or context are not what the model is about, or no particles.
        """
        settings = {"seed": seed, "temperature": temperature, "first": first, "particles": particles}
        return self.completion(x, known, context, **settings, weigh=whole(particles, "particles", least=1) > 1).images

    def completion(
        self,
        x: Tensor,
        known: Tensor,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
        particles: Whole = 64,
        weigh: bool = True,
    ) -> Completion:
        """`complete`, with an estimate of how likely the known sub-pixels are, unless they do not `weigh`."""
        count = whole(particles, "particles", least=1)
        flag(weigh, "weigh")
        self._can_draw()
        known = self._mask(x, known)
        given = torch.where(known, x.to(self.device), torch.zeros_like(x, device=self.device))
        given, context = self._check(given, context)
        order = self._order(given, known, context, seed=seed, first=first)
        given, known = self.reading.turn(given.long(), order), self.reading.turn(known, order)
        rows = [row for row in range(self.spec.height) if not bool(known[:, :, row].all())]
        above = min(rows, default=self.spec.height)  # so many rows come before anything unknown
        numbers = noise(self.spec, len(given), seed=seed, first=first, each=count).to(self.device)
        images, marks = (part.repeat_interleave(count, 0) for part in (given, known))
        chosen = Particles(draw(numbers, temperature), images, marks, count=count, seed=seed, first=first)
        made = self.unroll(
            chosen,
            len(images),
            apply_to_collection(context, Tensor, Tensor.repeat_interleave, count, 0),
            given=images,
            rows=range(above, self.spec.height) if weigh else rows,
            order=None if order is None else order.repeat_interleave(count, 0),
            ancestors=chosen.ancestors if weigh and count > 1 else None,
        )
        kept = self.reading.turn_back(made[chosen.last()], order)
        if not weigh or not above:
            return Completion(kept, chosen.evidence)
        with torch.no_grad():
            nats = evaluating(self)._turned(given, context, order).log_prob(given)[:, :, :above]
        return Completion(kept, chosen.evidence + nats.to(chosen.evidence.device).double().flatten(1).sum(1))

    def unroll(
        self,
        choose: Choose,
        count: int,
        context: object = None,
        *,
        given: Tensor | None = None,
        rows: Sequence[int] | None = None,
        order: Tensor | None = None,
        ancestors: Ancestors | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Visit the sub-pixels of `count` images in raster order; `choose` names their levels: int64, (B, C, H, W).

        The network computes in the dtype of its weights, under `torch.autocast` too: its steps write into buffers of
        that dtype, and products of single places gain nothing from another.

        Args:
            count, context: how many images (B), and what the model is conditioned on.
            given: levels of the rows that are not visited, (B, C, H, W).
            rows: all by default.
            order: in which each image is read, (B,). Sites, rows, and images given and made are those of turned ones.
            choose, ancestors, progress: see the types.
        """
        context = self._check_context(context, count)
        network = evaluating(self)
        with torch.inference_mode(), self._computing(), torch.autocast(self.device.type, enabled=False):
            encoded, shape = network.given(context, order), (count, *self.spec.shape)
            images = torch.zeros(shape, dtype=torch.long, device=self.device) if given is None else given.long()
            made = unroll(
                network.backbone,
                self.likelihood,
                choose,
                images=images,
                context=encoded,
                rows=range(self.spec.height) if rows is None else rows,
                ancestors=ancestors,
                progress=progress,
            )
        return made.clone()  # outside of inference mode, so that it may take part in a gradient

    def _order(self, given: Tensor, known: Tensor, context: Any, *, seed: Whole, first: Whole) -> Tensor | None:
        """The order in which to complete each image, (B,): of those in which fewest known sub-pixels come late."""
        if self.orders == 1:
            return None
        met = self.reading.met(known).cpu()
        odds = torch.zeros(met.shape, dtype=torch.float64)
        if bool((exact := met == 0).any()):
            network, every = evaluating(self), self.reading.every(len(given))
            with torch.no_grad():
                nats = [network._distribution(given, context, order).log_prob(given) for order in every]
            odds = torch.stack([each.masked_fill(~known, 0.0).cpu().double().flatten(1).sum(1) for each in nats], 1)
            impossible = (odds.masked_fill(~exact, -math.inf) == -math.inf).all(1, keepdim=True)  # whatever the order
            odds = odds.masked_fill(~exact | impossible, 0.0)
        return self.reading.drawn(odds.masked_fill(met > met.amin(1, keepdim=True), -math.inf), seed=seed, first=first)

    def _nats(self, x: Tensor, context: Any, order: Tensor | None) -> Tensor:
        each = max(1, NEAR // (self.spec.height * self.spec.width))
        if self.tables is not None and x.device.type == "cpu" and len(x) > each:
            every = [
                apply_to_collection((x, context, order), Tensor, Tensor.__getitem__, slice(start, start + each))
                for start in range(0, len(x), each)
            ]
            return torch.cat([self._nats(*part) for part in every])
        x = self.reading.turn(x, order)
        return self._turned(x, context, order).log_prob(x).flatten(1).sum(1)

    def _turned(self, x: Tensor, context: Any, order: Tensor | None) -> Finite:
        """The distribution of the sub-pixels of images that are turned as their order reads them."""
        return self.likelihood.distribution(self._numbers(x, context, order), x)

    def _distribution(self, x: Tensor, context: Any, order: Tensor | None) -> Finite:
        parameters = self._numbers(self.reading.turn(x, order), context, order)
        return self.likelihood.distribution(self.reading.turn_back(parameters, order), x)

    def _numbers(self, x: Tensor, context: Any, order: Tensor | None) -> Tensor:
        with self._computing():
            return self.backbone.numbers(x, self.given(context, order))

    def _can_draw(self) -> None:
        if not are_finite(self):
            raise BadInput("Some weights of this model are not finite numbers, so nothing can be drawn from it.")

    def _computing(self) -> AbstractContextManager[None]:
        """What the network computes in: an exact twin without products that approximate."""
        return nullcontext() if self.tables is None else exactly(self.device)

    def _mask(self, x: Tensor, known: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.is_floating_point() or x.ndim != 4:
            self.spec.check(x)  # which refuses it
        if not isinstance(known, Tensor) or known.dtype != torch.bool:
            way = "torch.as_tensor(known).bool() takes all but 0 as known"
            raise BadInput(f"The mask of known pixels must be a bool tensor, not {kind(known)}; {way}.")
        batch, channels, *grid = x.shape
        if known.shape not in ((batch, 1, *grid), (batch, channels, *grid)):
            shape = f"(B, 1 or C, H, W) as the images, which have {tuple(x.shape)}"
            raise BadInput(f"The mask of known pixels must have shape {shape}, not {tuple(known.shape)}.")
        return known.expand(x.shape).to(self.device)

    def _check(self, x: Tensor, context: object) -> tuple[Tensor, Any]:
        x = self.spec.check(x).to(self.device)
        return x, self._check_context(context, len(x))

    def _check_context(self, context: object, batch: int) -> Any:
        if self.context is not None:
            return self.context.check(context, batch, self.spec)
        if context is not None:
            said = f"of shape {tuple(context.shape)}" if isinstance(context, Tensor) else shown(context)
            raise BadInput(f"This model is not conditioned on anything, but was given the context {said}.")
        return None

    def given(self, context: Any, order: Tensor | None) -> Tensor | None:
        """What the network is given: the encoded context and the order, (B, d, 1 or H, 1 or W)."""
        encoded = None if self.encoder is None or context is None else self.encoder(context)
        return self.reading.told(encoded, order)
