"""Discretised logistics: exact against many digits, finite however extreme the parameters."""

import itertools
import math
from typing import Any

import mpmath
import pytest
import torch

from nextpixel import likelihoods
from nextpixel.distributions import LogisticMixture, logistic
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

EXTREME = (0.0, 1.0, -1.0, 30.0, -30.0, 1e4, -1e4, 3.4e38, -3.4e38)


def _slow(level: int, mean: float, log_scale: float, count: int) -> Any:
    """The probability of a level, by the definition and with many digits."""

    def below(edge: Any) -> Any:
        return 1 / (1 + mpmath.exp(-(edge - mpmath.mpf(mean)) / mpmath.exp(mpmath.mpf(log_scale))))

    centre, half = mpmath.mpf(2 * level) / (count - 1) - 1, mpmath.mpf(1) / (count - 1)
    upper = mpmath.mpf(1) if level == count - 1 else below(centre + half)
    return upper - (below(centre - half) if level else 0)


@pytest.mark.parametrize("count", [2, 4, 256])
@pytest.mark.parametrize("mean", [-3.0, -0.3, 0.0, 0.7, 40.0])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.5, 25.0])
def test_log_probabilities_are_those_of_many_digits(count: int, mean: float, log_scale: float) -> None:
    with mpmath.workdps(400):
        for level in {0, 1, count // 2, count - 2, count - 1}:
            exact = float(mpmath.log(_slow(level, mean, log_scale, count)))
            means, log_scales = (torch.tensor(number, dtype=torch.float64) for number in (mean, log_scale))
            found = float(logistic.log_prob(torch.tensor(level), means, log_scales, count))
            assert abs(found - exact) <= 1e-12 * max(1, abs(exact))


def _least(levels: int) -> float:
    """The least logarithm of a scale: that of the paper's 256 levels, and of more in proportion."""
    return -7 - math.log(max(1.0, (levels - 1) / 255))


@pytest.mark.parametrize("levels", [2, 3, 256, 4096, 65536])
def test_probabilities_sum_to_one_and_are_those_that_are_drawn(levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(3, 16, 5, generator=generator)
    parts[1] *= 2
    parts[2] = (parts[2] * 3 - 3).clamp(min=_least(levels))
    parts[2, :4] = _least(levels)
    for dtype, tolerance, apart in ((torch.float32, 3e-6, 2e-3), (torch.float64, 1e-9, 1e-8)):
        weights, means, log_scales = parts.to(dtype)
        mixture = LogisticMixture(weights, means, log_scales, levels)
        pmf, cumulative = mixture.pmf(), mixture.cumulative()
        assert (pmf.sum(-1) - 1).abs().max() < tolerance
        drawn = cumulative.diff(dim=-1, prepend=torch.zeros_like(cumulative[..., :1]))
        assert (drawn >= 0).all()
        # The sums of 65,536 levels have the last digits of a number near 1 each.
        assert ((drawn - pmf).abs().sum(-1) / 2).max() < apart
        middle = cumulative.double() - drawn.double() / 2
        level = pmf.argmax(-1, keepdim=True)
        assert mixture.icdf(middle.gather(-1, level).squeeze(-1)).equal(level.squeeze(-1))


@pytest.mark.parametrize("levels", [2, 100, 256, 257, 4096, 65536])
def test_the_sharpest_distribution_is_as_sharp_for_any_number_of_levels(levels: int) -> None:
    likelihood = likelihoods.LogisticMixture(ImageSpec(1, 1, 1, levels=levels), mixtures=1)
    x = torch.tensor([levels // 3]).view(1, 1, 1, 1)
    parameters = torch.tensor([0.0, 2 * (levels // 3) / (levels - 1) - 1, -100.0]).view(1, 3, 1, 1)
    distribution = likelihood.distribution(parameters, x)
    bits = -float(distribution.log_prob(x)) / math.log(2)
    assert bits < 0.04  # as of 256 levels, which is what the paper's authors have
    assert isinstance(distribution, LogisticMixture)
    assert float(distribution.log_scales) == pytest.approx(_least(levels))
    assert levels > 256 or float(distribution.log_scales) == -7.0


def test_cumulative_probabilities_ascend_to_one_for_extreme_parameters() -> None:
    means, log_scales = torch.tensor(list(itertools.product(EXTREME, EXTREME))).unsqueeze(-1).unbind(1)
    for levels in (2, 256):
        cumulative = LogisticMixture(torch.zeros(81, 1), means, log_scales, levels).cumulative()
        assert (cumulative.diff(dim=-1) >= 0).all()
        assert (cumulative[:, -1] == 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_finite_for_extreme_parameters(channels: int) -> None:
    likelihood = likelihoods.LogisticMixture(ImageSpec(channels, 1, 1, levels=256), mixtures=2)
    generator = torch.Generator().manual_seed(0)
    choice = torch.randint(len(EXTREME), (20_000, likelihood.parameters), generator=generator)
    parameters = torch.tensor(EXTREME)[choice].requires_grad_()
    levels = torch.tensor([0, 1, 128, 254, 255])[torch.randint(5, (20_000, channels), generator=generator)]
    nats = likelihood.distribution(parameters, levels).log_prob(levels)
    assert nats.isfinite().all()
    (gradient,) = torch.autograd.grad(nats.clamp(min=-1e6).sum(), parameters)
    assert gradient.isfinite().all()


def test_channels_are_coupled_by_the_chain_rule() -> None:
    spec = ImageSpec(3, 1, 1, levels=6)
    likelihood = likelihoods.LogisticMixture(spec, mixtures=2)
    parameters = torch.randn(1, likelihood.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.tensor(list(itertools.product(range(6), repeat=3)))
    found = likelihood.distribution(parameters.expand(len(x), -1), x).log_prob(x).sum(1)
    assert abs(float(found.exp().sum()) - 1) < 1e-12
    # The definition, with sums over components outside (Salimans et al. 2017, equations 2 and 3).
    weights, means, log_scales = (
        parameters[0, :2].softmax(0),
        parameters[0, 2:8].view(3, 2),
        parameters[0, 8:14].view(3, 2),
    )
    a, b, c = parameters[0, 14:].view(3, 2).tanh()
    v = 2 * x.double() / 5 - 1
    total = torch.zeros(len(x), dtype=torch.float64)
    for k in range(2):
        moved = (
            means[0, k].expand(len(x)),
            means[1, k] + a[k] * v[:, 0],
            means[2, k] + b[k] * v[:, 0] + c[k] * v[:, 1],
        )
        nats = [logistic.log_prob(x[:, i], moved[i], log_scales[i, k], 6) for i in range(3)]
        total += weights[k] * torch.stack(nats).sum(0).exp()
    torch.testing.assert_close(found.exp(), total)


def test_a_channel_asked_for_alone_is_the_same() -> None:
    spec = ImageSpec(3, 4, 5, levels=6)
    likelihood = likelihoods.LogisticMixture(spec, mixtures=2)
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(2, likelihood.parameters, 4, 5, dtype=torch.float64, generator=generator)
    x = torch.randint(6, (2, 3, 4, 5), generator=generator)
    whole = likelihood.distribution(parameters, x).log_prob(x)
    for channel in range(3):
        here = slice(channel, channel + 1)
        later = torch.cat((x[:, :channel], torch.zeros_like(x[:, channel:])), 1)
        alone = likelihood.distribution(parameters, later, here).log_prob(x[:, here])
        torch.testing.assert_close(alone, whole[:, here])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match="needs levels in order"):
        likelihoods.LogisticMixture(ImageSpec(1, 2, 2, levels=9, ordinal=False))
    with pytest.raises(BadInput, match="mixtures must be a whole number of at least 1, not 0"):
        likelihoods.LogisticMixture(ImageSpec(), mixtures=0)
