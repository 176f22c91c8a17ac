"""The examples that are not `make demo` are run, small."""

import os
import re
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import forked
import nextpixel as npx
from nextpixel.cli import main
from nextpixel.data import MapKind, open_data

ROOT = Path(__file__).parents[1]


def script(name: str, *words: object, status: int = 0) -> str:
    done = forked.run([ROOT / "examples" / name, *words])
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


codes, photographs_of = partial(script, "codes.py"), partial(script, "photographs.py")


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
    own, learnt = figures(said)
    assert "without loss" in said  # three kinds of patches need no more than three codes
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


def test_a_book_of_fewer_codes_than_patches_is_near_them(photographs: Path, tmp_path: Path) -> None:
    said = codes("make", "--data", photographs, "--codes", 2, "--out", tmp_path / "codes.npz")
    assert 5 < figures(said)[0] < 40


def test_most_of_a_book_is_not_black(tmp_path: Path) -> None:
    """Where nine of ten patches are alike, they still have but one code."""
    noise = np.random.default_rng(0)
    patches = noise.integers(256, size=(100, 25, 1, 4, 1, 4)) * (noise.random((100, 25, 1, 1, 1, 1)) < 0.1)
    images = patches.reshape(100, 5, 5, 4, 4).transpose(0, 1, 3, 2, 4).reshape(100, 20, 20)
    np.savez(tmp_path / "sparse.npz", images=images.astype(np.uint8))
    codes("make", "--data", tmp_path / "sparse.npz", "--codes", 64, "--out", tmp_path / "codes.npz")
    assert len(np.unique(np.load(tmp_path / "codes.npz")["codebook"].reshape(64, -1), axis=0)) == 64


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
    assert len(figures(said)) == 4
    assert "without loss" in said  # the top codes have said it all
    data = open_data(made)
    assert data.spec == npx.ImageSpec(1, 4, 6, levels=5, ordinal=False)
    assert data.maps == MapKind(1, levels=3)

    words: list[Any] = ["train", "codes-photos32-given-top", "--data.name", made, "--out", run]
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
    for size in (5, 0, -4):
        assert f"Patches of {size}x{size} do not fill images of 8x12." in codes(*make, "--patch", size, status=2)
    assert "There must be from 2 to 300 codes, one a patch, not 512." in codes(*make, status=2)
    assert "There is no file or folder" in codes("make", "--data", tmp_path / "nowhere.npz", status=2)
    codes(*make, "--codes", 3)
    np.savez(tmp_path / "sampled.npz", images=np.full((1, 1, 2, 3), 3))
    decode = ("decode", tmp_path / "sampled.npz", "--codes", tmp_path / "codes.npz")
    assert "The book has 3 patches, but codes are from 3 to 3." in codes(*decode, status=2)
    np.savez(tmp_path / "sampled.npz", images=np.full((1, 1, 2, 2), 2))
    assert "Grids of 2x2 codes do not make images of 3x8x12." in codes(*decode, status=2)
    assert "sampled.npz has no array train_images" in codes("entropy", tmp_path / "sampled.npz", status=2)
    assert "nowhere.npz" in codes("entropy", tmp_path / "nowhere.npz", status=2)


def test_a_codebook_without_scikit_learn_is_one_sentence(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "without" / "sklearn").mkdir(parents=True)
    (tmp_path / "without" / "sklearn" / "__init__.py").write_text(
        "raise ModuleNotFoundError('No sklearn', name='sklearn')"
    )
    command = [
        sys.executable,
        ROOT / "examples" / "codes.py",
        "make",
        "--data",
        photographs,
        "--out",
        tmp_path / "a.npz",
    ]
    paths = os.pathsep.join([str(tmp_path / "without"), *sys.path])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "codes.py: A codebook is learnt by scikit-learn: pip install scikit-learn.\n",
    )


