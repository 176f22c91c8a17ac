from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import at_once
from nextpixel.data import MapKind, codes, open_data
from nextpixel.data.readers import read_path


def test_samples_are_those_of_the_model(call: Callable[..., Any], plain: Path) -> None:
    said = call("sample", plain, "-n", 70, "--seed", 5, "--temperature", 0.8, "--out", "a.npz", "a.png")
    assert (said.status, said.out) == (0, "70 images: a.npz\n70 images: a.png\n"), said.err
    arrays = np.load("a.npz")
    images = npx.load(plain).sample(70, seed=5, temperature=0.8)
    assert torch.equal(torch.from_numpy(arrays["images"]).long(), images)
    assert arrays["levels"] == 3
    assert "labels" not in arrays
    assert sorted(path.name for path in Path().iterdir()) == ["a.npz", "a.png"]


def test_many_are_drawn_in_larger_pieces_and_are_the_same_images(call: Callable[..., Any], plain: Path) -> None:
    spec, large = npx.ImageSpec(1, 28, 28), npx.ImageSpec(3, 64, 64)
    assert [at_once(count, spec) for count in (1, 64, 255, 256, 511, 512, 10**6)] == [64, 64, 64, 128, 128, 256, 256]
    assert at_once(10**6, large) == 64, "each has a state"
    for count, name in ((300, "many.npz"), (70, "few.npz")):
        assert call("sample", plain, "-n", count, "--seed", 5, "--out", name).status == 0
    many, few = (np.load(name)["images"] for name in ("many.npz", "few.npz"))
    assert np.array_equal(many[:70], few)


def test_codes_of_the_shipped_book_are_shown_as_what_they_stand_for(call: Callable[..., Any]) -> None:
    assert call("sample", "mnist-codes", "-n", 2, "--label", 3, "--out", "a.npz", "a.png").status == 0
    shown = codes.decode(np.load("a.npz")["images"], codes.book())
    expected = pictures.by_class(torch.from_numpy(shown), [], 256)
    with Image.open("a.png") as picture:
        drawn = picture.convert("RGB").crop((0, picture.height - expected.height, expected.width, picture.height))
        assert np.array_equal(np.asarray(drawn), np.asarray(expected.convert("RGB")))


def test_every_class_has_a_row_and_equal_numbers(call: Callable[..., Any], labelled: Path) -> None:
    assert call("sample", labelled, "-n", 7, "--label", "all", "--out", "a.npz", "a.png").status == 0
    assert np.load("a.npz")["labels"].tolist() == [0] * 4 + [1] * 4
    with Image.open("a.png") as picture:
        assert picture.height == pictures.LINE + 2 * 48 + 2  # two rows


