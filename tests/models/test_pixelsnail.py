import pytest

import nextpixel as npx

SPEC = npx.ImageSpec(1, 4, 4, levels=4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layers": 0}, "layers must be a whole number of at least 1, not 0"),
        ({"keys": 5, "heads": 2}, "keys must be a multiple of heads, 2, not 5"),
        ({"values": 1, "heads": 2}, "values must be a whole number of at least 2, one feature a head, not 1"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), not -0.1"),
    ],
)
def test_bad_settings_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build("pixelsnail", SPEC, **settings)


def test_colours_need_a_likelihood_that_couples_them() -> None:
    with pytest.raises(npx.BadInput, match="pixelsnail makes one step a pixel"):
        npx.build("pixelsnail", npx.ImageSpec(3, 4, 4, levels=4), "categorical")
