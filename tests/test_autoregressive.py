"""What users may get wrong, and small facts that no law states."""

from typing import Any

import pytest
import torch

import nextpixel as npx

SPEC = npx.ImageSpec(3, 4, 3, levels=4)
ARGUMENTS: dict[str, Any] = {"filters": 6, "blocks": 1, "head": 6}


@pytest.fixture
def model() -> npx.Autoregressive:
    return npx.build("gated_pixelcnn", SPEC, **ARGUMENTS).eval()


@pytest.fixture
def conditional() -> npx.Autoregressive:
    return npx.build("gated_pixelcnn", SPEC, context=npx.ClassLabel(5), **ARGUMENTS).eval()


def _images(count: int = 2) -> torch.Tensor:
    return torch.randint(4, (count, *SPEC.shape))


def test_predict_has_a_value_for_each_sub_pixel_that_sums_to_log_prob(model: npx.Autoregressive) -> None:
    x = _images()
    each = model.predict(x).log_prob(x)
    assert each.shape == x.shape
    torch.testing.assert_close(each.sum((1, 2, 3)), model.log_prob(x))


@pytest.mark.parametrize("verb", ["log_prob", "predict"])
def test_images_that_do_not_fit_are_refused(model: npx.Autoregressive, verb: str) -> None:
    for images, sentence in (
        (_images()[:, :2], r"shape \(B, 3, 4, 3\), not \(2, 2, 4, 3\)"),
        (_images().float() * torch.nan, "not float32 values with NaN"),
        (_images() + 1, "one is 4"),
    ):
        with pytest.raises(npx.BadInput, match=sentence):
            getattr(model, verb)(images)


def test_a_missing_or_wrong_label_is_refused(conditional: npx.Autoregressive) -> None:
    with pytest.raises(npx.BadInput, match=r"needs a class label in \[0, 5\)"):
        conditional.log_prob(_images())
    with pytest.raises(npx.BadInput, match="one is 5"):
        conditional.sample(2, [4, 5])
    with pytest.raises(npx.BadInput, match="needs a class label"):
        conditional.complete(_images(), torch.ones(2, 1, 4, 3, dtype=torch.bool))


def test_a_label_for_an_unconditional_model_is_refused(model: npx.Autoregressive) -> None:
    with pytest.raises(npx.BadInput, match="not conditioned on anything, but was given the context 3"):
        model.sample(2, 3)
    with pytest.raises(npx.BadInput, match=r"given a context of shape \(2,\)"):
        model.log_prob(_images(), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize(
    ("count", "settings", "sentence"),
    [
        (0, {}, "number of samples must be a whole number of at least 1, not 0"),
        (1, {"temperature": 0.0}, "temperature must be above 0 and finite, not 0.0"),
        (1, {"temperature": -1.0}, "not -1.0"),
        (1, {"temperature": float("nan")}, "not nan"),
        (1, {"temperature": float("inf")}, "not inf"),
        (1, {"seed": -1}, "seed must be a whole number of at least 0 and below 2.63, not -1"),
        (1, {"first": -1}, "number of the first image must be"),
    ],
)
def test_impossible_samples_are_refused(model: npx.Autoregressive, count: Any, settings: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        model.sample(count, **settings)


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (torch.ones(2, 1, 4, 3), "must be bool, not float32"),
        (torch.ones(2, 2, 4, 3, dtype=torch.bool), r"\(B, 1 or C, H, W\).*not \(2, 2, 4, 3\)"),
        (torch.ones(1, 1, 4, 3, dtype=torch.bool), r"not \(1, 1, 4, 3\)"),
        (torch.ones(4, 3, dtype=torch.bool), r"not \(4, 3\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(model: npx.Autoregressive, known: torch.Tensor, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        model.complete(_images(), known)


def test_what_stands_at_unknown_places_does_not_matter(model: npx.Autoregressive) -> None:
    x = _images()
    known = torch.rand(x.shape) < 0.5
    wild = torch.where(known, x, torch.full_like(x, 99))
    assert model.complete(wild, known, seed=1).equal(model.complete(x, known, seed=1))


def test_levels_out_of_range_at_known_places_are_refused(model: npx.Autoregressive) -> None:
    with pytest.raises(npx.BadInput, match="one is 99"):
        model.complete(torch.full((1, *SPEC.shape), 99), torch.ones(1, 1, 4, 3, dtype=torch.bool))


def test_everything_known_is_given_back(model: npx.Autoregressive) -> None:
    x = _images()
    assert model.complete(x, torch.ones(2, 1, 4, 3, dtype=torch.bool)).equal(x)


def test_nothing_known_is_a_sample(model: npx.Autoregressive) -> None:
    x = _images()
    assert model.complete(x, torch.zeros(2, 1, 4, 3, dtype=torch.bool), seed=9).equal(model.sample(2, seed=9))


def test_a_low_temperature_draws_the_likeliest_level(model: npx.Autoregressive) -> None:
    model.double()  # the likeliest level is no clearer than the arithmetic
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()  # fresh biases are alike, so that levels can be equally likely
    samples = model.sample(3, temperature=1e-9)
    assert samples.equal(model.predict(samples).mode)


def test_bits_per_dim_is_nats_over_dimensions_and_log_2(model: npx.Autoregressive) -> None:
    x = _images()
    expected = -model.log_prob(x) / (36 * torch.log(torch.tensor(2.0)))
    torch.testing.assert_close(npx.bits_per_dim(model, x), expected.detach())
    assert not npx.bits_per_dim(model, x).requires_grad
