"""The same images in every kind of file, layout and type give the same data; what could mean two things is refused."""

import gzip
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nextpixel.data import Split
from nextpixel.data.dataset import Parts
from nextpixel.data.lazy import Lazy
from nextpixel.data.readers import Options, encoded, mapped, read_path
from nextpixel.errors import BadInput

GREY = np.random.default_rng(0).integers(0, 256, (9, 6, 6), dtype=np.uint8)
GREY[:, 0, 0] = np.arange(9) * 28
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 1, 2, 0])
TRAIN, VALID, TEST = slice(0, 5), slice(5, 7), slice(7, 9)
Pieces = dict[str, np.ndarray]


def pieces(images: np.ndarray, names: tuple[str, str, str], labels: tuple[str, str, str] | None = None) -> Pieces:
    found = {name: images[piece] for name, piece in zip(names, (TRAIN, VALID, TEST), strict=True)}
    for name, piece in zip(labels or (), (TRAIN, VALID, TEST), strict=False):
        found[name] = LABELS[piece]
    return found


def assert_whole(parts: Parts, images: np.ndarray = GREY, *, labels: bool = True) -> None:
    """Three splits with these images and their labels."""
    expected = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
    assert (parts.spec.shape, parts.spec.levels) == (expected.shape[1:], 256)
    for split, piece in ((parts.train, TRAIN), (parts.validation, VALID), (parts.test, TEST)):
        assert isinstance(split, Split)
        assert (split.images[:] == expected[piece]).all()
        assert split.images[:].dtype == np.uint8
        assert (split.labels is not None) == labels
        if split.labels is not None:
            assert split.labels.tolist() == LABELS[piece].tolist()
    assert parts.classes == (3 if labels else None)


# Names of images and labels of the three splits.
NAMES = {
    "ours": (
        ("train_images", "validation_images", "test_images"),
        ("train_labels", "validation_labels", "test_labels"),
    ),
    "MedMNIST": (("train_images", "val_images", "test_images"), ("train_labels", "val_labels", "test_labels")),
    "valid": (("train_images", "valid_images", "test_images"), ("train_labels", "valid_labels", "test_labels")),
    "Keras": (("x_train", "x_val", "x_test"), ("y_train", "y_val", "y_test")),
    "scikit-learn": (("X_train", "X_dev", "X_test"), ("y_train", "y_dev", "y_test")),
    "glued": (("Xtrain", "Xval", "Xtest"), ("ytrain", "yval", "ytest")),
    "camel": (("trainImages", "valImages", "testImages"), ("trainLabels", "valLabels", "testLabels")),
    "dots": (("train.x", "valid.x", "test.x"), ("train.y", "valid.y", "test.y")),
    "loud": (("TRAIN-IMG", "VALIDATION-IMG", "TEST-IMG"), ("TRAIN-TARGETS", "VALIDATION-TARGETS", "TEST-TARGETS")),
    "data": (("train_data", "dev_data", "testing_data"), ("train_labels", "dev_labels", "testing_labels")),
    "alone": (("training", "validation", "testing"), ("training_target", "validation_target", "testing_target")),
    "shared": (
        ("mnist_train_images", "mnist_val_images", "mnist_test_images"),
        ("mnist_train_labels", "mnist_val_labels", "mnist_test_labels"),
    ),
}


@pytest.mark.parametrize(("images", "labels"), NAMES.values(), ids=NAMES)
def test_usual_names_of_arrays(tmp_path: Path, images: tuple[str, str, str], labels: tuple[str, str, str]) -> None:
    np.savez(tmp_path / "own.npz", **pieces(GREY, images, labels))
    assert_whole(read_path(tmp_path / "own.npz", Options()))
    np.savez(tmp_path / "own.npz", **pieces(GREY, images))
    assert_whole(read_path(tmp_path / "own.npz", Options()), labels=False)


LAYOUTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Options]] = {
    "NHWC": (lambda images: images, Options()),
    "NCHW": (lambda images: np.moveaxis(images, 3, 1), Options()),
    "rows by colour": (lambda images: np.moveaxis(images, 3, 1).reshape(len(images), -1), Options(layout="NCHW")),
    "rows by pixel": (lambda images: images.reshape(len(images), -1), Options(layout="NHWC")),
    "grey NHW": (lambda images: images, Options()),
    "grey NHW1": (lambda images: images[..., None], Options()),
    "grey N1HW": (lambda images: images[:, None], Options()),
    "grey rows": (lambda images: images.reshape(len(images), -1), Options()),
}


