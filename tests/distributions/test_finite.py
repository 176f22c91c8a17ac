"""Laws of every distribution, and agreement with torch's own where it has one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, distributions

from nextpixel.distributions import Bernoulli, Categorical, Finite, LogisticMixture


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


EVERY: dict[str, Callable[[], Finite]] = {
    "bernoulli": lambda: Bernoulli(torch.randn(5, 3, dtype=torch.float64)),
    "categorical": lambda: Categorical(torch.randn(5, 3, 7, dtype=torch.float64)),
    "logistic mixture": lambda: LogisticMixture(_random(5, 3, 4), _random(5, 3, 4), _random(5, 3, 4), 7),
    "two levels": lambda: Categorical(torch.randn(5, 3, 2, dtype=torch.float64)),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def _levels(distribution: Finite) -> Tensor:
    return distribution.enumerate_support()


@every
def test_pmf_is_exp_log_prob_and_sums_to_one(make: Callable[[], Finite]) -> None:
    distribution = make()
    pmf = torch.stack([distribution.log_prob(level).exp() for level in _levels(distribution)], -1)
    torch.testing.assert_close(pmf, distribution.pmf())
    torch.testing.assert_close(pmf.sum(-1), torch.ones(5, 3, dtype=torch.float64))


@every
def test_cumulative_probabilities_are_sums_of_the_pmf(make: Callable[[], Finite]) -> None:
    distribution = make()
    torch.testing.assert_close(distribution.cumulative(), distribution.pmf().cumsum(-1))


@every
def test_icdf_is_the_first_level_whose_cumulative_probability_exceeds_the_number(make: Callable[[], Finite]) -> None:
    distribution = make()
    cumulative = distribution.pmf().cumsum(-1)
    for number in torch.linspace(0, 0.999, 50).tolist():
        level = distribution.icdf(torch.full((5, 3), number))
        assert (cumulative.gather(-1, level[..., None]).squeeze(-1) > number).all()
        below = cumulative.gather(-1, (level - 1).clamp(min=0)[..., None]).squeeze(-1)
        assert ((below <= number) | (level == 0)).all()


def test_icdf_never_gives_an_impossible_level() -> None:
    distribution = Categorical(torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]))
    largest = torch.tensor(1 - 2**-24)
    assert int(distribution.icdf(torch.tensor(0.0))) == 1
    assert int(distribution.icdf(largest)) == 3
    # 1e4 probabilities in float32 do not sum to 1 exactly; the last level must still be a possible one.
    many = torch.cat((torch.randn(10_000), torch.tensor([-torch.inf])))
    assert int(Categorical(many).icdf(largest)) < 10_000


@every
def test_temper_raises_probabilities_to_a_power(make: Callable[[], Finite]) -> None:
    distribution = make()
    powers = distribution.pmf() ** (1 / 0.5)
    torch.testing.assert_close(distribution.temper(0.5).pmf(), powers / powers.sum(-1, keepdim=True))


@every
def test_moments_and_entropy(make: Callable[[], Finite]) -> None:
    distribution = make()
    levels = torch.arange(distribution.pmf().shape[-1], dtype=torch.float64)
    mean = (distribution.pmf() * levels).sum(-1)
    torch.testing.assert_close(distribution.mean, mean)
    torch.testing.assert_close(distribution.variance, (distribution.pmf() * levels**2).sum(-1) - mean**2)
    torch.testing.assert_close(distribution.entropy(), -(distribution.pmf() * distribution.pmf().log()).sum(-1))
    assert distribution.mode.equal(distribution.pmf().argmax(-1))


@every
def test_expand_and_sample_shapes(make: Callable[[], Finite]) -> None:
    distribution = make()
    assert distribution.expand((2, 5, 3)).pmf().shape[:3] == (2, 5, 3)
    assert distribution.sample((4,)).shape == (4, 5, 3)


def test_agreement_with_torch() -> None:
    logits, value = torch.randn(50, dtype=torch.float64), torch.randint(2, (50,))
    torch.testing.assert_close(
        Bernoulli(logits).log_prob(value), distributions.Bernoulli(logits=logits).log_prob(value.double())
    )
    logits, value = torch.randn(50, 9, dtype=torch.float64), torch.randint(9, (50,))
    torch.testing.assert_close(
        Categorical(logits).log_prob(value), distributions.Categorical(logits=logits).log_prob(value)
    )


def test_levels_of_eight_bits_do_not_wrap_round() -> None:
    # 2 · 0 − 1 is 255 in uint8: a network that trained on that reached 0 nats.
    logits = torch.randn(50)
    value = torch.randint(2, (50,))
    torch.testing.assert_close(Bernoulli(logits).log_prob(value.to(torch.uint8)), Bernoulli(logits).log_prob(value))


def test_sure_logits_have_finite_likelihoods_and_gradients() -> None:
    logits = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    nats = Bernoulli(logits).log_prob(torch.tensor([0, 0, 1]))
    nats.sum().backward()
    assert nats.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_entropy_of_an_impossible_level_counts_nothing() -> None:
    assert float(Categorical(torch.tensor([0.0, -torch.inf])).entropy()) == 0
