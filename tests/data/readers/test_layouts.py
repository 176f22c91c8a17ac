"""The same images in every usual layout; and what could mean two things."""

import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nextpixel.data import open_data
from nextpixel.data.readers import Options, read_path
from nextpixel.data.readers import arrays as arrays_module
from nextpixel.errors import BadInput

Save = Callable[..., Path]
NOISE = np.random.default_rng(0)
IMAGES = {split: NOISE.integers(0, 256, (count, 8, 8), dtype=np.uint8) for split, count in
          (("train", 12), ("validation", 5), ("test", 4))}  # fmt: skip
LABELS = {split: np.arange(len(images)) % 3 for split, images in IMAGES.items()}
USUAL = {
    "train": ("train", "training", "Train", "TRAIN"),
    "validation": ("validation", "valid", "val", "dev", "Val"),
    "test": ("test", "testing", "Test"),
}


def _same(parts: Any, *, labels: bool = True) -> None:
    for split, images in IMAGES.items():
        found = getattr(parts, split)
        assert found is not None, split
        assert (found.images[:, 0] == images).all()
        assert (found.labels is not None) == labels
        if labels:
            assert found.labels.tolist() == LABELS[split].tolist()


@pytest.mark.parametrize("pattern", [
    "{}_images {}_labels", "x_{} y_{}", "X_{} Y_{}", "{}_x {}_y", "{}.data {}.targets", "{} {}_label",
    "images-{} labels-{}",
    "{}_imgs {}_target", "image_{} label_{}",
])  # fmt: skip
@pytest.mark.parametrize("called", list(itertools.islice(zip(*map(itertools.cycle, USUAL.values()), strict=True), 5)))
def test_arrays_under_usual_names(save_arrays: Save, pattern: str, called: tuple[str, ...]) -> None:
    arrays = {}
    for split, name in zip(USUAL, called, strict=True):
        images, labels = (part.format(name) for part in pattern.split())
        arrays |= {images: IMAGES[split], labels: LABELS[split]}
    parts = read_path(save_arrays(**arrays), Options())
    _same(parts)
    assert not parts.notes


@pytest.mark.parametrize("names", ["xtrain ytrain", "trainX trainY", "XTrain YTrain", "trainImages trainLabels"])
def test_arrays_whose_words_are_joined(save_arrays: Save, names: str) -> None:
    images, labels = names.split()
    parts = read_path(save_arrays(**{images: IMAGES["train"], labels: LABELS["train"]}), Options())
    assert (parts.train.images[:, 0] == IMAGES["train"]).all()
    assert parts.classes == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">u2", np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("form", [
    lambda grey: grey, lambda grey: grey[:, None], lambda grey: grey[..., None],
    lambda grey: grey.reshape(len(grey), -1),
], ids=["NHW", "NCHW", "NHWC", "ND"])  # fmt: skip
@pytest.mark.parametrize("labels", [
    lambda labels: labels, lambda labels: labels[:, None], lambda labels: labels.astype(float),
    lambda labels: np.eye(3)[labels], lambda labels: np.eye(3, dtype=bool)[labels],
    lambda labels: labels.astype(np.uint64),
], ids=["N", "N1", "floats", "one-hot", "bools", "uint64"])  # fmt: skip
def test_the_same_images_in_every_form(save_arrays: Save, dtype: str, form: Any, labels: Any) -> None:
    arrays = {f"{split}_images": form(images.astype(dtype)) for split, images in IMAGES.items()}
    arrays |= {f"{split}_labels": labels(found) for split, found in LABELS.items()}
    parts = read_path(save_arrays(**arrays), Options())
    _same(parts)
    assert (parts.spec.levels, parts.classes) == (256, 3)


