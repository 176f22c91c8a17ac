"""Weight normalisation, and its start from data."""

import copy
import math
from typing import Any

import pytest
import torch

import nextpixel as npx
from nextpixel.nn.norm import WeightNorm, initialising
from zoo import images


@pytest.fixture
def fresh() -> npx.Autoregressive:
    torch.manual_seed(0)
    spec = npx.ImageSpec(3, 12, 12, levels=256)
    return npx.build("pixelcnnpp", spec, "logistic_mixture", filters=8, blocks=1, mixtures=2).double()


def test_kernels_have_the_length_that_is_learnt(fresh: npx.Autoregressive) -> None:
    layer = fresh.backbone.get_submodule("up.0.0.above.enter")
    assert isinstance(layer, WeightNorm)
    with torch.no_grad():
        layer.length.uniform_(0.5, 3)
        torch.testing.assert_close(layer.weight().flatten(1).norm(dim=1), layer.length)


def test_first_activations_have_mean_0_and_variance_1(fresh: npx.Autoregressive) -> None:
    x = images(fresh.spec, 16)
    fresh.initialise(x)
    seen: dict[str, torch.Tensor] = {}
    for name, layer in fresh.named_modules():
        if isinstance(layer, WeightNorm):
            layer.register_forward_hook(
                lambda layer, inputs, output, name=name: seen.update({name: torch.as_tensor(output).clone()})
            )
    fresh.eval()(x)
    assert len(seen) == sum(isinstance(layer, WeightNorm) for layer in fresh.modules()) > 20
    for name, output in seen.items():
        deviation, mean = torch.std_mean(output, (0, 2, 3), correction=0)
        expected = 0.1 if name.endswith("leave") else 1.0  # the last layer of a residual block, in the authors' code
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-6, rtol=0)
        torch.testing.assert_close(deviation, torch.full_like(deviation, expected), atol=1e-4, rtol=0)


def test_a_model_without_weight_norm_stays_as_it_is() -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4), "bernoulli", filters=4, blocks=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.initialise(images(model.spec, 4))
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("kind", ["random", "of one value each", "all of one value", "almost black"])
@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (4, 4), (1, 5)], ids=str)
@pytest.mark.parametrize("likelihood", ["logistic_mixture", "categorical", "bernoulli"])
@pytest.mark.parametrize("name", ["pixelcnnpp", "pixelsnail"])
def test_features_that_do_not_vary_are_not_blown_up(
    name: str, likelihood: str, grid: tuple[int, int], kind: str, count: int
) -> None:
    spec = npx.ImageSpec(1, *grid, levels=2 if likelihood == "bernoulli" else 256)
    x = images(spec, count)
    if kind == "of one value each":
        x = x[:, :, :1, :1].expand(x.shape)
    elif kind == "all of one value":
        x = torch.ones_like(x)
    elif kind == "almost black":
        x = (x == x.max()).long()
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"filters": 4, "blocks": 1} | (
        {"layers": 1, "keys": 4, "values": 4} if name == "pixelsnail" else {}
    )
    model = npx.build(name, spec, likelihood, **sizes)
    uniform = spec.subpixels * math.log(spec.levels)
    nats = []
    for dtype in (torch.float64, torch.float32):
        fresh = copy.deepcopy(model).to(dtype)
        fresh.initialise(x)
        assert all(weight.isfinite().all() for weight in fresh.parameters())
        with torch.no_grad():
            nats.append(fresh.log_prob(x).double())
    assert (
        -nats[0]
    ).max() < 2 * uniform + 2 * spec.subpixels  # of these images, about what all levels alike would cost
    torch.testing.assert_close(nats[0], nats[1], rtol=1e-3, atol=1e-3)  # rounding of a float32 has not been amplified


def test_what_does_not_vary_keeps_its_length_and_what_varies_little_does_not(fresh: npx.Autoregressive) -> None:
    layer = fresh.backbone.get_submodule("up.0.0.above.enter")
    assert isinstance(layer, WeightNorm)
    with torch.no_grad():
        layer.direction[0] = 0
        layer.direction[0, 0] = 1
        x = torch.randn(4, layer.direction.shape[1], 5, 5, dtype=torch.float64)
        x[:, 0] = 2 + 1e-9 * x[:, 0]
        x = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    layer.register_forward_hook(lambda layer, inputs, output: output[..., 1:, 1:-1])  # without the padding of zeros
    before = layer.length.clone()
    with torch.no_grad(), initialising(layer):
        output = layer(x)
    assert layer.length[0] == before[0]
    assert (layer.length[1:] != before[1:]).all()
    assert output.mean((0, 2, 3)).abs().max() < 1e-9