def test_one_class_may_be_asked_for(call: Callable[..., Any], labelled: Path) -> None:
    assert call("sample", labelled, "-n", 3, "--label", 1, "--out", "a.npz").status == 0
    arrays = np.load("a.npz")
    assert arrays["labels"].tolist() == [1, 1, 1]
    assert torch.equal(torch.from_numpy(arrays["images"]).long(), npx.load(labelled).sample(3, 1))


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A model whose classes have names, of which one has a comma in it."""
    context = npx.ClassLabel(4, names=("cat", "dog", "fox, red", "3"))
    npx.save(npx.build("pixelcnn", npx.ImageSpec(1, 4, 8, 2), context=context, filters=4, layers=1), tmp_path / "named")
    return tmp_path / "named"


@pytest.mark.parametrize(
    ("asked", "count", "labels"),
    [
        ("dog", 2, [1, 1]),
        ("dog,cat", 4, [1, 1, 0, 0]),
        ("0,fox", 1, None),
        ("fox, red", 1, [2]),
        ("1-2,0", 5, [1, 1, 2, 2, 0, 0]),
        ("3", 1, [3]),
        ("all", 4, [0, 1, 2, 3]),
    ],
)
def test_classes_are_asked_for_by_name_number_and_range(
    asked: str, count: int, labels: list[int] | None, call: Callable[..., Any], named: Path
) -> None:
    said = call("sample", named, "-n", count, "--label", asked, "--out", "a.npz", "a.png")
    if labels is None:
        assert "no class 'fox'; the model knows classes cat, dog, fox, red, 3." in said.err
        return
    assert said.status == 0, said.err
    arrays = np.load("a.npz")
    assert arrays["labels"].tolist() == labels
    assert arrays["class_names"].tolist() == ["cat", "dog", "fox, red", "3"]
    names = [("cat", "dog", "fox, red", "3")[label] for label in dict.fromkeys(labels)]
    with Image.open("a.png") as picture:
        rows = pictures.by_class(arrays["images"], names, 2) if len(names) > 1 else pictures.grid(arrays["images"], 2)
        assert np.array_equal(np.asarray(picture)[pictures.LINE :, : rows.width], np.asarray(rows))
    assert call("complete", named, "a.npz", "--known", "top-half", "--label", "dog").status == 0


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("0,0", "names a class twice or none at 0"),
        ("0-1,1", "names a class twice or none at 1"),
        ("1-0", "names a class twice or none at 1-0"),
    ],
)
def test_classes_asked_for_oddly(asked: str, sentence: str, refused: Callable[..., Any], labelled: Path) -> None:
    assert f"--label {asked} {sentence}; the model knows classes 0 to 1." in refused(
        "sample", labelled, "--label", asked
    )


@pytest.mark.parametrize("run", ["plain", "labelled", "mapped", "both"])
def test_what_is_written_is_read_by_every_command(
    run: str, call: Callable[..., Any], request: pytest.FixtureRequest, data: Path, codes: Path
) -> None:
    model, source = request.getfixturevalue(run), codes if run in ("mapped", "both") else data
    maps = ("--maps", source) if run in ("mapped", "both") else ()
    assert call("sample", model, "-n", 12, *maps, "--out", "a.npz").status == 0
    words = ("--known", "left-half", "-n", 4, "--completions", 3, "--data", source)
    assert call("complete", model, *words, "--out", "b.npz").status == 0
    for name in ("a.npz", "b.npz"):
        arrays = np.load(name)
        read = open_data(name)
        assert read.spec == npx.load(model).spec
        assert sum(len(split) for split in (read.train, read.validation, read.test)) == len(arrays["images"]) == 12
        assert read.maps == (MapKind(1, levels=7) if maps else None)
        assert call("evaluate", model, "--data", name).status == 0
        assert call("complete", model, name, "--known", "top-half").status == 0
        assert call("data", "show", name).status == 0


def test_a_named_file_is_written_again(call: Callable[..., Any], plain: Path) -> None:
    Path("samples.png").write_text("old")
    assert call("sample", plain, "-n", 1).status == 0
    with Image.open("samples.png") as picture:
        assert picture.height == pictures.LINE + 48


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-n", "0"], "'0' is not a whole number of at least 1"),
        (["-n", "-5"], "'-5' is not a whole number of at least 1"),
        (["-n", "many"], "'many' is not a whole number of at least 1"),
        (["--temperature", "0"], "'0' is not a number above 0"),
        (["--temperature", "nan"], "'nan' is not a number above 0"),
        (["--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["--label", "2"], "no class '2'; the model knows classes 0 to 1."),
        (["--label", "-1"], "no class '-1'; the model knows"),
        (["--label", "cat"], "no class 'cat'; the model knows"),
        (["--out", "a.gif"], "must end in .png or .jpg or .jpeg or .webp or .npz, not a.gif"),
        (["--out", "nowhere/a.png"], "no folder nowhere to write a.png in"),
        (["--nothing"], "Unrecognized arguments: --nothing"),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], sentence: str, refused: Callable[..., Any], labelled: Path
) -> None:
    assert sentence in refused("sample", labelled, *arguments)


def test_a_label_means_nothing_to_a_model_without_classes(refused: Callable[..., Any], plain: Path) -> None:
    assert "knows no classes, so --label 1" in refused("sample", plain, "--label", 1)
    assert "knows no classes, so --label all" in refused("sample", plain, "--label", "all")


def test_an_output_that_cannot_be_written(refused: Callable[..., Any], plain: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    assert "folder.png is a folder" in refused("sample", plain, "--out", tmp_path / "folder.png")
    (tmp_path / "file").touch()
    assert "no folder" in refused("sample", plain, "--out", tmp_path / "file" / "a.png")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Four maps, as a model of coarser codes would sample them."""
    path = tmp_path / "top.npz"
    np.savez(path, images=np.arange(24).reshape(4, 1, 2, 3) % 7, levels=7, ordinal=False)
    return path