def picture(width: int, height: int, number: int) -> Image.Image:
    """A photograph that stands for any: smooth, in colours of its own, no two alike."""
    noise = np.random.default_rng(number)
    coarse = Image.fromarray(noise.integers(256, size=(5, 6, 3)).astype(np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photographs of several sizes, kinds and modes, with what else is in such folders."""
    (tmp_path / "mine" / "2024").mkdir(parents=True)
    sizes = [(64, 48), (48, 64), (200, 100), (100, 200), (33, 32), (80, 80)]
    for number, size in enumerate(sizes * 2):
        name = f"2024/{number}.jpg" if number % 2 else f"{number}.PNG"
        picture(*size, number).save(tmp_path / "mine" / name, quality=95)
    picture(60, 60, 50).convert("L").save(tmp_path / "mine" / "grey.png")
    picture(60, 60, 51).convert("P").save(tmp_path / "mine" / "palette.gif")
    picture(31, 90, 52).save(tmp_path / "mine" / "small.png")
    (tmp_path / "mine" / "copy.png").write_bytes((tmp_path / "mine" / "0.PNG").read_bytes())
    (tmp_path / "mine" / "._0.png").write_bytes(b"what a system leaves")
    (tmp_path / "mine" / "notes.txt").write_text("where they are from")
    return tmp_path / "mine"


@pytest.mark.parametrize(("words", "channels"), [((), 3), (("--grey",), 1)])
def test_photographs_become_a_data_set(words: tuple[str, ...], channels: int, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "photos32.npz"
    said = photographs_of(folder, "--out", out, *words)
    assert said.splitlines()[0].endswith("photos32.npz: 14 images of 32x32 from 14 photographs")
    assert said.splitlines()[1:] == [
        "1 photographs are smaller than 32 pixels, and left out",
        "1 photographs are copies of others, and left out",
    ]
    data = open_data(out)
    assert data.spec == npx.ImageSpec(channels, 32, 32, levels=256)
    assert sum(map(len, data.splits.values())) == 14
    assert min(map(len, data.splits.values())) >= 1
    (folder / "0.PNG").rename(folder / "z.png")
    again = tmp_path / "again.npz"
    photographs_of(folder, "--out", again, *words)
    assert again.read_bytes() == out.read_bytes()  # whatever their names and order


def test_a_photograph_is_cut_in_its_middle_and_reduced_without_aliases(tmp_path: Path) -> None:
    for number, (width, height) in enumerate(((640, 320), (320, 640), (320, 320))):
        stripes = np.zeros((height, width, 3), np.uint8)
        stripes[:, ::2] = 255  # of one pixel: picking pixels would make them black, white or broad
        stripes[..., 0] = number
        Image.fromarray(stripes).save(tmp_path / f"{number}.png")
    wide = np.zeros((320, 960, 3), np.uint8)
    wide[:, 320:640] = 200  # the middle, and nothing of what is beside it
    Image.fromarray(wide).save(tmp_path / "wide.png")
    photographs_of(tmp_path, "--out", tmp_path / "a.npz", "--size", 16)
    images = np.load(tmp_path / "a.npz")["images"]
    assert images.shape == (4, 16, 16, 3)
    flat = [image for image in images if (image[..., 0] == 200).all()]
    assert len(flat) == 1
    assert (flat[0] == 200).all()
    others = [image for image in images if image[0, 0, 0] < 3]
    assert len(others) == 3
    assert all(np.abs(image[..., 1:].astype(int) - 127).max() <= 3 for image in others)


def test_a_photograph_lies_as_it_was_taken_and_on_white(tmp_path: Path) -> None:
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 8  # as a camera held on its side writes it
    Image.fromarray(np.rot90(upright, -1).copy()).save(tmp_path / "turned.png", exif=exif)
    clear = np.zeros((64, 64, 4), np.uint8)
    clear[:32, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    picture(64, 64, 1).save(tmp_path / "other.png")
    photographs_of(tmp_path, "--out", tmp_path / "a.npz", "--size", 8, "--grey")
    halves = {(int(image[0].mean()), int(image[-1].mean())) for image in np.load(tmp_path / "a.npz")["images"]}
    assert {(255, 0), (0, 255)} <= halves


@pytest.mark.parametrize("most", [2, 6, 20])
def test_tiles_of_a_photograph_are_in_one_split(most: int, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles.npz"
    photographs_of(folder, "--out", out, "--size", 8, "--tiles", most)
    arrays = dict(np.load(out))
    assert set(arrays) == {"train_images", "validation_images", "test_images"}
    owners = {}
    for path in folder.rglob("*"):
        if path.suffix.lower() not in (".png", ".jpg", ".gif") or path.name.startswith("."):
            continue
        owners[path.name] = tiles_of(path, most)
    assert max(map(len, owners.values())) <= most
    assert max(map(len, owners.values())) > 1
    splits = {name: {image.tobytes() for image in images} for name, images in arrays.items()}
    for tiles in owners.values():
        assert sum(any(tile in split for tile in tiles) for split in splits.values()) == 1
        assert any(tiles <= split for split in splits.values())
    assert sum(map(len, splits.values())) == len(set().union(*owners.values()))
    assert open_data(out).spec == npx.ImageSpec(3, 8, 8, levels=256)


def tiles_of(path: Path, most: int) -> set[bytes]:
    module = runpy.run_path(str(ROOT / "examples" / "photographs.py"))
    return {image.tobytes() for image in module["tiles"](module["opened"](path, grey=False), 8, most)}


@pytest.mark.parametrize(
    ("size", "most", "count"),
    [((96, 64), 1, 1), ((96, 64), 2, 1), ((96, 64), 6, 6), ((96, 64), 11, 6), ((96, 64), 23, 12), ((96, 64), 24, 24),
     ((96, 64), 999, 96), ((300, 100), 2, 2), ((300, 100), 3, 3), ((8, 8), 9, 1), ((8, 80), 4, 4)],
)  # fmt: skip
def test_tiles_are_as_large_as_can_be(size: tuple[int, int], most: int, count: int) -> None:
    tiles = runpy.run_path(str(ROOT / "examples" / "photographs.py"))["tiles"](picture(*size, 3), 8, most)
    assert tiles.shape == (count, 8, 8, 3)


def test_photographs_that_cannot_be_used_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        said = photographs_of(*words, status=2)
        assert not Path(tmp_path / "a.npz").exists()
        assert said.startswith("photographs.py: ")
        assert said.count("\n") == 1
        return said

    out = ("--out", tmp_path / "a.npz")
    assert "There is no folder" in refused(tmp_path / "nowhere", *out)
    assert "--size must be at least 1, not 0." in refused(folder, "--size", 0, *out)
    assert "--tiles must be at least 1, not -1." in refused(folder, "--tiles", -1, *out)
    assert "--out must end in .npz, not a.png." in refused(folder, "--out", "a.png")
    assert "has 16 photographs, 16 of them smaller than 999 pixels" in refused(folder, "--size", 999, *out)
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "deep.png")
    assert "deep.png has more than 256 levels; save it with 8 bits a channel." in refused(folder, *out)
    (folder / "deep.png").write_bytes((folder / "0.PNG").read_bytes()[:300])
    assert "deep.png cannot be read as an image; take it out of the folder." in refused(folder, *out)
