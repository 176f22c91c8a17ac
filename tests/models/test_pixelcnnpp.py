import pytest
import torch

import nextpixel as npx


def test_the_published_network_has_its_size() -> None:
    with torch.device("meta"):
        model = npx.build("pixelcnnpp", npx.ImageSpec(3, 32, 32, levels=256), "logistic_mixture")
    # 15 + 17 blocks of both streams, layers between scales and at both ends, with 160 filters and 10 mixtures; counted
    # by hand from the paper's figure 2 and the authors' kernels of 2x3 and 2x2, a length and a bias for each output.
    f, image, mixture = 160, 4, 100
    above = 12 * f * f + 24 * f * f + 2 * 3 * f  # 2x3, of 2f to f and of 2f to 2f
    left = 8 * f * f + 16 * f * f + 2 * 3 * f  # 2x2
    beside = [2 * f * f + 2 * f, 4 * f * f + 2 * f]  # from one stream, from both
    up = above + left + beside[0]
    down = above + beside[0] + left + beside[1]
    between = 2 * 2 * (6 * f * f + 4 * f * f + 4 * f)
    ends = (6 + 3 + 2) * image * f + 6 * f + f * mixture + 2 * mixture
    assert sum(weight.numel() for weight in model.parameters()) == 15 * up + 17 * down + between + ends


def test_colours_need_a_likelihood_that_couples_them() -> None:
    spec = npx.ImageSpec(3, 4, 4, levels=4)
    with pytest.raises(npx.BadInput, match="take likelihood logistic_mixture, or colours='independent'"):
        npx.build("pixelcnnpp", spec, "categorical")
    with pytest.raises(npx.BadInput, match="couples the colours by itself: it needs colours='dependent'"):
        npx.build("pixelcnnpp", spec, "logistic_mixture", colours="independent")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"filters": 0}, "filters must be a whole number of at least 1, not 0"),
        ({"blocks": 0}, "blocks must be a whole number of at least 1, not 0"),
        ({"scales": 0}, "scales must be a whole number of at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
        ({"mixtures": 0}, "mixtures must be a whole number of at least 1, not 0"),
        (
            {"kernel": 3},
            "pixelcnnpp has no setting 'kernel'; it has filters, blocks, scales, dropout, colours, mixtures",
        ),
    ],
)
def test_bad_settings_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build("pixelcnnpp", npx.ImageSpec(1, 4, 4, levels=4), "logistic_mixture", **settings)
