"""Likelihoods and their bounds at the edge: bits per dimension, and averages over a data set with standard errors."""

import io
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from nextpixel import processes
from nextpixel.autoregressive import Autoregressive
from nextpixel.data import Split
from nextpixel.data.dataset import evenly
from nextpixel.errors import BadInput, called, flag, shown, whole
from nextpixel.model import Model, a_model
from nextpixel.models.pixelvae import PixelVAE
from nextpixel.nn.context import ClassLabel
from nextpixel.pairing import given
from nextpixel.spec import ImageSpec
from nextpixel.typing import PerImage

Costs = Callable[[Tensor, np.ndarray], list[Tensor]]  # of images (B, C, H, W) and their indices: nats, (B,) each
Watch = Callable[[Sequence[int]], Iterable[int]]


def bits_per_dim(model: Model, x: Tensor, context: object = None) -> PerImage:
    """−log₂ p(x) over the number of sub-pixels, for each image, shape (B,).

    The model is any exact one; other arguments and errors are those of its `log_prob`.
    """
    with torch.no_grad():
        inner = a_model(model)
        return -inner.log_prob(x, context) / (inner.spec.subpixels * math.log(2))


@dataclass(frozen=True)
class Evaluation:
    """A mean over images."""

    images: int  # how many there were
    nats: float  # mean of −log p(x) in nats an image
    nats_error: float  # standard error of that mean
    bits_per_dim: float  # the same in bits a sub-pixel
    bits_per_dim_error: float  # standard error of that
    each: Tensor = field(repr=False, compare=False)  # −log p(x) of every image, in nats, (N,)
    orders: tuple["Evaluation", ...] = ()  # the same of each reading order alone, where the model mixes several


def evaluate(
    model: Model,
    split: Split,
    *,
    images: int | None = None,
    batch: int = 64,
    seed: int = 0,
    classes: bool = True,
    watch: Watch = iter,
) -> Evaluation:
    """Measure a model on a split of a data set, image by image, in evaluation mode and the precision of its weights.

    Args:
        model: with the split's spec; it is given the split's labels, by number, or maps, if it has a context.
        images: only the first so many; None for all.
        batch: images at once.
        seed: of images that are drawn: the train split's, if dynamically binarised.
        classes: give a model of classes those of the images; else it is measured as a model of images alone, which is
            the mixture of its classes, each as likely, and costs a pass a class.
        watch: goes through the batches, for a progress bar.

    Raises:
        BadInput: no images, not what the model is about, or a `pixelvae`, which has bounds only (`evaluate_bounds`).
    """
    model = a_model(model)
    flag(classes, "classes")
    called(watch, "watch")
    labels = range(model.context.classes if isinstance(model.context, ClassLabel) else 0)
    if not (classes or labels):
        raise BadInput("Only a model of classes can be measured without them; this one is given none.")
    orders = model.orders if isinstance(model, Autoregressive) else 1

    def costs(x: Tensor, indices: np.ndarray) -> list[Tensor]:
        measure, contexts = cast(Any, model.log_prob), [given(model.context, split, indices)] if classes else labels
        named = [{"order": order} for order in range(orders)] if orders > 1 else [{}]
        return [-measure(x, context, **order) for order in named for context in contexts]

    every = torch.stack(_measured(costs, split, images, batch, seed, watch)).unflatten(0, (orders, -1))
    nats = math.log(every.shape[1]) - (-every).logsumexp(1)
    mixture = math.log(orders) - (-nats).logsumexp(0)
    each = tuple(summarise(order, model.spec) for order in nats) if orders > 1 else ()
    return replace(summarise(mixture, model.spec), orders=each)


@dataclass(frozen=True)
class Bounds:
    """What is known of the likelihood of a model with a latent vector: means over images, of costs like −log p(x)."""

    elbo: Evaluation  # the negative evidence lower bound, the sum of the next two
    reconstruction: Evaluation  # what pixels cost given the latent vector
    kl: Evaluation  # what the latent vector costs
    importance: Evaluation | None  # the negative importance-weighted bound, the tighter estimate, if asked for
    samples: int  # of the latent vector that it took


def evaluate_bounds(
    model: PixelVAE,
    split: Split,
    *,
    images: int | None = None,
    samples: int = 16,
    batch: int = 64,
    seed: int = 0,
    watch: Watch = iter,
) -> Bounds:
    """Measure the bounds of a model as `evaluate` does; `samples` (0: none) are for the importance-weighted one."""
    vae = a_model(model)
    if not isinstance(vae, PixelVAE):
        name = vae.recipe.get("name")
        raise BadInput(f"Bounds are of a pixelvae; the likelihood of a {name} is exact: npx.evaluate measures it.")
    samples = whole(samples, "samples", least=0)

    def costs(x: Tensor, indices: np.ndarray) -> list[Tensor]:
        first = int(indices[0])
        elbo = vae.elbo(x, seed=seed, first=first)
        tighter = [-vae.iw_bound(x, samples=samples, seed=seed, first=first)] if samples else []
        return [-elbo.nats, -elbo.reconstruction, elbo.kl, *tighter]

    parts = [summarise(nats, vae.spec) for nats in _measured(costs, split, images, batch, seed, watch)]
    return Bounds(parts[0], parts[1], parts[2], parts[3] if samples else None, samples)


