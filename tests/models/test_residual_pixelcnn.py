import pytest
import torch

import nextpixel as npx
from sight import seen, window

SPEC = npx.ImageSpec(1, 15, 15, levels=2)


@pytest.mark.parametrize(("blocks", "kernel"), [(1, 3), (3, 3), (2, 5)])
def test_the_receptive_field_is_that_of_the_masked_convolutions(blocks: int, kernel: int) -> None:
    model = npx.build("residual_pixelcnn", SPEC, "bernoulli", filters=4, head=2, blocks=blocks, kernel=kernel).double()
    assert seen(model, 9, 5).equal(window(15, 9, 5, 7, *[kernel] * blocks))


def test_a_deep_network_answers_to_the_image_from_the_start() -> None:
    torch.manual_seed(0)
    model = npx.build("residual_pixelcnn", SPEC, "bernoulli", filters=16, blocks=20)
    parameters = model.backbone(torch.randint(2, (64, *SPEC.shape)), None)
    assert float(parameters.std(0).mean().detach()) > 0.05  # over images, at each place


def test_a_block_needs_two_features_a_colour() -> None:
    with pytest.raises(
        npx.BadInput, match="filters must be a whole number of at least 6, two features a colour, not 5"
    ):
        npx.build("residual_pixelcnn", npx.ImageSpec(3, 4, 4), filters=5)
