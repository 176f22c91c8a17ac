from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx


def test_samples_are_those_of_the_model(call: Callable[..., Any], plain: Path) -> None:
    said = call("sample", plain, "-n", 70, "--seed", 5, "--temperature", 0.8, "--out", "a.npz", "a.png")
    assert (said.status, said.out) == (0, "70 images: a.npz\n70 images: a.png\n"), said.err
    arrays = np.load("a.npz")
    images = npx.load(plain).sample(70, seed=5, temperature=0.8)
    assert torch.equal(torch.from_numpy(arrays["images"]).long(), images)
    assert arrays["levels"] == 3
    assert "labels" not in arrays
    assert sorted(path.name for path in Path().iterdir()) == ["a.npz", "a.png"]


def test_every_class_has_a_row_and_equal_numbers(call: Callable[..., Any], labelled: Path) -> None:
    assert call("sample", labelled, "-n", 7, "--label", "all", "--out", "a.npz", "a.png").status == 0
    assert np.load("a.npz")["labels"].tolist() == [0] * 4 + [1] * 4
    with Image.open("a.png") as picture:
        assert picture.size == (4 * 60 + 3 * 2, 2 * 48 + 2)


def test_one_class_may_be_asked_for(call: Callable[..., Any], labelled: Path) -> None:
    assert call("sample", labelled, "-n", 3, "--label", 1, "--out", "a.npz").status == 0
    arrays = np.load("a.npz")
    assert arrays["labels"].tolist() == [1, 1, 1]
    assert torch.equal(torch.from_numpy(arrays["images"]).long(), npx.load(labelled).sample(3, 1))


def test_a_named_file_is_written_again(call: Callable[..., Any], plain: Path) -> None:
    Path("samples.png").write_text("old")
    assert call("sample", plain, "-n", 1).status == 0
    with Image.open("samples.png") as picture:
        assert picture.size == (60, 48)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-n", "0"], "'0' is not a whole number of at least 1"),
        (["-n", "-5"], "'-5' is not a whole number of at least 1"),
        (["-n", "many"], "'many' is not a whole number of at least 1"),
        (["--temperature", "0"], "'0' is not a number above 0"),
        (["--temperature", "nan"], "'nan' is not a number above 0"),
        (["--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["--label", "2"], "label must be from 0 to 1, not 2."),
        (["--label", "-1"], "label must be from 0 to 1, not -1."),
        (["--label", "cat"], "label must be from 0 to 1, not cat."),
        (["--out", "a.jpg"], "must end in .png or .npz, not a.jpg"),
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


def test_a_model_must_be_named(refused: Callable[..., Any]) -> None:
    assert "required: MODEL" in refused("sample")
