"""The slow reference that the fast path must agree with; and the laws, for the user's own models."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.distributions import Finite
from nextpixel.errors import BadInput
from nextpixel.nn.context import ClassLabel
from nextpixel.unroll import Site


def stepwise_log_prob(model: Autoregressive, x: Tensor, context: object = None) -> Tensor:
    """`model.predict(x).log_prob(x)`, but every sub-pixel is predicted before the next is shown to the network.

    A network that sees what it predicts scores better in one parallel pass than here. Nats, shape (B, C, H, W).
    """
    x = model.spec.check(x).to(model.device)
    dtype = torch.promote_types(next(model.parameters()).dtype, torch.float32)  # of the likelihoods
    nats = torch.zeros(x.shape, dtype=dtype, device=model.device)

    def choose(site: Site, distribution: Finite) -> Tensor:
        here = (slice(None), site.channels, site.row, site.column)
        nats[here] = distribution.log_prob(x[here])
        return x[here]

    model.unroll(choose, len(x), context)
    return nats


@dataclass(frozen=True)
class Finding:
    """What a law found.

    Attributes:
        law: in words.
        figure: the largest difference, in nats a sub-pixel or in images.
        tolerance: how large it may be.
        failure: what it means where it is larger.
    """

    law: str
    figure: float
    tolerance: float
    failure: str

    @property
    def holds(self) -> bool:
        """Whether it is not larger; what is not a number does not hold."""
        return self.figure <= self.tolerance


PLACES = 48  # sub-pixels whose future is changed
TOLERANCE = 1e-9  # nats a sub-pixel, in float64; a leak is far larger


def check(model: Autoregressive, context: object = None, *, seed: int = 0) -> list[Finding]:
    """What the laws of this library's tests say of a model, on random images, in float64.

    Args:
        model: any exact model, fresh or trained; it is left as it was. Weights that are all zero, as those of a last
            layer may be at first, are tried with random ones, which hide nothing.
        context: for three images; a `ClassLabel` model gets its first classes when None.
        seed: of the images.

    Returns:
        A finding a law: nothing later is seen; steps agree with one pass; float32 is near float64; an image does not
        depend on its batch.

    Raises:
        BadInput: a model that needs a context which is not given.

    Example:
        >>> model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4, levels=3), filters=4, blocks=1)
        >>> [finding.holds for finding in npx.check(model)]
        [True, True, True, True]
    """
    if not isinstance(model, Autoregressive):
        raise BadInput(f"The laws are for models with an exact likelihood, not a {type(model).__name__}.")
    spec, exact = model.spec, copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in exact.parameters():
            if weight.requires_grad and not weight.any():  # as a last layer may begin; it would hide all before it
                weight.copy_(torch.randn(weight.shape, generator=generator) / max(1, weight[0].numel()) ** 0.5)
    x, other = torch.randint(spec.levels, (2, 3, *spec.shape), generator=generator).to(model.device)
    if context is None and isinstance(model.context, ClassLabel):
        context = torch.arange(3) % model.context.classes
    with torch.no_grad():
        before = exact.predict(x, context)
        nats = before.log_prob(x)
        order = torch.arange(spec.subpixels, device=x.device).view(*spec.shape[1:], spec.channels).permute(2, 0, 1)
        later = nats.new_zeros(())
        for place in torch.randperm(spec.subpixels, generator=generator)[:PLACES].tolist():
            after = exact.predict(torch.where(order >= place, other, x), context).log_pmf()
            later = torch.maximum(later, difference(before.log_pmf(), after)[:, order <= place].max())
        steps = difference(nats, stepwise_log_prob(exact, x, context)).max()
        single = difference(nats, exact.float().predict(x, context).log_prob(x)).max()
        together, alone = exact.sample(3, context, seed=seed), exact.sample(1, _last(context), seed=seed, first=2)
        others = (together[2:] != alone).sum()
    leak = "a sub-pixel sees itself or what follows: its likelihood means nothing"
    return [
        Finding("nothing later is seen", float(later), TOLERANCE, leak),
        Finding("steps agree with one pass", float(steps), TOLERANCE, "samples do not follow what is measured"),
        Finding("float32 is near float64", float(single), 1e-3, "figures in float32 are rounding noise"),
        Finding("an image does not depend on its batch", float(others), 0.0, "the images of a batch see each other"),
    ]


def difference(some: Tensor, others: Tensor) -> Tensor:
    """How far numbers are apart; where both are −∞ they agree, though their difference is not a number."""
    return (some - others).masked_fill(some == others, 0.0).abs()


def _last(context: Any) -> Any:
    """The context of the last of three images."""
    if isinstance(context, tuple):
        return tuple(_last(part) for part in context)
    return context[2:] if isinstance(context, list | Tensor) and len(context) == 3 else context
