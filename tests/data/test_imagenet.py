from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nextpixel.data import open_data
from nextpixel.data.catalogue import IMAGENET_FILES, find_imagenet, load_imagenet
from nextpixel.data.lazy import Lazy, View
from nextpixel.data.opening import cut
from nextpixel.data.readers import encoded
from nextpixel.errors import BadInput

SIZE = 3 * 32 * 32
*TRAIN_FILES, TEST_FILE = IMAGENET_FILES
TRAIN = np.random.default_rng(0).integers(0, 256, (40, SIZE), dtype=np.uint8)
TRAIN_LABELS = np.arange(40) * 25 + 1
TEST = np.random.default_rng(1).integers(0, 256, (5, SIZE), dtype=np.uint8)
TEST_LABELS = np.array([1000, 1, 2, 3, 4])
Save = Callable[..., Path]


@pytest.fixture(params=["stored", "compressed"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data root with the eleven files, tiny."""
    folder = tmp_path / "root/imagenet32"
    folder.mkdir(parents=True)
    save = np.savez if request.param == "stored" else np.savez_compressed
    for number, name in enumerate(TRAIN_FILES):
        piece = slice(4 * number, 4 * number + 4)
        save(folder / name, data=TRAIN[piece], labels=TRAIN_LABELS[piece], mean=TRAIN.mean(axis=0))
    save(folder / TEST_FILE, data=TEST, labels=TEST_LABELS)
    return tmp_path / "root"


def replace_batch(root: Path, name: str, **arrays: Any) -> None:
    np.savez(root / "imagenet32" / name, **arrays)


def test_all_batches_are_one_source(root: Path) -> None:
    found = load_imagenet(32, root)
    assert (found.spec.shape, found.spec.levels, found.classes) == ((3, 32, 32), 256, 1000)
    assert found.validation is None
    assert found.test is not None
    for split, images, labels in ((found.train, TRAIN, TRAIN_LABELS), (found.test, TEST, TEST_LABELS)):
        assert isinstance(split.images, View)
        assert len(split) == len(images)
        assert (split.images[:] == images.reshape(-1, 3, 32, 32)).all()
        assert split.labels is not None
        assert (split.labels == labels - 1).all()


def test_images_stay_on_disk_whatever_is_cut_reduced_and_limited(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = View.read

    def counting(self: View, indices: np.ndarray) -> np.ndarray:
        read.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(View, "read", counting)
    data = open_data("imagenet32", root, validation=10, bits=3, limit=25)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [25, 10, 5]
    assert data.spec.levels == 8
    assert all(isinstance(split.images, Lazy) for split in (data.train, data.validation, data.test))
    assert read == []
    images, labels = data.test.batch([4, 0], np.random.default_rng(0))
    assert read == [2]
    assert (images.numpy() == TEST[[4, 0]].reshape(-1, 3, 32, 32) // 32).all()
    assert labels is not None
    assert labels.tolist() == [3, 999]


def test_a_cut_has_the_images_and_labels_of_one_in_memory(root: Path) -> None:
    lazy = cut(load_imagenet(32, root), "lazy", validation=10, test=5)
    numbers = {image.tobytes(): label for image, label in zip(TRAIN, TRAIN_LABELS - 1, strict=True)}
    seen = []
    for split in (lazy.train, lazy.validation):
        assert split.labels is not None
        for image, label in zip(split.images[:], split.labels, strict=True):
            assert numbers[image.tobytes()] == label
            seen.append(image.tobytes())
    assert sorted(seen) == sorted(numbers)


def test_the_official_number_of_validation_images_is_asked_for(root: Path) -> None:
    with pytest.raises(BadInput, match="imagenet32 has 40 training images, too few to set 10000 aside for validation"):
        open_data("imagenet32", root)


@pytest.mark.parametrize("names", [("train", "val"), ("train_32x32", "valid_32x32")])
@pytest.mark.parametrize("most", [2**30, 0], ids=["in memory", "on disk"])
def test_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str], most: int) -> None:
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
    for name, images in zip(names, (TRAIN[:3], TEST[:2]), strict=True):
        (tmp_path / "imagenet32" / name).mkdir(parents=True)
        for number, image in enumerate(images.reshape(-1, 3, 32, 32)):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "imagenet32" / name / f"{number}.png")
    found = load_imagenet(32, tmp_path)
    assert found.classes is None
    assert found.validation is None
    assert found.test is not None
    assert isinstance(found.train.images, Lazy) == (most == 0)
    assert (found.train.images[:] == TRAIN[:3].reshape(-1, 3, 32, 32)).all()
    assert (found.test.images[:] == TEST[:2].reshape(-1, 3, 32, 32)).all()


def test_images_of_another_size(tmp_path: Path) -> None:
    for name in ("train", "val"):
        (tmp_path / "imagenet64" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "imagenet64" / name / "1.png")
    for number in range(3):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"imagenet64/train/{number}.png")
    with pytest.raises(BadInput, match=r"imagenet64 has images 3x32x32 with 256 levels, not 3x64x64 with 256 levels"):
        open_data("imagenet64", tmp_path, validation=1)


@pytest.mark.parametrize("size", [32, 64])
def test_nothing_there_says_what_to_do(tmp_path: Path, size: int) -> None:
    where = (
        rf"imagenet{size} cannot be downloaded without an account: get train_data_batch_1.npz to 10\.npz and val_data"
    )
    with pytest.raises(BadInput, match=rf"{where}.*, from https://image-net.org/.*, to put in .*/imagenet{size}\."):
        open_data(f"imagenet{size}", tmp_path)
    with pytest.raises(BadInput, match=rf"{where}.*, to put in NEXTPIXEL_DATA/imagenet{size}\."):
        open_data(f"imagenet{size}")
    (tmp_path / f"imagenet{size}/train").mkdir(parents=True)
    with pytest.raises(BadInput, match=where):
        open_data(f"imagenet{size}", tmp_path)


@pytest.mark.parametrize("name", [TRAIN_FILES[6], TEST_FILE])
def test_a_missing_file_is_named(root: Path, name: str) -> None:
    (root / "imagenet32" / name).unlink()
    with pytest.raises(BadInput, match=rf"{name} is missing; get it from https://image-net.org/"):
        load_imagenet(32, root)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"data": TRAIN[:4]}, "has no array labels"),
        ({"labels": TRAIN_LABELS[:4]}, "has no array data"),
        ({"data": TRAIN[:4, 1:], "labels": TRAIN_LABELS[:4]}, r"uint8 values of shape \(N, 3072\), not .* \(4, 3071\)"),
        ({"data": TRAIN[:4].astype(float), "labels": TRAIN_LABELS[:4]}, "not float64 values of shape"),
        ({"data": TRAIN[:4], "labels": TRAIN_LABELS[:3]}, r"must have shape \(4,\), one for each image, not \(3,\)"),
        ({"data": TRAIN[:4], "labels": TRAIN_LABELS[:4] / 2}, "must be integers, not float64"),
        ({"data": TRAIN[:4], "labels": np.array([0, 1, 2, 3])}, "has labels from 0 to 3, not from 1 to 1000"),
        ({"data": TRAIN[:4], "labels": np.array([1, 1001, 2, 3])}, "has labels from 1 to 1001, not from 1 to 1000"),
        ({"data": TRAIN[:0], "labels": TRAIN_LABELS[:0]}, r"not uint8 values of shape \(0, 3072\)"),
    ],
)
def test_a_batch_that_does_not_fit(root: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    replace_batch(root, TRAIN_FILES[3], **arrays)
    with pytest.raises(BadInput, match=rf"{TRAIN_FILES[3]} .*{sentence}|{TRAIN_FILES[3]} {sentence}"):
        load_imagenet(32, root)


def test_where_it_is(root: Path, tmp_path: Path) -> None:
    assert find_imagenet(32, root) == f"in the data root, {root / 'imagenet32'}"
    assert find_imagenet(64, root) == f"to be got by hand: put it in {root / 'imagenet64'}"
    assert find_imagenet(64, None) == "to be got by hand: put it in NEXTPIXEL_DATA/imagenet64"
    for name in ("train", "val"):
        (tmp_path / "imagenet64" / name).mkdir(parents=True)
    assert find_imagenet(64, tmp_path) == f"in the data root, {tmp_path / 'imagenet64'}"