@pytest.mark.parametrize("kind", ["u1", "i2", "<u2", ">i4", "i8", "u8"])
@pytest.mark.parametrize("suffix", ["stored.npz", "compressed.npz", "npy", "by columns.npy"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("most", [2**30, 0], ids=["in memory", "on disk"])
def test_every_layout_type_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, suffix: str, layout: str, most: int
) -> None:
    monkeypatch.setattr(mapped, "MOST_IN_MEMORY", most)
    change, options = LAYOUTS[layout]
    images = GREY if "grey" in layout else COLOUR
    path, stored = tmp_path / f"own.{suffix}", change(images).astype(kind)
    if suffix.endswith("npz"):
        (np.savez if "stored" in suffix else np.savez_compressed)(path, images=stored, labels=LABELS)
    else:
        np.save(path, np.asfortranarray(stored) if "columns" in suffix else stored)
    parts = read_path(path, options)
    assert (parts.spec.levels, parts.classes) == (256, None if "npy" in suffix else 3)
    found = parts.train.images[:]
    assert found.dtype == np.uint8
    assert (found == (images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1))).all()
    assert isinstance(parts.train.images, Lazy) == (most == 0)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("ending", ["-idx{}-ubyte", ".idx{}-ubyte"])
def test_idx_files_of_one_s_own(tmp_path: Path, zipped: bool, ending: str) -> None:
    for name, piece in (("train", TRAIN), ("valid", VALID), ("t10k", TEST)):
        for role, array in (("images", GREY[piece]), ("labels", LABELS[piece].astype(np.uint8))):
            content = idx(array)
            path = tmp_path / f"{name}-{role}{ending.format(array.ndim)}{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    assert_whole(read_path(tmp_path, Options()))
    parts = read_path(next(tmp_path.glob("t10k-images*")), Options())
    assert (parts.train.images[:, 0] == GREY[TEST]).all()
    assert parts.train.labels is not None
    assert parts.train.labels.tolist() == LABELS[TEST].tolist()


@pytest.mark.parametrize("number", ["%d", "%.1f", "%.6e"])
def test_binarised_mnist_s_text(tmp_path: Path, number: str) -> None:
    bits = (GREY.reshape(9, 36) > 127).astype(int)
    for name, piece in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        np.savetxt(tmp_path / f"binarized_mnist_{name}.amat", bits[piece], fmt=number)
    parts = read_path(tmp_path, Options())
    assert (parts.spec.shape, parts.spec.levels) == ((1, 6, 6), 2)
    for split, piece in ((parts.train, TRAIN), (parts.validation, VALID), (parts.test, TEST)):
        assert split is not None
        assert (split.images.reshape(-1, 36) == bits[piece]).all()
    alone = read_path(tmp_path / "binarized_mnist_valid.amat", Options())
    assert (alone.train.images.reshape(-1, 36) == bits[VALID]).all()


@pytest.mark.parametrize("together", ["{}", "{}.npy"])
def test_a_folder_of_npy_files_and_one_of_npz_files(tmp_path: Path, together: str) -> None:
    images, labels = NAMES["Keras"]
    if together == "{}":
        for name, piece in (("train", TRAIN), ("val", VALID), ("test", TEST)):
            np.savez(tmp_path / f"{name}.npz", images=GREY[piece], labels=LABELS[piece])
    else:
        for name, array in pieces(GREY, images, labels).items():
            np.save(tmp_path / together.format(name), array)
    assert_whole(read_path(tmp_path, Options()))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("hundred", "classes"), [(False, 3), (True, 3)])
