"""Images into a container and back, and what stands in the way said in a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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
    assert "  block 0: 5 images, " in said
    call("compress", "exact.safetensors", "five.npz", "-o", "again.npxc", "--no-verify")
    call("decompress", "exact.safetensors", "again.npxc", "-o", "again.npz")
    assert (np.load("again.npz")["images"] == np.load("five.npz")["images"]).all()

    whole = Path("five.npxc").read_bytes()
    Path("cut.npxc").write_bytes(whole[:-4])
    assert "Block 0 of cut.npxc is damaged" in refused("decompress", "exact.safetensors", "cut.npxc", "-o", "c.npz")
    assert "cut.npxc has no images" in refused(
        "decompress", "exact.safetensors", "cut.npxc", "-o", "c.npz", "--recover"
    )
    assert not Path("c.npz").exists()
    assert "  block 0: its stream is cut off" in call("info", "cut.npxc").out
    assert "no container" in refused("info", "five.npz")
    assert "There is no file none" in refused("info", "none")
    assert "no container" in refused("decompress", "exact.safetensors", "five.npz", "-o", "c.npz")
    assert "There is no file none" in refused("decompress", "exact.safetensors", "none", "-o", "c.npz")
    assert "nextpixel exact MODEL" in refused("compress", labelled, data, "-o", "c.npxc")
    assert "it is one" in refused("exact", "exact.safetensors", "--data", data, "-o", "twice.safetensors")
    assert "must end in .safetensors" in refused("exact", labelled, "-o", "exact.bin")
