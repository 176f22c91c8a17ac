import csv
import json
import os
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


@pytest.fixture
def elsewhere(data: Path, tmp_path: Path) -> Path:
    """Images of the same kind, mostly of the level that is rare in those learnt from."""
    path = tmp_path / "elsewhere.npz"
    np.savez(path, images=1 + (np.random.default_rng(5).random((9, 4, 5)) < 0.3).astype(np.uint8), levels=3)
    return path


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_hold_the_scores_of_the_model(
    call: Callable[..., Any], labelled: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nextpixel.cli.common.BATCH", 2)
    said = call("score", labelled, "--out", "a.csv", "a.npz", "a.png")
    assert said.status == 0, said.err
    test, model = open_data(data).test, npx.load(labelled)
    assert test.labels is not None
    images, labels = torch.from_numpy(test.images), torch.from_numpy(test.labels)
    validation = open_data(data).validation
    typical = npx.evaluate(model, validation).bits_per_dim
    expected = npx.score(model, images, labels, typical=typical)
    arrays = dict(np.load("a.npz"))
    assert list(arrays) == ["index", "label", "bits_per_dim", "complexity", "typicality", "images", "bits"]
    assert arrays["images"].tolist() == test.images.tolist()
    np.testing.assert_allclose(arrays["bits"], expected.bits, rtol=1e-5)
    table = rows("a.csv")
    assert list(table[0]) == ["index", "label", "bits_per_dim", "complexity", "typicality"]
    assert [int(row["label"]) for row in table] == test.labels.tolist()
    for name in ("bits_per_dim", "complexity", "typicality"):
        np.testing.assert_allclose(arrays[name], vars(expected)[name], rtol=1e-5, atol=1e-6)
        assert [float(row[name]) for row in table] == arrays[name].tolist()
        assert f"{name:<22}{arrays[name].mean():.4f} ± " in said.out
    assert "complexity is beside PNG or WebP." in said.out
    assert said.out.splitlines()[-1] == "Written: a.csv, a.npz, a.png"


def test_the_picture_begins_with_the_costliest_image_and_its_map(call: Callable[..., Any], plain: Path) -> None:
    assert call("score", plain, "--split", "train", "-n", 20, "--out", "a.png", "a.npz").status == 0
    arrays = np.load("a.npz")
    first = arrays["bits_per_dim"].argmax()
    with Image.open("a.png") as picture:
        shown = np.asarray(picture)[pictures.LINE :]
    factor = pictures.READABLE // 5
    height, width = 4 * factor, 5 * factor
    assert np.array_equal(shown[:height, :width], np.asarray(pictures.grid(arrays["images"][first : first + 1], 3)))
    heat = shown[:height:factor, width + 2 : 2 * width + 2 : factor].astype(int).sum(-1)
    bits = arrays["bits"][first, 0]
    assert (np.diff(heat.ravel()[bits.ravel().argsort()]) >= 0).all()  # brighter where a pixel costs more
    assert heat.max() > heat.min()
    assert shown.shape[0] < 13 * (height + 2)  # 12 of the 20


def test_two_sets_have_one_table(call: Callable[..., Any], plain: Path, data: Path, elsewhere: Path) -> None:
    words = ("score", plain, "--split", "all", "--outside", elsewhere, "--out", "a.csv", "a.png", "a.npz")
    said = call(*words)
    assert said.status == 0, said.err
    assert said.out.splitlines()[:3] == [
        f"inside: {data}, all, 48 images",
        f"outside: {elsewhere}, 9 images",
        f"{'score':<22}{'mean inside':<22}{'mean outside':<22}AUROC",
    ]
    table = rows("a.csv")
    assert [int(row["outside"]) for row in table] == [0] * 48 + [1] * 9
    assert [int(row["index"]) for row in table] == [*range(48), *range(9)]
    assert "label" not in table[0]  # those of the second set are not known
    figures = json.loads(call(*words, "--json").out)
    assert (figures["images"], figures["data"]) == ([48, 9], [f"{data}, all", str(elsewhere)])
    assert figures["files"] == ["PNG", "WebP"]
    assert list(figures["scores"]) == ["bits_per_dim", "complexity", "typicality"]
    for name, row in figures["scores"].items():
        each = torch.tensor([float(line[name]) for line in table], dtype=torch.float64)
        assert row["means"] == pytest.approx([float(each[:48].mean()), float(each[48:].mean())])
        assert row["errors"][1] == pytest.approx(float(each[48:].std()) / 3)
        assert [row["auroc"], row["auroc_error"]] == list(npx.auroc(each[:48], each[48:]))
        (line,) = (line for line in said.out.splitlines() if line.startswith(f"{name} "))
        assert line.endswith(f"{row['auroc']:.4f} ± {row['auroc_error']:.4f}")
    assert figures["scores"]["bits_per_dim"]["auroc"] > 0.9  # two epochs are enough to find the level rare
    with Image.open("a.png") as picture:
        assert picture.height > 2 * pictures.LINE
    assert np.load("a.npz")["bits"].shape == (57, 1, 4, 5)


def test_a_second_model_gives_the_ratio(call: Callable[..., Any], plain: Path, labelled: Path, data: Path) -> None:
    said = call("score", labelled, "--against", plain, "--typical", 0, "--out", "a.csv")
    assert said.status == 0, said.err
    test = open_data(data).test
    images, labels = torch.from_numpy(test.images), torch.from_numpy(test.labels)
    ratio = npx.bits_per_dim(npx.load(labelled), images, labels) - npx.bits_per_dim(npx.load(plain), images)
    table = rows("a.csv")
    assert list(table[0]) == ["index", "label", "bits_per_dim", "complexity", "ratio"]
    np.testing.assert_allclose([float(row["ratio"]) for row in table], ratio, rtol=1e-4, atol=1e-6)


def test_images_of_files_have_their_names(call: Callable[..., Any], plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0)
    binary = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 5, 2), filters=4, blocks=1)
    npx.save(binary, tmp_path / "binary.safetensors")
    for name in ("b, c.png", "a.png"):
        Image.fromarray(255 * noise.integers(2, size=(4, 5)).astype(np.uint8)).save(folder / name)
    said = call("score", tmp_path / "binary.safetensors", folder, "--out", "a.csv", "a.npz")
    assert said.status == 0, said.err
    assert [row["source"] for row in rows("a.csv")] == [str(folder / "a.png"), str(folder / "b, c.png")]
    assert np.load("a.npz")["source"].tolist() == [str(folder / "a.png"), str(folder / "b, c.png")]
    assert "Note: typicality needs validation images: Nothing says which data set" in said.err
    one = call("score", tmp_path / "binary.safetensors", folder / "a.png", "--json", "--out", "b.csv")
    assert one.status == 0, one.err
    assert [row["source"] for row in rows("b.csv")] == [str(folder / "a.png")]
    assert json.loads(one.out)["scores"]["bits_per_dim"]["errors"] == [None]
    words = call("score", tmp_path / "binary.safetensors", folder / "a.png", "--typical", 0).out
    assert "nan" not in words
    assert "±" not in words
    assert {"scores.png", "scores.csv"} <= {path.name for path in Path().iterdir()}


