"""PixelVAE: a latent vector says what the image is about, a small Gated PixelCNN draws it."""

import math
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput, one_of, shown, whole
from nextpixel.likelihoods import Likelihood
from nextpixel.model import Model, evaluating
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.nn.context import Latent, Vector
from nextpixel.nn.embedding import entry
from nextpixel.nn.latent import Summary, Whitened
from nextpixel.spec import ImageSpec
from nextpixel.typing import Colours, Number, PerImage, Whole
from nextpixel.unroll import Progress, draw, generators, noise

NARROWEST, WIDEST = -8.0, 2.0  # logarithms of a posterior's standard deviation, beyond which it changes slowly
START = -0.7  # that logarithm for the mean image at the start: narrower than the prior, so that z tells images apart


class Elbo(NamedTuple):
    """The evidence lower bound of each image, and its parts; nats, shape (B,) each."""

    reconstruction: Tensor  # log p(x|z) for a z drawn from the posterior q(z|x)
    kl: Tensor  # what z costs: the divergence of q(z|x) from the prior

    @property
    def nats(self) -> Tensor:
        """A lower bound of log p(x): reconstruction − kl."""
        return self.reconstruction - self.kl


@final
class PixelVAE(Model):
    """A latent vector with a Gaussian prior, an encoder that guesses it, and a gated decoder given it [1].

    The decoder p(x|z) is exact, as every model here; what is far from a pixel it does not see and must learn from z, so
    its blocks are few and small. The likelihood of an image is an integral over z, of which there are only bounds:
    `elbo` and `iw_bound`. The paper's second level, a PixelCNN as prior over a map of Gaussian numbers, is left out:
    pixels are integers here. For a prior over a map of codes see `ImageSpec.ordinal`.

    Args:
        latent: numbers of the latent vector (z).
        condition: "map": learnt layers spread z over the places of the image; "vector": z is the same at each place.
        maps: features of that map.
        encoder: features of the encoder's first convolutions; they double with each step down.
        depth: how often the encoder halves the resolution.
        filters, blocks, kernel, first_kernel, head, norm, dropout, colours: of the decoder, as of `gated_pixelcnn`.
        free_bits: of the divergence of each latent number, averaged over a batch, that training does not count [2].
        warmup: batches of training in which the weight of the divergence rises from 0 to 1 [3].
        spread: standard deviation over images that the means of the posteriors are given, with no correlation between
            latent numbers, so that none can be the same for all images, nor all tell the same [6]; 0 leaves them.
        equalised: whether the layers from images to z and from z to the map have equalised learning rates [7].

    References:
        [1] Gulrajani et al., PixelVAE: A Latent Variable Model for Natural Images, 2016.
        [2] Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016, appendix C.8.
        [3] Bowman et al., Generating Sentences from a Continuous Space, 2015.
        [4] Burda et al., Importance Weighted Autoencoders, 2015.
        [5] Rezende et al., Stochastic Backpropagation and Approximate Inference in Deep Generative Models, 2014.
        [6] Zhu et al., A Batch Normalized Inference Network Keeps the KL Vanishing Away, 2020.
        [7] Karras et al., Progressive Growing of GANs for Improved Quality, Stability, and Variation, 2018.

    Example:
        >>> spec = npx.ImageSpec(1, 8, 8, levels=2)
        >>> model = npx.build("pixelvae", spec, "bernoulli", latent=2, encoder=4, maps=4, filters=4, blocks=1)
        >>> images = model.sample(3, seed=0)
        >>> elbo = model.elbo(images)
        >>> elbo.nats.equal(elbo.reconstruction - elbo.kl)
        True
    """

    def __init__(
        self,
        spec: ImageSpec,
        likelihood: Likelihood,
        context: int = 0,
        *,
        latent: int = 32,
        condition: Literal["map", "vector"] = "map",
        maps: int = 64,
        encoder: int = 32,
        depth: int = 2,
        filters: int = 64,
        blocks: int = 3,
        kernel: int = 3,
        first_kernel: int = 5,
        head: int = 64,
        norm: Literal["none", "layer", "positional"] = "layer",
        dropout: float = 0.0,
        colours: Colours = "dependent",
        free_bits: float = 0.0,
        warmup: int = 0,
        spread: float = 0.0,
        equalised: bool = False,
    ) -> None:
        super().__init__()
        self._refuse(context or None)
        sizes = {"latent": latent, "maps": maps, "encoder": encoder, "depth": depth, "warmup": warmup}
        for name, value in sizes.items():
            whole(value, name, least=0 if name in ("depth", "warmup") else 1)
        one_of(condition, "condition", ("map", "vector"))
        for name, value in (("free_bits", free_bits), ("spread", spread)):
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise BadInput(f"{name} must be at least 0 and finite, not {value!r}.")
        self.spec, self.context, self.recipe = spec, None, {}
        self.latent, self.free_nats, self.warmup, self.spread = latent, free_bits * math.log(2), warmup, spread
        self.entry = entry(spec)
        inputs, grid = spec.channels * self.entry.features, spec.shape[1:]
        summary = Summary(inputs, 2 * latent, *grid, filters=encoder, depth=depth, equalised=equalised)
        if equalised:
            with torch.no_grad():
                summary.read.bias[latent:] = START
        self.encoder = summary.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.whitened = Whitened(latent) if spread else None
        given = Latent(latent, maps, equalised) if condition == "map" else Vector(latent)
        sizes = {"filters": filters, "blocks": blocks, "kernel": kernel, "first_kernel": first_kernel, "head": head}
        others: dict[str, Any] = {**sizes, "norm": norm, "dropout": dropout, "colours": colours}
        drawing = GatedPixelCNN(spec, likelihood, given.features, **others)
        self.decoder = Autoregressive(spec, drawing, likelihood, given, recipe={})
        self.batches: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))  # that training has seen

    def forward(self, x: Tensor, context: Any = None, drawn: Tensor | None = None) -> Tensor:
        """What training makes larger, (B,) nats: `elbo` without checks; while training, with free bits and warm-up."""
        posterior = self._posterior(x)
        if not self.training:
            return self._elbo(x, posterior, self._numbers(len(x), seed=0)).nats
        if drawn is None:
            self.batches += 1
        weight = torch.clamp(self.batches / (self.warmup + 1), max=1.0)
        z = posterior.rsample() if drawn is None else _moved(posterior, drawn)
        each = kl_divergence(posterior.base_dist, Normal(0.0, 1.0)).mean(0)  # of each latent number
        return self.decoder(x, z) - weight * each.clamp(min=self.free_nats).sum()

    def drawn(self, count: int, noise: np.random.Generator) -> Tensor:
        """The standard normal numbers that make latent vectors of posteriors, (B, z); a step of the warm-up is done."""
        self.batches += 1
        numbers = noise.standard_normal((count, self.latent), np.float32)
        return torch.from_numpy(numbers).to(next(self.parameters()))

    def undivided(self) -> str | None:
        """Averages over the images of a batch."""
        whole = {"model.spread": self.whitened is not None, "model.free_bits": self.free_nats > 0}
        return next((name for name, needs in whole.items() if needs), super().undivided())

    def posterior(self, x: Tensor) -> "Independent[Normal]":
        """q(z|x), the encoder's guess in evaluation mode: a torch Distribution of vectors (z,), batch shape (B,)."""
        return evaluating(self)._posterior(self.spec.check(x).to(self.device))

    def elbo(self, x: Tensor, *, seed: Whole = 0, first: Whole = 0) -> Elbo:
        """The evidence lower bound of log p(x) of levels, shape (B, C, H, W), from one z an image.

        Image i's z is drawn by the seed and first + i, whatever the batch. BadInput for images of another spec.
        """
        posterior, x = self.posterior(x), self.spec.check(x).to(self.device)
        return evaluating(self)._elbo(x, posterior, self._numbers(len(x), seed=seed, first=first))

    def iw_bound(self, x: Tensor, *, samples: Whole = 64, seed: Whole = 0, first: Whole = 0) -> PerImage:
        """The importance-weighted bound of log p(x) [4]: at least `elbo` in the mean, and tighter with more samples.

        It is log of the mean of p(x|z) p(z) / q(z|x) over so many z from q(z|x), each of which costs a pass of the
        decoder; in nats, shape (B,). Other arguments and errors are those of `elbo`.
        """
        samples = whole(samples, "samples", least=1)
        posterior, x = self.posterior(x), self.spec.check(x).to(self.device)
        decoder = evaluating(self.decoder)
        prior, each = Normal(0.0, 1.0), posterior.base_dist
        weights = []
        for sample in range(samples):
            z = _moved(posterior, self._numbers(len(x), seed=seed, first=first, number=sample))
            weights.append(decoder(x, z) + (prior.log_prob(z) - each.log_prob(z)).sum(1))
        return torch.stack(weights).logsumexp(0) - math.log(samples)

    def log_prob(self, x: Tensor, context: object = None) -> PerImage:
        """Refused with BadInput: p(x) is an integral over z."""
        raise BadInput("A pixelvae has no exact log_prob, only bounds of it: take elbo or iw_bound.")

    def predict(self, x: Tensor, context: object = None) -> Any:
        """Refused with BadInput: without z, a sub-pixel has no distribution of its own."""
        raise BadInput("A pixelvae predicts pixels given z only: take decoder.predict(x, z), or elbo and iw_bound.")

    def sample(
        self,
        count: Whole,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw images: z from the prior, then pixels given z at that temperature; else as `Autoregressive.sample`."""
        self._refuse(context)
        count = whole(count, "The number of samples", least=1)
        z = self._numbers(count, seed=seed, first=first)
        return self.decoder.sample(count, z, seed=seed, temperature=temperature, first=first, progress=progress)

    def decode(self, z: Tensor, *, seed: Whole = 0, temperature: Number = 1.0, first: Whole = 0) -> Tensor:
        """Draw an image for each latent vector, z of shape (B, z); all else is as of `Autoregressive.sample`."""
        if not isinstance(z, Tensor) or z.ndim != 2:
            raise BadInput(f"Latent vectors are a tensor of shape (B, {self.latent}), not {shown(z)}.")
        return self.decoder.sample(len(z), z, seed=seed, temperature=temperature, first=first)

    def reconstruct(self, x: Tensor, *, seed: Whole = 0, temperature: Number = 1.0, first: Whole = 0) -> Tensor:
        """Draw each image anew from a z of its posterior; same shape as `x`."""
        with torch.no_grad():
            z = _moved(self.posterior(x), self._numbers(len(x), seed=seed, first=first))
        return self.decode(z, seed=seed, temperature=temperature, first=first)

    def interpolate(self, x: Tensor, y: Tensor, steps: Whole, *, seed: Whole = 0, temperature: Number = 1.0) -> Tensor:
        """Draw images on the way from each of `x` to that of `y`, all steps of a pair from the same noise.

        The way goes along a great circle, with a length that changes evenly, as vectors in between two of a Gaussian
        would be too short. Its ends, decoded from their posteriors' means, are among the steps, which are two at least.
        Levels of shape (B, C, H, W) each give levels, int64, of (B, steps, C, H, W).
        """
        steps, x, y = whole(steps, "steps", least=2), self.spec.check(x), self.spec.check(y)
        if len(x) != len(y):
            raise BadInput(f"There must be as many ends as beginnings, not {len(y)} for {len(x)}.")
        with torch.no_grad():
            z = _way(self.posterior(x).mean, self.posterior(y).mean, steps).flatten(0, 1)
        numbers = noise(self.spec, len(x), seed=seed).repeat_interleave(steps, 0).to(self.device)
        return self.decoder.unroll(draw(numbers, temperature), len(z), z).unflatten(0, (len(x), steps))

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        context: object = None,
        *,
        z: Tensor | None = None,
        rounds: Whole = 4,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
    ) -> Tensor:
        """Draw the unknown sub-pixels given z and the earlier ones; the known ones stay.

        Without a z, (B, z), one is drawn from the prior, then so many rounds in turns with the unknown pixels: z from
        the posterior of the completed image, pixels given z [5, section 4.3's pseudo-Gibbs chain]. Other arguments,
        result and errors are those of `Autoregressive.complete`.
        """
        self._refuse(context)
        rounds, x = whole(rounds, "rounds", least=0), self.spec.check(x)
        settings = {"seed": seed, "temperature": temperature, "first": first}
        if z is not None:
            return self.decoder.complete(x, known, z, **settings)
        made = self.decoder.complete(x, known, self._numbers(len(x), seed=seed, first=first), **settings)
        for number in range(1, rounds + 1):
            with torch.no_grad():
                z = _moved(self.posterior(made), self._numbers(len(x), seed=seed, first=first, number=number))
            made = self.decoder.complete(x, known, z, **settings)
        return made

    def _posterior(self, x: Tensor) -> "Independent[Normal]":
        numbers = self.encoder(self.entry(x))
        numbers = numbers.to(torch.promote_types(numbers.dtype, torch.float32))  # bfloat16 is for convolutions
        mean, log_scale = numbers.chunk(2, 1)
        if self.whitened is not None:
            mean = self.spread * self.whitened(mean)
        return Independent(Normal(mean, _bounded(log_scale).exp(), validate_args=False), 1)

    def _elbo(self, x: Tensor, posterior: "Independent[Normal]", numbers: Tensor) -> Elbo:
        kl = kl_divergence(posterior.base_dist, Normal(0.0, 1.0)).sum(1)
        return Elbo(self.decoder(x, _moved(posterior, numbers)), kl)

    def _numbers(self, count: int, *, seed: Whole, first: Whole = 0, number: int = 0) -> Tensor:
        """Standard normal numbers (B, z), each image's its own; independent of the noise of its pixels."""
        each = generators(count, seed=seed, first=first, stream=1 + number)
        vectors = np.array([generator.standard_normal(self.latent) for generator in each]).reshape(-1, self.latent)
        weight = next(self.parameters())
        return torch.from_numpy(vectors).to(weight.device, torch.promote_types(weight.dtype, torch.float32))

    def _refuse(self, context: object) -> None:
        if context is not None:
            raise BadInput("A pixelvae is conditioned on its latent vector only, so it takes no context.")


def _bounded(x: Tensor) -> Tensor:
    """The same numbers, growing only as logarithms outside of what deviations are: a wild step can be undone."""
    over, under = (x - WIDEST).clamp(min=0), (NARROWEST - x).clamp(min=0)
    return x.clamp(NARROWEST, WIDEST) + over.log1p() - under.log1p()


def _moved(posterior: "Independent[Normal]", numbers: Tensor) -> Tensor:
    """Standard normal numbers as vectors of the posterior."""
    return posterior.base_dist.mean + posterior.base_dist.stddev * numbers


def _way(x: Tensor, y: Tensor, steps: int) -> Tensor:
    """Vectors from (B, z) to (B, z): (B, steps, z)."""
    part = torch.linspace(0, 1, steps).to(x).view(1, -1, 1)
    lengths = [end.norm(dim=1).clamp(min=1e-6).view(-1, 1, 1) for end in (x, y)]
    ends = [end.unsqueeze(1) / length for end, length in zip((x, y), lengths, strict=True)]
    angle = (ends[0] * ends[1]).sum(2, keepdim=True).clamp(-1, 1).acos().clamp(1e-4, math.pi - 1e-4)
    direction = (((1 - part) * angle).sin() * ends[0] + (part * angle).sin() * ends[1]) / angle.sin()
    return direction * ((1 - part) * lengths[0] + part * lengths[1])
