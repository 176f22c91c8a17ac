from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextpixel import pictures
from nextpixel.errors import BadInput


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


@pytest.mark.parametrize("levels", [2, 4, 17, 256])
def test_every_level_has_its_exact_brightness_in_every_image(levels: int) -> None:
    ramp = torch.arange(levels).reshape(levels, 1, 1, 1).expand(levels, 1, 64, 64)
    found = pixels(pictures.grid(ramp, levels, columns=levels, gap=0))[0, ::64, 0]
    assert found.tolist() == [int(level * 255 / (levels - 1) + 0.5) for level in range(levels)]


def test_images_are_enlarged_by_a_whole_factor_and_stand_in_rows() -> None:
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(20, axis=2).repeat(30, axis=3)
    sheet = pixels(pictures.grid(images, 6, columns=4, gap=3))
    assert sheet.shape == (2 * 40 + 3, 4 * 60 + 3 * 3, 3)
    assert sheet[0, 63 * 2].tolist() == [102] * 3  # the third image
    assert sheet[43, 63].tolist() == [255] * 3  # the sixth
    assert sheet[43, 63 * 2].tolist() == pictures.GAP.tolist()  # nothing


def test_colours_stay_in_their_order() -> None:
    image = torch.tensor([3, 0, 1]).reshape(1, 3, 1, 1)
    assert pixels(pictures.grid(image, 4))[0, 0].tolist() == [255, 0, 85]


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_that_are_no_colours_stand_side_by_side(channels: int) -> None:
    images = torch.arange(channels).reshape(1, channels, 1, 1).expand(2, channels, 64, 64)
    sheet = pixels(pictures.grid(images, 6, columns=2, gap=0))
    expected = [51 * channel for channel in range(channels)]
    assert sheet[0, ::64].tolist() == [[grey] * 3 for grey in expected * 2]
    known = torch.ones(2, channels, 64, 64, dtype=torch.bool)
    known[:, 1, :32] = False
    beside = pixels(pictures.completions(images, known, images, 6))
    width = 64 * channels
    assert (beside[:32, :width] == pictures.UNKNOWN).all()
    assert np.array_equal(beside[32:64, :width], beside[32:64, width + 2 :])


def test_completions_stand_beside_what_was_given() -> None:
    given = torch.tensor([0, 1]).reshape(2, 1, 1, 1).expand(2, 1, 64, 64)
    known = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    known[:, :, :32] = True
    completed = torch.tensor([0, 1, 1, 1, 0, 0]).reshape(6, 1, 1, 1).expand(6, 1, 64, 64)
    sheet = pixels(pictures.completions(given, known, completed, 2))
    assert sheet[0, ::66, 0].tolist() == [0, 0, 255, 255]
    assert sheet[66, ::66, 0].tolist() == [255, 255, 0, 0]
    assert sheet[32, 0].tolist() == sheet[66 + 63, 63].tolist() == pictures.UNKNOWN.tolist()


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(1, 0, 4, 4, dtype=torch.long), r"not \(1, 0, 4, 4\)"),
        (torch.zeros(2, 4, 4, dtype=torch.long), r"not \(2, 4, 4\)"),
        (torch.zeros(0, 1, 4, 4, dtype=torch.long), r"not \(0, 1, 4, 4\)"),
        (torch.zeros(1, 1, 4, 4), "not float32"),
        (torch.full((1, 1, 4, 4), 5), r"\[0, 4\).* 5"),
        (torch.full((1, 1, 4, 4), -1), r"\[0, 4\).* -1"),
    ],
)
def test_what_is_no_picture_is_refused(images: torch.Tensor, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        pictures.grid(images, 4)


def test_numbers_of_completions_that_do_not_fit_are_refused() -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.long)
    with pytest.raises(BadInput, match="3 completions of 2 images"):
        pictures.completions(images, images > 0, images[[0, 0, 0]], 2)


