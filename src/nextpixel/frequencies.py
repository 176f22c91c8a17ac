"""Probabilities as whole numbers: what a coder needs, of an exact network's numbers, the same on every machine."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from nextpixel.distributions import Bernoulli, Finite
from nextpixel.errors import BadInput
from nextpixel.likelihoods import Conditional, Likelihood, LogisticMixture
from nextpixel.nn.ops import Grid
from nextpixel.nn.tables import NEAR, Tables

PARTS = 2**24  # what probabilities are parts of
MOST_LEVELS, MOST_LOGISTIC_LEVELS = 2**16, 2**12


class Frequencies(Finite):
    """A distribution over levels by whole numbers: level l has the parts from edges[l] to edges[l + 1] of 2^24.

    Every level has a part of its own at least. The first part and the last belong to none: edges are whole numbers that
    grow from 1 to 2^24 − 1, in float64, shape (*batch_shape, L + 1).
    """

    arg_constraints: ClassVar = {"edges": constraints.real_vector}
    edges: Tensor

    def __init__(self, edges: Tensor, *, validate_args: bool | None = None) -> None:
        self.edges, self.levels = edges, edges.shape[-1] - 1
        super().__init__(edges.shape[:-1], validate_args=validate_args)

    def at(self, index: Tensor) -> Tensor:
        """The edges of these numbers, 0 … L, shape (*batch_shape, n) both."""
        return self.edges.gather(-1, index)

    def interval(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Both edges of levels, float64, of `batch_shape`."""
        index = value.long().expand(self.batch_shape)
        first, last = self.at(torch.stack((index, index + 1), -1)).unbind(-1)
        return first, last

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, shape `batch_shape`: what the coder spends on it."""
        first, last = self.interval(value)
        return ((last - first) / PARTS).log()

    def log_pmf(self) -> Tensor:
        return (self.edges.diff(dim=-1) / PARTS).log()

    def cumulative(self) -> Tensor:
        return (self.edges[..., 1:] - 1) / PARTS


class MixedFrequencies(Frequencies):
    """Those of a mixture of logistics, (*batch_shape, K), with whole weights, 2^24 in all at most.

    `below` is `Whole.below` of the logistics: the parts of 2^24 below edges, by the numbers of these.
    """

    arg_constraints: ClassVar = {"weights": constraints.real_vector}

    def __init__(self, weights: Tensor, below: Callable[[Tensor], Tensor], levels: int) -> None:
        self.weights, self.below, self.levels = weights, below, levels
        Finite.__init__(self, weights.shape[:-1], validate_args=False)

    @property
    def edges(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.at(torch.arange(self.levels + 1, device=self.weights.device))

    def at(self, index: Tensor) -> Tensor:
        sums = (self.weights.unsqueeze(-2) @ self.below(index)).squeeze(-2)
        total = self.weights.sum(-1, keepdim=True).mul_(PARTS / 2**19).floor_()
        return _shared(sums.mul_(2**-19).floor_(), total, index, self.levels)


def _shared(below: Tensor, total: Tensor, index: Tensor, levels: int) -> Tensor:
    """Edges, of the weight below each of them, whole numbers up to a total below 2^29."""
    return (below * (PARTS - levels - 2)).div_(total).floor_().add_(index).add_(1)


class Whole(Likelihood):
    """A likelihood whose probabilities are whole numbers of parts of 2^24, made of an exact network's numbers.

    Weights e of levels are whole numbers of a table; with S the sums of the weights below each level, the edges are
    l + 1 + ⌊S · (2^24 − L − 2) / S_L⌋: products below 2^53, one division of IEEE 754, and a floor. A mixture of
    logistics has S = Σ w · σ of whole weights w and whole parts σ of 2^24 from tables; where colours depend on each
    other, weights are multiplied by the parts of the levels seen, and brought back to whole numbers by one division.

    `grid` is what the network's numbers are brought to. More levels than there is room for are refused by BadInput.
    """

    def __init__(self, inner: Likelihood, tables: Tables, levels: int) -> None:
        mixed = isinstance(inner, LogisticMixture)
        most = MOST_LOGISTIC_LEVELS if mixed else MOST_LEVELS
        if levels > most:
            raise BadInput(f"An exact model of this likelihood has room for {most:,} levels, not for {levels:,}.")
        self.inner, self.tables, self.levels = inner, tables, levels
        self.parameters, self.couples = inner.parameters, inner.couples
        self.grid = Grid(2**-14, 128.0) if mixed else Grid(2**-12, 512.0)

    def meaning(self, parameters: Tensor) -> Conditional:
        if isinstance(self.inner, LogisticMixture):
            return self._mixture(*self.inner.numbers(parameters.double()))
        given = self.inner.meaning(parameters)

        def conditional(levels: Tensor, channels: slice) -> Frequencies:
            meant: Any = given(levels, channels)  # there are three likelihoods: a bernoulli's other logit is 0
            logits = F.pad(meant.logits[..., None], (1, 0)) if isinstance(meant, Bernoulli) else meant.logits
            weights = self.tables.exp(logits.amax(-1, keepdim=True) - logits)
            return Frequencies(self._edges(weights), validate_args=False)

        return conditional

    def _edges(self, weights: Tensor) -> Tensor:
        """Of whole weights, (…, L)."""
        scale = 2.0 ** max(0, (self.levels - 1).bit_length() - 4)  # for L weights below 2^29 in all
        below = F.pad((weights / scale).floor_().cumsum(-1), (1, 0))
        return _shared(below, below[..., -1:], torch.arange(self.levels + 1, device=below.device), self.levels)

    def below(self, steps: Tensor, before: Tensor, index: Tensor) -> Tensor:
        """Parts of 2^24 of logistics below the edges of these numbers, 0 … L: (*, n) or (n,) to (*, K, n), float64.

        Steps are of the table, a level, and from level 0 to the mean: (*, K) each, float32.
        """
        edge = (index.float() - 0.5).masked_fill_(index <= 0, -torch.inf).masked_fill_(index >= self.levels, torch.inf)
        return self.tables.below((edge.unsqueeze(-2) * steps.unsqueeze(-1)).sub_(before.unsqueeze(-1)))

    def _mixture(self, logits: Tensor, means: Tensor, log_scales: Tensor, coefficients: Tensor) -> Conditional:
        """Of numbers of C channels, (B, C or so, *, K); places and their moves are exact in float64."""
        tables, count = self.tables, self.levels
        middle, room = (count - 1) / 2, 2.0 ** (24 - (logits.shape[-1] - 1).bit_length())  # of a weight
        assert isinstance(self.inner, LogisticMixture)
        least = round(self.inner.least * 2**14) / 2**14
        finest = round(math.exp(-least) / middle * 2**20) / 2**20  # of the inverse scales, in levels
        weights = (tables.exp(logits.amax(-1, keepdim=True) - logits) * (room / PARTS)).floor_()
        places, own = (means + 1) * middle, tables.tanh(coefficients)
        steps = tables.exp(log_scales.clamp(min=least) - least).clamp_(min=1).mul_(finest * NEAR / PARTS)
        wide = steps.float()

        def conditional(levels: Tensor, channels: slice) -> Frequencies:
            before, after = [(places[:, 0] * steps[:, 0]).float()], [weights[:, 0]]  # rounded by IEEE 754 once
            for channel in range(1, channels.stop or places.shape[1]):
                index = levels[:, channel - 1, ..., None] + torch.arange(2, device=levels.device)
                seen = self.below(wide[:, channel - 1], before[-1], index).diff(dim=-1).squeeze(-1)
                likelier = after[-1] * (seen + 1)
                after.append((likelier * room).div_(likelier.amax(-1, keepdim=True)).floor_())
                first = channel * (channel - 1) // 2
                moves = own[:, first : first + channel] * (levels[:, :channel, ..., None] - middle)
                before.append(((places[:, channel] + moves.sum(1)) * steps[:, channel]).float())
            below = partial(self.below, wide[:, channels], torch.stack(before[channels], 1))
            return MixedFrequencies(torch.stack(after[channels], 1), below, count)

        return conditional