def test_colours_in_rows_need_a_layout(save_arrays: Save) -> None:
    colours = NOISE.integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    for layout, rows in (("NCHW", colours), ("NHWC", np.moveaxis(colours, 1, 3))):
        path = save_arrays(images=rows.reshape(5, 48))
        assert (read_path(path, Options(layout=layout)).train.images == colours).all()
        with pytest.raises(BadInput, match="has rows of 3·4·4 numbers; say layout=NCHW"):
            read_path(path, Options())
    with pytest.raises(BadInput, match="rows of 50 numbers, no square image; reshape it"):
        read_path(save_arrays(images=colours.reshape(5, 48).repeat(2, 1)[:, :50]), Options())


def test_texts_are_names_of_classes(save_arrays: Save) -> None:
    texts = np.array(["dog", "cat", "dog", "emu"])
    for labels in (texts, texts.astype("S")):
        parts = read_path(save_arrays(x_train=IMAGES["train"][:4], y_train=labels), Options())
        assert parts.class_names == ("cat", "dog", "emu")
        assert parts.train.labels is not None
        assert parts.train.labels.tolist() == [1, 0, 1, 2]
    parts = read_path(save_arrays(images=IMAGES["test"], labels=[0, 1, 1, 0], class_names=["a", "b", "c"]), Options())
    assert (parts.class_names, parts.classes) == (("a", "b", "c"), 3)