def test_writing_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    pictures.write(pictures.grid(np.ones((1, 1, 64, 64), dtype=int), 2), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with Image.open(tmp_path / "a.png") as picture:
        assert pixels(picture).min() == 255


@pytest.mark.parametrize("levels", [3, 10, 512, 8192])
def test_names_have_colours_that_differ_and_do_not_depend_on_their_number(levels: int) -> None:
    names = torch.arange(levels).reshape(1, 1, 1, levels)
    found = pixels(pictures.grid(names, levels, ordinal=False))[0, :: max(1, 64 // levels)][:levels]
    assert len({tuple(colour) for colour in found.tolist()}) > 0.99 * levels
    assert found[:3].tolist() == [[255, 0, 0], [162, 69, 171], [49, 82, 240]]
    distances = np.sqrt((np.diff(found.astype(float), axis=0) ** 2).sum(1))
    assert distances.min() > 40


def test_two_names_are_black_and_white() -> None:
    spins = torch.tensor([0, 1]).reshape(1, 1, 1, 2)
    assert pixels(pictures.grid(spins, 2, ordinal=False))[0, ::63].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_names_may_have_any_number_of_channels() -> None:
    first, second = torch.tensor([1, 2]).reshape(2, 1, 1, 1)
    colours = [pixels(pictures.grid(name[None], 8, ordinal=False))[0, 0].astype(int) for name in (first, second)]
    both = pixels(pictures.grid(torch.stack([first[0], second[0]])[None], 8, ordinal=False))[0, 0]
    assert abs(both - (colours[0] + colours[1]) / 2).max() <= 1
    with pytest.raises(BadInput, match=r"\[0, 2\), not int64 up to 2"):
        pictures.grid(second[None], 2, ordinal=False)


def test_completions_of_names_are_in_their_colours() -> None:
    names = torch.ones(1, 1, 64, 64, dtype=torch.long)
    sheet = pixels(pictures.completions(names, names > 0, names, 5, ordinal=False))
    assert (
        sheet[0, 0].tolist() == sheet[0, 66].tolist() == pixels(pictures.grid(names, 5, ordinal=False))[0, 0].tolist()
    )


@pytest.mark.parametrize(
    ("classes", "each", "shape"),
    [
        (3, 2, (3, 2)),  # a row a class
        (10, 8, (10, 8)),
        (2, 50, (10, 10)),  # five rows a class
        (16, 1, (6, 3)),  # three classes side by side
    ],
)
def test_a_class_has_a_row_and_what_is_long_is_wrapped(classes: int, each: int, shape: tuple[int, int]) -> None:
    images = np.ones((classes * each, 1, 8, 8), dtype=int)
    images[::each] = 0  # the first of each class
    names = [f"class {label}" for label in range(classes)]
    picture = pictures.by_class(images, names, 2)
    rows = shape[0]
    assert picture.height == rows * 66 - 2
    assert picture.width / picture.height < 2.5
    assert picture.height / picture.width < 2.5
    black = (pixels(picture) == 0).all(axis=2)
    assert black.sum() >= classes * 64 * 64
    wide = shape[1] * 66 if shape[1] != 3 else 0
    assert wide <= picture.width


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 300, "naïve — ß", "\t"])
def test_any_name_can_be_written(name: str) -> None:
    images = np.zeros((4, 1, 4, 4), dtype=int)
    sheet = pictures.titled(pictures.by_class(images, [name, "other"], 2), f"{name}: a title")
    assert sheet.width < 3000


def test_a_title_stands_above_and_leaves_the_picture_alone() -> None:
    picture = pictures.grid(np.ones((1, 1, 4, 4), dtype=int), 2)
    sheet = pictures.titled(picture, "a long title that is wider than the picture")
    assert sheet.width > picture.width
    assert np.array_equal(pixels(sheet)[pictures.LINE :, : picture.width], pixels(picture))
    assert pixels(sheet)[: pictures.LINE].min() < 100  # ink


def test_many_completions_stand_in_several_columns() -> None:
    images = torch.zeros(40, 1, 8, 8, dtype=torch.long)
    sheet = pictures.completions(images, images == 0, images.repeat_interleave(2, 0), 2, original=True)
    assert 0.4 < sheet.width / sheet.height < 2.5
    with pytest.raises(BadInput, match="3 images of 2 classes"):
        pictures.by_class(images[:3], ["a", "b"], 2)
