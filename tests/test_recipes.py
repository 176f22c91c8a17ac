"""Every recipe is parsed, builds its model, and learns from two batches of its kind of images."""

from pathlib import Path

import numpy as np
import pytest

from nextpixel.cli import main

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
SPECS = {"digits": (8, 17), "mnist-binary": (28, 2), "fashion-mnist": (28, 256)}


def test_there_are_recipes() -> None:
    assert {"digits", "mnist-binary", "fashion-mnist"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_trains(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size, levels = SPECS[recipe.stem]
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 8), ("test", 4)):
        arrays[f"{split}_images"] = generator.integers(levels, size=(count, size, size), dtype=np.int64)
        arrays[f"{split}_labels"] = np.arange(count) % 10
    arrays["train_labels"][-1] = 9
    np.savez(tmp_path / "tiny.npz", levels=levels, **arrays)
    smaller = ["--data.name", tmp_path / "tiny.npz", "--data.validation", 2, "--training.batch", 3]
    smaller += ["--training.epochs", 1, "--training.samples", 0, "--training.compile", "false"]
    assert main([str(word) for word in ["train", recipe, "--out", tmp_path / "run", *smaller]]) == 0, (
        capsys.readouterr()
    )
    assert (tmp_path / "run" / "model.safetensors").is_file()
