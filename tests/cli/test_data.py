import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
from PIL import Image

from nextpixel.cli.listing import MOST_CLASSES
from nextpixel.data import CATALOGUE

IMAGES = np.random.default_rng(0).integers(0, 4, (12, 5, 6, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data sets."""
    monkeypatch.delenv("NEXTPIXEL_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(**arrays: Any) -> Path:
        np.savez(tmp_path / "own.npz", **arrays)
        return tmp_path / "own.npz"

    return write


def lines_of(out: str, name: str) -> list[str]:
    """What the list says of a data set."""
    lines = out.splitlines()
    start = lines.index(name)
    return [line.strip() for line in lines[start + 1 : start + 4]]


def test_the_list_says_what_and_where(call: Callable[..., Any]) -> None:
    out = call("data").out
    assert [line for line in out.splitlines() if not line.startswith(" ")] == list(CATALOGUE)
    assert lines_of(out, "digits")[2] == "here, a part of nextpixel"
    assert lines_of(out, "shapes")[1].startswith(
        "1x20x20 with 2 levels, 4 classes; 10,000 train, 1,000 validation, 2,000"
    )
    assert lines_of(out, "shapes")[2] == "here, generated when opened"
    assert lines_of(out, "cifar10")[1].endswith("; https://www.cs.toronto.edu/~kriz/")
    assert lines_of(out, "cifar10")[2] == "not here yet, to be downloaded when first opened"
    assert lines_of(out, "imagenet64")[2] == "to be got by hand: put it in NEXTPIXEL_DATA/imagenet64"


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_list_honours_the_data_root(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache/nextpixel/FashionMNIST/raw"
    cache.mkdir(parents=True)
    for name in ("MNIST/raw", "FashionMNIST/raw", "cifar-10-batches-bin", "imagenet32/train", "imagenet32/val"):
        (root / name).mkdir(parents=True)
    for which in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (root / f"MNIST/raw/{which}-ubyte").touch()
        (cache / f"{which}-ubyte.gz").touch()
    if by == "environment":
        monkeypatch.setenv("NEXTPIXEL_DATA", str(root))
    out = call("data", *(["--data-root", root] if by == "option" else [])).out
    for name in ("mnist", "mnist-binary", "mnist-coloured"):
        assert lines_of(out, name)[2] == f"in the data root, {root / 'MNIST/raw'}"
    assert lines_of(out, "fashion-mnist")[2] == f"in the cache, {cache}"
    assert lines_of(out, "cifar10-grey")[2] == f"in the data root, {root / 'cifar-10-batches-bin'}"
    assert lines_of(out, "imagenet32")[2] == f"in the data root, {root / 'imagenet32'}"
    assert lines_of(out, "imagenet64")[2] == f"to be got by hand: put it in {root / 'imagenet64'}"


def test_every_class_has_a_row_with_its_number(call: Callable[..., Any], save: Callable[..., Path]) -> None:
    one = np.zeros((1, 8, 8), bool)
    others = {"validation_images": one, "validation_labels": [0], "test_images": one, "test_labels": [0]}
    labels = np.array([7, 2, 7, 2, 2, 7, 7, 5, 5, 5])
    own = save(train_images=np.zeros((10, 8, 8), bool), train_labels=labels, **others)
    said = call("data", "show", own, "-n", 7, "--out", "a.png")
    assert said.status == 0, said.err
    assert said.out.splitlines() == [
        str(own),
        "  images: 10 train, 1 validation, 1 test (as the source has them)",
        "  each: 1x8x8, 2 levels; seen: 1 of them, from 0 to 0",
        "  classes: 0 2, 1 0, 2 3, 3 0, 4 0, 5 3, 6 0, 7 4",
        "  note: 1 of 1 validation images are train images too",
        "  note: 1 of 1 test images are train images too",
        "  note: 1 of 1 test images are validation images too",
        f"6 train images of {own}, a row a class: a.png",
    ]
    with Image.open("a.png") as picture:
        width, height = picture.size
        pixels = np.asarray(picture.convert("L"))
    assert height == 3 * 64 + 2 * 2
    margin = width - (2 * 64 + 2)
    assert 15 < margin < 40
    rows = [pixels[66 * row : 66 * row + 64, :margin] for row in range(3)]
    assert all(row.max() == 255 and row.min() < 50 for row in rows)  # black on white
    assert len({row.tobytes() for row in rows}) == 3
    assert not pixels[:64, margin : margin + 64].any()


def test_many_classes_are_too_many(call: Callable[..., Any], save: Callable[..., Path]) -> None:
    images = np.random.default_rng(0).random((500, 64, 64)) < 0.5
    said = call("data", "show", save(images=images, labels=np.arange(500) % 50), "-n", 40, "--out", "a.png")
    assert said.out.splitlines()[-1].startswith("40 train images"), said.err
    assert said.out.splitlines()[3].endswith("18 10, 19 10, and 30 more")
    with Image.open("a.png") as picture:
        assert picture.height == -(-MOST_CLASSES // 3) * 66 - 2  # three classes side by side


def test_images_without_labels_are_a_grid(call: Callable[..., Any], save: Callable[..., Path]) -> None:
    said = call("data", "show", save(images=IMAGES), "-n", 4, "--split", "test", "--levels", 4)
    assert (said.status, said.out.splitlines()[-1].split(" of ")[0]) == (0, "1 test image"), said.err
    with Image.open("data.png") as picture:
        assert picture.size == (60, 50)


def test_a_named_set_is_shown(call: Callable[..., Any]) -> None:
    said = call("data", "show", "shapes-coloured", "-n", 8, "--split", "validation", "--out", "shapes.png")
    assert said.status == 0, said.err
    assert said.out.splitlines()[-1] == "8 validation images of shapes-coloured, a row a class: shapes.png"
    with Image.open("shapes.png") as picture:
        assert picture.height == 4 * 60 + 3 * 2
        assert len(picture.getcolors() or []) > 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data-root", "nowhere"], "The data root nowhere is not a folder."),
        (["mnist"], "Unrecognized arguments: mnist; did you mean nextpixel data show mnist?"),
        (["show"], "required: NAME; see nextpixel data show --help."),
        (["show", "shape"], "no data set 'shape'; known are digits, .* Did you mean shapes?"),
        (["show", "digits", "--out", "a.gif"], "must end in .png or .jpg or .jpeg or .webp, not a.gif"),
        (["show", "digits", "-n", "0"], "'0' is not a whole number of at least 1"),
        (["show", "digits", "--split", "all"], "invalid choice: 'all'"),
        (["show", "imagenet32"], "imagenet32 cannot be downloaded without an account"),
    ],
)
def test_options_that_cannot_be_used(arguments: list[str], sentence: str, refused: Callable[..., Any]) -> None:
    said = refused("data", *arguments)
    assert all(part in said for part in sentence.split(" .* ")), said


@pytest.mark.parametrize("command", ["show", "pack"])
def test_commands_have_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from nextpixel.cli import main

    with pytest.raises(SystemExit) as exit_:
        main(["data", command, "--help"])
    assert exit_.value.code == 0
    assert f"  nextpixel data {command} " in capsys.readouterr().out.partition("examples:")[2]


def test_names_have_colours(call: Callable[..., Any], codes: Path) -> None:
    said = call("data", "show", codes, "-n", 8, "--out", "a.png")
    assert said.status == 0, said.err
    with Image.open("a.png") as picture:
        assert (162, 69, 171) in picture.convert("RGB").get_flattened_data()


def test_columns_of_a_set_of_theirs_can_be_named(
    call: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    import datasets

    stream, pictures = io.BytesIO(), list[dict[str, Any]]()
    for number in range(30):
        Image.new("RGB", (4, 4), (0, number, 255)).save(stream, "PNG")
        pictures.append({"bytes": stream.getvalue(), "path": None})
        stream = io.BytesIO()
    both = {"one": pictures, "two": pictures}
    kinds = datasets.Features(dict.fromkeys(both, datasets.Image()))
    for split in ("a", "b"):
        datasets.Dataset.from_dict(both, kinds).to_parquet(tmp_path / "set" / f"{split}.parquet")
    name = f"hf:{tmp_path / 'set'}"
    sentence = refused("data", "show", name, "--splits", "{train: train}")
    assert "several columns of images" in sentence
    assert "--columns={image: NAME} says which" in sentence
    assert "are no names such as" in refused("data", "show", name, "--columns", "image")
    assert call("data", "show", name, "--columns", "{image: two}", "--out", "a.png").status == 0
    assert call("data", "pack", name, "--columns", "{image: two}", "-o", "packed").status == 0