def test_samples_of_one_model_are_the_maps_of_another(call: Callable[..., Any], mapped: Path, top: Path) -> None:
    said = call("sample", mapped, "--maps", top, "--seed", 3, "--out", "a.npz", "a.png")
    assert (said.status, said.out) == (0, "4 images: a.npz\n4 images: a.png\n"), said.err
    arrays, maps = np.load("a.npz"), torch.from_numpy(np.load(top)["images"])
    assert torch.equal(torch.from_numpy(arrays["images"]).long(), npx.load(mapped).sample(4, maps, seed=3))
    assert (arrays["maps"] == maps.numpy()).all()
    assert (arrays["levels"], arrays["ordinal"]) == (5, False)
    parts = read_path(Path("a.npz"))  # which makes it a data set of its own
    assert (parts.spec, parts.maps) == (npx.load(mapped).spec, MapKind(1, levels=7))
    with Image.open("a.png") as picture:
        shown = set(picture.convert("RGB").get_flattened_data()) - {tuple(pictures.GAP.tolist())}
    assert any(len(set(colour)) > 1 for colour in shown)  # names are not grey
    assert call("sample", mapped, "--maps", top, "-n", 2, "--seed", 3, "--out", "b.npz").status == 0
    assert (np.load("b.npz")["images"] == arrays["images"][:2]).all()


def test_maps_and_labels(call: Callable[..., Any], both: Path, top: Path) -> None:
    model, maps = npx.load(both), torch.from_numpy(np.load(top)["images"])

    def drawn(*words: object) -> tuple[list[int], bool]:
        assert call("sample", both, "--maps", top, "--out", "a.npz", *words).status == 0
        arrays = np.load("a.npz")
        expected = model.sample(4, (arrays["labels"].astype(int), maps))
        return arrays["labels"].tolist(), torch.equal(torch.from_numpy(arrays["images"]).long(), expected)

    assert drawn() == ([0, 1, 0, 1], True)
    assert drawn("--label", 1) == ([1, 1, 1, 1], True)
    np.savez(top, **{**np.load(top), "labels": [1, 1, 0, 1]})
    assert drawn() == ([1, 1, 0, 1], True)  # those beside the maps
    assert drawn("--label", "all") == ([0, 1, 0, 1], True)


def test_maps_that_cannot_be_used(refused: Callable[..., Any], mapped: Path, plain: Path, top: Path) -> None:
    assert "Of maps, this model needs one for each image: give --maps FILE.npz." in refused("sample", mapped)
    assert f"Of maps, this model is given none, not {top}." in refused("sample", plain, "--maps", top)
    assert "nowhere.npz is damaged or cannot be read (No such file" in refused(
        "sample", mapped, "--maps", "nowhere.npz"
    )
    assert "top.npz has 4 maps, too few for 5 images." in refused("sample", mapped, "--maps", top, "-n", 5)
    np.savez(top, images=np.full((4, 2, 3), 7))
    assert "The codes of the maps must be in [0, 7); one is 7." in refused("sample", mapped, "--maps", top)
    np.savez(top, images=np.zeros((4, 2, 4), int))
    assert "A map of 2x4 places cannot be enlarged by whole factors to images of 4x6." in refused(
        "sample", mapped, "--maps", top
    )
    np.savez(top, maps=np.zeros((4, 2, 3)))
    assert "as a tensor of integers, not float32" in refused("sample", mapped, "--maps", top)


@pytest.mark.parametrize(("name", "form"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")])
def test_a_picture_is_what_its_name_says(name: str, form: str, call: Callable[..., Any], plain: Path) -> None:
    assert call("sample", plain, "-n", 4, "--out", name, "same.png").status == 0
    with Image.open(name) as picture, Image.open("same.png") as same:
        assert (picture.format, picture.size) == (form, same.size)
        difference = np.abs(np.asarray(picture.convert("RGB"), int) - np.asarray(same, int))
        assert difference.max() <= (40 if form == "JPEG" else 0)