@pytest.mark.parametrize(("first", "names"), [(1, ("1", "2", "3")), (0, None)])
def test_labels_that_begin_with_1_are_asked_about(save_arrays: Save, first: int, names: tuple[str, ...]) -> None:
    path = save_arrays(images=IMAGES["train"], labels=LABELS["train"] + 1)
    with pytest.raises(BadInput, match=r"labels from 1 to 3, and none is 0: give data.first_label=1 .* or 0 if"):
        open_data(path)
    parts = read_path(path, Options(first_label=first))
    assert (parts.classes, parts.class_names) == (4 - first, names)
    assert parts.train.labels is not None
    assert (parts.train.labels == LABELS["train"] + 1 - first).all()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x_train": IMAGES["train"], "train_images": IMAGES["train"]}, "has x_train and train_images, which mean the"),
        ({"val": IMAGES["test"], "valid": IMAGES["test"], "train": IMAGES["train"]}, "has val and valid, which mean"),
        ({"val_images": IMAGES["test"], "x_test": IMAGES["test"]}, "only validation and test images, but val_images"),
        ({"train": IMAGES["train"], "holdout": IMAGES["test"]}, "has images in holdout too, of no known split; name"),
        ({"a": IMAGES["train"], "b": IMAGES["test"]}, "no train_images, images or single array, but a, b; name the"),
        (
            {"images": IMAGES["test"], "labels": [0, 1, 2, 2**40]},
            "has the label 1099511627776; there are 65536",
        ),
        (
            {"images": IMAGES["test"], "labels": np.array([0, 1, 2, 2**64 - 1], np.uint64)},
            "one is 1844674407370955",
        ),
        ({"images": IMAGES["test"], "labels": [0.5, 1, 2, 3]}, "must be integers or texts, not float64 values"),
        ({"images": IMAGES["test"], "labels": np.ones((4, 3))}, "its rows do not have one 1 each"),
        (
            {"images": IMAGES["test"], "labels": [0, 1, 2, 1], "class_names": ["a", "a", "b"]},
            "3 class_names, all of",
        ),
        ({"images": IMAGES["test"], "labels": [0, 1, 2, 1], "class_names": ["a", "b"]}, "has 2 class_names, all of wh"),
        ({"images": IMAGES["test"] / 255}, r"become levels by \(255 \* x\).round\(\).astype\('uint8'\)"),
    ],
)
def test_arrays_that_could_mean_two_things(save_arrays: Save, arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_path(save_arrays(**arrays), Options())


def test_splits_may_be_named(save_arrays: Save) -> None:
    arrays = {"a": IMAGES["train"], "b": IMAGES["validation"], "c": IMAGES["test"], "a_labels": LABELS["train"],
              "b_labels": LABELS["validation"], "test_labels": LABELS["test"]}  # fmt: skip
    path = save_arrays(**arrays)
    _same(read_path(path, Options(splits={"train": "a", "validation": "b", "test": "c"})))
    with pytest.raises(BadInput, match=r"has no array 'z', which data.splits names; it has a, b, c"):
        read_path(path, Options(splits={"train": "z"}))
    with pytest.raises(BadInput, match=r"data.splits must say what train is, not only test"):
        Options(splits={"test": "a"})
    with pytest.raises(BadInput, match=r"A split in data.splits must be train, validation or test, not 'holdout'"):
        Options(splits={"holdout": "a"})


def test_what_is_left_alone_is_told(save_arrays: Save) -> None:
    parts = read_path(save_arrays(train=IMAGES["train"], codebook=np.ones((3, 3)), notes=np.arange(3)), Options())
    assert parts.notes == ("left alone in own.npz: codebook, notes",)


# Folders.


def _folder(path: Path, names: dict[str, str], *, classes: bool = True) -> Path:
    for split, name in names.items():
        for number, (image, label) in enumerate(zip(IMAGES[split], LABELS[split], strict=True)):
            place = path / name / ("xyz"[label] if classes else "") / f"{number:02d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place)
    return path


@pytest.mark.parametrize("called", list(itertools.islice(zip(*map(itertools.cycle, USUAL.values()), strict=True), 5)))
def test_folders_under_usual_names(tmp_path: Path, called: tuple[str, ...]) -> None:
    names = dict(zip(USUAL, called, strict=True))
    _same(read_path(_folder(tmp_path / "a", names, classes=False), Options()), labels=False)
    parts = read_path(_folder(tmp_path / "b", names), Options())
    assert parts.class_names == ("x", "y", "z")
    for split, labels in LABELS.items():
        assert sorted(getattr(parts, split).labels) == sorted(labels)


def test_folders_that_could_mean_two_things(tmp_path: Path) -> None:
    vehicles = _folder(tmp_path / "v", {"train": "train", "validation": "car", "test": "bus"}, classes=False)
    with pytest.raises(BadInput, match=r"has train beside bus, car: a split or a class\? Give data.splits=\{\} if all"):
        read_path(vehicles, Options())
    parts = read_path(vehicles, Options(splits={}))
    assert (parts.class_names, len(parts.train)) == (("bus", "car", "train"), 21)
    named = read_path(vehicles, Options(splits={"train": "train", "test": "bus"}))
    assert (len(named.train), named.validation) == (12, None)
    with pytest.raises(BadInput, match=r"has no folder 'plane', which data.splits names; it has bus, car, train"):
        read_path(vehicles, Options(splits={"train": "plane"}))
    twice = _folder(tmp_path / "t", {"train": "train", "validation": "val", "test": "valid"}, classes=False)
    with pytest.raises(BadInput, match=r"has folders val and valid, which mean the same; give data.splits"):
        read_path(twice, Options())
    without = _folder(tmp_path / "w", {"validation": "Val", "test": "Test"}, classes=False)
    with pytest.raises(BadInput, match=r"has a folder Test, Val, but no folder train; give data.splits="):
        read_path(without, Options())


def test_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", {"train": "."}, classes=False)
    for name in ("a.txt", "b.TXT", "c.json", "README", ".hidden"):
        (folder / name).write_text("")
    assert read_path(folder, Options()).notes == ("skipped 4 files that are no images: 1 .json, 2 .txt, 1 no suffix",)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.zip").write_text("")
    with pytest.raises(BadInput, match=r"has no images in it \(.*\), but only 1 .zip"):
        read_path(tmp_path / "b", Options())


# Values.


def _png(path: Path, levels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("highest", "options", "levels", "shift"),
    [
        (255, {}, 256, 0),
        (65_535, {}, 256, 8),
        (40_000, {}, 256, 8),
        (4_095, {"levels": 4_096}, 4_096, 0),
        (65_535, {"levels": 65_536}, 65_536, 0),
        (255, {"levels": 256}, 256, 0),
        (4_095, {"like": 4_096}, 4_096, 0),
        (200, {"like": 256}, 256, 0),
        (65_535, {"like": 8}, 256, 8),
    ],
)
def test_pixels_of_16_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_disk: bool, suffix: str, highest: int, options: dict[str, int],
    levels: int, shift: int,
) -> None:  # fmt: skip
    if on_disk:
        monkeypatch.setattr("nextpixel.data.readers.folder.MOST_IN_MEMORY", 0)
    pixels = NOISE.integers(0, highest, (6, 5, 4)).astype(np.uint16)
    pixels[0, 0, 0] = highest
    path = tmp_path
    for number, image in enumerate(pixels):
        path = _png(tmp_path / "a" / f"{number}{suffix}", image)
    parts = read_path(tmp_path / "a", Options(**options))
    assert parts.spec.levels == levels
    assert (parts.train.images[:][:, 0] == pixels >> shift).all()
    assert parts.train.images[:].dtype == np.min_scalar_type(levels - 1)
    if options:
        one = read_path(path, Options(**options))
        assert (one.train.images[0, 0] == pixels[-1] >> shift).all()


