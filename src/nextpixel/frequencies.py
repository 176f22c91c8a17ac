"""Probabilities as whole numbers: what a coder needs, of an exact network's numbers, the same on every machine."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from nextpixel.distributions import Bernoulli, Categorical, Finite
from nextpixel.errors import BadInput
from nextpixel.likelihoods import Conditional, Likelihood
from nextpixel.nn.ops import Grid
from nextpixel.nn.tables import Tables

PARTS = 2**24  # what probabilities are parts of
PARAMETERS = Grid(2**-12, 512.0)  # what the numbers that an exact network gives are brought to
MOST_LEVELS = 2**16


class Frequencies(Finite):
    """A distribution over levels by whole numbers: level l has the parts from edges[l] to edges[l + 1] of 2^24.

    Every level has a part of its own at least. The first part and the last belong to none.

    Args:
        edges: whole numbers that grow from 1 to 2^24 − 1, in float64, shape (*batch_shape, L + 1).
    """

    arg_constraints: ClassVar = {"edges": constraints.real_vector}

    def __init__(self, edges: Tensor, *, validate_args: bool | None = None) -> None:
        self.edges, self.levels = edges, edges.shape[-1] - 1
        super().__init__(edges.shape[:-1], validate_args=validate_args)

    def interval(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Both edges of levels, float64, of `batch_shape`."""
        index = value.long().unsqueeze(-1).expand(*self.batch_shape, 1)
        return self.edges.gather(-1, index).squeeze(-1), self.edges.gather(-1, index + 1).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, shape `batch_shape`: what the coder spends on it."""
        first, last = self.interval(value)
        return ((last - first) / PARTS).log()

    def log_pmf(self) -> Tensor:
        return (self.edges.diff(dim=-1) / PARTS).log()

    def cumulative(self) -> Tensor:
        return (self.edges[..., 1:] - 1) / PARTS

    def temper(self, temperature: float) -> Categorical:
        return Categorical(self.log_pmf() / temperature, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Frequencies":
        return Frequencies(self.edges.expand(torch.Size(batch_shape) + self.edges.shape[-1:]), validate_args=False)


class Whole(Likelihood):
    """A likelihood whose probabilities are whole numbers of parts of 2^24, made of an exact network's numbers.

    Weights e of levels are whole numbers of a table; with S the sums of the weights below each level, the edges are
    l + 1 + ⌊S · (2^24 − L − 2) / S_L⌋: products below 2^53, one division of IEEE 754, and a floor.

    Args:
        inner: what the numbers mean.
        tables: of the twin.
        levels: of the images (L).

    Raises:
        BadInput: more levels than there is room for.
    """

    def __init__(self, inner: Likelihood, tables: Tables, levels: int) -> None:
        if levels > MOST_LEVELS:
            raise BadInput(f"An exact model has room for {MOST_LEVELS} levels, not for {levels}.")
        self.inner, self.tables, self.levels = inner, tables, levels
        self.parameters, self.couples = inner.parameters, inner.couples

    def meaning(self, parameters: Tensor) -> Conditional:
        given = self.inner.meaning(parameters)

        def conditional(levels: Tensor, channels: slice) -> Frequencies:
            meant = given(levels, channels)
            if isinstance(meant, Bernoulli):
                logits = torch.stack((torch.zeros_like(meant.logits), meant.logits), -1)
            else:
                assert isinstance(meant, Categorical), "exact twins of other likelihoods are refused"
                logits = meant.logits
            weights = self.tables.exp(logits.amax(-1, keepdim=True) - logits)
            return Frequencies(self._edges(weights), validate_args=False)

        return conditional

    def _edges(self, weights: Tensor) -> Tensor:
        """Of whole weights, (…, L)."""
        scale = 2.0 ** max(0, (self.levels - 1).bit_length() - 4)  # for L weights below 2^29 in all
        below = torch.nn.functional.pad((weights / scale).floor_().cumsum(-1), (1, 0))
        edges = (below * (PARTS - self.levels - 2)).div_(below[..., -1:]).floor_()
        return edges.add_(torch.arange(1, self.levels + 2, device=edges.device))
