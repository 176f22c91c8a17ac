"""Discretised logistic distributions and their mixtures: brightness, with few parameters for many levels."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from nextpixel.distributions.finite import Finite

FARTHEST = 1e30  # in scales: what is farther has no gradient, so that logarithms and their sums are still numbers
SMALLEST = -80.0  # logarithm of a scale whose inverse is still a number


def log_prob(levels: Tensor, means: Tensor, log_scales: Tensor, count: int) -> Tensor:
    """Log-probability of levels under a logistic distribution, each level being an interval around its centre.

    The lowest and the highest level reach to infinity (Salimans et al. 2017, equation 2). The difference of two
    logistic functions is exact for intervals of any width and however far from the mean:
    σ(b) − σ(a) = σ(b) · σ(−a) · (1 − exp(a − b)).

    Levels, means (where −1 is the lowest of `count` levels and 1 the highest) and scales broadcast; the result is nats.
    """
    log_scales = log_scales.clamp(SMALLEST, FARTHEST)
    places, inverse = _in_levels(means, log_scales, count)
    distance = levels.to(means.dtype) - places
    below_upper = F.logsigmoid(((distance + 0.5) * inverse).clamp(-FARTHEST, FARTHEST))
    above_lower = F.logsigmoid(((0.5 - distance) * inverse).clamp(-FARTHEST, FARTHEST))
    inside = below_upper + above_lower + _log_one_minus_exp(math.log(2 / (count - 1)) - log_scales)
    return torch.where(levels == 0, below_upper, torch.where(levels == count - 1, above_lower, inside))


def _in_levels(means: Tensor, log_scales: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where the means are among the levels 0 … L − 1, and the inverse of the scales, in levels.

    There the edges between levels are numbers without rounding, the same for the levels on both sides: probabilities of
    65,536 levels, each narrower than the digits of a float32 around 1 tell apart, still sum to one.
    """
    unit = (count - 1) / 2
    return (means.clamp(-FARTHEST, FARTHEST) + 1) * unit, torch.exp(-log_scales) / unit


def _log_one_minus_exp(log_width: Tensor) -> Tensor:
    """log(1 − exp(−w)) of w = exp(log_width), with a gradient for every w."""
    narrow = log_width < -8  # then 1 − exp(−w) is w · (1 − w / 2), and rounding would take away its digits
    width = log_width.exp()
    return torch.where(narrow, log_width - width / 2, torch.log(-torch.expm1(-width.masked_fill(narrow, 1))))


class LogisticMixture(Finite):
    """A mixture of discretised logistics (Salimans et al., PixelCNN++, 2017, section 2.1).

    Unnormalised log-weights, means (−1 is the lowest level, 1 the highest) and log-scales are (*batch_shape, K) each.
    """

    arg_constraints: ClassVar = dict.fromkeys(("log_weights", "means", "log_scales"), constraints.real_vector)

    def __init__(
        self, log_weights: Tensor, means: Tensor, log_scales: Tensor, levels: int, *, validate_args: bool | None = None
    ) -> None:
        self.log_weights, self.means, self.log_scales = torch.broadcast_tensors(log_weights, means, log_scales)
        self.levels = levels
        super().__init__(self.means.shape[:-1], validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, shape `batch_shape`."""
        each = log_prob(value.unsqueeze(-1), self.means, self.log_scales, self.levels)
        return (self.log_weights.log_softmax(-1) + each).logsumexp(-1)

    def log_pmf(self) -> Tensor:
        levels = torch.arange(self.levels, device=self.means.device).unsqueeze(-1)
        parts = (self.means.unsqueeze(-2), self.log_scales.unsqueeze(-2))
        return (self.log_weights.log_softmax(-1).unsqueeze(-2) + log_prob(levels, *parts, self.levels)).logsumexp(-1)

    def cumulative(self) -> Tensor:
        # That of a logistic is its value at the level's upper edge: no sum over levels, and no logarithms.
        edges = torch.arange(self.levels - 1, dtype=self.means.dtype, device=self.means.device) + 0.5
        edges = F.pad(edges, (0, 1), value=torch.inf)
        places, inverse = _in_levels(self.means, self.log_scales.clamp(SMALLEST, -SMALLEST), self.levels)
        # In place: fresh memory for (*batch_shape, K, L) numbers would take longer than the arithmetic.
        below = (edges - places.unsqueeze(-1)).mul_(inverse.unsqueeze(-1)).sigmoid_()
        return (self.log_weights.softmax(-1).unsqueeze(-2) @ below).squeeze(-2)
