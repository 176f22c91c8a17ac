"""A model with its card; and those that come with the package, which anyone can use at once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import nextpixel as npx
from nextpixel import shipped
from nextpixel.cards import safe

SHIPPED = pytest.mark.parametrize("name", shipped.names())


def test_a_run_becomes_a_folder_that_every_command_takes(call: Callable[..., Any], labelled: Path, data: Path) -> None:
    said = call("export", labelled, "out", "--licence", "Drawn by a test.", "--command", "nextpixel train x.yaml")
    assert said.status == 0, said.err
    assert {path.name for path in Path("out").iterdir()} == {
        "model.safetensors",
        "config.json",
        "config.yaml",
        "README.md",
        "samples.png",
    }
    about, card = json.loads(Path("out/config.json").read_text()), Path("out/README.md").read_text()
    figures = json.loads(call("evaluate", "out", "--json").out)
    assert about["figures"]["nats"] == pytest.approx(figures["nats"])
    assert about["figures"]["images"] == figures["images"]
    assert f"{figures['bits_per_dim']:.4f} ± {figures['bits_per_dim_error']:.4f} bits per dimension" in card
    _, head, body = card.split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert metadata["library_name"] == "nextpixel"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == round(figures["bits_per_dim"], 4)
    for words in ("# out", "Drawn by a test.", "    nextpixel train x.yaml", "van den Oord", "## Limits"):
        assert words in body
    x = torch.zeros(1, *npx.load("out").spec.shape, dtype=torch.long)
    assert npx.load("out").log_prob(x, [0]).equal(npx.load(labelled).log_prob(x, [0]))


def test_what_cannot_be_exported(refused: Callable[..., str], labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "is there and not an empty folder" in refused("export", labelled, tmp_path / "full")
    assert "called by letters" in refused("export", labelled, "new", "--name", "a/b")
    assert "There is no model at nowhere" in refused("export", "nowhere", "new")
    assert "cannot be made" in refused("export", labelled, tmp_path / "full" / "file" / "new")
    for wrong in ("", "../up", ".hidden", "x" * 200):
        with pytest.raises(npx.BadInput, match="called by letters"):
            safe(wrong)


def test_something_of_that_name_that_is_here_comes_first(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = npx.load("mnist").spec
    Path("mnist").mkdir()  # such as a folder of images
    assert npx.load("mnist").spec == spec
    Path("mnist/model.safetensors").write_bytes((labelled / "model.safetensors").read_bytes())
    assert npx.load("mnist").spec == npx.load(labelled).spec != spec


@SHIPPED
def test_a_shipped_model_is_small_and_says_what_it_is(name: str) -> None:
    folder = shipped.FOLDER / name
    assert (folder / shipped.FILE).stat().st_size < 4_000_000
    model, about, card = npx.load(name), shipped.about(name), (folder / shipped.CARD).read_text()
    assert about["name"] == name
    assert about["recipe"] == model.recipe
    assert about["licence"] in card
    assert about["command"] in card
    assert f"{about['figures']['bits_per_dim']:.4f}" in card
    assert about["weights"] == sum(weight.numel() for weight in model.parameters())
    assert yaml.safe_load((folder / shipped.CONFIG).read_text())["data"]["name"]


def test_all_shipped_models_together_are_small() -> None:
    assert sum(path.stat().st_size for path in shipped.FOLDER.rglob("*")) < 20_000_000


@pytest.mark.data
@SHIPPED
def test_the_figure_of_a_card_is_what_evaluate_finds(name: str, call: Callable[..., Any]) -> None:
    """Of its first 200 test images the mean is within five standard errors of what the card says of all."""
    figures = shipped.about(name)["figures"]
    found = json.loads(call("evaluate", name, "--images", "200", "--json").out)
    assert abs(found["nats"] - figures["nats"]) < 5 * found["nats_error"]


def test_the_first_ten_seconds(tmp_path: Path) -> None:
    """`nextpixel sample` with nothing named draws from a shipped model, and says where the picture is."""
    began = time.monotonic()
    command = [sys.executable, "-m", "nextpixel.cli", "sample", "-n", "9"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "9 images: samples.png\n"
    assert (tmp_path / "samples.png").stat().st_size > 500
    assert time.monotonic() - began < 60  # five at rest; tests share their processors


def test_models_lists_what_is_shipped(call: Callable[..., Any]) -> None:
    said = call("models").out
    assert "trained models that come with the package" in said
    assert all(f"\n  {name}\n" in said for name in shipped.names())


def test_a_completion_by_a_shipped_model(call: Callable[..., Any]) -> None:
    np.savez("digits.npz", images=np.random.default_rng(0).integers(0, 2, (3, 28, 28)), levels=2)
    said = call("complete", "mnist", "digits.npz", "--known", "bottom-half", "-n", "2", "--completions", "1")
    assert said.status == 0, said.err
    assert Path("completions.png").is_file()
