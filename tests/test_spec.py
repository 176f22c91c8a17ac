import pytest
import torch

import nextpixel as npx

SPEC = npx.ImageSpec(3, 4, 5, levels=4)


def test_shape_and_size() -> None:
    assert SPEC.shape == (3, 4, 5)
    assert SPEC.subpixels == 60
    assert str(SPEC) == "3x4x5 with 4 levels"
    assert str(npx.ImageSpec(1, 2, 3, levels=5, ordinal=False)) == "1x2x3 with 5 names"


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"channels": 0}, "channels must be a whole number of at least 1, not 0"),
        ({"height": -1}, "height must be a whole number of at least 1, not -1"),
        ({"levels": 1}, "levels must be a whole number of at least 2, not 1"),
        ({"levels": True}, "levels must be a whole number of at least 2, not True"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.ImageSpec(**sizes)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (
            torch.zeros(2, 3, 4, 5),
            r"integer levels in \[0, 4\), not float32 values; where they are whole, \.long",
        ),
        (torch.full((2, 3, 4, 5), torch.nan), "not float32 values with NaN among them"),
        (torch.zeros(2, 3, 4, 5, dtype=torch.bool), "not bool values"),
        (torch.zeros(3, 4, 5, dtype=torch.long), r"shape \(B, 3, 4, 5\), not \(3, 4, 5\)"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.long), r"shape \(B, 3, 4, 5\), not \(2, 1, 4, 5\)"),
        (torch.full((2, 3, 4, 5), 4), r"levels in \[0, 4\); one is 4"),
        (torch.full((2, 3, 4, 5), -1), r"levels in \[0, 4\); one is -1"),
    ],
)
def test_other_images_are_refused(images: torch.Tensor, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        SPEC.check(images)
    with pytest.raises(npx.BadInput, match=r"^x\.npz must"):
        SPEC.check(images, what="x.npz")


def test_fitting_images_pass() -> None:
    SPEC.check(torch.randint(4, (2, 3, 4, 5), dtype=torch.uint8))
    SPEC.check(torch.zeros(0, 3, 4, 5, dtype=torch.long))


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.uint64]
)
def test_any_integer_dtype_is_checked_before_it_is_converted(dtype: torch.dtype) -> None:
    spec = npx.ImageSpec(1, 1, 2, levels=4)
    levels = torch.tensor([0, 3]).view(1, 1, 1, 2)
    assert spec.check(levels.to(dtype)).long().equal(levels)
    assert len(spec.check(levels[:0].to(dtype))) == 0
    largest = 2 ** torch.iinfo(dtype).bits - 1 if dtype.is_signed is False else torch.iinfo(dtype).max
    with pytest.raises(npx.BadInput, match=f"one is {largest}"):
        spec.check(torch.full((1, 1, 1, 2), largest, dtype=dtype))
    if dtype.is_signed:
        with pytest.raises(npx.BadInput, match="one is -1"):
            spec.check((levels - 1).to(dtype))
