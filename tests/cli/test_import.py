from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import nextpixel as npx
from nextpixel.port import import_pixelcnnpp

GREY = Path(__file__).parents[1] / "golden" / "pixelcnnpp_grey.safetensors"


def test_a_file_of_the_port_becomes_one_of_ours(tmp_path: Path, call: Callable[..., Any]) -> None:
    tensors = load_file(GREY)
    height, width = tensors["fixture.levels"].shape[2:]
    model = import_pixelcnnpp(GREY, height=height, width=width)
    state = {f"module.{key}": value for key, value in tensors.items() if not key.startswith("fixture.")}
    torch.save(state, tmp_path / "port.pth")
    size = ("--height", height, "--width", width)
    said = call("import", "pixelcnnpp", tmp_path / "port.pth", *size, "-o", tmp_path / "m.safetensors")
    assert said.status == 0, said.err
    assert "holds a pixelcnnpp of " in said.out
    again = npx.load(tmp_path / "m.safetensors")
    with torch.no_grad():
        assert again.log_prob(tensors["fixture.levels"]).equal(model.log_prob(tensors["fixture.levels"]))


class Foreign:
    """What weights_only refuses to make."""


def test_what_is_no_state_dict_of_the_port_is_refused(tmp_path: Path, refused: Callable[..., Any]) -> None:
    tensors = {key: value for key, value in load_file(GREY).items() if not key.startswith("fixture.")}

    def sentence(state: object) -> str:
        torch.save(state, tmp_path / "port.pth")
        said = refused("import", "pixelcnnpp", tmp_path / "port.pth", "-o", tmp_path / "m.safetensors")
        assert not (tmp_path / "m.safetensors").exists()
        return said

    assert "not a state dict of tensors alone" in sentence(Foreign())
    assert "not a state dict of tensors alone" in sentence({"state": tensors, "model": Foreign()})
    assert "not a state dict of tensors alone" in sentence({"epoch": 3, "state": tensors})
    assert "not a state dict of tensors alone" in sentence([torch.zeros(2)])
    assert "there is no u_init.conv.weight_v" in sentence({"weight": torch.zeros(2)})
    missing = dict(tensors)
    del missing["up_layers.1.ul_stream.0.conv_out.conv.bias"]
    assert "there is no up_layers.1.ul_stream.0.conv_out.conv.bias" in sentence(missing)
    other = tensors | {"up_layers.1.ul_stream.0.conv_out.conv.bias": torch.zeros(3)}
    assert "a tensor has another shape" in sentence(other)
    assert "weights that a PixelCNN++ of the common port has not: more" in sentence(tensors | {"more": torch.zeros(2)})
    cut = (tmp_path / "port.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(cut[: len(cut) // 2])
    assert "not a state dict" in refused("import", "pixelcnnpp", tmp_path / "cut.pth", "-o", tmp_path / "m.safetensors")
    assert "There is no file" in refused("import", "pixelcnnpp", tmp_path / "no.pth", "-o", tmp_path / "m.safetensors")
    assert "'pixelsnail'" in refused("import", "pixelsnail", tmp_path / "no.pth", "-o", tmp_path / "m.safetensors")
