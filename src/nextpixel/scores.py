"""How unusual images are to a model: what each sub-pixel costs, and scores by which images from elsewhere stand out."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput, plain, shown
from nextpixel.evaluation import formats, lossless
from nextpixel.model import Model, a_model


@dataclass(frozen=True)
class Scores:
    """What `score` found, in float64 on the processor; all in bits a sub-pixel, larger for the more unusual image.

    References:
        [1] Serrà et al., Input complexity and out-of-distribution detection with likelihood-based models, 2020.
        [2] Nalisnick et al., Detecting out-of-distribution inputs using typicality, 2019, for one image.
        [3] Ren et al., Likelihood ratios for out-of-distribution detection, 2019.
    """

    bits: Tensor  # what each sub-pixel costs given those before it, (B, C, H, W)
    bits_per_dim: Tensor  # −log₂ p(x) over the number of sub-pixels, (B,): the mean of `bits`, or more (see `score`)
    complexity: Tensor  # that less the bits of the image's shortest lossless file, head included, (B,) [1]
    typicality: Tensor | None = None  # how far `bits_per_dim` is from that of typical images, (B,) [2]
    ratio: Tensor | None = None  # `bits_per_dim` less that under another model, the negative log-ratio, (B,) [3]


def score(
    model: Model, x: Tensor, context: object = None, *, typical: float | None = None, against: Model | None = None
) -> Scores:
    """Say how unusual images are to an exact model.

    Where a model reads in several orders, p(x) is a mixture, and the bits of a sub-pixel are those of each order,
    weighted by how probable the order is given the image. Their mean is at most `bits_per_dim`: the rest, up to log₂ of
    the orders an image, is what it costs that the order is not known.

    Args:
        x: levels, shape (B, C, H, W).
        context: what the models are conditioned on; one that is conditioned on nothing goes without.
        typical: the mean bits per dimension of images like those that the model learnt from.
        against: another exact model of such images, for the ratio.

    Raises:
        BadInput: images or context are not what the model is about, or the models do not go together.

    Example:
        >>> model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4, levels=2), filters=4, blocks=1)
        >>> npx.score(model, model.sample(3), typical=1.0).typicality.shape
        torch.Size([3])
    """
    model, ratio = a_model(model), None
    spec, against = model.spec, None if against is None else a_model(against)
    typical = plain(typical)
    if against is not None and (against.spec != spec or against.context not in (None, model.context)):
        first, second = (f"is about images {its.spec}, given {its.context}" for its in (model, against))
        raise BadInput(f"The second model {second}, but the first {first}.")
    if not isinstance(typical, int | float | None) or isinstance(typical, bool) or not 0 <= (typical or 0) < math.inf:
        raise BadInput(f"typical must be the mean bits per dimension of usual images, not {shown(typical)}.")
    with torch.no_grad():
        total, bits = _bits(model, x, context)
        each = total / spec.subpixels
        if against is not None:
            ratio = each - _bits(against, x, None if against.context is None else context)[0] / spec.subpixels
    typicality = None if typical is None else (each - typical).abs()
    images = x.cpu().numpy()[:, None]
    files = [min(lossless(image, spec, form) for form in formats(spec)) for image in images]
    complexity = each - 8 * torch.tensor(files, dtype=torch.float64, device="cpu") / spec.subpixels
    return Scores(bits, each, complexity, typicality, ratio)


def auroc(inside: Tensor, outside: Tensor) -> tuple[float, float]:
    """How often an image from outside has the larger score: the area under the ROC curve, and its standard error.

    Ties count half. The error is that of DeLong et al. (1988): it assumes no distribution of the scores.

    Args:
        inside, outside: scores of images, (N,) and (M,).

    Returns:
        The area, from 0 to 1, and its error, which is not a number where a set has only one image.

    Raises:
        BadInput: a set without images, or a score that is not a number.

    Example:
        >>> auroc(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 9.0]))[0]
        0.75
    """
    try:
        scores = [np.asarray(torch.as_tensor(plain(its)).detach().cpu(), np.float64) for its in (inside, outside)]
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"Scores are numbers, (N,) and (M,), not {shown(inside)} and {shown(outside)}.") from error
    if any(its.ndim != 1 or not len(its) or np.isnan(its).any() for its in scores):
        shapes = " and ".join(str(its.shape) for its in scores)
        raise BadInput(f"An AUROC needs scores in both sets, (N,) and (M,), none that is NaN; these are {shapes}.")
    above, below = _share_below(*scores), 1 - _share_below(*scores[::-1])
    errors = [its.var(ddof=1) / len(its) if len(its) > 1 else math.nan for its in (above, below)]
    return float(above.mean()), math.sqrt(sum(errors))


def _bits(model: Model, x: Tensor, context: object) -> tuple[Tensor, Tensor]:
    """Bits of images, (B,), and of their sub-pixels, (B, C, H, W)."""
    if not isinstance(model, Autoregressive):
        raise BadInput(f"A score needs an exact likelihood, but a {model.recipe['name']} has only bounds.")
    predicted = [model.predict(x, context, order=order) for order in range(model.orders)]
    found = [its.log_prob(x.to(model.device)).cpu().double() for its in predicted]
    maps = torch.stack(found)  # (orders, B, C, H, W), nats
    each = maps.flatten(2).sum(2)
    total = each.logsumexp(0) - math.log(model.orders)
    # p(order | x), as all are as probable beforehand; 0 where the image is impossible, which times −∞ is nothing.
    weights = each.softmax(0)[..., None, None, None]
    return -total / math.log(2), -(weights * maps).masked_fill(weights == 0, 0.0).sum(0) / math.log(2)


def _share_below(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each of the others, which share of some is below it, ties by half."""
    order = np.sort(some)
    return (np.searchsorted(order, others, "left") + np.searchsorted(order, others, "right")) / (2 * len(order))
