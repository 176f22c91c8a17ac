"""Weight normalisation, and its start from data."""

import pytest
import torch

import nextpixel as npx
from nextpixel.nn.weightnorm import WeightNorm
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
            layer.register_forward_hook(lambda layer, inputs, output, name=name: seen.update({name: output}))
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
