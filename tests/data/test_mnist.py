import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nextpixel.data.catalogue import load_mnist, painted
from nextpixel.data.download import SOURCES, Source
from nextpixel.errors import BadInput


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def files() -> dict[str, bytes]:
    """A tiny MNIST: 6 training and 2 test images."""
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28))
    labels = np.arange(8)
    return {
        "train-images-idx3-ubyte.gz": idx(images[:6]),
        "train-labels-idx1-ubyte.gz": idx(labels[:6]),
        "t10k-images-idx3-ubyte.gz": idx(images[6:]),
        "t10k-labels-idx1-ubyte.gz": idx(labels[6:]),
    }


def source(files: dict[str, bytes], *mirrors: str) -> Source:
    return Source("Tiny/raw", mirrors, {file: hashlib.sha256(content).hexdigest() for file, content in files.items()})


def write(files: dict[str, bytes], root: Path) -> Path:
    (root / "Tiny/raw").mkdir(parents=True)
    for file, content in files.items():
        (root / "Tiny/raw" / file).write_bytes(content)
    return root


def test_the_four_files_are_read(files: dict[str, bytes], tmp_path: Path) -> None:
    found = load_mnist(source(files), write(files, tmp_path / "root"))
    assert found.spec.shape == (1, 28, 28)
    assert found.spec.levels == 256
    assert found.classes == 10
    assert found.validation is None
    assert found.train.images.shape == (6, 1, 28, 28)
    assert found.train.labels is not None
    assert found.train.labels.tolist() == list(range(6))
    assert found.test is not None
    assert found.test.labels is not None
    assert found.test.labels.tolist() == [6, 7]


def test_the_four_files_are_downloaded(
    files: dict[str, bytes], cache: Path, serve: Callable[[dict[str, bytes]], str]
) -> None:
    address = serve(files)
    found = load_mnist(source(files, f"{address}absent/", f"{address}good/"), None)
    assert len(found.train) == 6
    assert sorted(path.name for path in (cache / "nextpixel/Tiny/raw").iterdir()) == sorted(files)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (
            "train-images-idx3-ubyte.gz",
            np.zeros((6, 27, 28)),
            r"raw has test images of shape \(1, 28, 28\) and training",
        ),
        ("t10k-images-idx3-ubyte.gz", np.zeros((0, 28, 28)), r"t10k-images in .*raw must have .*, not \(0, 28, 28\)"),
        ("train-labels-idx1-ubyte.gz", np.zeros(5), r"train labels of .*raw must have shape \(6,\), .* not \(5,\)"),
        ("t10k-labels-idx1-ubyte.gz", np.array([3, 10]), "raw has 10 class names for labels up to 10"),
    ],
)
def test_files_that_do_not_fit(
    files: dict[str, bytes], tmp_path: Path, file: str, content: np.ndarray, sentence: str
) -> None:
    root = write(files | {file: idx(content)}, tmp_path / "root")
    with pytest.raises(BadInput, match=sentence):
        load_mnist(source(files), root)


@pytest.mark.parametrize("published", [SOURCES["mnist"], SOURCES["fashion-mnist"]], ids=["mnist", "fashion"])
def test_the_published_sources_are_complete(files: dict[str, bytes], published: Source) -> None:
    assert set(published.hashes) == set(files)
    assert len(published.mirrors) == 2
    assert all(mirror.endswith("/") for mirror in published.mirrors)
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in published.hashes.values())


def test_coloured_digits_are_the_bright_pixels(files: dict[str, bytes], tmp_path: Path) -> None:
    root = write(files, tmp_path / "root")
    grey = load_mnist(source(files), root)
    coloured = painted(grey, 1, 2, above=127)
    assert (coloured.spec.shape, coloured.spec.levels, coloured.classes) == ((3, 28, 28), 4, 10)
    for plain, found in ((grey.train, coloured.train), (grey.test, coloured.test)):
        assert plain is not None
        assert found is not None
        assert found.images.max() <= 3
        for one, image in zip(plain.images[:, 0] > 127, found.images, strict=True):
            ones, zeros = (np.unique(image[:, some], axis=1) for some in (one, ~one))
            assert ones.shape == zeros.shape == (3, 1)
            assert (ones != zeros).any()
        assert found.labels is not None
        assert plain.labels is not None
        assert found.labels.tolist() == plain.labels.tolist()


def test_where_the_files_are(files: dict[str, bytes], tmp_path: Path, cache: Path) -> None:
    given, root = source(files), write(files, tmp_path / "root")
    assert given.whereabouts(root) == f"in the data root, {root / 'Tiny/raw'}"
    assert given.whereabouts(None) == "not here yet, to be downloaded when first opened"
    first, *others = files
    (cache / "nextpixel/Tiny/raw").mkdir(parents=True)
    (root / "Tiny/raw" / first).rename(cache / "nextpixel/Tiny/raw" / first)
    assert given.whereabouts(root) == f"in the cache, {cache / 'nextpixel/Tiny/raw'}"
    (root / "Tiny/raw" / others[0]).unlink()
    assert given.whereabouts(root) == "not here yet, to be downloaded when first opened"