def test_codes_are_scored_with_their_maps(call: Callable[..., Any], both: Path, codes: Path) -> None:
    said = call("score", both, "--outside", codes, "-n", 5, "--out", "a.npz", "a.png")
    assert said.status == 0, said.err
    assert "complexity is beside zlib." in said.out
    test = open_data(codes).test
    assert test.labels is not None
    assert test.maps is not None
    context = (test.labels[:5], torch.from_numpy(test.maps[:5]).long())
    expected = npx.score(npx.load(both), torch.from_numpy(test.images[:5]).long(), context)
    count = len(test.images[:5])
    np.testing.assert_allclose(np.load("a.npz")["bits"][:count], expected.bits, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_scored(
    refused: Callable[..., Any], plain: Path, labelled: Path, both: Path, elsewhere: Path, data: Path, tmp_path: Path
) -> None:
    assert "1x4x5 with 3 levels, but those of digits are 1x8x8" in refused("score", plain, "--data", "digits")
    assert "1x4x5 with 3 levels, but those of digits are 1x8x8" in refused("score", plain, "--outside", "digits")
    npx.save(npx.build("pixelvae", npx.ImageSpec(1, 8, 8)), tmp_path / "vae.safetensors")
    bounds = "needs an exact likelihood, but a pixelvae has only bounds."
    assert f"A score {bounds}" in refused("score", tmp_path / "vae.safetensors", "--data", "digits")
    assert f"--against {bounds}" in refused("score", plain, "--against", tmp_path / "vae.safetensors")
    assert "The second model is about images 1x4x6 with 5 names" in refused("score", plain, "--against", both)
    assert "given ClassLabel" in refused("score", plain, "--against", labelled)
    assert "no model at nowhere" in refused("score", plain, "--against", "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no images in it" in refused("score", plain, tmp_path / "empty")
    assert "has no images in it" in refused("score", plain, "--outside", tmp_path / "empty")
    assert "no file or folder nowhere" in refused("score", plain, "nowhere")
    assert "no file or folder nowhere" in refused("score", plain, "--outside", "nowhere")
    assert "either IMAGES" in refused("score", plain, elsewhere, "--data", "digits")
    assert "class of the images, one of classes 0 to 1: give --label" in refused("score", labelled, elsewhere)
    assert "class of the images" in refused("score", labelled, "--outside", elsewhere)
    assert "An image has one class; --label 0,1" in refused("score", labelled, elsewhere, "--label", "0,1")
    assert "must end in .png or .jpg or .jpeg or .webp or .npz or .csv, not a.txt" in refused(
        "score", plain, "--out", "a.txt"
    )
    assert "no folder there to write" in refused("score", plain, "--out", "there/a.png")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # whoever may write everywhere, may
        assert "cannot be written" in refused("score", plain, "--out", locked / "a.png")