def test_cifar_as_torchvision_unpacks_it(tmp_path: Path, protocol: int, hundred: bool, classes: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    train = ["train"] if hundred else [f"data_batch_{number}" for number in range(1, 6)]
    label, meta = ("fine_labels", "meta") if hundred else ("labels", "batches.meta")
    each = 10 // len(train)
    for number, name in enumerate([*train, "test" if hundred else "test_batch"]):
        piece = slice(each * number, each * number + (each if number < len(train) else 2))
        content = {
            b"data": images[piece].reshape(-1, 3072),
            label.encode(): [k % classes for k in range(12)[piece]],
            b"filenames": [b"a.png"] * len(images[piece]),
        }
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol))
    (tmp_path / meta).write_bytes(pickle.dumps({label.removesuffix("s").encode() + b"_names": [b"a", b"b", b"c"]}))
    parts = read_path(tmp_path, Options())
    assert parts.class_names == ("a", "b", "c")
    assert (parts.train.images == images[:10]).all()
    assert parts.test is not None
    assert parts.test.labels is not None
    assert parts.test.labels.tolist() == [10 % 3, 11 % 3]
    (tmp_path / train[0]).write_bytes(pickle.dumps({b"data": images[:each].reshape(-1, 3072)}))
    with pytest.raises(BadInput, match=rf"{train[0]} has no {label}, so that it is no batch of CIFAR"):
        read_path(tmp_path, Options())
    (tmp_path / train[0]).write_bytes(pickle.dumps({b"data": images[:1], label.encode(): [1, 2]}))
    with pytest.raises(BadInput, match=rf"{train[0]} has 2 labels for 3072 levels, 3072 an image"):
        read_path(tmp_path, Options())