@pytest.mark.parametrize("highest", [256, 1_023, 4_095, 16_383])
def test_pixels_of_10_to_14_bits_are_asked_about(tmp_path: Path, highest: int) -> None:
    pixels = np.linspace(0, highest, 20).astype(np.uint16).reshape(5, 4)
    for number in range(3):
        _png(tmp_path / "a" / f"{number}.png", np.roll(pixels, number))
    with pytest.raises(BadInput, match=rf"goes from 0 to {highest}, .* give data.levels \({highest + 1}, .*65536\)"):
        read_path(tmp_path / "a", Options())
    with pytest.raises(BadInput, match=rf"must hold levels in \[0, 256\); one is {highest}"):
        read_path(tmp_path / "a", Options(levels=256))


@pytest.mark.parametrize("kind", ["npz", "folder"])
@pytest.mark.parametrize(("highest", "levels"), [(1, 2), (3, None), (63, None), (64, 256), (255, 256)])
def test_bytes_of_few_values(tmp_path: Path, kind: str, highest: int, levels: int | None) -> None:
    images = NOISE.integers(0, highest + 1, (9, 5, 4), dtype=np.uint8)
    images[0, 0, 0] = highest
    path = tmp_path / "a.npz"
    if kind == "npz":
        np.savez(path, images=images)
    else:
        path = tmp_path / "a"
        for number, image in enumerate(images):
            _png(path / f"{number}.png", image)
    if levels is None:
        with pytest.raises(BadInput, match=rf"goes from 0 to {highest}, .*; give data.levels \({highest + 1}, 256\)"):
            read_path(path, Options())
        assert read_path(path, Options(like=256)).spec.levels == 256
        levels = highest + 1
    parts = read_path(path, Options(levels=levels))
    assert parts.spec.levels == levels
    assert (parts.train.images[:, 0] == images).all()


def test_a_later_image_that_contradicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextpixel.data.readers.folder.MOST_IN_MEMORY", 0)
    monkeypatch.setattr("nextpixel.data.readers.folder._LOOKED_AT", 1)
    for number, highest in enumerate((200, 4000)):
        _png(tmp_path / "a" / f"{number}.png", np.full((3, 3), highest, np.uint16))
    parts = read_path(tmp_path / "a", Options())
    assert parts.train.images[[0]].max() == 200
    with pytest.raises(BadInput, match=r"has a pixel of 4000, beyond the 256 levels of the others; give data.levels"):
        parts.train.images[[1]]


