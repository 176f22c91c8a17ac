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
