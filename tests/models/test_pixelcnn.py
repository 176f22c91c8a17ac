from typing import Any

import pytest
import torch

import nextpixel as npx
from sight import seen, window

SPEC = npx.ImageSpec(1, 15, 15, levels=2)


@pytest.mark.parametrize(("layers", "kernel", "first_kernel"), [(0, 3, 3), (1, 3, 7), (3, 3, 5), (2, 5, 3), (5, 7, 7)])
def test_the_receptive_field_is_the_papers(layers: int, kernel: int, first_kernel: int) -> None:
    arguments: dict[str, Any] = {"layers": layers, "kernel": kernel, "first_kernel": first_kernel}
    model = npx.build("pixelcnn", SPEC, "bernoulli", filters=2, head=2, **arguments).double()
    for row, column in ((9, 5), (14, 14), (0, 3)):
        assert seen(model, row, column).equal(window(15, row, column, first_kernel, *[kernel] * layers))


def test_the_blind_spot_is_at_the_right_above() -> None:
    model = npx.build("pixelcnn", SPEC, "bernoulli", filters=2, head=2, layers=12, kernel=3, first_kernel=3).double()
    sees = seen(model, 9, 5)
    assert int(sees.sum()) < 9 * 15 + 5
    assert sees[8, :7].all()  # one row up, one place to the right
    assert not sees[8, 7:].any()
    assert sees[7, :8].all()  # two rows up, two places
    assert not sees[7, 8:].any()


def test_the_course_network_has_the_expected_number_of_weights() -> None:
    # S0 of SEEDS.md: 7x7 A, five 7x7 B, two 1x1, 64 filters; of 49 taps, A leaves 24 and B 25.
    model = npx.build("pixelcnn", npx.ImageSpec(), "bernoulli")
    d = 64
    assert (
        sum(weight.numel() for weight in model.parameters()) == (24 * d + d) + 5 * (25 * d * d + d) + d * d + d + d + 1
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"filters": 0}, "filters must be a whole number of at least 1, not 0"),
        ({"layers": -1}, "layers must be a whole number of at least 0, not -1"),
        ({"kernel": 4}, "kernel must be odd and at least 1, not 4"),
        ({"first_kernel": 1}, "first_kernel must be odd and at least 3, not 1"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build("pixelcnn", SPEC, **arguments)


def test_batch_norm_learns_its_statistics_in_training_only() -> None:
    torch.manual_seed(0)
    model = npx.build("pixelcnn", SPEC, "bernoulli", filters=4, head=4, layers=1, norm="batch").eval()
    x = torch.randint(2, (4, *SPEC.shape))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.log_prob(x)
    model.sample(1)
    assert all(buffer.equal(before[name]) for name, buffer in model.named_buffers())
    model.train()(x)
    assert not all(buffer.equal(before[name]) for name, buffer in model.named_buffers())
