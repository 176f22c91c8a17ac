"""Likelihoods: how many numbers the network gives for a pixel, and the distributions they mean."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from nextpixel import distributions
from nextpixel.distributions import logistic
from nextpixel.errors import BadInput, whole
from nextpixel.spec import ImageSpec, centres

ALL = slice(None)
# From levels (B, S, *) and the channels asked for to their distribution, each given the channels before it.
Conditional = Callable[[Tensor, slice], distributions.Finite]


class Likelihood(ABC):
    """The last step of a model of images of a spec: parameters to distributions over levels. It has no weights."""

    parameters: int  # numbers that the network must give for each pixel (P); those of a channel together if uncoupled
    couples: bool = False  # whether a channel depends on the pixel's channels before it, whatever the network sees

    def distribution(self, parameters: Tensor, levels: Tensor, channels: slice = ALL) -> distributions.Finite:
        """What the network's numbers of a pixel, or of one sub-step, (B, P, *), mean: of batch shape (B, S, *).

        Levels are of the same channels, (B, S, *), of which some are asked for: where the likelihood couples them, a
        channel's distribution depends on those before it.
        """
        return self.given(parameters)(levels, channels)

    def given(self, parameters: Tensor) -> Conditional:
        """`distribution` of these parameters, for several calls: what no level changes is computed once.

        In float32 at least, whatever the network computes in: sums of hundreds of probabilities need more than 8 bits.
        """
        return self.meaning(parameters.to(torch.promote_types(parameters.dtype, torch.float32)))

    @abstractmethod
    def meaning(self, parameters: Tensor) -> Conditional:
        """What a likelihood says for `given`: of numbers in float32 or float64."""


class Bernoulli(Likelihood):
    """One logit a sub-pixel; for images of two levels."""

    def __init__(self, spec: ImageSpec) -> None:
        if spec.levels != 2:
            raise BadInput(f"The bernoulli likelihood is for images of 2 levels, not {spec.levels}; take categorical.")
        self.parameters = spec.channels

    def meaning(self, parameters: Tensor) -> Conditional:
        return lambda levels, channels: distributions.Bernoulli(parameters[:, channels], validate_args=False)


class Categorical(Likelihood):
    """One logit a level: any shape of distribution, nothing assumed about which levels are alike."""

    def __init__(self, spec: ImageSpec) -> None:
        self.parameters, self._levels = spec.channels * spec.levels, spec.levels

    def meaning(self, parameters: Tensor) -> Conditional:
        logits = parameters.unflatten(1, (-1, self._levels)).movedim(2, -1)  # (B, S, *, L)
        return lambda levels, channels: distributions.Categorical(logits[:, channels], validate_args=False)


class LogisticMixture(Likelihood):
    """A mixture of discretised logistics for all channels of a pixel (Salimans et al. 2017, section 2.1).

    The components share their weights between the channels, and the mean of a channel moves linearly with the channels
    before it (section 2.2), so that colours depend on each other without the network's help. By the chain rule each
    channel, given those before it, is a mixture too: its weights are those of the components after seeing them.

    Parameters of a pixel, in this order: K logits of the weights; C·K means; C·K logarithms of scales; and for channel
    1, 2, … a coefficient for each channel before it, K each, through a tanh. Levels are counted from −1 to 1.

    Args:
        spec: images of ordinal levels.
        mixtures: components (K).
    """

    LEAST_LOG_SCALE = -7.0  # as the paper's authors have it, for 256 levels; of more, each is as much narrower

    def __init__(self, spec: ImageSpec, *, mixtures: int = 10) -> None:
        whole(mixtures, "mixtures", least=1)
        if not spec.ordinal:
            raise BadInput("The logistic_mixture likelihood needs levels in order, not names; take categorical.")
        channels = spec.channels
        self._channels, self._levels, self._mixtures = channels, spec.levels, mixtures
        self._sizes = (1, channels, channels, channels * (channels - 1) // 2)
        self.least = self.LEAST_LOG_SCALE - math.log(max(1.0, (spec.levels - 1) / 255))  # logarithm of a scale
        self.parameters, self.couples = mixtures * sum(self._sizes), channels > 1

    def numbers(self, parameters: Tensor) -> list[Tensor]:
        """Logits of weights, means, logarithms of scales and coefficients as the network gives them, (B, n, *, K)."""
        return list(parameters.unflatten(1, (-1, self._mixtures)).movedim(2, -1).split(self._sizes, 1))

    def meaning(self, parameters: Tensor) -> Conditional:
        weights, means, log_scales, coefficients = self.numbers(parameters)
        weights, log_scales = weights.log_softmax(-1), log_scales.clamp(min=self.least)
        coefficients = coefficients.tanh()

        def conditional(levels: Tensor, channels: slice) -> distributions.LogisticMixture:
            count = channels.stop or self._channels
            known = levels[:, : count - 1].unsqueeze(-1)
            values = centres(known.to(parameters.dtype), self._levels)
            moved, after, own_scales = [means[:, 0]], weights, log_scales[:, :count]
            for channel in range(1, count):
                before = channel * (channel - 1) // 2
                own = coefficients[:, before : before + channel]
                moved.append(means[:, channel] + (own * values[:, :channel]).sum(1))
            own_means = torch.stack(moved, 1)
            if count > 1:
                seen = logistic.log_prob(known, own_means[:, :-1], own_scales[:, :-1], self._levels)
                after = torch.cat((weights, weights + seen.cumsum(1)), 1)
            parts = after[:, channels], own_means[:, channels], own_scales[:, channels]
            return distributions.LogisticMixture(*parts, self._levels, validate_args=False)

        return conditional


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "logistic_mixture": LogisticMixture,
}
