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
from nextpixel import pictures

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


@pytest.mark.parametrize("there", [False, True])
def test_pictures_are_all_there_or_none(
    call: CLI, tiny: npx.ImageSpec, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    folder, write = Path("out"), pictures.write
    np.savez("images.npz", images=np.zeros((5, *tiny.shape), np.uint8), levels=tiny.levels)
    call("compress", "exact.safetensors", "images.npz", "-o", "five.npxc")
    if there:
        folder.mkdir()

    def interrupted(picture: Image.Image, path: Path) -> None:
        write(picture, path)
        if path.name == "000003.png":
            raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "write", interrupted)
    assert call("decompress", "exact.safetensors", "five.npxc", "-o", "out").status == 130
    assert [path.name for path in folder.parent.iterdir() if "out" in path.name] == ["out"] * there
    assert not there or not [*folder.iterdir()]
    monkeypatch.setattr(pictures, "write", write)
    assert call("decompress", "exact.safetensors", "five.npxc", "-o", "out").status == 0
    assert len([*folder.iterdir()]) == 5


@pytest.fixture
def tiny(call: CLI, monkeypatch: pytest.MonkeyPatch) -> npx.ImageSpec:
    """`exact.safetensors` here, which takes pictures, and blocks of two images."""
    spec = npx.ImageSpec(1, 6, 5, levels=256)
    model = npx.build("pixelcnn", spec, "categorical", filters=4, layers=1)
    npx.save(npx.exact(model, torch.zeros(2, *spec.shape).long()), "exact.safetensors")
    monkeypatch.setattr("nextpixel.codec.BLOCK", 2 * spec.subpixels)
    return spec


def test_what_is_read_is_never_written_over(call: CLI, tiny: npx.ImageSpec, labelled: Path) -> None:
    Image.new("L", (5, 6)).save("a.png")
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes((labelled / "model.safetensors").read_bytes())
    Path("same.npxc").symlink_to("a.png")
    for words, out in (
        (("exact", "exact.safetensors"), "exact.safetensors"),
        (("exact", "run"), "run/model.safetensors"),
        (("compress", "exact.safetensors", "a.png"), "exact.safetensors"),
        (("compress", "exact.safetensors", "a.png"), "./a.png"),
        (("compress", "exact.safetensors", "a.png"), "same.npxc"),
        (("complete", "run", "a.png", "--known", "top-half"), "a.png"),
    ):
        before = Path(out).read_bytes()
        said = call(*words, "--out", out)
        assert said.status == 2, words
        assert f"The output {Path(out)} is what the command reads, and would be lost" in said.err
        assert Path(out).read_bytes() == before


def test_lost_images_are_told_and_the_others_keep_their_numbers(call: CLI, tiny: npx.ImageSpec) -> None:
    images = torch.arange(7).view(7, 1, 1, 1).expand(7, *tiny.shape).contiguous()
    np.savez("seven.npz", images=images.numpy(), levels=256)
    call("compress", "exact.safetensors", "seven.npz", "-o", "whole.npxc")
    data = bytearray(Path("whole.npxc").read_bytes())
    data[data.index(b"NPXB", data.index(b"NPXB") + 1) + 40] ^= 1  # in the second block
    Path("hurt.npxc").write_bytes(data)
    for quiet in ([], ["--quiet"]):
        said = call("decompress", "exact.safetensors", "hurt.npxc", "-o", f"out{len(quiet)}", "--recover", *quiet)
        assert said.status == 1
        assert "2 of 7 images are lost, from number" in said.err
        names = sorted(path.name for path in Path(f"out{len(quiet)}").iterdir())
        assert len(names) == 5
        for name in names:
            assert name == f"{int(np.asarray(Image.open(f'out{len(quiet)}/{name}'))[0, 0]):06d}.png"
    assert call("decompress", "exact.safetensors", "hurt.npxc", "-o", "some.npz", "--recover").status == 1
    some = np.load("some.npz")
    assert some["numbers"].tolist() == some["images"][:, 0, 0, 0].tolist()
    assert call("decompress", "exact.safetensors", "whole.npxc", "-o", "all.npz").status == 0
    assert "numbers" not in np.load("all.npz")


def test_what_a_picture_holds_besides_is_noted(call: CLI, tiny: npx.ImageSpec) -> None:
    Path("in").mkdir()
    frames = [Image.new("L", (5, 6), value) for value in (0, 100, 200)]
    frames[0].save("in/a.gif", save_all=True, append_images=frames[1:])
    frames[0].save("in/m.tiff", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (5, 6), (1, 2, 3, 4)).save("in/t.png")
    Image.new("L", (5, 6)).save("in/z.png")
    said = call("compress", "exact.safetensors", "in", "-o", "all.npxc").err.splitlines()
    assert [line.removeprefix("Note: of in/") for line in said] == [
        "a.gif, the first of 3 frames is taken.",
        "m.tiff, the first of 3 frames is taken.",
        "t.png, transparency is laid over white.",
    ]
    said = call("decompress", "exact.safetensors", "all.npxc", "-o", "tiles.NPZ")
    assert "the tiles of 4 pictures, which a folder gives back whole" in said.err
    assert len(np.load("tiles.NPZ")["images"]) > 4


def test_an_output_is_refused_before_the_work(call: CLI, tiny: npx.ImageSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (5, 6)).save("a.png")
    call("compress", "exact.safetensors", "a.png", "-o", "a.npxc")
    Path("full").mkdir()
    Path("full/x").touch()

    def work(*_: object, **__: object) -> None:
        raise AssertionError("it worked before it looked")

    monkeypatch.setattr(npx, "compress", work)
    monkeypatch.setattr("nextpixel.cli.codec.opened", work)
    refused = {
        ("compress", "a.png", "full"): "The output full is a folder",
        ("compress", "a.png", "/dev/full"): "The output /dev/full is no file",
        ("compress", "none.png", "b.npxc"): "There is no file or folder none.png",
        ("compress", "a.png", "no/where.npxc"): "There is no folder no",
        ("decompress", "a.npxc", "full"): "full is there and not an empty folder",
        ("decompress", "a.npxc", "no/where.npz"): "There is no folder no",
        ("decompress", "a.npxc", "b.png"): "The output is an .npz file, or a new folder for pictures, not b.png",
        ("decompress", "/dev/null", "b"): "/dev/null is no file, not a container",
        ("decompress", "full", "b"): "full is a folder, not a container",
    }
    for (verb, source, out), sentence in refused.items():
        said = call(verb, "exact.safetensors", source, "-o", out)
        assert said.status == 2
        assert sentence in said.err
    said = call("compress", "exact.safetensors", "a.png", "--data", "digits", "-o", "b.npxc")
    assert "Give either IMAGES (a.png) or --data digits, not both" in said.err
