"""The network of a model for a few pixels, with the same weights: of that, all images can be asked about."""

import math
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.models import build
from nextpixel.nn.context import Vector

GRIDS = ((2, 3), (2, 2), (1, 2), (1, 1))  # rows and columns, of which the first is taken that has few images
MOST = 5000  # images that are asked about
DRAWN, LEAST = 2000, 5  # samples, and how many are expected of what is counted as one


def twin_of(model: Autoregressive) -> Autoregressive:
    """The twin in float64, of fewer levels where its weights allow it; its context is what the network is given."""
    spec, recipe, state = model.spec, model.recipe, model.backbone.state_dict()
    features = (0 if model.context is None else model.context.features) + (model.orders if model.orders > 1 else 0)
    if "arguments" not in recipe:
        raise BadInput("nothing says how it was built.")
    given, shapes, unfit = Vector(features) if features else None, _shapes(state), set()
    arguments = {name: value for name, value in recipe["arguments"].items() if name != "orders"}
    for (height, width), levels in product(GRIDS, (spec.levels, min(spec.levels, 3))):
        tiny = replace(spec, height=height, width=width, levels=levels)
        if levels**tiny.subpixels <= MOST or (height, width) == GRIDS[-1]:
            twin = build(type(model.backbone), tiny, recipe["likelihood"], given, **arguments)
            unfit = shapes ^ _shapes(twin.backbone.state_dict())
            if not unfit:
                twin.backbone.load_state_dict(state)
                return twin.to(model.device, torch.float64).eval()
    raise BadInput(f"its weights have other shapes, {min(name for name, _ in unfit)} for one.")


def probabilities(twin: Autoregressive, given: Tensor | None) -> Tensor | None:
    """Those of all images that there are, in the order of their levels, (N,); None where they are too many."""
    spec = twin.spec
    if spec.levels**spec.subpixels > MOST:
        return None
    every = torch.cartesian_prod(*[torch.arange(spec.levels)] * spec.subpixels).view(-1, *spec.shape)
    return torch.cat([twin.log_prob(x, _repeated(given, len(x))) for x in every.split(512)]).exp().cpu()


def chance(twin: Autoregressive, given: Tensor | None, every: Tensor | None, *, seed: int) -> float | None:
    """The p-value of samples: of images, or where those are too many of each sub-pixel given the others before it.

    `every` has the probabilities of all images, or is None. None where a single image or level has nearly all of it.
    """
    spec, context = twin.spec, _repeated(given, DRAWN)
    if every is not None:
        drawn = twin.sample(DRAWN, context, seed=seed).cpu().flatten(1)
        return chi_square(every, (drawn * spec.levels ** torch.arange(spec.subpixels - 1, -1, -1)).sum(1))
    x = torch.randint(spec.levels, (1, *spec.shape), generator=torch.Generator().manual_seed(seed))
    pmf, found = twin.predict(x, given).pmf()[0, :, 0, 0].cpu(), []
    for channel in range(spec.channels):
        known = (torch.arange(spec.channels) != channel).view(1, -1, 1, 1).expand(DRAWN, -1, 1, 1)
        drawn = twin.complete(x.expand(DRAWN, -1, -1, -1), known, context, seed=seed, first=channel * DRAWN)
        found += [chi_square(pmf[channel], drawn[:, channel].flatten().cpu())]
    several = [each for each in found if each is not None]
    return float((len(several) * torch.tensor(several).min()).clamp(max=1)) if several else None  # by Bonferroni


def chi_square(probabilities: Tensor, drawn: Tensor) -> float | None:
    """The p-value of numbers that were drawn; None where one of them has nearly all the probability."""
    expected, observed = probabilities * len(drawn), torch.bincount(drawn, minlength=len(probabilities))
    if not expected.isfinite().all():
        return math.nan
    bins, left = [[0.0, 0.0]], float(expected.sum())  # neighbours that are rare are counted as one
    for wanted, there in zip(expected.tolist(), observed.tolist(), strict=True):
        if bins[-1][0] >= LEAST and left >= LEAST:
            bins.append([0.0, 0.0])
        bins[-1] = [bins[-1][0] + wanted, bins[-1][1] + there]
        left -= wanted
    if len(bins) == 1:
        return None
    squares = sum((there - wanted) ** 2 / wanted for wanted, there in bins)
    half = torch.tensor([(len(bins) - 1) / 2, squares / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def _repeated(given: Tensor | None, count: int) -> Tensor | None:
    return None if given is None else given.expand(count, -1)


def _shapes(state: dict[str, Tensor]) -> set[tuple[str, torch.Size]]:
    return {(name, tensor.shape) for name, tensor in state.items()}
