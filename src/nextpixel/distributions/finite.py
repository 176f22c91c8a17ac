"""Distributions over the levels 0 … L − 1 of a sub-pixel."""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints


class Finite(Distribution, ABC):
    """A distribution over the integers 0 … L − 1, elementwise over `batch_shape`.

    A subclass says what the probabilities are (`log_prob`, `log_pmf`, `cumulative`, `temper`); what can be drawn or
    computed from them is here, once, so that a sampler cannot differ from the likelihood.
    """

    levels: int  # how many (L)
    arg_constraints: ClassVar[dict[str, constraints.Constraint]]  # pyright: ignore[reportIncompatibleMethodOverride]
    has_enumerate_support = True

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    @abstractmethod
    def log_pmf(self) -> Tensor:
        """Log-probability of every level in nats, shape (*batch_shape, L)."""

    def cumulative(self) -> Tensor:
        """Probability of each level and those below it, shape (*batch_shape, L); a little off 1 at the last."""
        return self.pmf().cumsum(-1)

    def temper(self, temperature: float) -> "Finite":
        """The distribution proportional to pmf ** (1 / temperature)."""
        return Categorical(self.log_pmf() / temperature, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Finite":
        made, shape = copy.copy(self), torch.Size(batch_shape)
        for name, its in self.arg_constraints.items():
            tensor = getattr(self, name)
            setattr(made, name, tensor.expand(shape + tensor.shape[tensor.ndim - its.event_dim :]))
        Distribution.__init__(made, shape, validate_args=False)
        return made

    def pmf(self) -> Tensor:
        """Probability of every level, shape (*batch_shape, L)."""
        return self.log_pmf().exp()

    def icdf(self, value: Tensor) -> Tensor:
        """The smallest level, int64, whose cumulative probability exceeds `value`; never one of probability zero.

        The values are in [0, 1), of `batch_shape` or a shape that broadcasts to it.
        """
        cumulative = self.cumulative()
        # Rounding leaves the last sum a little off 1; measured in its own total, no number points past the last level.
        threshold = value.unsqueeze(-1) * cumulative[..., -1:]
        return (cumulative <= threshold).sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Levels drawn with torch's global generator, shape (*sample_shape, *batch_shape)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        with torch.no_grad():
            return self.icdf(torch.rand(shape, device=self.log_pmf().device))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All levels, shape (L, *batch_shape), or (L, 1, …) without `expand`."""
        pmf = self.pmf()
        levels = torch.arange(pmf.shape[-1], device=pmf.device).view(-1, *[1] * len(self.batch_shape))
        return levels.expand(-1, *self.batch_shape) if expand else levels

    def entropy(self) -> Tensor:
        """Entropy in nats, shape `batch_shape`."""
        log_pmf = self.log_pmf()
        return -(log_pmf.exp() * log_pmf.clamp(min=torch.finfo(log_pmf.dtype).min)).sum(-1)

    @property
    def mean(self) -> Tensor:
        """Expected level, shape `batch_shape`."""
        return (self.pmf() * self.enumerate_support(expand=False).flatten()).sum(-1)

    @property
    def mode(self) -> Tensor:
        """The most probable level, shape `batch_shape`."""
        return self.log_pmf().argmax(-1)

    @property
    def variance(self) -> Tensor:
        """Variance in squared levels, shape `batch_shape`."""
        return (self.pmf() * (self.enumerate_support(expand=False).flatten() - self.mean.unsqueeze(-1)) ** 2).sum(-1)


class Bernoulli(Finite):
    """Two levels; logits are the log-odds of level 1, of any shape."""

    levels = 2
    arg_constraints: ClassVar = {"logits": constraints.real}

    def __init__(self, logits: Tensor, *, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, shape `batch_shape`."""
        # In the logits' dtype: levels may be uint8, where 2 · 0 − 1 is 255.
        return F.logsigmoid(self.logits * (2 * value.to(self.logits.dtype) - 1))

    def log_pmf(self) -> Tensor:
        return F.logsigmoid(torch.stack((-self.logits, self.logits), -1))

    def temper(self, temperature: float) -> "Bernoulli":
        return Bernoulli(self.logits / temperature, validate_args=False)


class Categorical(Finite):
    """Any number of levels, each with a logit of its own: unnormalised log-probabilities, shape (*batch_shape, L)."""

    arg_constraints: ClassVar = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor, *, validate_args: bool | None = None) -> None:
        self.logits, self.levels = logits, logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, shape `batch_shape`."""
        logits, value = self.logits.flatten(0, -2), value.expand(self.batch_shape)
        return -F.cross_entropy(logits, value.flatten().long(), reduction="none").view(self.batch_shape)

    def log_pmf(self) -> Tensor:
        return F.log_softmax(self.logits, -1)

    def temper(self, temperature: float) -> "Categorical":
        return Categorical(self.logits / temperature, validate_args=False)
