import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextpixel.data.readers.mapped import load_array
from nextpixel.errors import BadInput

DATA = np.random.default_rng(0).integers(0, 9, (50, 12), dtype=np.uint8)
Write = Callable[..., Path]


def map_array(path: Path, name: str) -> np.ndarray:
    return load_array(path, name, most=0)


def read_array(path: Path, name: str) -> np.ndarray:
    return load_array(path, name, most=2**20)


@pytest.fixture(params=["stored", "compressed"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Write an npz file; returns its path."""

    def save(**arrays: Any) -> Path:
        path = tmp_path / "batch.npz"
        (np.savez if request.param == "stored" else np.savez_compressed)(path, **arrays)
        return path

    return save


def test_an_array_is_mapped(write: Write) -> None:
    path = write(mean=np.zeros(3), data=DATA, labels=np.arange(50))
    for name, expected in (("data", DATA), ("labels", np.arange(50)), ("mean", np.zeros(3))):
        found = map_array(path, name)
        assert isinstance(found, np.memmap)
        assert found.dtype == expected.dtype
        assert (found == expected).all()
        assert (read_array(path, name) == expected).all()


def test_one_that_is_stored_needs_no_cache(tmp_path: Path, cache: Path) -> None:
    np.savez(tmp_path / "batch.npz", data=DATA)
    assert (map_array(tmp_path / "batch.npz", "data") == DATA).all()
    assert not cache.exists()


def test_one_that_is_compressed_is_unpacked_once(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "batch.npz"
    np.savez_compressed(path, data=DATA)
    first = map_array(path, "data")
    (unpacked,) = (cache / "nextpixel/unpacked").iterdir()
    assert unpacked.name.startswith("batch-")
    written = unpacked.stat().st_mtime_ns
    (tmp_path / "elsewhere").mkdir()
    again = map_array(path.rename(tmp_path / "elsewhere" / path.name), "data")
    assert (first == DATA).all()
    assert (again == DATA).all()
    assert unpacked.stat().st_mtime_ns == written


def test_another_file_of_that_name_is_unpacked_anew(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "batch.npz"
    for data in (DATA, DATA + 1):
        np.savez_compressed(path, data=data)
        assert (map_array(path, "data") == data).all()
    assert len(list((cache / "nextpixel/unpacked").iterdir())) == 2


def test_an_unpacked_file_that_was_cut_is_made_again(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "batch.npz"
    np.savez_compressed(path, data=DATA)
    map_array(path, "data")
    (unpacked,) = (cache / "nextpixel/unpacked").iterdir()
    unpacked.write_bytes(unpacked.read_bytes()[:-1])
    assert (map_array(path, "data") == DATA).all()


def test_an_array_that_is_not_there(write: Write) -> None:
    path = write(data=DATA)
    for read in (map_array, read_array):
        with pytest.raises(BadInput, match=r"batch\.npz has no array labels\."):
            read(path, "labels")


def test_python_objects_are_never_loaded(write: Write) -> None:
    path = write(data=np.array([{}, []], object))
    for read in (map_array, read_array):
        found = read(path, "data")
        assert (found.dtype, found.size) == (np.dtype(object), 0)


def test_an_array_by_columns_is_mapped(write: Write) -> None:
    assert (map_array(write(data=np.asfortranarray(DATA)), "data") == DATA).all()


@pytest.mark.parametrize("kept", [0, 10, 300, -30, -1])
def test_a_file_that_is_cut_off(write: Write, cache: Path, kept: int) -> None:
    path = write(data=DATA)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"batch\.npz is damaged: its array data cannot be read"):
        map_array(path, "data")
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, DATA)
    with zipfile.ZipFile(tmp_path / "batch.npz", "w") as archive:
        archive.writestr("data.npy", file.getvalue().replace(b"(50, 12)", b"(51, 12)"))
    with pytest.raises(BadInput, match=r"600 bytes for uint8 values of shape \(51, 12\)"):
        map_array(tmp_path / "batch.npz", "data")


def test_a_damaged_byte_is_one_sentence_or_nothing(write: Write) -> None:
    path = write(data=DATA)
    whole = path.read_bytes()
    sentences: list[str] = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            map_array(path, "data")
        except BadInput as error:
            sentences.append(str(error))
    assert sentences
    assert all("batch.npz" in sentence for sentence in sentences)


def test_a_cache_that_cannot_be_written(tmp_path: Path, cache: Path) -> None:
    np.savez_compressed(tmp_path / "batch.npz", data=DATA)
    cache.write_text("a file where the folder should be")
    with pytest.raises(BadInput, match=r"batch\.npz cannot be unpacked into .*unpacked: Not a directory\."):
        map_array(tmp_path / "batch.npz", "data")
