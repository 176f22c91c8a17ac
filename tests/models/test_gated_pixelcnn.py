from typing import Any

import pytest
import torch

import nextpixel as npx
from sight import seen, window

SPEC = npx.ImageSpec(1, 15, 15, levels=2)


def test_the_middle_of_15x15_sees_all_140_pixels_before_it() -> None:
    # Earlier implementations saw 128, 124 and 139 (SEEDS.md).
    model = npx.build("gated_pixelcnn", SPEC, "bernoulli", filters=8, blocks=8, kernel=3).double()
    sees = seen(model, 9, 5)
    assert int(sees.sum()) == 9 * 15 + 5 == 140
    assert sees.flatten()[:140].all()


def test_the_receptive_field_grows_by_the_kernel() -> None:
    model = npx.build("gated_pixelcnn", SPEC, "bernoulli", filters=8, blocks=1, kernel=5).double()
    sees = seen(model, 9, 7)
    expected = torch.zeros(15, 15, dtype=torch.bool)
    # 3 rows of 7 columns, widened by 2 rows and columns; from there sideways by what the row's left sees.
    expected[9, 2:7] = True  # 3 pixels, then 2
    expected[4:9, 2:13] = True  # the last block's link
    assert sees[9].equal(expected[9])
    assert not sees[:4].any()
    assert sees[8, 2:13].all()
    assert not sees[8, 13:].any()


def test_one_stack_has_the_blind_spot_of_masked_convolutions() -> None:
    model = npx.build("gated_pixelcnn", SPEC, "bernoulli", filters=2, head=2, blocks=3, stacks=1).double()
    assert seen(model, 9, 5).equal(window(15, 9, 5, 7, 3, 3, 3))


def test_every_ablation_says_something_else() -> None:
    x = torch.randint(2, (2, *SPEC.shape))
    said = []
    ablations: list[dict[str, Any]] = [{}, {"residual": False}, {"activation": "relu"}, {"stacks": 1}]
    for ablation in ablations:
        torch.manual_seed(0)
        model = npx.build("gated_pixelcnn", SPEC, "bernoulli", filters=4, head=4, blocks=2, **ablation)
        with torch.no_grad():
            said.append(model.log_prob(x))
    assert all(not a.allclose(b) for index, a in enumerate(said) for b in said[:index])


def test_the_paper_size_has_the_expected_number_of_weights() -> None:
    # Counted by hand: D = 128, ten blocks, kernel 3, a first kernel of 7 on one channel, 64 skips.
    d, s = 128, 64
    first = (21 + 3) * 2 * d + 2 * d
    block = 6 * 2 * d * d + 2 * d + 2 * 2 * d * d
    link = 4 * d * d + 2 * d
    residual, skip = d * d, d * s
    head = s + s * s + s + s + 1
    expected = first + 10 * block + 11 * link + 10 * residual + 11 * skip + head
    model = npx.build("gated_pixelcnn", npx.ImageSpec(), "bernoulli")
    assert sum(weight.numel() for weight in model.parameters()) == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"filters": 0}, "filters must be a whole number of at least 1, not 0"),
        ({"head": 0}, "head must be a whole number of at least 1, not 0"),
        ({"blocks": -1}, "blocks must be a whole number of at least 0, not -1"),
        ({"kernel": 4}, "kernel must be odd and at least 1, not 4"),
        ({"first_kernel": 1}, "first_kernel must be odd and at least 3, not 1"),
        ({"stacks": 1, "coordinates": True}, "coordinates=True needs stacks=2, not stacks=1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build("gated_pixelcnn", SPEC, **arguments)


def test_dependent_colours_need_a_feature_each() -> None:
    with pytest.raises(npx.BadInput, match="filters must be a whole number of at least 3, one feature a colour, not 2"):
        npx.build("gated_pixelcnn", npx.ImageSpec(3, 4, 4), filters=2)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = npx.build("gated_pixelcnn", SPEC, "bernoulli", filters=8, blocks=1, dropout=0.5)
    x = torch.randint(2, (2, *SPEC.shape))
    with torch.no_grad():
        assert not model.train()(x).equal(model(x))
        assert model.eval()(x).equal(model(x))
    assert model.train().sample(1).equal(model.eval().sample(1))
    assert model.train().training
