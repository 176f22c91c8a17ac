import json
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx

SPEC = npx.ImageSpec(1, 4, 4, levels=3)


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (("gated_pixlecnn", SPEC), {}, "There is no model 'gated_pixlecnn'; did you mean gated_pixelcnn?"),
        (("transformer", SPEC), {}, "There is no model 'transformer'; the choice is pixelcnn, residual_pixelcnn"),
        (
            ("gated_pixelcnn", SPEC, "gaussian"),
            {},
            "There is no likelihood 'gaussian'; the choice is bernoulli, categorical",
        ),
        (("gated_pixelcnn", SPEC), {"filter": 3}, "gated_pixelcnn has no setting 'filter'; it has filters, blocks"),
        (("gated_pixelcnn", SPEC, "bernoulli"), {}, "bernoulli likelihood is for images of 2 levels, not 3"),
    ],
)
def test_what_does_not_exist_is_refused(arguments: tuple, settings: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build(*arguments, **settings)


def test_a_model_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        model = npx.build("gated_pixelcnn", npx.ImageSpec(3, 64, 64, levels=256), filters=120)
    assert model.device.type == "meta"


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor])
@pytest.mark.parametrize(
    ("name", "likelihood", "sizes", "others"),
    [
        (
            "gated_pixelcnn",
            "categorical",
            {"filters": 4, "blocks": 1, "kernel": 3, "head": 4},
            {"coordinates": np.True_},
        ),
        ("pixelcnnpp", "logistic_mixture", {"filters": 4, "blocks": 1, "mixtures": 2}, {"dropout": np.float32(0.5)}),
        ("row_lstm", "categorical", {"filters": 4, "layers": 1, "head": 4}, {}),
        ("pixelvae", "categorical", {"latent": 2, "depth": 1, "filters": 4}, {"free_bits": np.float32(0.5)}),
    ],
)
def test_settings_of_numpy_are_pythons_own_in_the_recipe(
    name: str, likelihood: str, sizes: dict[str, int], others: dict[str, Any], number: Any
) -> None:
    given = {key: number(size) for key, size in sizes.items()} | others
    model = npx.build(name, SPEC, likelihood, **given)
    plain = sizes | {key: value.item() for key, value in others.items()}
    assert model.recipe["arguments"] == plain
    assert json.loads(json.dumps(model.recipe["arguments"])) == plain
