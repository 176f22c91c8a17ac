"""Pictures of mixed sizes and colours become images of one size; bombs do not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextpixel.data.readers import Options, read_path
from nextpixel.errors import BadInput

NOISE = np.random.default_rng(0)


def _png(path: Path, levels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("fit", "count"), [("crop", 6), ("pad", 6), ("stretch", 6), ("tiles", 10)])
def test_pictures_of_mixed_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_disk: bool, fit: str, count: int
) -> None:
    if on_disk:
        monkeypatch.setattr("nextpixel.data.readers.encoded.MOST_IN_MEMORY", 0)
    sizes = [(8, 8), (9, 17), (20, 8), (8, 30), (16, 16), (5, 5)]
    for number, (height, width) in enumerate(sizes):
        shape = (height, width, 3) if number % 2 else (height, width)
        _png(tmp_path / "a" / f"{number}.png", NOISE.integers(0, 256, shape, dtype=np.uint8))
    with pytest.raises(
        BadInput, match=r"1.png is 17x9 in colour, but .*0.png is 8x8 in grey; .* data.size=32 .*channels=3"
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


def test_a_bomb_of_pixels(tmp_path: Path) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(BadInput, match=r"a.png cannot be read as an image .*exceeds limit"):
            read_path(path, Options())


@pytest.mark.parametrize(("like", "highest", "levels", "shift"), [
    (256, 5, 256, 0), (256, 0, 256, 0), (2, 1, 2, 0), (2, 255, 256, 0), (8, 5, 256, 0), (8, 255, 256, 0),
    (256, 200, 256, 0), (256, 65_535, 256, 8), (4_096, 4_095, 4_096, 0), (65_536, 65_535, 65_536, 0),
])  # fmt: skip
def test_a_picture_for_a_model(tmp_path: Path, like: int, highest: int, levels: int, shift: int) -> None:
    dtype = np.uint16 if highest > 255 or like > 256 else np.uint8
    pixels = np.full((3, 4), highest, dtype)
    for parts in (
        read_path(_png(tmp_path / "a.png", pixels), Options(like={"levels": like})),
        read_path(_png(tmp_path / "b" / "a.png", pixels).parent, Options(like={"levels": like})),
    ):
        assert parts.spec.levels == levels
        assert (parts.train.images == highest >> shift).all()
