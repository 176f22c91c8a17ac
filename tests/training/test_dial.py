"""One dial: what is chosen for every kind of images, any number of them, and any minutes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

import nextpixel as npx
from nextpixel.cli.train import _settings
from nextpixel.data import DataSet, Split
from nextpixel.errors import BadInput
from nextpixel.training import Training, train
from nextpixel.training.dial import LEAST_STEPS, MOST_WEIGHTS, SIZES, Choice, build_section, choose

KINDS = {
    "two levels": (npx.ImageSpec(1, 28, 28, levels=2), None, "bernoulli"),
    "few levels": (npx.ImageSpec(1, 8, 8, levels=17), 10, "categorical"),
    "few levels in colour": (npx.ImageSpec(3, 20, 20, levels=4), 9, "categorical"),
    "photographs": (npx.ImageSpec(3, 32, 32, levels=256), None, "logistic_mixture"),
    "with an alpha channel and classes": (npx.ImageSpec(4, 9, 7, levels=256), 3, "logistic_mixture"),
    "16 bits": (npx.ImageSpec(1, 16, 16, levels=65536), None, "logistic_mixture"),
    "names": (npx.ImageSpec(1, 8, 8, levels=512, ordinal=False), None, "categorical"),
    "names in two channels": (npx.ImageSpec(2, 4, 4, levels=64, ordinal=False), 200, "categorical"),
    "many channels": (npx.ImageSpec(40, 3, 3, levels=5), None, "categorical"),
    "one pixel": (npx.ImageSpec(1, 1, 1, levels=256), None, "logistic_mixture"),
    "a row": (npx.ImageSpec(1, 1, 300, levels=2), 2, "bernoulli"),
    "large": (npx.ImageSpec(3, 120, 200, levels=256), None, "logistic_mixture"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def data_of(spec: npx.ImageSpec, classes: int | None, count: int = 40, *, levels: int | None = None) -> DataSet:
    def split(number: int, seed: int) -> Split:
        noise = np.random.default_rng(seed)
        images = noise.integers(0, levels or spec.levels, (number, *spec.shape)).astype(
            np.min_scalar_type(spec.levels - 1)
        )
        return Split(images, None if classes is None else noise.integers(0, classes, number))

    return DataSet("made.npz", spec, classes, split(count, 0), split(12, 1), split(12, 2))


def many(spec: npx.ImageSpec, count: int, classes: int | None = None) -> DataSet:
    """As many images, all the same, without room for them."""
    one = np.random.default_rng(0).integers(0, spec.levels, (1, *spec.shape)).astype(np.uint8)
    split = Split(np.broadcast_to(one, (count, *spec.shape)), None if classes is None else np.zeros(count, np.int64))
    return DataSet("many.npz", spec, classes, split, split, split)


def built(choice: Choice, data: DataSet) -> npx.Model:
    return build_section(choice.recipe["model"], data, seed=choice.recipe["training"]["seed"])


def settings_of(choice: Choice) -> Training:
    return Training(**choice.recipe["training"])


def weights(model: npx.Model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def speed(model: npx.Model, images: Tensor, given: Any) -> float:
    """A machine that does twenty weights at a pixel in a nanosecond."""
    return 5e-11 * weights(model) * len(images) * images[0, 0].numel()


def slow(model: npx.Model, images: Tensor, given: Any) -> float:
    return 1e3 * speed(model, images, given)


@every_kind
def test_every_kind_of_images_gets_a_recipe_that_learns_from_a_batch(kind: str, tmp_path: Path) -> None:
    spec, classes, likelihood = KINDS[kind]
    data = data_of(spec, classes)
    choice = choose(data, 1, speed=slow)
    assert choice.recipe["model"]["likelihood"] == likelihood
    assert choice.recipe["model"]["context"] == ("none" if classes is None else "label")
    settings = replace(settings_of(choice), epochs=1, max_minutes=None, samples=0, precision="fp32")
    two_steps = data.train.take(slice(2 * settings.batch))
    data = replace(data, train=two_steps, validation=data.validation.take(slice(2)))
    folder = train(built(choice, data), data, out=tmp_path / "a", settings=settings)
    assert (folder / "model.safetensors").is_file()


@every_kind
def test_a_choice_is_a_recipe_like_any_other(kind: str, tmp_path: Path) -> None:
    spec, classes, _ = KINDS[kind]
    choice = choose(data_of(spec, classes), 3, seed=5, speed=speed)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(choice.recipe, sort_keys=False))
    assert yaml.safe_load(file.read_text()) == choice.recipe
    read = _settings(file, [str(file)])
    assert Training(**read.training.as_dict()) == settings_of(choice)
    assert settings_of(choice).seed == 5
    chosen = read.model.as_dict()
    assert {name: chosen[name] for name in choice.recipe["model"]} == choice.recipe["model"]


def test_the_same_speeds_make_the_same_choice_and_leave_the_generator_alone() -> None:
    data, state = data_of(*KINDS["photographs"][:2]), torch.get_rng_state()
    first, second = (choose(data, 3, seed=1, speed=speed) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    one, other = built(first, data), built(second, data)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("minutes", [0.1, 1, 5, 20, 120, 2000])
def test_the_largest_size_is_taken_of_which_enough_steps_fit(minutes: float) -> None:
    data = many(KINDS["photographs"][0], 100_000)
    choice = choose(data, minutes, speed=speed)
    sizes = {filters: index for index, (filters, _) in enumerate(SIZES)}
    size = sizes[choice.recipe["model"]["filters"]]
    images = torch.zeros(settings_of(choice).batch, 3, 32, 32)
    steps = 60 * minutes / speed(built(choice, data), images, None)
    assert steps > LEAST_STEPS or size == 0
    longer = sizes[choose(data, 10 * minutes, speed=speed).recipe["model"]["filters"]]
    assert longer > size or size == len(SIZES) - 1


def test_a_slow_machine_gets_fewer_weights_and_is_told_what_it_cannot_have() -> None:
    data = many(KINDS["photographs"][0], 100_000)
    fast, late = choose(data, 5, speed=speed), choose(data, 5, speed=slow)
    assert weights(built(late, data)) < weights(built(fast, data))
    assert "not in this time: 48 filters x 4 blocks, " in fast.lines[-1]
    assert "few steps even for the smallest network; enough in " in late.lines[-1]


def test_few_images_get_few_weights_few_epochs_and_an_early_end() -> None:
    few, lots = (choose(many(KINDS["few levels"][0], count), 60, speed=speed) for count in (1_000, 1_000_000))
    data = many(KINDS["few levels"][0], 1_000)
    assert weights(built(few, data)) <= MOST_WEIGHTS * 1_000 * 64 < weights(built(lots, data))
    assert settings_of(few).epochs < 100 < settings_of(lots).epochs
    assert settings_of(few).patience is not None
    assert settings_of(lots).patience is None
    assert few.recipe["model"]["dropout"] > 0
    assert "dropout" not in lots.recipe["model"]
    assert any("few images" in line for line in few.lines)
    assert not any("few images" in line for line in lots.lines)


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_a_handful_of_images_is_enough(count: int, tmp_path: Path) -> None:
    data = data_of(npx.ImageSpec(3, 8, 8, levels=256), None, count)
    choice = choose(data, 0.01)
    assert settings_of(choice).batch <= count
    assert settings_of(choice).epochs * max(1, count // settings_of(choice).batch) >= LEAST_STEPS
    folder = train(built(choice, data), data, out=tmp_path / "a", settings=settings_of(choice))
    assert (folder / "model.safetensors").is_file()


def test_names_that_stand_in_few_levels_and_images_of_mostly_one_level_are_categorical() -> None:
    spec = npx.ImageSpec(1, 8, 8, levels=256)
    black = data_of(spec, None)
    images = np.where(np.arange(64).reshape(8, 8) % 4 == 0, black.train.images, 0).astype(np.uint8)
    assert choose(black, 1, speed=speed).recipe["model"]["likelihood"] == "logistic_mixture"
    for data in (data_of(spec, None, levels=4), replace(black, train=Split(images))):
        assert choose(data, 1, speed=speed).recipe["model"]["likelihood"] == "categorical"


@pytest.mark.parametrize("minutes", [0, -1.0, math.nan, math.inf])
def test_minutes_that_are_none_are_refused(minutes: float) -> None:
    with pytest.raises(BadInput, match=f"above 0, not {minutes}"):
        choose(data_of(*KINDS["few levels"][:2]), minutes, speed=speed)


def test_without_images_there_is_nothing_to_choose_for() -> None:
    data = data_of(*KINDS["few levels"][:2])
    with pytest.raises(BadInput, match=r"made\.npz has no train images"):
        choose(replace(data, train=data.train.take(slice(0))), 1, speed=speed)


def test_validations_are_a_few_and_samples_fill_rows_of_classes() -> None:
    choice = choose(many(KINDS["photographs"][0], 100_000, 9), 5, speed=speed)
    assert settings_of(choice).samples == 18
    images = torch.zeros(settings_of(choice).batch, 3, 32, 32)
    data = many(KINDS["photographs"][0], 100_000, 9)
    took = speed(built(choice, data), images, None)
    every = settings_of(choice).validate_every * 100_000 / settings_of(choice).batch * took
    assert 8 < 300 / every < 15
    watched = settings_of(choice).validation_images
    assert watched is not None
    assert watched / settings_of(choice).batch * took / 3 < 0.1 * every


def test_a_choice_says_what_it_is() -> None:
    first, second, third = choose(data_of(*KINDS["photographs"][:2]), 5, speed=speed).lines
    assert first.startswith(
        "gated_pixelcnn: 32 filters x 3 blocks, 92,082 weights; likelihood logistic_mixture (256 lev"
    )
    assert first.endswith("context none")
    assert "steps of 8 images" in second
    assert "learning rate 0.005" in second
    assert third.startswith("few images: dropout")
