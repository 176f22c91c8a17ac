"""Likelihoods: how many numbers the network gives for a sub-pixel, and the distribution they mean."""

from abc import ABC, abstractmethod

from torch import Tensor

from nextpixel import distributions
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec


class Likelihood(ABC):
    """The last step of a model: parameters to a distribution over levels. It has no weights."""

    @abstractmethod
    def parameters(self, spec: ImageSpec) -> int:
        """Numbers that the network must give for each sub-pixel (P).

        Raises:
            BadInput: this likelihood does not fit such images.
        """

    @abstractmethod
    def distribution(self, parameters: Tensor) -> distributions.Finite:
        """Parameters of shape (*, P) to a distribution of batch shape (*)."""


class Bernoulli(Likelihood):
    """One logit a sub-pixel; for images of two levels."""

    def parameters(self, spec: ImageSpec) -> int:
        if spec.levels != 2:
            raise BadInput(f"The bernoulli likelihood is for images of 2 levels, not {spec.levels}; take categorical.")
        return 1

    def distribution(self, parameters: Tensor) -> distributions.Bernoulli:
        return distributions.Bernoulli(parameters.squeeze(-1), validate_args=False)


class Categorical(Likelihood):
    """One logit a level: any shape of distribution, nothing assumed about which levels are alike."""

    def parameters(self, spec: ImageSpec) -> int:
        return spec.levels

    def distribution(self, parameters: Tensor) -> distributions.Categorical:
        return distributions.Categorical(parameters, validate_args=False)


LIKELIHOODS: dict[str, type[Likelihood]] = {"bernoulli": Bernoulli, "categorical": Categorical}
