"""A run knows the data that it learnt from: its images, its classes, its place."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import nextpixel as npx
from nextpixel.cli import main
from nextpixel.data import open_data

RECIPE = {
    "model": {
        "name": "pixelcnn",
        "likelihood": "categorical",
        "context": "label",
        "filters": 4,
        "head": 4,
        "layers": 1,
    },
    "data": {"name": "pictures", "bits": 2},
    "training": {"epochs": 2, "batch": 8, "learning_rate": 0.02, "samples": 0},
}


def _picture(path: Path, seed: int, bright: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 100, (4, 5), dtype=np.uint8) + np.uint8(70 * bright)
    Image.fromarray(levels).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `pictures` in class folders a, b, c, and the run `run`, trained from beside them."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(90):
        _picture(folder / "pictures" / "abc"[number % 3] / f"{number:02d}.png", number, number % 3)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "recipe.yaml", "--out", "run"]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> Path:
    """A copy, in which the test works; the run's own path is made that of the copy."""
    shutil.copytree(made, tmp_path / "mine")
    config = tmp_path / "mine" / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(made), str(tmp_path / "mine")))
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def _measured(call: Callable[..., Any], *arguments: str) -> tuple[float, str]:
    said = call("evaluate", "run", "--json", *arguments)
    assert said.status == 0, said.err
    return json.loads(said.out)["nats"], said.err


def test_a_run_says_what_it_found(here: Path, call: Callable[..., Any]) -> None:
    said = call("train", "recipe.yaml", "--out", "again", "--training.epochs", 1)
    assert "  images: " in said.err
    assert "train" in said.err.split("  images: ")[1].splitlines()[0]
    assert "(a tenth each for validation and test, by a hash of each image)" in said.err
    assert "  each: 1x4x5, 4 levels; seen: 4 of them, from 0 to 3" in said.err
    assert "  classes: a 30, b 30, c 30" in said.err
    assert said.err.index("classes:") < said.err.index("Trained")


def test_a_changed_folder_is_told_and_its_images_stay_in_their_splits(here: Path, call: Callable[..., Any]) -> None:
    before, told = _measured(call)
    assert told == ""
    _picture(here / "pictures" / "a" / "00-first.png", 1000, 0)  # falls to train
    after, told = _measured(call, "--split", "test")
    assert (after, told) == (before, "")
    assert "of train images there are" in _measured(call, "--split", "train")[1]
    for path in sorted((here / "pictures" / "b").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    assert _measured(call, "--split", "test") == (before, "")
    for path in (here / "pictures" / "c").iterdir():
        path.unlink()
    nats, told = _measured(call, "--split", "test")
    assert nats != before
    assert "pictures is not what the model learnt from (pictures): of test images there are" in told.replace(
        f"{here}/", ""
    )


def test_classes_have_the_numbers_that_they_had(here: Path, call: Callable[..., Any]) -> None:
    shutil.copytree(here / "pictures", here / "fewer")
    shutil.rmtree(here / "fewer" / "a")
    fewer, told = _measured(call, "--split", "all", "--data", "fewer")
    assert "fewer has no images of a, which the model knows" in told
    images, labels = open_data("fewer", bits=2).split("all").batch(range(60), np.random.default_rng(0))
    assert labels is not None
    nats = -npx.load("run").log_prob(images, labels + 1).mean().item()
    assert fewer == pytest.approx(nats, rel=1e-6)
    (here / "fewer" / "b").rename(here / "fewer" / "d")
    said = call("evaluate", "run", "--data", "fewer")
    assert (said.status, said.out) == (2, "")
    assert "fewer has images of d, but the model knows the classes a, b, c" in said.err


def test_a_tenth_is_said_to_be_one(here: Path, call: Callable[..., Any]) -> None:
    shutil.copytree(here / "pictures", here / "same")
    told = _measured(call, "--data", "same")[1]
    assert "of its 90 images are for test; --split all takes all of them" in told
    assert "not what the model learnt from" not in told
    assert "--split all" not in _measured(call, "--data", "same", "--split", "all")[1]


def test_a_run_works_from_any_folder_and_says_when_its_data_moved(
    here: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert yaml.safe_load((here / "run" / "config.yaml").read_text())["data"]["name"] == str(here / "pictures")
    before, _ = _measured(call)
    monkeypatch.chdir(here / "run")
    said = call("evaluate", here / "run", "--json")
    assert json.loads(said.out)["nats"] == before
    (here / "pictures").rename(here / "moved")
    said = call("evaluate", here / "run")
    assert said.status == 2
    assert f"learnt from {here / 'pictures'}, which is not there; say where it is now with --data" in said.err
    said = call("evaluate", here / "run", "--data", here / "moved", "--json")
    assert json.loads(said.out)["nats"] == before  # with the bits that the run has
    assert "levels" not in said.err


def test_a_reduced_model_takes_the_full_depth(here: Path, call: Callable[..., Any]) -> None:
    before, _ = _measured(call)
    config = here / "run" / "config.yaml"
    config.write_text(config.read_text().replace("bits: 2", "bits: null"))
    after, told = _measured(call)
    assert after == before
    assert "the 256 levels of" in told
    assert "are reduced to the 4 of the model" in told
    said = call("complete", "run", "--known", "top-half", "--out", "a.png")
    assert said.status == 0, said.err


@pytest.mark.parametrize("change", ["image", "classes", "removed"])
def test_a_run_is_resumed_with_the_data_that_it_began_with(here: Path, call: Callable[..., Any], change: str) -> None:
    state = (here / "run" / "state.safetensors").read_bytes()
    if change == "image":
        victim = next((here / "pictures" / "b").iterdir())
        _picture(victim, 2000, 1)
    elif change == "classes":
        (here / "pictures" / "c").rename(here / "pictures" / "0")
    else:
        shutil.rmtree(here / "pictures" / "c")
        shutil.copytree(here / "pictures" / "b", here / "pictures" / "c")
    said = call("train", "run", "--resume", "--training.epochs", 3)
    assert (said.status, said.out) == (2, "")
    assert "the data" in said.err or "in none of the class folders" in said.err
    assert (here / "run" / "state.safetensors").read_bytes() == state


def test_a_run_whose_files_are_renamed_goes_on_as_if_they_were_not(here: Path, call: Callable[..., Any]) -> None:
    shutil.copytree(here / "run", here / "other")
    assert call("train", "run", "--resume", "--training.epochs", 3).status == 0
    for number, path in enumerate(sorted((here / "pictures" / "a").iterdir())):
        path.rename(path.with_name(f"{97 * number % 1000:03d}-renamed.png"))
    assert call("train", "other", "--resume", "--training.epochs", 3).status == 0
    last = [npx.load(here / run / "last.safetensors").state_dict() for run in ("run", "other")]
    assert all(last[0][name].equal(last[1][name]) for name in last[0])
