"""A network of a user's own has all verbs; the laws tell it from one that leaks."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import nextpixel as npx
from nextpixel.cli import main
from zoo import Plain, images

SPEC = npx.ImageSpec(3, 4, 3, levels=3)
OWN = '''
import nextpixel as npx
import torch


class Mine(npx.Network):
    """Each pixel from the row above."""

    def __init__(self, spec, likelihood, context=0, *, filters: int = 8):
        super().__init__(spec, likelihood, colours="independent")
        self.above = torch.nn.Conv2d(self.entry.features * spec.channels, filters, (2, 3), padding=(2, 1))
        self.last = torch.nn.Conv2d(filters, self.outputs, 1)

    def forward(self, levels, context):
        return self.last(self.above(self.embed(levels))[:, :, : self.spec.height].relu())
'''


def test_a_class_of_ones_own_is_built_and_named() -> None:
    model = npx.build(Plain, SPEC, colours="independent")
    assert model.recipe["name"] == "zoo:Plain"
    assert model.recipe["arguments"] == {"colours": "independent"}


def test_it_may_hold_what_cannot_be_copied() -> None:
    """A lock, or a tensor that was computed; while it trains, it is measured by another of the same weights."""
    model = npx.build(Plain, SPEC, colours="independent").train()
    x = images(SPEC, 2)
    expected = model.log_prob(x)
    vars(model.backbone).update(lock=threading.Lock(), kept=[2 * next(model.parameters())])
    assert model.log_prob(x).equal(expected)
    assert model.training


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_module:Net", "There is no model 'no_such_module:Net': No module named 'no_such_module'"),
        ("zoo:Nothing", "There is no model 'zoo:Nothing': module 'zoo' has no attribute 'Nothing'"),
        ("zoo:CASES", "A model is a name such as gated_pixelcnn, or a class of nextpixel.Network, not 'zoo:CASES'"),
        (":Net", "There is no model ':Net': Empty module name"),
        ("zoo:", "There is no model 'zoo:'"),
    ],
)
def test_what_is_no_network(name: str, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build(name, SPEC)


def test_a_class_of_the_script_that_runs_is_named_by_its_file(tmp_path: Path) -> None:
    script = f"""{OWN}
if __name__ == "__main__":
    model = npx.build(Mine, npx.ImageSpec(1, 4, 4, 2))
    npx.save(model, "own.safetensors")
    print(model.recipe["name"], type(npx.load("own.safetensors").backbone) is Mine)
"""
    (tmp_path / "mine.py").write_text(script)
    done = subprocess.run([sys.executable, "mine.py"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "mine:Mine True\n"
    other = "import mine, nextpixel; print(nextpixel.load('own.safetensors').recipe['name'])"
    done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "mine:Mine\n"


def test_a_network_of_ones_own_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    Path("mine.py").write_text(OWN)
    recipe = "{model: {name: 'mine:Mine', filters: 4}, data: {name: digits}, training: {epochs: 1, samples: 0}}"
    Path("own.yaml").write_text(recipe)
    assert main(["train", "own.yaml", "--out", "run", "--data.limit", "64"]) == 0
    del sys.modules["mine"]
    capsys.readouterr()
    assert main(["sample", "run", "-n", "2"]) == 2
    assert "its network is mine:Mine, your own; import mine first (--import mine)" in capsys.readouterr().err
    assert main(["sample", "run", "-n", "2", "--import", "mine"]) == 0
    assert main(["sample", "run", "--import", "nowhere_at_all"]) == 2
    del sys.modules["mine"]
