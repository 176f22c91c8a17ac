import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextpixel.data.lazy import Lazy
from nextpixel.data.readers import encoded
from nextpixel.data.readers.encoded import read_pixels
from nextpixel.data.readers.folder import IMAGE_SUFFIXES, read_folder, read_picture
from nextpixel.data.readers.options import Options
from nextpixel.errors import BadInput

SavePicture = Callable[..., Path]


def read_image(path: Path, levels: int | None = None) -> np.ndarray:
    return read_picture(path, Options(levels=levels, like={"levels": 256})).train.images[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `save_picture` writes."""
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_format(save_picture: SavePicture, suffix: str) -> None:
    colour = suffix in (".gif", ".ppm", ".webp")
    mode, color = ("RGB", (9, 9, 9)) if colour else ("1", 1) if suffix == ".pbm" else ("L", 9)
    image = read_image(save_picture(f"a{suffix}", mode=mode, color=color))
    assert image.dtype == np.uint8
    assert image.shape == (3 if colour else 1, 3, 4)
    assert np.unique(image).tolist() == [255 if mode == "1" else 9]


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 200, [200]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("1", 1, [255]),
        ("I;16", 0x9234, [0x92]),
        ("I;16", 0x34, [0x34]),
        ("I;16", 0xFFFF, [255]),
        ("P", 0, [0, 0, 0]),
        ("LA", (100, 255), [100]),
        ("LA", (100, 0), [255]),
        ("RGBA", (1, 2, 3, 255), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
    ],
)
def test_every_kind_of_pixel(
    save_picture: SavePicture, mode: str, color: int | tuple[int, ...], expected: list[int]
) -> None:
    image = read_image(save_picture("a.png", mode=mode, color=color))
    assert (image == np.array(expected, np.uint8)[:, None, None]).all()


def test_a_grey_gif_is_colour_whatever_its_palette(folder: Path) -> None:
    """Else a folder of them would be half grey, half colour: pillow tells by the palette."""
    for name, levels in (("all.gif", np.arange(256)), ("few.gif", np.arange(256) // 64)):
        Image.fromarray(levels.astype(np.uint8).reshape(16, 16)).save(folder / name)
        assert (read_image(folder / name) == levels.reshape(16, 16)).all()
        assert read_image(folder / name).shape == (3, 16, 16)


def test_cmyk_becomes_rgb(save_picture: SavePicture) -> None:
    assert read_image(save_picture("a.tif", mode="CMYK", color=(0, 0, 0, 0))).tolist() == [[[255] * 4] * 3] * 3


def test_transparency_of_a_palette_is_laid_over_white(folder: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    picture.save(folder / "a.png", transparency=0)
    assert read_image(folder / "a.png")[:, 0].T.tolist() == [[255, 255, 255], [40, 50, 60]]


def test_the_camera_s_rotation_is_done(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("L", (4, 3)).save(folder / "a.png", exif=exif)
    assert read_image(folder / "a.png").shape == (1, 4, 3)


def test_files_go_by_the_alphabet(save_picture: SavePicture, folder: Path) -> None:
    for name, color in (("b.png", 2), ("c/a.png", 3), ("a.PNG", 1), (".hidden.png", 9), (".hidden/a.png", 9)):
        save_picture(name, color=color)
    (folder / "notes.txt").write_text("no image")
    parts = read_folder(folder, Options(levels=256))
    assert parts.spec.shape == (1, 3, 4)
    assert parts.spec.levels == 256
    assert parts.classes is None
    assert parts.train.labels is None
    assert parts.train.images[:, 0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_splits_and_classes(save_picture: SavePicture, folder: Path, validation: str) -> None:
    for name in ("train/dog/1.png", "train/cat/2.png", f"{validation}/dog/3.png", "test/cat/deeper/4.png"):
        save_picture(name, mode="RGB", color=(int(name[-5]), 0, 0))
    parts = read_folder(folder, Options(levels=256))
    assert parts.classes == 2
    assert parts.validation is not None
    assert parts.test is not None
    for split, levels, labels in (
        (parts.train, [2, 1], [0, 1]),
        (parts.validation, [3], [1]),
        (parts.test, [4], [0]),
    ):
        assert split.images[:, 0, 0, 0].tolist() == levels
        assert split.labels is not None
        assert split.labels.tolist() == labels


def test_classes_without_splits(save_picture: SavePicture, folder: Path) -> None:
    for name in ("b/1.png", "a/2.png", "b/3.png"):
        save_picture(name)
    parts = read_folder(folder, Options(levels=256))
    assert parts.train.labels is not None
    assert parts.train.labels.tolist() == [0, 1, 1]


def test_an_empty_folder(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(BadInput, match=r"pictures has no images in it \(.bmp, .gif"):
        read_folder(folder)


def test_an_empty_split(save_picture: SavePicture, folder: Path) -> None:
    save_picture("train/a.png")
    (folder / "test").mkdir()
    with pytest.raises(BadInput, match="test has no images in it"):
        read_folder(folder)


def test_a_test_split_alone(save_picture: SavePicture, folder: Path) -> None:
    save_picture("test/a.png")
    with pytest.raises(
        BadInput, match=r"pictures has images in test, so that it is not clear which are splits; data.splits="
    ):
        read_folder(folder)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"size": (5, 3)}, "b.png is 5x3 in grey, but .*a.png is 4x3 in grey; all images must be alike"),
        ({"size": (3, 4)}, "b.png is 3x4 in grey, but .*a.png is 4x3 in grey"),
        ({"mode": "RGB", "color": (1, 1, 1)}, "b.png is 4x3 in colour, but .*a.png is 4x3 in grey"),
    ],
)
@pytest.mark.parametrize("below", ["", "test/"])
def test_images_that_differ(
    save_picture: SavePicture, folder: Path, other: dict[str, object], sentence: str, below: str
) -> None:
    save_picture("train/a.png" if below else "a.png")
    save_picture(f"{below}b.png", **other)
    with pytest.raises(BadInput, match=sentence):
        read_folder(folder)


@pytest.mark.parametrize("name", ["c.png", "c/1.png"])
def test_an_image_outside_the_classes(save_picture: SavePicture, folder: Path, name: str) -> None:
    for path in ("train/a/1.png", "train/b/2.png", f"test/{name}"):
        save_picture(path)
    with pytest.raises(BadInput, match=f"{name} is in none of the class folders a, b"):
        read_folder(folder, Options(levels=256))


@pytest.mark.parametrize("kept", [0, 20, 60])
def test_a_damaged_image(save_picture: SavePicture, folder: Path, kept: int) -> None:
    save_picture("a.png")
    path = save_picture("b.png", size=(40, 30))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"b\.png cannot be read as an image"):
        read_folder(folder)


def test_another_file_named_like_an_image(folder: Path) -> None:
    (folder / "a.png").write_text("I am no image.")
    with pytest.raises(BadInput, match=r"a\.png cannot be read as an image"):
        read_folder(folder)


def test_an_image_too_large_to_be_true(save_picture: SavePicture) -> None:
    path = save_picture("a.bmp")
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<2i", 60_000, 60_000)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.bmp cannot be read as an image .*decompression bomb"):
        read_image(path)


@pytest.mark.parametrize(
    ("mode", "color", "sentence"),
    [
        ("F", 0.5, "a.tif has float32 pixels from 0.5 to 0.5, not whole numbers of 8 or 16 bits"),
        ("I", -1, "a.tif has int32 pixels from -1 to -1, not whole numbers of 8 or 16"),
        ("I", 2**16, "a.tif has int32 pixels from 65536 to 65536, not whole numbers of 8 or 16"),
    ],
)
def test_pixels_that_are_no_levels(save_picture: SavePicture, mode: str, color: float, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_image(save_picture("a.tif", mode=mode, color=color))


@pytest.mark.parametrize(("most", "stays"), [(6 * 12 - 1, True), (6 * 12, False)])
def test_a_large_folder_is_read_when_it_is_indexed(
    save_picture: SavePicture, folder: Path, monkeypatch: pytest.MonkeyPatch, most: int, stays: bool
) -> None:
    for name in ("train/a/1.png", "train/b/2.png", "train/b/3.png", "val/a/4.png", "test/b/5.png", "test/a/6.png"):
        save_picture(name, color=int(name[-5]))
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
    read: list[str] = []
    monkeypatch.setattr(encoded, "read_pixels", lambda file, name: read.append(name.name) or read_pixels(file, name))
    parts = read_folder(folder, Options(levels=256))
    assert isinstance(parts.train.images, Lazy) == stays
    assert read == (["1.png", "4.png", "6.png"] if stays else ["1.png", "2.png", "3.png", "4.png", "6.png", "5.png"])
    assert parts.spec.shape == (1, 3, 4)
    assert parts.train.labels is not None
    assert parts.train.labels.tolist() == [0, 1, 1]
    read.clear()
    assert parts.test is not None
    assert parts.test.images[[1]].tolist() == [[[[5] * 4] * 3]]
    assert read == (["5.png"] if stays else [])


def test_an_image_of_a_large_folder_that_differs(
    save_picture: SavePicture, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_picture("a.png")
    save_picture("b.png", size=(5, 3))
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", 0)
    images = read_folder(folder, Options(levels=256)).train.images
    assert images[[0]].shape == (1, 1, 3, 4)
    with pytest.raises(BadInput, match=r"b\.png is 5x3 in grey, but .*a\.png is 4x3 in grey; all images must be alike"):
        images[[0, 1]]


def test_folders_come_before_what_their_names_begin(save_picture: SavePicture, folder: Path) -> None:
    for color, name in enumerate(("a/x.png", "a/y.png", "a-b/x.png", "a.png")):
        save_picture(name, color=color)
    (folder / "link").symlink_to(folder / "a", target_is_directory=True)
    (folder / "a" / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "a.png").rename(folder / "a-b/z.png")
    parts = read_folder(folder, Options(levels=256))
    assert parts.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 0, 1]
    assert parts.classes == 3
