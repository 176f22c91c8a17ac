import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nextpixel.data.readers.idx import read_idx
from nextpixel.errors import BadInput

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = b"\0\0\x08\x03" + struct.pack(">3I", *IMAGES.shape) + IMAGES.tobytes()
ZIPPED = gzip.compress(CONTENT, mtime=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some-idx3-ubyte"


@pytest.mark.parametrize("content", [CONTENT, ZIPPED], ids=["plain", "gzip"])
def test_images_are_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    images = read_idx(path)
    assert (images == IMAGES).all()
    assert images.flags.writeable


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not an IDX file of unsigned bytes: it begins with nothing"),
        (b"\x89PNG....", "is not an IDX file of unsigned bytes: it begins with 89 50 4e 47"),
        (
            b"\0\0\x0d\x03" + CONTENT[4:],
            "is not an IDX file of unsigned bytes: it begins with 00 00 0d 03, not 00 00 08",
        ),
        (b"\0\0\x08\x01" + CONTENT[4:], r"is cut off or too long: more values for the shape \(2,\)"),
        (b"\0\0\x08\x46" + b"\0\0\0\1" * 70 + b"!", r"is damaged or cannot be read \(maximum supported dimension"),
        (CONTENT[:10], "is damaged or cannot be read"),
        (CONTENT[:-1], r"is cut off or too long: 23 values for the shape \(2, 3, 4\)"),
        (CONTENT + b"!", r"is cut off or too long: more values for the shape \(2, 3, 4\)"),
        (ZIPPED[:-9], "is damaged or cannot be read"),
        (ZIPPED[:15] + b"????" + ZIPPED[19:], "is damaged or cannot be read"),
        (ZIPPED[:-8] + b"????" + ZIPPED[-4:], "is damaged or cannot be read"),
    ],
)
def test_a_bad_file_is_named(path: Path, content: bytes, sentence: str) -> None:
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"some-idx3-ubyte {sentence}"):
        read_idx(path)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(BadInput, match=r"some-idx3-ubyte is damaged or cannot be read \(No such file"):
        read_idx(path)
