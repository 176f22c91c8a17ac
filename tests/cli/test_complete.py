from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures
from nextpixel.data import open_data


def test_completions_are_those_of_the_model(call: Callable[..., Any], labelled: Path, data: Path) -> None:
    said = call(
        "complete", labelled, "--known", "top-half", "-n", 3, "--completions", 2, "--seed", 4, "--out", "a.npz", "a.png"
    )
    assert said.status == 0, said.err
    assert said.out.splitlines()[:2] == ["50 % of the pixels are known.", "3 images, 2 completions of each: a.npz"]
    arrays = {name: torch.from_numpy(array).long() for name, array in np.load("a.npz").items()}
    test = open_data(data).test
    assert test.labels is not None
    assert arrays["labels"].tolist() == test.labels[:3].repeat(2).tolist()
    assert arrays["given"].tolist() == test.images[:3].tolist()
    assert arrays["known"].flatten(2)[0, 0].tolist() == [1] * 10 + [0] * 10
    twice = [0, 0, 1, 1, 2, 2]
    completed = npx.load(labelled).complete(
        arrays["given"][twice], arrays["known"][twice].bool(), arrays["labels"], seed=4
    )
    assert torch.equal(arrays["images"], completed)
    assert torch.equal(completed[:, :, :2], arrays["given"][twice][:, :, :2])
    with Image.open("a.png") as picture:
        assert picture.height == pictures.LINE + 3 * 48 + 2 * 2
        rows = np.asarray(picture)[pictures.LINE :, : 4 * 62].reshape(-1, 4, 62, 3)[:, :, :60]
    expected = np.asarray(pictures.grid(arrays["given"][:1], 3))
    assert np.array_equal(rows[:48, 3], expected)  # the original is the last one
    assert np.array_equal(rows[:24, 0], expected[:24])
    assert (rows[24:48, 0] == pictures.UNKNOWN).all()


def known(call: Callable[..., Any], model: Path, which: object, *more: object) -> np.ndarray:
    said = call("complete", model, *more, "--known", which, "--completions", 1, "--out", "a.npz")
    assert said.status == 0, said.err
    return np.load("a.npz")["known"]


def test_known_pixels_may_be_a_half_a_share_or_a_mask(call: Callable[..., Any], plain: Path, tmp_path: Path) -> None:
    assert known(call, plain, "left-half")[0, 0].tolist() == [[1, 1, 0, 0, 0]] * 4
    assert known(call, plain, "random:0%").sum() == 0
    assert known(call, plain, "random:100%").min() == 1
    some = known(call, plain, "random:30%", "-n", 4)
    assert 0.15 < some.mean() < 0.45  # 80 pixels, four standard deviations
    assert (some[0] != some[1]).any()
    mask = np.array([[0, 127, 128, 255, 0]] * 4, dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert known(call, plain, tmp_path / "mask.png")[0, 0].tolist() == [[0, 0, 1, 1, 0]] * 4


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.array([[0, 127, 128, 255, 0]] * 4, dtype=np.uint8)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 5, 2), context=npx.ClassLabel(3), filters=4, blocks=1)
    npx.save(model, tmp_path / "binary.safetensors")
    return tmp_path / "binary.safetensors"


def test_images_come_from_files_folders_and_arrays(
    call: Callable[..., Any], plain: Path, binary: Path, picture: Path, data: Path
) -> None:
    assert known(call, plain, "top-half", data).shape == (8, 1, 4, 5)
    for source in (picture, picture.parent):
        assert known(call, binary, "top-half", source, "--label", 2).shape == (1, 1, 4, 5)
        arrays = np.load("a.npz")
        assert arrays["given"][0, 0, 0].tolist() == [0, 0, 1, 1, 0]  # 8 bits floored to one
        assert arrays["labels"].tolist() == [2]


def test_pictures_of_another_size_and_colour_are_brought_to_the_model_and_it_is_said(
    call: Callable[..., Any], binary: Path, picture: Path
) -> None:
    with Image.open(picture) as small:
        small.convert("RGB").resize((50, 40), Image.Resampling.NEAREST).save(picture.parent / "large.png")
    for source in (picture.parent / "large.png", picture.parent):  # of a folder, both
        said = call(
            "complete", binary, "--known", "top-half", source, "--label", 2, "--completions", 1, "--out", "a.npz"
        )
        assert said.status == 0, said.err
        assert f"Note: pictures of {source} are made grey 5x4, as the model's are." in said.err
        assert (np.load("a.npz")["given"][:, 0, :, 3:] == [1, 0]).all()
    alone = call("complete", binary, picture, "--known", "top-half", "--label", 2)
    assert "are made grey" not in alone.err


def test_images_may_stand_behind_options(call: Callable[..., Any], binary: Path, picture: Path) -> None:
    said = call("complete", binary, "--known", "top-half", picture, "--label", 2)
    assert said.status == 0, said.err
    assert "1 image, 4 completions" in said.out


def test_arrays_of_another_size_are_not_changed(refused: Callable[..., Any], binary: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "large.npz", images=np.eye(8)[None].astype(np.uint8), levels=2)
    said = refused("complete", binary, tmp_path / "large.npz", "--known", "top-half", "--label", 2)
    assert "1x4x5 with 2 levels, but those of" in said