def summarise(nats: Tensor, spec: ImageSpec) -> Evaluation:
    """The mean of −log p(x), shape (N,), with its standard error (not a number for a single image)."""
    mean, error = float(nats.mean()), float(nats.std() / math.sqrt(len(nats))) if len(nats) > 1 else math.nan
    bits = 1 / (spec.subpixels * math.log(2))
    return Evaluation(len(nats), mean, error, mean * bits, error * bits, nats)


def plus_minus(error: float | None) -> str:
    """A standard error behind its mean; a single image has none."""
    return "" if error is None or math.isnan(error) else f" ± {error:.4f}"


def _measured(costs: Costs, split: Split, images: int | None, batch: int, seed: int, watch: Watch) -> list[Tensor]:
    """Each of the costs, of all images, (N,)."""
    if not isinstance(split, Split):
        raise BadInput(f"Images come in a split, such as npx.open_data('digits').test, not {shown(split)}.")
    for value, name, least in ((batch, "batch", 1), (seed, "seed", 0), (1 if images is None else images, "images", 1)):
        whole(value, name, least=least)
    count = len(split) if images is None else min(images, len(split))
    if count < 1:
        raise BadInput("There are no images to evaluate on.")

    def measure(start: int) -> Tensor:
        indices, noise = np.arange(start, min(count, start + batch)), np.random.default_rng([seed, start])
        return torch.stack([cost.cpu().double() for cost in costs(split.batch(indices, noise)[0], indices)])

    with torch.no_grad():
        found = processes.everywhere(range(0, count, batch), measure, watch)
    return list(torch.cat(found, 1))


_LEARNT_FROM, _COMPRESSED = 10_000, 1_000  # images at the most, evenly spaced
_MOST_COUNTS = 2**26  # of a table of levels at places


def baselines(spec: ImageSpec, train: Split, split: Split, *, images: int | None = None) -> dict[str, float]:
    """Bits per dimension of a split's images, all or the first so many, by the way that they are coded.

    "uniform": all levels alike. "independent pixels": how often each level stands at each place of the training images,
    each count plus one (left out where that table would be too large). "PNG", or "zlib" where there is no such PNG: all
    images below each other in one file.

    Example:
        >>> from nextpixel.data import open_data
        >>> data = open_data("digits")
        >>> {name: round(bits, 1) for name, bits in baselines(data.spec, data.train, data.test).items()}
        {'uniform': 4.1, 'independent pixels': 2.4, 'PNG': 4.0}
    """
    count = len(split) if images is None else min(images, len(split))
    found = {"uniform": math.log2(spec.levels)}
    if spec.levels * spec.subpixels <= _MOST_COUNTS:
        learnt, coded = _some(train, len(train), _LEARNT_FROM), _some(split, count, _LEARNT_FROM)
        places, counts = np.arange(spec.subpixels) * spec.levels, np.ones(spec.subpixels * spec.levels)
        for image in learnt:
            counts[places + image.ravel()] += 1
        bits = -np.log2(counts / (len(learnt) + spec.levels))
        found["independent pixels"] = float(np.mean([bits[places + image.ravel()].mean() for image in coded]))
    some, form = _some(split, count, _COMPRESSED), formats(spec)[0]
    found[form] = 8 * lossless(some, spec, form) / some.size
    return found


def compared(bits: float, found: dict[str, float]) -> str:
    """Bits per dimension beside those of the baselines, in words; with a warning where nothing was learnt."""
    beside = ", ".join(f"{name} {other:.3f}" for name, other in found.items())
    return f"{beside}; WORSE THAN UNIFORM: nothing was learnt" if bits >= found["uniform"] else beside


def formats(spec: ImageSpec) -> tuple[str, ...]:
    """The kinds of file that keep such images without loss: PNG and WebP, or zlib where levels are no brightness."""
    if not ((spec.ordinal or spec.levels == 2) and spec.levels <= 256 and spec.channels in (1, 3)):
        return ("zlib",)
    return ("PNG", "WebP") if features.check("webp") and max(spec.height, spec.width) < 2**14 else ("PNG",)


def lossless(images: np.ndarray, spec: ImageSpec, form: str) -> int:
    """Bytes of images (N, C, H, W), all below each other, as one file of one of the `formats`; its head is counted."""
    if form == "zlib":
        return len(zlib.compress(images.astype(np.min_scalar_type(spec.levels - 1)).tobytes(), 9))
    column = np.moveaxis(images.astype(np.uint8), 1, 3).reshape(-1, spec.width, spec.channels)
    picture = Image.fromarray(column if spec.channels == 3 else column[..., 0])
    if spec.levels == 2 and spec.channels == 1:
        picture = picture.point([0, *[255] * 255], "1")
    stream = io.BytesIO()
    picture.save(stream, form, optimize=True, lossless=True)
    return stream.tell()


def _some(split: Split, count: int, most: int) -> np.ndarray:
    """Images of the first `count`, evenly spaced, (N, C, H, W)."""
    most = most if isinstance(split.images, np.ndarray) else min(most, _COMPRESSED)  # on disk
    return split.look(evenly(count, most))[0].numpy()
