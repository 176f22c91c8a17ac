"""The examples that are not `make demo` are run, small."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nextpixel as npx
from nextpixel.cli import main
from nextpixel.data import MapKind, open_data

ROOT = Path(__file__).parents[1]


def codes(*words: object, status: int = 0) -> str:
    command = [sys.executable, ROOT / "examples" / "codes.py", *words]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def figures(said: str) -> list[float]:
    return [float(found) for found in re.findall(r"([\d.]+) (?:dB|bits/code)", said)]


def decoded(samples: Path, made: Path) -> list[Any]:
    """The levels of the first image of a picture of samples; images of 8x12 are enlarged five times."""
    out = samples.with_suffix(".png")
    assert codes("decode", samples, "--codes", made, "--out", out).startswith("5 images")
    with Image.open(out) as picture:
        return np.asarray(picture)[:40:5, :60:5].transpose(2, 0, 1).tolist()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Images of 8x12 pixels in colour whose patches of 4x4 are of three kinds."""
    noise = np.random.default_rng(0)
    kinds = noise.integers(256, size=(3, 4, 4, 3))
    chosen = noise.choice(3, size=(60, 2, 3), p=[0.6, 0.3, 0.1])
    images = kinds[chosen].transpose(0, 1, 3, 2, 4, 5).reshape(60, 8, 12, 3)
    np.savez(tmp_path / "photographs.npz", images=images.astype(np.uint8), labels=np.arange(60) % 2)
    return tmp_path / "photographs.npz"


def test_codes_are_made_and_decoded(photographs: Path, tmp_path: Path) -> None:
    made = tmp_path / "codes.npz"
    said = codes("make", "--data", photographs, "--patch", 4, "--codes", 3, "--out", made)
    quality, own, learnt = figures(said)
    assert quality > 50  # three kinds of patches need no more than three codes
    data = open_data(made)
    assert data.spec == npx.ImageSpec(1, 2, 3, levels=3, ordinal=False)
    assert (data.classes, data.maps) == (2, None)
    shares, counts = (np.bincount(split.images.ravel(), minlength=3) for split in (data.train, data.test))
    shares = (shares + 1) / (shares + 1).sum()
    entropy = -sum(count / counts.sum() * np.log2(count / counts.sum()) for count in counts if count)
    assert own == pytest.approx(entropy, abs=1e-4)
    assert learnt == pytest.approx(-(counts * np.log2(shares)).sum() / counts.sum(), abs=1e-4)
    assert figures(codes("entropy", made)) == [own, learnt]

    np.savez(tmp_path / "sampled.npz", images=data.test.images)
    assert decoded(tmp_path / "sampled.npz", made) == open_data(photographs).test.images[0].tolist()


def test_a_codebook_is_learnt_from_training_images_alone(photographs: Path, tmp_path: Path) -> None:
    data = open_data(photographs)
    splits = {f"{name}_images": getattr(data, name).images for name in ("train", "validation", "test")}
    books = []
    for test in (splits["test_images"], 255 - splits["test_images"]):
        np.savez(tmp_path / "own.npz", **splits | {"test_images": test})
        codes("make", "--data", tmp_path / "own.npz", "--codes", 5, "--out", tmp_path / "codes.npz")
        books.append(np.load(tmp_path / "codes.npz")["codebook"])
    assert (books[0] == books[1]).all()


def test_a_prior_over_bottom_codes_is_given_top_codes(photographs: Path, tmp_path: Path) -> None:
    made, run, samples = tmp_path / "codes-with-top.npz", tmp_path / "run", tmp_path / "samples.npz"
    said = codes("make", "--data", photographs, "--patch", 2, "--codes", 5, "--top", 4, 3, "--out", made)
    assert len(figures(said)) == 5
    assert figures(said)[0] > 50  # the top codes have said it all
    data = open_data(made)
    assert data.spec == npx.ImageSpec(1, 4, 6, levels=5, ordinal=False)
    assert data.maps == MapKind(1, levels=3)

    words: list[Any] = ["train", ROOT / "recipes" / "codes-photos32-given-top.yaml", "--data.name", made, "--out", run]
    words += ["--training.epochs", 1, "--training.samples", 0, "--model.filters", 4, "--model.blocks", 1]
    assert main([str(word) for word in words]) == 0
    np.savez(tmp_path / "top.npz", images=data.test.maps)
    words = ["sample", run, "--maps", tmp_path / "top.npz", "--out", samples]
    assert main([str(word) for word in words]) == 0
    assert codes("decode", samples, "--codes", made, "--out", tmp_path / "a.png").startswith("5 images")
    np.savez(samples, images=data.test.images, maps=data.test.maps)
    assert decoded(samples, made) == open_data(photographs).test.images[0].tolist()
    np.savez(samples, images=np.load(samples)["images"])
    assert "has no maps, the top codes" in codes("decode", samples, "--codes", made, status=2)


def test_what_cannot_be_used_is_one_sentence(photographs: Path, tmp_path: Path) -> None:
    make = ("make", "--data", photographs, "--out", tmp_path / "codes.npz")
    assert "Patches of 5x5 do not fill images of 8x12." in codes(*make, "--patch", 5, status=2)
    assert "There must be from 2 to 300 codes, one a patch, not 512." in codes(*make, status=2)
    assert "There is no file or folder" in codes("make", "--data", tmp_path / "nowhere.npz", status=2)
    codes(*make, "--codes", 3)
    np.savez(tmp_path / "sampled.npz", images=np.full((1, 1, 2, 3), 3))
    decode = ("decode", tmp_path / "sampled.npz", "--codes", tmp_path / "codes.npz")
    assert "The codebook has 3 vectors, but one of the codes is 3." in codes(*decode, status=2)
    np.savez(tmp_path / "sampled.npz", images=np.full((1, 1, 2, 2), 2))
    assert "Grids of 2x2 codes of 48 numbers are not images 3x8x12 with 256 levels." in codes(*decode, status=2)
    assert "sampled.npz has no array train_images" in codes("entropy", tmp_path / "sampled.npz", status=2)
    assert "nowhere.npz" in codes("entropy", tmp_path / "nowhere.npz", status=2)
