"""Masks of every common kind mean what people mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nextpixel.cli.drawing import known_pixels
from nextpixel.errors import BadInput

HOLE = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 1]], bool)
IMAGES = torch.zeros(3, 3, 4, 6, dtype=torch.long)

Draw = Callable[[np.ndarray], Image.Image]


def grey(low: int, high: int, dtype: str = "uint8") -> Draw:
    return lambda mask: Image.fromarray(np.where(mask, high, low).astype(dtype))


def with_alpha(mode: str, colour: int, low: int = 0) -> Draw:
    def draw(mask: np.ndarray) -> Image.Image:
        picture = Image.new(mode.removesuffix("A"), mask.shape[::-1], colour if mode == "LA" else (colour,) * 3)
        picture.putalpha(grey(low, 255)(mask))
        return picture

    return draw


def palette(mask: np.ndarray) -> Image.Image:
    picture = Image.fromarray(mask.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 128, 0, 0])  # as tools for segmentation write them
    return picture


def transparent_palette(mask: np.ndarray) -> Image.Image:
    picture = palette(mask)
    picture.info["transparency"] = b"\x00\xff"
    return picture


def coloured(low: tuple[int, ...], high: tuple[int, ...]) -> Draw:
    return lambda mask: Image.fromarray(np.where(mask[..., None], high, low).astype(np.uint8))


KINDS: dict[str, tuple[str, Draw]] = {
    "black and white": ("png", grey(0, 255)),
    "levels 0 and 1": ("png", grey(0, 1)),
    "dark greys": ("png", grey(3, 90)),
    "one bit": ("png", lambda mask: Image.fromarray(mask)),
    "one bit TIFF": ("tiff", lambda mask: Image.fromarray(mask)),
    "16 bits": ("png", grey(0, 65535, "uint16")),
    "16 bits of 0 and 1": ("png", grey(0, 1, "uint16")),
    "16 bits TIFF": ("tiff", grey(0, 4095, "uint16")),
    "16 bits of bright greys": ("png", grey(1000, 60000, "uint16")),
    "floats below one": ("tiff", lambda mask: Image.fromarray(np.where(mask, 0.8, 0.2).astype("float32"))),
    "floats": ("tiff", grey(0, 1, "float32")),
    "palette": ("png", palette),
    "GIF": ("gif", grey(0, 255)),
    "BMP": ("bmp", grey(0, 255)),
    "transparent palette": ("png", transparent_palette),
    "black with a hole": ("png", with_alpha("RGBA", 0)),
    "white with a hole": ("png", with_alpha("RGBA", 255)),
    "grey with a hole": ("png", with_alpha("LA", 128)),
    "half transparent": ("png", with_alpha("LA", 0, low=100)),
    "opaque": ("png", lambda mask: grey(0, 255)(mask).convert("RGBA")),
    "red on black": ("png", coloured((0, 0, 0), (255, 0, 0))),
    "blue on black": ("png", coloured((0, 0, 0), (0, 0, 255))),
    "white on red": ("png", coloured((255, 0, 0), (255, 255, 255))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures(kind: str, tmp_path: Path) -> None:
    suffix, draw = KINDS[kind]
    path = tmp_path / f"mask.{suffix}"
    draw(HOLE).save(path)
    known = known_pixels(str(path), IMAGES, seed=0)
    assert known.shape == (3, 1, 4, 6)
    assert (known.numpy() == HOLE).all()


def test_a_jpeg_with_its_noise(tmp_path: Path) -> None:
    mask = HOLE.repeat(11, 0).repeat(11, 1)
    grey(0, 255)(mask).save(tmp_path / "mask.jpg", quality=40)
    assert len(np.unique(np.asarray(Image.open(tmp_path / "mask.jpg")))) > 2
    assert (known_pixels(str(tmp_path / "mask.jpg"), torch.zeros(1, 1, 44, 66), seed=0)[0, 0].numpy() == mask).all()


EACH = np.stack([HOLE, ~HOLE, HOLE])
SHAPES: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "one": (HOLE, HOLE[None, None]),
    "one, three axes": (HOLE[None], HOLE[None, None]),
    "each": (EACH, EACH[:, None]),
    "each, channel first": (EACH[:, None], EACH[:, None]),
    "each, channel last": (EACH[..., None], EACH[:, None]),
    "each channel": (EACH[:, None].repeat(3, 1), EACH[:, None].repeat(3, 1)),
    "more than images": (np.concatenate([EACH, EACH]), EACH[:, None]),
}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "0 and 255"])
@pytest.mark.parametrize("shape", SHAPES)
def test_arrays(shape: str, dtype: str, tmp_path: Path) -> None:
    given, expected = SHAPES[shape]
    array = np.where(given, 255, 0) if dtype == "0 and 255" else given.astype(dtype)
    np.save(tmp_path / "mask.npy", array)
    np.savez(tmp_path / "alone.npz", any=array)
    np.savez(tmp_path / "named.npz", known=array, images=np.zeros((3, 2, 2)))
    for name in ("mask.npy", "alone.npz", "named.npz"):
        known = known_pixels(str(tmp_path / name), IMAGES, seed=0)
        assert (known.numpy() == expected).all()
        assert len(known) == 3


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ("top-half", ["11111", "11111", "00000", "00000", "00000"]),
        ("bottom-half", ["00000", "00000", "00000", "11111", "11111"]),
        ("left-half", ["11000"] * 5),
        ("right-half", ["00011"] * 5),
        ("centre", ["00000", "01110", "01110", "01110", "00000"]),
        ("border", ["11111", "10001", "10001", "10001", "11111"]),
    ],
)
def test_parts_that_have_names(which: str, rows: list[str]) -> None:
    known = known_pixels(which, torch.zeros(2, 1, 5, 5), seed=0)
    assert ["".join(map(str, row)) for row in known[1, 0].int().tolist()] == rows
    even = known_pixels(which, torch.zeros(1, 1, 8, 8), seed=0).float().mean()
    assert even == {"centre": 0.25, "border": 0.75}.get(which, 0.5)


WRONG: dict[str, tuple[str, object, str]] = {
    "black": ("a.png", np.zeros((4, 6)), "has no two values for images of 6x4"),
    "white": ("a.png", np.full((4, 6), 255), "has no two values"),
    "another size": ("a.png", np.eye(3), "a.png is 3x3, but the images are 6x4."),
    "on its side": ("a.png", np.eye(6)[:, :4], "a.png is 4x6, but the images are 6x4."),
    "damaged": ("a.png", b"\x89PNG\r\n\x1a\n", "cannot be read"),
    "no picture": ("a.png", b"text", "cannot be read"),
    "all known": ("a.npy", np.ones((4, 6), bool), "has no two values"),
    "not numbers": ("a.npy", np.full((4, 6), np.nan), "has no two values"),
    "texts": ("a.npy", np.full((4, 6), "x"), "must be of booleans or numbers"),
    "none": ("a.npy", np.zeros((0, 4, 6)), "must be of booleans or numbers"),
    "flat": ("a.npy", np.eye(24)[0], "is of shape (24,), but the images are 6x4."),
    "array of another size": ("a.npy", np.eye(7)[None], "is of shape (1, 7, 7), but the images are 6x4."),
    "two channels": ("a.npy", np.zeros((3, 2, 4, 6)), "is of shape (3, 2, 4, 6)"),
    "too few": ("a.npy", EACH[:2], "is for 2 images, but there are 3"),
    "objects": ("a.npy", np.full((4, 6), None), "must be of booleans or numbers, not object values"),
    "several arrays": ("a.npz", {"a": HOLE, "b": HOLE}, "has no array known, but a, b."),
    "cut": ("a.npz", b"PK\x03\x04", "holds no plain numpy arrays"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_masks_that_cannot_be_used(kind: str, tmp_path: Path) -> None:
    name, content, sentence = WRONG[kind]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, np.ndarray) and path.suffix == ".png":
        Image.fromarray(content.astype(np.uint8)).save(path)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(BadInput) as error:
        known_pixels(str(path), IMAGES, seed=0)
    assert sentence in str(error.value)


def test_a_picture_that_would_take_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey(0, 255)(HOLE).save(tmp_path / "mask.png")
    for most in (20, 4):  # pillow warns from so many pixels on, and refuses twice as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(BadInput, match="cannot be read"):
            known_pixels(str(tmp_path / "mask.png"), IMAGES, seed=0)


def test_a_half_of_one_row_is_nothing() -> None:
    with pytest.raises(BadInput, match="The mask top-half has no two values for images of 6x1"):
        known_pixels("top-half", torch.zeros(1, 1, 1, 6), seed=0)


def test_the_share_is_told(call: Callable[..., Any], plain: Path, tmp_path: Path) -> None:
    with_alpha("RGBA", 0)(np.arange(20).reshape(4, 5) >= 5).save(tmp_path / "mask.png")
    said = call("complete", plain, "--known", tmp_path / "mask.png")
    assert said.out.startswith("75 % of the pixels are known."), said.err