# Pictures of any size, and damaged ones.


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("fit", "count"), [("crop", 6), ("pad", 6), ("stretch", 6), ("tiles", 10)])
def test_pictures_of_mixed_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_disk: bool, fit: str, count: int
) -> None:
    if on_disk:
        monkeypatch.setattr("nextpixel.data.readers.folder.MOST_IN_MEMORY", 0)
    sizes = [(8, 8), (9, 17), (20, 8), (8, 30), (16, 16), (5, 5)]
    for number, (height, width) in enumerate(sizes):
        shape = (height, width, 3) if number % 2 else (height, width)
        _png(tmp_path / "a" / f"{number}.png", NOISE.integers(0, 256, shape, dtype=np.uint8))
    with pytest.raises(
        BadInput, match=r"1.png is 17x9 in colour, but .*0.png is 8x8 in grey; .* data.size, .*channels"
    ):
        read_path(tmp_path / "a", Options()).train.images[:]
    parts = read_path(tmp_path / "a", Options(size=8, fit=fit, channels=3))
    assert parts.spec.shape == (3, 8, 8)
    if fit == "tiles":
        count = sum((height // 8) * (width // 8) for height, width in sizes)
    assert parts.train.images[:].shape == (count, 3, 8, 8)
    if fit == "tiles":  # those of a picture are in one split
        marks = parts.train.contents()
        assert len(np.unique(marks)) == 5


@pytest.mark.parametrize("on_disk", [False, True])
def test_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_disk: bool) -> None:
    if on_disk:
        monkeypatch.setattr("nextpixel.data.readers.folder.MOST_IN_MEMORY", 0)
    folder = _folder(tmp_path / "a", {"train": "."}, classes=False)
    good = read_path(folder, Options()).train.images[:]
    content = (folder / "03.png").read_bytes()
    (folder / "03.png").write_bytes(content[:40])
    with pytest.raises(BadInput, match=r"03.png cannot be read as an image .*; data.damaged=skip leaves"):
        read_path(folder, Options()).train.images[:]
    parts = read_path(folder, Options(damaged="skip"))
    if on_disk:
        assert (parts.train.images[[2, 3, 4]] == good[[2, 4, 4]]).all()
        assert vars(parts.train.images)["damaged"] == ["03.png"]
    else:
        assert (parts.train.images == np.delete(good, 3, 0)).all()
        assert parts.notes == ("skipped 1 damaged files: 03.png",)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadInput, match="has no image that can be read"):
        read_path(folder, Options(damaged="skip"))


def test_a_bomb_of_pixels(tmp_path: Path) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(BadInput, match=r"a.png cannot be read as an image .*exceeds limit"):
            read_path(path, Options())


# Large and hostile arrays.


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_large_arrays_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, dtype: type) -> None:
    images = NOISE.integers(0, 256, (40, 6, 5, 3)).astype(dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, images)
    else:
        np.savez(path, images=images, labels=np.arange(40))
    whole = open_data(path, bits=3, limit=20)
    monkeypatch.setattr(arrays_module, "MOST_IN_MEMORY", 100)
    large = open_data(path, bits=3, limit=20)
    for name, split in large.splits.items():
        assert not isinstance(split.images, np.ndarray)
        assert (split.images[:] == whole.splits[name].images).all()
        assert split.images[:1].dtype == np.uint8


def test_an_array_that_is_packed_as_no_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays_module, "MOST_IN_MEMORY", 2**16)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((1000, 64, 64), np.uint8))
    with pytest.raises(BadInput, match=r"packs 4,096,128 bytes of images into [0-9,]+, as no images do"):
        read_path(tmp_path / "a.npz", Options())


@pytest.mark.parametrize("shape", ["(True, 8, 8)", "(-1, 8, 8)", "(10**15, 8, 8)", "(8.0, 8)", "8", "(99999999999, 9)"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_shapes_that_are_none(tmp_path: Path, shape: str, suffix: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".replace("10**15", str(10**15))
    header += " " * (118 - len(header) % 64 + 63) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(640)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
    with pytest.raises(BadInput, match=r"a.np[yz] "):
        read_path(path, Options())