def test_a_mask_as_large_as_the_picture_is_brought_to_the_model_with_it(
    call: Callable[..., Any], refused: Callable[..., Any], binary: Path, tmp_path: Path
) -> None:
    large, mask = tmp_path / "large.png", tmp_path / "mask.png"
    Image.linear_gradient("L").resize((50, 40)).save(large)
    Image.new("L", (40, 40)).save(mask)
    assert "mask.png is 40x40, but the images are 5x4" in refused(
        "complete", binary, large, "--known", mask, "--label", 2
    )
    Image.fromarray(np.repeat([[0, 255, 255, 0, 255]], 40, 0).repeat(10, 1).astype(np.uint8)).save(mask)
    assert known(call, binary, mask, large, "--label", 2)[0, 0].tolist() == [[0, 1, 1, 0, 1]] * 4


def test_damaged_pictures_are_left_out_where_the_run_left_them_out(
    call: Callable[..., Any], refused: Callable[..., Any], binary: Path, picture: Path
) -> None:
    (picture.parent / "broken.png").write_bytes(picture.read_bytes()[:50])
    asked = ("complete", binary, picture.parent, "--known", "top-half", "--label", 2)
    assert "broken.png cannot be read as an image" in refused(*asked)
    (binary.parent / "config.yaml").write_text("data: {name: there, damaged: skip}")
    assert "Note: damaged files left out: 1" in call(*asked).err


def test_what_is_known_too_late_is_said(call: Callable[..., Any], plain: Path) -> None:
    late = "some known pixels come after unknown ones in the model's reading order"
    asked = ("complete", plain, "-n", 1, "--completions", 1)
    assert late not in call(*asked, "--known", "top-half").err
    assert late in call(*asked, "--known", "bottom-half").err
    assert late not in call(*asked, "--known", "bottom-half", "--particles", 2).err


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        (
            "bottom",
            "top-half, bottom-half, left-half, right-half, centre, border, random:30% or the file of a mask, not",
        ),
        ("nowhere.png", "the file of a mask, not 'nowhere.png'"),
        ("random:half", "written random:30%, from 0 to 100 %, not 'random:half'"),
        ("random:101%", "from 0 to 100 %, not 'random:101%'"),
    ],
)
def test_known_pixels_that_mean_nothing(which: str, sentence: str, refused: Callable[..., Any], plain: Path) -> None:
    assert sentence in refused("complete", plain, "--known", which)


def test_what_cannot_be_completed(
    refused: Callable[..., Any], plain: Path, binary: Path, picture: Path, data: Path, tmp_path: Path
) -> None:
    top = ("--known", "top-half")
    assert "required: --known" in refused("complete", plain)
    assert "1x4x5 with 3 levels, but those of" in refused("complete", plain, picture, *top)
    assert "no file or folder nowhere" in refused("complete", plain, "nowhere", *top)
    assert "either IMAGES" in refused("complete", plain, picture, "--data", "digits", *top)
    assert "is neither a folder of images nor a file of arrays" in refused(
        "complete", plain, plain / "metrics.csv", *top
    )
    assert "class of the images, one of classes 0 to 2: give --label" in refused("complete", binary, picture, *top)
    assert "no class '3'; the model knows classes 0 to 2." in refused("complete", binary, picture, *top, "--label", 3)
    assert "--label 0,2 is for sample" in refused("complete", binary, picture, *top, "--label", "0,2")
    assert "--label all is for sample" in refused("complete", binary, picture, *top, "--label", "all")
    assert "knows no classes" in refused("complete", plain, *top, "--label", 0)
    assert "must end in .png or .jpg or .jpeg or .webp or .npz" in refused("complete", plain, *top, "--out", "a.gif")
    Image.new("L", (3, 3)).save(tmp_path / "small.png")
    assert "small.png is 3x3, but the images are 5x4" in refused("complete", plain, "--known", tmp_path / "small.png")
    (tmp_path / "empty").mkdir()
    assert "has no images in it" in refused("complete", plain, tmp_path / "empty", *top)


def test_completions_are_given_the_maps_of_their_images(call: Callable[..., Any], both: Path, codes: Path) -> None:
    said = call("complete", both, "--known", "left-half", "-n", 3, "--completions", 2, "--out", "a.npz", "a.png")
    assert said.status == 0, said.err
    arrays = {name: torch.from_numpy(array).long() for name, array in np.load("a.npz").items()}
    test, twice = open_data(codes).test, [0, 0, 1, 1, 2, 2]
    assert test.labels is not None
    assert test.maps is not None
    context = (arrays["labels"], arrays["maps"])
    assert arrays["labels"].tolist() == test.labels[:3].repeat(2).tolist()
    assert arrays["maps"].tolist() == test.maps[:3].repeat(2, 0).tolist()
    completed = npx.load(both).complete(arrays["given"][twice], arrays["known"][twice].bool(), context)
    assert torch.equal(arrays["images"], completed)
    from_file = call("complete", both, codes, "--known", "left-half", "-n", 3, "--completions", 2, "--out", "b.npz")
    assert from_file.status == 0, from_file.err


def test_codes_of_a_file_that_does_not_say_what_they_are(
    call: Callable[..., Any], refused: Callable[..., Any], codes: Path, mapped: Path, tmp_path: Path
) -> None:
    arrays = {name: np.load(codes)[name] for name in ("images", "maps")}
    np.savez(tmp_path / "bare.npz", images=np.minimum(arrays["images"], 3), maps=arrays["maps"])
    words = ("--known", "top-half", "-n", 2, "--out", tmp_path / "a.png")
    assert call("complete", mapped, tmp_path / "bare.npz", *words).status == 0
    np.savez(tmp_path / "alone.npz", images=arrays["images"])
    words = ("complete", mapped, tmp_path / "alone.npz", *words)
    assert "needs Map(size=1, levels=7) for each image; these images have none." in refused(*words)
