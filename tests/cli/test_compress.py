"""Images into a container and back, and what stands in the way said in a sentence."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx

CLI = Callable[..., Any]


def test_images_go_into_a_container_and_come_back(call: CLI, labelled: Path, data: Path) -> None:
    def refused(*words: Any) -> str:
        said = call(*words)
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
        return said.err

    made = call("exact", labelled, "-o", "exact.safetensors", "-n", 8)
    assert made.status == 0, made.err
    assert "before it was rounded" in made.out
    assert isinstance(npx.load("exact.safetensors"), npx.Autoregressive)
    done = call("compress", "exact.safetensors", data, "-n", 5, "-o", "five.npxc")
    assert done.status == 0, done.err
    assert "5 images" in done.out
    assert "decoded again, and the same" in done.out
    assert call("decompress", "exact.safetensors", "five.npxc", "-o", "five.npz").out == "five.npz: 5 images.\n"
    assert "five.npxc: 5 images" in (said := call("info", "five.npxc").out)
    assert "  images from 0 on: " in said
    call("compress", "exact.safetensors", "five.npz", "-o", "again.npxc", "--no-verify")
    call("decompress", "exact.safetensors", "again.npxc", "-o", "again.npz")
    assert (np.load("again.npz")["images"] == np.load("five.npz")["images"]).all()

    whole = Path("five.npxc").read_bytes()
    Path("cut.npxc").write_bytes(whole[:-4])
    assert "cut.npxc is damaged: the block from image 0 on is cut off" in refused(
        "decompress", "exact.safetensors", "cut.npxc", "-o", "c.npz"
    )
    assert "cut.npxc has no images" in refused(
        "decompress", "exact.safetensors", "cut.npxc", "-o", "c.npz", "--recover"
    )
    assert not Path("c.npz").exists()
    assert "  damaged: the block from image 0 on is cut off" in call("info", "cut.npxc").out
    assert "no container" in refused("info", "five.npz")
    assert "There is no file none." in refused("info", "none")
    assert "no container" in refused("decompress", "exact.safetensors", "five.npz", "-o", "c.npz")
    assert "There is no file none." in refused("decompress", "exact.safetensors", "none", "-o", "c.npz")
    assert "nextpixel exact MODEL" in refused("compress", labelled, data, "-o", "c.npxc")
    assert "it is one" in refused("exact", "exact.safetensors", "--data", data, "-o", "twice.safetensors")
    assert "must end in .safetensors" in refused("exact", labelled, "-o", "exact.bin")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_pictures_comes_back_with_names_and_dates(call: CLI, channels: int) -> None:
    spec = npx.ImageSpec(channels, 6, 5, levels=256)
    model = npx.build("pixelcnn", spec, "categorical", filters=4, layers=1)
    npx.save(npx.exact(model, torch.zeros(2, *spec.shape).long()), "exact.safetensors")
    chance = np.random.default_rng(0)
    modes = {"a.png": "L", "b/c.png": "RGB", "b/d.bmp": "RGB", "b/e/tiny.webp": "RGB"}
    for number, (name, mode) in enumerate(modes.items()):
        (path := Path("in") / name).parent.mkdir(parents=True, exist_ok=True)
        size = (7 * number + 1, 3 * number + 2, 3)[: len(mode)]
        Image.fromarray(chance.integers(256, size=size).astype(np.uint8)).save(path, lossless=True)
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    done = call("compress", "exact.safetensors", "in", "-o", "all.npxc")
    assert "4 pictures as " in done.out, done.err
    assert call("decompress", "exact.safetensors", "all.npxc", "-o", "out").out == "out: 4 pictures.\n"
    assert "the list of pictures: " in call("info", "all.npxc").out
    made = {path.relative_to("out").as_posix(): path for path in Path("out").rglob("*.*")}
    assert made.keys() == {"a.png", "b/c.png", "b/d.bmp.png", "b/e/tiny.webp"}
    for name, mode in modes.items():
        path = made[name + ".png" * name.endswith("bmp")]
        with Image.open(path) as got, Image.open(Path("in") / name) as was:
            assert got.mode == mode
            assert (np.asarray(got) == np.asarray(was)).all()
        assert path.stat().st_mtime_ns == (Path("in") / name).stat().st_mtime_ns
    assert "not an empty folder" in call("decompress", "exact.safetensors", "all.npxc", "-o", "out").err
    call("compress", "exact.safetensors", "in/b/c.png", "-o", "one.npxc")
    assert call("decompress", "exact.safetensors", "one.npxc", "-o", "one").out == "one: 1 picture.\n"
    assert (np.asarray(Image.open("one/c.png")) == np.asarray(Image.open("in/b/c.png"))).all()
