"""PixelVAE: its bounds are bounds, their parts add up, and its decoder given z is an exact model like any other."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch.distributions import Normal, kl_divergence

import nextpixel as npx
from nextpixel.checks import stepwise_log_prob
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelvae import _way
from nextpixel.nn.latent import Conv
from zoo import Case, images

_TINY: dict[str, Any] = {"latent": 1, "encoder": 2, "maps": 2, "filters": 6, "blocks": 1, "head": 6, "depth": 1}
_USED: dict[str, Any] = {"mixtures": 2, "latent": 3, "spread": 0.7, "equalised": True}
VAES = [
    Case("pixelvae", "bernoulli", 1, None, _TINY),
    Case("pixelvae", "categorical", 1, None, _TINY | {"condition": "vector", "norm": "none", "depth": 0}),
    Case("pixelvae", "categorical", 1, None, _TINY, ordinal=False),
    Case(
        "pixelvae", "logistic_mixture", 3, None, _TINY | {"mixtures": 2, "latent": 3, "spread": 0.7, "equalised": True}
    ),
]
every_vae = pytest.mark.parametrize("case", VAES, ids=str)
with_a_line = pytest.mark.parametrize("case", VAES[:3], ids=str)  # one latent number, to be integrated over


def build(case: Case, height: int, width: int, **arguments: Any) -> npx.PixelVAE:
    chosen = Case(case.name, case.likelihood, case.channels, None, case.arguments | arguments, ordinal=case.ordinal)
    model = chosen.build(chosen.spec(height, width))
    assert isinstance(model, npx.PixelVAE)
    with torch.no_grad():  # posteriors that differ from the prior and from each other, and not by much
        model.encoder.read.weight.mul_(0.3)
        model.encoder.read.bias.sub_(0.5)
    return model


def copies(x: torch.Tensor, count: int) -> torch.Tensor:
    """Each image so many times, the copies of an image one after the other: each has noise of its own."""
    return x.repeat_interleave(count, 0)


def all_images(spec: npx.ImageSpec) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.arange(spec.levels)] * spec.subpixels).view(-1, *spec.shape)


def joint(model: npx.PixelVAE, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """log p(x, z) of each image with each z, (B, Z)."""
    count = len(z)
    given = model.decoder.log_prob(x.repeat_interleave(count, 0), z.repeat(len(x), 1)).view(len(x), count)
    return given + Normal(0.0, 1.0).log_prob(z).sum(1)


def line(half: float = 9.0, count: int = 3001) -> tuple[torch.Tensor, float]:
    """Numbers so close and far that sums over them are integrals over z."""
    z = torch.linspace(-half, half, count, dtype=torch.float64).unsqueeze(1)
    return z, math.log(2 * half / (count - 1))


@with_a_line
def test_elbo_is_below_the_importance_weighted_bound_and_that_below_the_likelihood(case: Case) -> None:
    model = build(case, 2, 2)
    x = images(model.spec, 3)
    z, step = line()
    with torch.no_grad():
        both = joint(model, x, z)
        exact = both.logsumexp(1) + step
        guess = torch.stack([normal.log_prob(z[:, 0]) for normal in _each(model.posterior(x))])
        elbo = ((both - guess) * (guess + step).exp()).sum(1)  # its expectation
        tighter = model.iw_bound(copies(x, 3000), samples=4).view(3, -1)
        tightest = model.iw_bound(copies(x, 3000), samples=16, seed=1).view(3, -1).logsumexp(1) - math.log(3000)
        drawn = model.elbo(copies(x, 3000)).nats.view(3, -1)
    error = tighter.std(1) / math.sqrt(3000)
    assert (elbo < tighter.mean(1) - 4 * error).all()
    assert (tighter.mean(1) < exact - 4 * error).all()
    assert (tightest - exact).abs().max() < 0.05
    assert ((drawn.mean(1) - elbo).abs() < 4 * drawn.std(1) / math.sqrt(3000)).all()


def _each(posterior: Any) -> list[Any]:
    base = posterior.base_dist
    return [Normal(mean, scale) for mean, scale in zip(base.mean[:, 0], base.stddev[:, 0], strict=True)]


@every_vae
def test_the_divergence_is_that_of_samples(case: Case) -> None:
    model = build(case, 3, 2)
    x = images(model.spec, 2)
    with torch.no_grad():
        posterior = model.posterior(x)
        torch.manual_seed(1)
        z = posterior.sample(torch.Size([40000]))
        drawn = posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z).sum(-1)
        kl = model.elbo(x).kl
    assert ((drawn.mean(0) - kl).abs() < 4 * drawn.std(0) / math.sqrt(len(drawn))).all()
    assert (kl > 0).all()


@every_vae
def test_reconstruction_and_divergence_are_the_elbo(case: Case) -> None:
    model = build(case, 3, 2)
    x = images(model.spec, 4)
    with torch.no_grad():
        elbo, whole = model.elbo(x, seed=3), model.elbo(x[2:], seed=3, first=2)
        assert elbo.nats.equal(elbo.reconstruction - elbo.kl)
        assert (elbo.nats[2:] - whole.nats).abs().max() < 1e-12  # an image's z is its own
        assert not elbo.reconstruction.allclose(model.elbo(x, seed=4).reconstruction)
        # One sample of the importance-weighted bound has the same mean, by another road.
        many = copies(x, 2000)
        differences = (model.iw_bound(many, samples=1) - model.elbo(many).nats).view(4, -1)
    assert (differences.mean(1).abs() < 4 * differences.std(1) / math.sqrt(2000)).all()


@every_vae
def test_the_decoder_given_z_is_an_exact_model(case: Case) -> None:
    model = build(case, 5, 3)
    x = images(model.spec, 3)
    z = torch.randn(3, model.latent, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        parallel = model.decoder.predict(x, z).log_prob(x)
    assert (parallel - stepwise_log_prob(model.decoder, x, z)).abs().max() < 1e-10


@with_a_line
def test_samples_have_the_probabilities_of_the_integral(case: Case) -> None:
    model = build(case, 1, 3)
    x = all_images(model.spec)
    z, step = line(count=801)
    count = 6000
    with torch.no_grad():
        expected = (joint(model, x, z).logsumexp(1) + step).exp() * count
    assert abs(float(expected.sum()) / count - 1) < 1e-6
    samples = model.sample(count, seed=2)
    weights = model.spec.levels ** torch.arange(model.spec.subpixels - 1, -1, -1)
    observed = torch.bincount((samples.flatten(1) * weights).sum(1), minlength=len(x))
    common = expected >= 5
    expected = torch.cat((expected[common], expected[~common].sum()[None]))
    observed = torch.cat((observed[common], observed[~common].sum()[None]))
    kept = expected > 0
    expected = expected[kept] * (observed[kept].sum() / expected[kept].sum())
    assert stats.chisquare(observed[kept].numpy(), expected.numpy()).pvalue > 1e-4


@every_vae
def test_a_sample_does_not_depend_on_its_batch(case: Case) -> None:
    model = build(case, 3, 2)
    whole = model.sample(4, seed=3)
    assert whole.equal(torch.cat([model.sample(1, seed=3, first=image) for image in range(4)]))
    assert not whole.equal(model.sample(4, seed=4))


@every_vae
def test_completions_keep_what_is_known(case: Case) -> None:
    model = build(case, 4, 3)
    x = images(model.spec, 3)
    known = torch.rand(3, 1, 4, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    z = torch.zeros(3, model.latent, dtype=torch.float64)
    every = known.expand(x.shape)
    for made in (model.complete(x, known), model.complete(x, known, rounds=0), model.complete(x, known, z=z)):
        assert made[every].equal(x[every])
    assert model.complete(x, known, z=z).equal(model.decoder.complete(x, known, z))
    hidden = torch.where(every, x, (x + 1) % model.spec.levels)
    assert model.complete(x, known, seed=1).equal(model.complete(hidden, known, seed=1))


def test_completions_from_the_posterior_go_with_what_is_known() -> None:
    # The decoder knows only z, and z only whether images are bright: what is unknown must follow from what is known.
    model = npx.build("pixelvae", npx.ImageSpec(1, 4, 4), "bernoulli", **_TINY | {"condition": "vector", "depth": 0})
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        for layer in (model.encoder.layers[0], model.encoder.layers[2]):
            assert isinstance(layer, Conv)
            layer.weight[0, 0, 1, 1] = 1 / layer.scale
        model.encoder.read.weight[0].view(2, 4, 4)[0] = 0.5 / model.encoder.read.scale
        model.encoder.read.bias[:] = torch.tensor([-1.0, -6.0])
        drawing = model.decoder.backbone
        assert isinstance(drawing, GatedPixelCNN)
        assert drawing.head_context is not None
        drawing.head_context.weight[:2, 0, 0, 0] = torch.tensor([20.0, -20.0])
        drawing.parameters_of.weight[0, :2, 0, 0] = torch.tensor([1.0, -1.0])
    bright = torch.ones(8, 1, 4, 4, dtype=torch.long)
    known = torch.zeros(8, 1, 4, 4, dtype=torch.bool)
    known[:, :, :3] = True
    assert (model.complete(bright, known) == 1).all()
    assert (model.complete(0 * bright, known) == 0).all()
    assert 0 < model.complete(bright, known, rounds=0).float()[:, :, 3].mean() < 1  # z is of the prior


@every_vae
def test_the_ends_of_a_way_are_decoded_from_the_posteriors_means(case: Case) -> None:
    model = build(case, 3, 2)
    x, y = images(model.spec, 2), images(model.spec, 2, seed=1)
    made = model.interpolate(x, y, 5, seed=6)
    assert made.shape == (2, 5, *model.spec.shape)
    with torch.no_grad():
        ends = [model.posterior(images).mean for images in (x, y)]
    assert made[:, 0].equal(model.decode(ends[0], seed=6))
    assert made[:, -1].equal(model.decode(ends[1], seed=6))


def test_reconstructions_are_drawn_from_the_posterior() -> None:
    model = build(VAES[0], 3, 2)
    x = images(model.spec, 3)
    assert model.reconstruct(x, seed=1).shape == x.shape
    assert model.reconstruct(x, seed=1)[1:].equal(model.reconstruct(x[1:], seed=1, first=1))


def test_warmup_raises_the_weight_of_the_divergence_and_counts_batches_of_training_only() -> None:
    model = build(VAES[0], 3, 2, warmup=3)
    x = images(model.spec, 4)
    kl = model.elbo(x).kl.mean().item()
    for weight in (0.25, 0.5, 0.75, 1.0, 1.0):
        state = torch.random.get_rng_state()
        model.eval()(x)
        torch.random.set_rng_state(state)
        objective = model.train()(x).mean()
        torch.random.set_rng_state(state)
        z = model.posterior(x).rsample()
        assert (model.decoder(x, z).mean() - objective).item() == pytest.approx(weight * kl, rel=1e-6)
    assert int(model.batches) == 5


def test_free_bits_give_no_gradient_to_what_costs_less() -> None:
    x = images(npx.ImageSpec(1, 3, 2), 4)
    free = build(VAES[0], 3, 2, free_bits=1e6).train()
    counted = free.decoder(x, _again(free, x)).mean() - free(x).mean()
    assert counted.item() == pytest.approx(1e6 * math.log(2), rel=1e-6)
    costly = build(VAES[0], 3, 2, free_bits=1e-9).train()
    plain = build(VAES[0], 3, 2).train()
    torch.manual_seed(0)
    expected = plain(x)
    torch.manual_seed(0)
    assert costly(x).mean().allclose(expected.mean())


def test_spread_is_the_deviation_of_posteriors_means_over_images_each_of_which_has_its_own() -> None:
    model = build(VAES[3], 5, 4).train()
    x = images(model.spec, 64)
    for _ in range(1000):  # until the running statistics are those of these images
        model._posterior(x)  # as training does; a posterior that is asked for leaves the statistics alone
    mean = model.posterior(x).mean.detach()
    assert mean.mean(0).abs().max() < 1e-6
    assert 0.6 < mean.std(0).max() < 0.72
    alone = torch.cat([model.eval().posterior(image).mean for image in x[:5].split(1)])
    assert alone.allclose(mean[:5])


@pytest.mark.parametrize("size", [8, 32])
def test_at_the_start_posteriors_tell_images_apart(size: int) -> None:
    torch.manual_seed(0)
    model = npx.build("pixelvae", npx.ImageSpec(3, size, size, levels=256), "logistic_mixture", depth=3, equalised=True)
    assert isinstance(model, npx.PixelVAE)
    grey = torch.arange(0, 256, 16).view(-1, 1, 1, 1).expand(-1, 3, size, size)
    assert model.decoder.encoder is not None
    with torch.no_grad():
        posterior = model.posterior(grey)
        assert posterior.mean.std(0).mean() > 0.1
        assert posterior.stddev.mean() < 0.8  # narrower than the prior
        told = model.decoder.encoder(torch.randn(64, model.latent))
    assert 0.1 < told.std(0).mean() < 1


@pytest.mark.parametrize("log_scale", [-40.0, 40.0])
def test_a_posterior_that_jumped_far_off_can_come_back(log_scale: float) -> None:
    model = build(VAES[0], 3, 2).train()
    with torch.no_grad():
        model.encoder.read.bias[model.latent :] = log_scale
    loss = -model(images(model.spec, 4)).mean()
    loss.backward()
    assert loss.isfinite()
    assert model.encoder.read.bias.grad is not None
    # Downhill is back: to larger deviations from tiny ones, and the other way round.
    assert (model.encoder.read.bias.grad[model.latent :].sign() == (1.0 if log_scale > 0 else -1.0)).all()


def test_free_bits_are_for_each_latent_number() -> None:
    model = build(VAES[3], 3, 2, spread=0.0).train()
    x = images(model.spec, 4)
    each = kl_divergence(model.posterior(x).base_dist, Normal(0.0, 1.0)).mean(0).detach()
    model.free_nats = each.sort().values[1].item()  # more than one number costs, less than another
    counted = model.decoder(x, _again(model, x)).mean() - model(x).mean()
    assert counted.item() == pytest.approx(each.clamp(min=model.free_nats).sum().item(), rel=1e-6)
    assert counted.item() > each.sum().item()


def test_a_way_goes_from_one_vector_to_the_other_and_is_not_shorter_between() -> None:
    x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    way = _way(x, y, 3)[0]
    assert way[0].allclose(x[0], atol=1e-5)
    assert way[2].allclose(y[0], atol=1e-5)
    assert way[1].allclose(torch.tensor([2.0, 2.0]) / 2**0.5, atol=1e-5)  # of length 2, in the middle of both


def _again(model: npx.PixelVAE, x: torch.Tensor) -> torch.Tensor:
    """The z that the next call of the model in training will draw."""
    state = torch.random.get_rng_state()
    z = model.posterior(x).rsample()
    torch.random.set_rng_state(state)
    return z


@every_vae
def test_a_saved_model_is_the_same_model_and_every_parameter_gets_a_gradient(case: Case, tmp_path: Path) -> None:
    model = build(case, 5, 3, warmup=7)
    x = images(model.spec, 6)
    model.train()(x).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert bool((weight.grad != 0).any()), name
    npx.save(model.eval(), tmp_path / "m.safetensors")
    again = npx.load(tmp_path / "m.safetensors")
    assert isinstance(again, npx.PixelVAE)
    assert again.recipe == model.recipe
    assert int(again.batches) == 1
    with torch.no_grad():
        assert again.elbo(x).nats.equal(model.elbo(x).nats)


def test_what_has_no_exact_answer_is_refused_with_what_to_take() -> None:
    model = build(VAES[0], 3, 2)
    x = images(model.spec, 2)
    for verb in (model.log_prob, model.predict, lambda x: npx.bits_per_dim(model, x)):
        with pytest.raises(npx.BadInput, match=r"elbo (or|and) iw_bound"):
            verb(x)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"latent": 0}, "latent must be a whole number of at least 1, not 0"),
        ({"maps": -1}, "maps must be a whole number of at least 1, not -1"),
        ({"encoder": 0}, "encoder must be .* not 0"),
        ({"depth": -1}, "depth must be .* not -1"),
        ({"warmup": -2}, "warmup must be .* not -2"),
        ({"free_bits": -0.1}, "free_bits must be at least 0 and finite, not -0.1"),
        ({"free_bits": math.inf}, "free_bits must be at least 0 and finite, not inf"),
        ({"spread": -0.5}, "spread must be at least 0 and finite, not -0.5"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build("pixelvae", npx.ImageSpec(1, 4, 4), "bernoulli", **_TINY | arguments)


def test_what_does_not_fit_is_refused() -> None:
    model = build(VAES[0], 4, 4)
    x = images(model.spec, 2)
    with pytest.raises(npx.BadInput, match="takes no context"):
        npx.build("pixelvae", npx.ImageSpec(1, 4, 4), "bernoulli", npx.ClassLabel(3), **_TINY)
    with pytest.raises(npx.BadInput, match="takes no context"):
        model.sample(2, 3)
    with pytest.raises(npx.BadInput, match=r"levels in \[0, 2\); one is 2"):
        model.elbo(0 * x + 2)
    with pytest.raises(npx.BadInput, match=r"shape \(2, 1\), not \(2, 3\)"):
        model.decode(torch.zeros(2, 3))
    with pytest.raises(npx.BadInput, match=r"samples must be .* not 0"):
        model.iw_bound(x, samples=0)
    with pytest.raises(npx.BadInput, match=r"steps must be .* not 1"):
        model.interpolate(x, x, 1)
    with pytest.raises(npx.BadInput, match="not 1 for 2"):
        model.interpolate(x, x[:1], 4)
    with pytest.raises(npx.BadInput, match="at least 1, not 0"):
        model.sample(0)
    with pytest.raises(npx.BadInput, match=r"seed must be .* not -1"):
        model.sample(1, seed=-1)
    with pytest.raises(npx.BadInput, match="levels in order, not names; take categorical"):
        npx.build("pixelvae", npx.ImageSpec(1, 4, 4, levels=8, ordinal=False), "logistic_mixture", **_TINY)


BOUNDS: dict[str, Callable[[npx.PixelVAE, torch.Tensor], torch.Tensor]] = {
    "posterior": lambda model, x: model.posterior(x).mean,
    "elbo": lambda model, x: model.elbo(x).nats,
    "iw_bound": lambda model, x: model.iw_bound(x, samples=2),
    "sample": lambda model, x: model.sample(len(x)),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "interpolate": lambda model, x: model.interpolate(x, x.flip(0), 3),
    "complete": lambda model, x: model.complete(x, x == 0, rounds=1),
    "decoder.log_prob": lambda model, x: model.decoder.log_prob(x, torch.zeros(len(x), model.latent)),
}


@pytest.mark.parametrize("verb", BOUNDS)
def test_measuring_neither_asks_nor_changes_the_mode_of_training(verb: str) -> None:
    model = build(VAES[3], 3, 2, dropout=0.5, warmup=3).train()
    x = images(model.spec, 6)
    model(x)
    evaluated = copy.deepcopy(model).eval()
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        assert BOUNDS[verb](model, x).equal(BOUNDS[verb](evaluated, x))
    assert all(module.training for module in model.modules())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "autocast"])
@pytest.mark.parametrize("verb", BOUNDS)
@every_vae
def test_every_verb_works_in_lower_precision(case: Case, verb: str, precision: str) -> None:
    model = build(case, 3, 2)
    x = images(model.spec, 4)
    exact = BOUNDS[verb](model, x)
    model = model.float() if precision == "autocast" else model.to(getattr(torch, precision))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        found = BOUNDS[verb](model, x)
        model.train()(x).sum().backward()
    if found.is_floating_point():
        assert found.dtype == torch.float32
        assert (found - exact).abs().max() < 0.1 * (1 + exact.abs().max())
    else:
        model.spec.check(found.flatten(0, -4))
    assert BOUNDS[verb](model, x[:1]).shape[1:] == found.shape[1:]


def test_of_no_images_there_are_no_bounds() -> None:
    model, x = build(VAES[0], 3, 2), torch.zeros(0, 1, 3, 2, dtype=torch.long)
    for verb in ("posterior", "elbo", "iw_bound", "complete"):
        assert len(BOUNDS[verb](model, x)) == 0
