"""What users may get wrong, and small facts that no law states."""

import copy
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
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
    with pytest.raises(npx.BadInput, match=r"given the context of shape \(2,\)"):
        model.log_prob(_images(), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize(
    ("count", "settings", "sentence"),
    [
        (0, {}, "number of samples must be a whole number of at least 1, not 0"),
        (1, {"temperature": 0.0}, "temperature must be above 0 and finite, from 1e-30 to 1e30, not 0.0"),
        (1, {"temperature": -1.0}, "not -1.0"),
        (1, {"temperature": float("nan")}, "not nan"),
        (1, {"temperature": float("inf")}, "not inf"),
        (1, {"seed": -1}, "seed must be a whole number of at least 0 and below 2.63, not -1"),
        (1, {"first": -1}, "number of the first image must be"),
        (True, {}, "number of samples must be a whole number of at least 1, not True"),
        (1, {"seed": True}, "seed must be a whole number of at least 0 and below 2.63, not True"),
        (1, {"seed": 2**63}, "not 9223372036854775808"),
        (1, {"temperature": True}, "temperature must be above 0 and finite, from 1e-30 to 1e30, not True"),
    ],
)
def test_impossible_samples_are_refused(model: npx.Autoregressive, count: Any, settings: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        model.sample(count, **settings)


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (torch.ones(2, 1, 4, 3), "must be a bool tensor, not float32"),
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


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor])
def test_numbers_of_other_libraries_are_numbers(model: npx.Autoregressive, number: Any) -> None:
    for temperature in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5)):
        drawn = model.sample(number(2), seed=number(3), first=number(4), temperature=temperature)
        assert drawn.equal(model.sample(2, seed=3, first=4, temperature=0.5))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.uint16, torch.uint32, torch.uint64])
def test_levels_may_have_any_integer_dtype(model: npx.Autoregressive, dtype: torch.dtype) -> None:
    x = _images()
    known = torch.rand(x.shape) < 0.5
    assert model.log_prob(x.to(dtype)).equal(model.log_prob(x))
    assert model.complete(x.to(dtype), known).equal(model.complete(x, known))
    huge = torch.full_like(x, torch.iinfo(torch.int8).max).to(dtype)  # where nothing is known, it does not matter
    assert model.complete(huge, torch.zeros_like(known)).equal(model.sample(2))


def test_of_no_images_there_are_no_likelihoods_and_no_completions(model: npx.Autoregressive) -> None:
    x = _images(0)
    assert model.log_prob(x).shape == (0,)
    assert npx.bits_per_dim(model, x).shape == (0,)
    assert model.complete(x, x == 0).shape == x.shape


_BLOCKS: dict[str, Any] = {"filters": 6, "blocks": 1, "colours": "independent", "dropout": 0.5}
MOODY: dict[str, dict[str, Any]] = {  # what another mode makes another model
    "gated_pixelcnn": ARGUMENTS | {"dropout": 0.5},
    "pixelcnn": {"filters": 6, "layers": 1, "kernel": 3, "head": 6, "norm": "batch"},
    "residual_pixelcnn": ARGUMENTS | {"norm": "batch"},
    "pixelcnnpp": _BLOCKS,
    "pixelsnail": _BLOCKS | {"layers": 1, "keys": 4, "values": 6},
}
VERBS: dict[str, Callable[[npx.Autoregressive, torch.Tensor], torch.Tensor]] = {
    "log_prob": lambda model, x: model.log_prob(x),
    "predict": lambda model, x: model.predict(x).log_prob(x),
    "bits_per_dim": lambda model, x: npx.bits_per_dim(model, x),
    "sample": lambda model, x: model.sample(len(x)),
    "complete": lambda model, x: model.complete(x, x == 0),
}


@pytest.mark.parametrize("name", MOODY)
def test_measuring_neither_asks_nor_changes_the_mode_of_training(name: str) -> None:
    model, x = npx.build(name, SPEC, **MOODY[name]).train(), _images(6)
    frozen = list(model.modules())[-1].eval()
    evaluated = copy.deepcopy(model).eval()
    assert not model(x).equal(evaluated(x)), "the model has no modes"
    evaluated.load_state_dict(model.state_dict())
    before = copy.deepcopy(model.state_dict())
    seen: list[bool] = []
    for module in model.modules():  # the flags are as they were while measuring, too: other threads may read them
        module.register_forward_hook(lambda *_: seen.append(model.training and model.backbone.training))
    for verb, measure in VERBS.items():
        for _ in range(2):
            assert measure(model, x).equal(measure(evaluated, x)), verb
    assert all(seen)
    assert len(seen) > 10
    assert all(module.training for module in model.modules() if module is not frozen)
    assert not frozen.training
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    for each in (model, evaluated):
        each.log_prob(x).sum().backward()
    for mine, its in zip(model.parameters(), evaluated.parameters(), strict=True):
        assert mine.grad is not None
        assert its.grad is not None
        assert mine.grad.equal(its.grad)


def test_threads_measure_a_model_that_another_trains() -> None:
    model, x = npx.build("pixelcnn", SPEC, **MOODY["pixelcnn"]).train(), _images()
    expected = model.log_prob(x)
    statistics = {name: value.clone() for name, value in model.named_buffers() if name.endswith("batches_tracked")}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(5) as pool:
            measured = [pool.submit(lambda: model.log_prob(x)) for _ in range(60)]
            drawn = [pool.submit(lambda: model.sample(2)) for _ in range(4)]
            assert all(result.result().equal(expected) for result in measured)
            assert all(result.result().equal(drawn[0].result()) for result in drawn)
    finally:
        sys.setswitchinterval(interval)
    assert all(module.training for module in model.modules())
    assert all(value.equal(statistics[name]) for name, value in model.named_buffers() if name in statistics)