class Malicious:
    """Whoever loads it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("victim"),)


def test_a_batch_of_cifar_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({b"data": COLOUR, b"fine_labels": [0], b"extra": Malicious()})
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match="train has 1 labels for 972 levels"):
        read_path(tmp_path, Options())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test", "train"]
    for kept in (0, 1, 100, len(content) - 1):
        (tmp_path / "train").write_bytes(content[:kept])
        with pytest.raises(BadInput, match="train is no batch of CIFAR, or a damaged one"):
            read_path(tmp_path, Options())


SUFFIXES = [".png", ".bmp", ".pgm", ".tif", ".webp"]


def write_pictures(folder: Path, names: tuple[str, str, str], images: np.ndarray = GREY, suffix: str = ".png") -> None:
    for name, piece in zip(names, (TRAIN, VALID, TEST), strict=True):
        for number, (image, label) in enumerate(zip(images[piece], LABELS[piece], strict=True)):
            place = folder / name / f"class {label}" / f"{number}{suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place, **({"lossless": True} if suffix == ".webp" else {}))


@pytest.mark.parametrize("most", [2**30, 0], ids=["in memory", "on disk"])
@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("train", "val", "test"),
        ("train", "valid", "test"),
        ("Train", "Valid", "Test"),
        ("training", "dev", "testing"),
        ("TRAINING", "VAL", "TEST"),
    ],
)
def test_usual_names_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str, str], most: int
) -> None:
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
    write_pictures(tmp_path, names)
    parts = read_path(tmp_path, Options())
    assert parts.class_names == ("class 0", "class 1", "class 2")
    for split, piece in ((parts.train, TRAIN), (parts.validation, VALID), (parts.test, TEST)):
        assert split is not None
        order = np.argsort(LABELS[piece], kind="stable")
        assert (split.images[:][:, 0] == GREY[piece][order]).all()
        assert split.labels is not None
        assert split.labels.tolist() == LABELS[piece][order].tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_picture(tmp_path: Path, suffix: str) -> None:
    images = GREY if suffix != ".webp" else COLOUR
    write_pictures(tmp_path, ("train", "val", "test"), images, suffix)
    parts = read_path(tmp_path, Options())
    order = np.argsort(LABELS[TRAIN], kind="stable")
    expected = images[TRAIN][order]
    assert (parts.train.images == (expected[:, None] if images is GREY else np.moveaxis(expected, 3, 1))).all()


# What values of a picture mean: the greatest of all images, the type, what comes of it.
RANGES: list[tuple[str, int, int | str]] = [
    ("u1", 1, 2),
    ("u1", 2, "not 0 to 2, unless you say data.levels=3 if there are no more, data.levels=256 otherwise"),
    ("u1", 63, "data.levels=64"),
    ("u1", 64, 256),
    ("u1", 255, 256),
    ("u2", 1, 2),
    ("u2", 16, "data.levels=17"),
    ("u2", 200, 256),
    ("u2", 255, 256),
    ("u2", 256, "not 0 to 256, unless you say data.levels=512 to take them as they are"),
    ("u2", 1023, "data.levels=1024"),
    ("u2", 4000, "data.levels=4096 to take them as they are .and data.bits=8"),
    ("u2", 2**15 - 1, "data.levels=32768"),
    ("u2", 2**15, 256),
    ("u2", 2**16 - 1, 256),
]


@pytest.mark.parametrize("most", [2**30, 0], ids=["in memory", "on disk"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("kind", "highest", "expected"), RANGES)
def test_values_of_pictures(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    highest: int,
    expected: int | str,
    suffix: str,
    most: int,
) -> None:
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
    values = np.linspace(0, highest, 4).astype(kind)
    for number, value in enumerate(values):
        Image.fromarray(np.full((2, 3), value)).save(tmp_path / f"{number}{suffix}")
    if isinstance(expected, str):
        with pytest.raises(BadInput, match=expected):
            read_path(tmp_path, Options())
    else:
        parts = read_path(tmp_path, Options())
        assert parts.spec.levels == expected
        wide = highest >= 2**15
        assert parts.train.images[:][:, 0, 0, 0].tolist() == [int(value) >> 8 if wide else value for value in values]
        assert bool(parts.notes) == (kind == "u2" or highest == 1)
    said = read_whole(tmp_path, levels=2**16)
    assert said[:, 0, 0, 0].tolist() == values.tolist()
    assert said.dtype == np.uint16
    if highest > 1:
        with pytest.raises(BadInput, match=rf"must hold levels in \[0, {highest}\); one is {highest}"):
            read_whole(tmp_path, levels=highest)


def read_whole(path: Path, *, levels: int) -> np.ndarray:
    return read_path(path, Options(levels=levels)).train.images[:]


def test_wide_pictures_beside_narrow_ones(tmp_path: Path) -> None:
    for number, image in enumerate(
        (np.full((2, 2), 70, "u1"), np.full((2, 2), 0x9012, "u2"), np.full((2, 2), 255, "u1"))
    ):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    assert read_path(tmp_path, Options()).train.images[:, 0, 0, 0].tolist() == [70, 0x90, 255]


def test_what_contradicts_the_sample_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(encoded, "_SAMPLE", 2)
    for number, value in enumerate((0, 1, 7, 1)):
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(tmp_path / f"{number}.png")
    images = read_path(tmp_path, Options()).train.images
    assert images[[0, 1, 3]].max() == 1
    with pytest.raises(BadInput, match=r"2\.png must hold levels in \[0, 2\); one is 7"):
        images[[2]]


@pytest.mark.parametrize("value", [0, 1, 9, 255])
def test_a_single_value_everywhere(tmp_path: Path, value: int) -> None:
    np.save(tmp_path / "own.npy", np.full((3, 4, 4), value, np.uint8))
    Image.fromarray(np.full((2, 2), value, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "pictures/a.png")
    for path in (tmp_path / "own.npy", tmp_path / "pictures"):
        with pytest.raises(
            BadInput, match=f"must hold more than one level, not {value} everywhere, unless data.levels="
        ):
            read_path(path, Options())
        assert read_path(path, Options(levels=256)).spec.levels == 256


def test_black_and_white_of_bytes_needs_bits_not_levels(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", (GREY > 127).astype(np.uint8) * 255)
    with pytest.raises(BadInput, match=r"one is 255 \(for black and white of 0 and 255 say data.bits=1 instead\)"):
        read_path(tmp_path / "own.npy", Options(levels=2))


# Labels: given, first_label, what comes of them (labels and names) or what is said.
LABEL_KINDS: list[tuple[Any, int | None, list[int] | str]] = [
    ([0.0, 1.0, 2.0], None, [0, 1, 2]),
    ([0.5, 1.0, 2.0], None, "must be integers, not float64 values"),
    ([np.nan, 1.0, 2.0], None, "must be integers"),
    ([True, False, True], None, [1, 0, 1]),
    ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], None, [1, 0, 2]),
    ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], None, [1, 0, 1]),
    ([[0, 1], [1, 1], [0, 1]], None, r"must have shape \(3,\)"),
    (["cat", "dog", "cat"], None, [0, 1, 0]),
    ([1, 2, 3], None, "go from 1 to 3, so that class 0 has no images; data.first_label=1 says .* data.first_label=0"),
    ([1, 2, 3], 1, [0, 1, 2]),
    ([1, 2, 3], 0, [1, 2, 3]),
    ([3, 8, 3], None, "data.first_label=3"),
    ([0, 1, 2], 1, "must number classes from data.first_label=1, but go from 0 to 2"),
    ([-1, 1, 1], None, "must number classes from data.first_label=0, but go from -1 to 1"),
    ([-1, 1, 1], -1, [0, 2, 2]),
    ([0, 1, 2**40], None, "must number classes from data.first_label=0, but go from 0 to 1099511627776"),
    (np.array([0, 1, 2**64 - 1], np.uint64), None, "must number classes from 0; one is 18446744073709551615"),
    ([0, 1, 20_000], None, "must number classes from data.first_label=0, but go from 0 to 20000"),
    ([[0, 1, 2]], None, [0, 1, 2]),
]


@pytest.mark.parametrize(("labels", "first", "expected"), LABEL_KINDS, ids=range(len(LABEL_KINDS)))
def test_every_kind_of_label(
    save_arrays: Callable[..., Path], labels: Any, first: int | None, expected: list[int] | str
) -> None:
    path = save_arrays(images=GREY[:3], labels=np.array(labels))
    if isinstance(expected, str):
        with pytest.raises(BadInput, match=expected):
            read_path(path, Options(first_label=first))
        return
    parts = read_path(path, Options(first_label=first))
    assert parts.train.labels is not None
    assert parts.train.labels.dtype == np.int64
    assert parts.train.labels.tolist() == expected
    assert parts.classes == max(expected) + 1
    names = {"cat": ("cat", "dog")}.get(str(labels[0]))
    if first:
        names = tuple(str(first + label) for label in range(max(expected) + 1))
    assert parts.class_names == names


def test_names_of_classes_in_the_file(save_arrays: Callable[..., Path]) -> None:
    arrays = {"images": GREY[:3], "labels": np.array([1, 2, 1])}
    assert read_path(save_arrays(**arrays, class_names=["a", "b", "c"]), Options()).class_names == ("a", "b", "c")
    with pytest.raises(BadInput, match="has 2 class names for labels up to 2"):
        read_path(save_arrays(**arrays, class_names=["a", "b"]), Options(first_label=0))
    with pytest.raises(BadInput, match=r"class_names in .* must differ from each other, not be a, a, b"):
        read_path(save_arrays(**arrays, class_names=["a", "a", "b"]), Options())


# Arrays that could mean two things.
UNCLEAR: list[tuple[Pieces, str]] = [
    ({"test_images": GREY}, r"has no train_images.*, but test_images; data.splits=\{train: NAME"),
    ({"x_val": GREY, "y_val": LABELS}, "has no train_images"),
    (
        {"train_images": GREY, "x_train": GREY},
        r"not one array for the images of train, but train_images, x_train; data.splits=\{train",
    ),
    ({"images": GREY, "x": GREY}, "has not one array for the images of train, but images, x"),
    (
        {"train": GREY, "train_y": LABELS, "train_labels": LABELS},
        "has not one array for the labels of train, but train, train_y, train_labels",
    ),
    (
        {"train_images": GREY, "holdout_images": GREY[:3]},
        r"has no split of the name of holdout_images, which is like its images, .*data.splits=\{",
    ),
    ({"train": GREY, "eval": GREY[:3]}, "has no split of the name of eval, which is like its images"),
    (
        {"train_images": GREY, "train_images_2": GREY},
        "has no split of the name of train_images_2, which is like its images",
    ),
    ({"images": GREY, "other": GREY[:4]}, "has no split of the name of other, which is like its images"),
    ({"a": GREY, "b": GREY}, "has no train_images, images or single array, but a, b; data.splits="),
    ({}, "has no train_images, images or single array, but nothing"),
]


@pytest.mark.parametrize(("arrays", "sentence"), UNCLEAR, ids=range(len(UNCLEAR)))
def test_arrays_that_could_mean_two_things(save_arrays: Callable[..., Path], arrays: Pieces, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_path(save_arrays(**arrays), Options())


def test_splits_say_which_array_is_what(save_arrays: Callable[..., Path]) -> None:
    path = save_arrays(
        a=GREY[TRAIN],
        a_labels=LABELS[TRAIN],
        b=GREY[VALID],
        b_labels=LABELS[VALID],
        test=GREY[TEST],
        y_test=LABELS[TEST],
    )
    assert_whole(read_path(path, Options(splits={"train": "a", "validation": "b", "test": "test"})))
    with pytest.raises(BadInput, match="has no array c, but a, a_labels, b"):
        read_path(path, Options(splits={"train": "c"}))
    with pytest.raises(BadInput, match="A split must be train, validation or test, not 'dev'"):
        Options(splits={"train": "a", "dev": "b"})
    with pytest.raises(BadInput, match="splits must say which is train, not only test"):
        Options(splits={"test": "a"})


def test_what_complete_writes_can_be_read(save_arrays: Callable[..., Path]) -> None:
    path = save_arrays(images=GREY, given=GREY[:3], known=GREY[:3] > 9, levels=256)
    assert read_path(path, Options()).notes == ("arrays left alone: given, known",)


def one(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY[number]).save(folder / name)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ("train/1.png", "cat/2.png"),
            r"has images in train, cat, so that it is not clear which .*; data.splits=.* data.splits=\{\} that all",
        ),
        (("train/1.png", "bus/2.png", "test/3.png"), "has images in test, train, bus, so that it is not clear"),
        (("train/1.png", "val/2.png", "valid/3.png"), "has images in train, val, valid, so that it is not clear"),
        (("Train/1.png", "train/2.png"), "has images in Train, train, so that it is not clear"),
        (
            ("cat/1.png", "dog/2.png", "test/3.png"),
            r"has images in test, cat, dog, so that it is not clear .* data.splits=\{\} that all",
        ),
        (("train/a/1.png", "train/b/1.png", "test/1.png"), r"test/1\.png is in none of the class folders a, b"),
        (("train/a/1.png", "train/b/1.png", "test/c/1.png"), r"test/c/1\.png is in none of the class folders a, b"),
        (("train/a/1.png", "train/b/1.png", "test/A/1.png"), r"test/A/1\.png is in none of the class folders a, b"),
    ],
)
def test_folders_that_could_mean_two_things(tmp_path: Path, names: tuple[str, ...], sentence: str) -> None:
    one(tmp_path, *names)
    with pytest.raises(BadInput, match=sentence):
        read_path(tmp_path, Options())


def test_splits_say_which_folder_is_what(tmp_path: Path) -> None:
    one(tmp_path, "train/1.png", "cat/2.png", "cat/3.png")
    every = read_path(tmp_path, Options(splits={}))
    assert every.class_names == ("cat", "train")
    some = read_path(tmp_path, Options(splits={"train": "cat", "test": "train"}))
    assert some.test is not None
    assert (len(some.train), len(some.test), some.classes) == (2, 1, None)
    with pytest.raises(BadInput, match=r"has no folder dog, which data.splits names"):
        read_path(tmp_path, Options(splits={"train": "dog"}))


def test_what_is_skipped_is_counted_by_suffix(tmp_path: Path) -> None:
    one(tmp_path, "a/1.png", "b/2.png", ".hidden.png", "a/.git/3.png")
    for name in ("a/notes.txt", "b/more.TXT", "a/meta.json", "README"):
        (tmp_path / name).write_text("no image")
    os.mkfifo(tmp_path / "a/pipe.png")
    (tmp_path / "b/gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b/circle").symlink_to(tmp_path)
    (note,) = read_path(tmp_path, Options()).notes
    assert note.startswith("files skipped: 3 links or devices, 2 ")
    for kind in ("2 hidden", "2 .txt", "1 .json", "1 without suffix"):
        assert kind in note


def read_every(parts: Parts) -> None:
    for split in (parts.train, parts.test):
        assert split is not None
        split.images[:]


@pytest.mark.parametrize("most", [2**30, 0], ids=["in memory", "on disk"])
@pytest.mark.parametrize("place", ["train/a/0.png", "train/b/3.png", "test/a/9.png"])
def test_damaged_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, most: int) -> None:
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
    one(tmp_path, "train/a/0.png", "train/a/1.png", "train/b/2.png", "train/b/3.png", "test/a/8.png", "test/a/9.png")
    whole = read_path(tmp_path, Options())
    (tmp_path / place).write_bytes((tmp_path / place).read_bytes()[:60])
    with pytest.raises(BadInput, match=rf"{place} cannot be read as an image \(.*\); data.damaged=skip leaves such"):
        read_every(read_path(tmp_path, Options()))
    parts = read_path(tmp_path, Options(damaged="skip"))
    assert parts.notes[-1].startswith("damaged files left out: 1 (")
    assert place in parts.notes[-1]
    for split, before, name in ((parts.train, whole.train, "train"), (parts.test, whole.test, "test")):
        assert split is not None
        assert before is not None
        assert split.labels is not None
        kept = [
            k for k, image in enumerate(sorted(tmp_path.glob(f"{name}/*/*.png"))) if str(image) != f"{tmp_path}/{place}"
        ]
        assert len(split) == len(split.labels) == len(kept)


def test_folders_in_which_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(BadInput, match="has no image that can be read"):
        read_path(tmp_path, Options(damaged="skip"))


def header(text: str, values: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + values


HOSTILE = [
    header("{'descr': '|u1', 'fortran_order': False, 'shape': (True, 2, 2), }", b"1234"),
    header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 2, 2), }", b"1234"),
    header("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999, 99), }", b"1234"),
    header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2), }", b"1234"),
    header("{'descr': '|V9999999999', 'fortran_order': False, 'shape': (2, 2, 2), }", b"1234"),
    header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2, 2), }", b"cos\nsystem\n."),
    header("{'descr': 'nonsense', 'fortran_order': False, 'shape': (2, 2, 2), }"),
    header("(" * 9_000),
    header(""),
    b"\x93NUMPY\3\0\0\0\0\0",
    b"\x93NUMPY\x09\0",
    b"\x93NUMPY",
    b"",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("most", [2**30, 0], ids=["in memory", "on disk"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_header_that_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, suffix: str, most: int
) -> None:
    monkeypatch.setattr(mapped, "MOST_IN_MEMORY", most)
    path = tmp_path / f"own{suffix}"
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"own\{suffix} "):
        read_path(path, Options())


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_byte_in_any_compression(tmp_path: Path, method: int) -> None:
    np.save(tmp_path / "images.npy", GREY)
    with zipfile.ZipFile(tmp_path / "own.npz", "w", method) as archive:
        archive.write(tmp_path / "images.npy", "images.npy")
    content = (tmp_path / "own.npz").read_bytes()
    assert (read_path(tmp_path / "own.npz", Options()).train.images[:, 0] == GREY).all()
    refused = 0
    for place in range(0, len(content), 5):
        (tmp_path / "own.npz").write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            read_path(tmp_path / "own.npz", Options())
        except BadInput as error:
            refused += "own.npz" in str(error)
    assert refused > 50


def test_gzip_that_unpacks_to_more_than_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "bomb-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 1, 2, 2) + bytes(30_000_000)))
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"is cut off or too long: more values for the shape \(1, 2, 2\)"):
        read_path(path, Options())
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 2**20, 2**20, 2**20)))
    with pytest.raises(BadInput, match="says that it holds 1152921504606846976 values, more than are read"):
        read_path(path, Options())


def test_a_picture_of_too_many_pixels(tmp_path: Path) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match=r"a\.png cannot be read as an image .*169000000 pixels.*decompression bomb"):
        read_path(tmp_path, Options())


def test_what_is_no_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", Path("/dev/zero")):
        with pytest.raises(BadInput, match=f"{path.name} is neither a folder of images nor a file"):
            read_path(path, Options())
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(BadInput, match=r"folder\.npz has no images in it"):
        read_path(tmp_path / "folder.npz", Options())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.pkl", r"load it where you trust it, .* and store numpy.savez\(FILE, images="),
        ("a.h5", r"load it .*, by its own library, and store numpy.savez\(FILE"),
        ("a.zip", "unpack archives"),
        ("a.parquet", "opens as hf:FILE"),
        ("a.tar", "unpack archives; what .*datasets. opens, such as .*webdataset, opens as hf:FILE"),
        ("a", r"nor a file of arrays \(.npz, .npy, .mat, .amat, IDX\)"),
    ],
)
def test_a_file_of_another_kind_is_told_the_way_out(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(BadInput, match=rf"{name} is neither a folder of images .*{sentence}"):
        read_path(tmp_path / name, Options())


def test_text_that_is_cut_off(tmp_path: Path) -> None:
    for content in (b" \n", b"1 0 1 1\n1 0 a 1", b"1 0 1 1\n1 0 1"):
        (tmp_path / "own.amat").write_bytes(content)
        with pytest.raises(BadInput, match=r"own\.amat"):
            read_path(tmp_path / "own.amat", Options())
