"""Finite discrete distributions: one object gives the loss, the samples and the coder's frequencies."""

from nextpixel.distributions.finite import Bernoulli, Categorical, Finite
from nextpixel.distributions.logistic import LogisticMixture

__all__ = ["Bernoulli", "Categorical", "Finite", "LogisticMixture"]
