"""Every recipe is parsed, builds its model at full size, and learns from two batches of its kind of images."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import nextpixel as npx
from nextpixel.cli import main
from nextpixel.cli.listing import RECIPES
from nextpixel.cli.train import _settings
from nextpixel.data import CATALOGUE
from nextpixel.training import Training

ROOT = Path(__file__).parents[1]
PATHS = [*RECIPES.values()]
# What stands in a recipe for the user's own file: its images and maps have the shapes and levels that its header says.
OWN = {
    "photos32.npz": npx.ImageSpec(3, 32, 32, levels=256),
    "emoji32.npz": npx.ImageSpec(3, 32, 32, levels=256),
    "codes.npz": npx.ImageSpec(1, 8, 8, levels=512, ordinal=False),
    "codes-with-top.npz": npx.ImageSpec(1, 8, 8, levels=256, ordinal=False),
}
OWN_CLASSES = {"emoji32.npz": 9}
OWN_MAPS = {"codes-with-top.npz": (npx.Map(1, levels=256), (4, 4))}
LESS_DEEP = {
    "s3-pixelsnail-cifar10": ("blocks", "layers"),
    "pixelcnnpp-cifar10": ("blocks",),
    "s3-pixelcnnpp-cifar10": ("blocks",),
}

every_recipe = pytest.mark.parametrize("recipe", PATHS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Kind:
    """The images of a recipe.

    Attributes:
        stored: as they are in the data set.
        spec: as the model gets them.
        classes: how many there are, or None.
        maps: the context that maps are for, and the rows and columns of a map; or None.
    """

    stored: npx.ImageSpec
    spec: npx.ImageSpec
    classes: int | None
    maps: tuple[npx.Map, tuple[int, int]] | None


def kind_of(data: dict[str, Any]) -> Kind:
    """What the section `data` of a recipe says of its images."""
    row = None if data["name"] in OWN else CATALOGUE[data["name"]]
    stored = OWN[data["name"]] if row is None else row.spec
    assert data.get("ordinal", True) == (row is not None or stored.ordinal)  # a set that has a name knows it
    spec = stored if data.get("bits") is None else replace(stored, levels=2 ** data["bits"])
    classes = OWN_CLASSES.get(data["name"]) if row is None else row.classes
    return Kind(stored, spec, classes, OWN_MAPS.get(data["name"]))


def test_there_is_a_recipe_for_every_configuration_of_the_earlier_implementations() -> None:
    names = [path.stem for path in PATHS]
    assert {"digits", "mnist-binary", "fashion-mnist"} <= set(names)
    counts = {"s0": 8, "s1": 2, "s2": 1, "s3": 3, "s4": 9}
    assert {source: sum(name.startswith(f"{source}-") for name in names) for source in counts} == counts


@every_recipe
def test_a_recipe_says_where_it_is_from_what_it_costs_and_what_was_measured(recipe: Path) -> None:
    lines = recipe.read_text().splitlines()
    header = lines[: lines.index("model:")]
    assert all(line.startswith("# ") and len(line) <= 120 for line in header)
    firsts = [line.split()[1] for line in header]
    assert [word for word in firsts if word in ("Source:", "Cost:", "Measured:")] == ["Source:", "Cost:", "Measured:"]
    assert firsts[-2:] == ["Cost:", "Measured:"], "a line each, which the list of recipes prints"


@pytest.mark.skipif(not (ROOT / "results").is_dir(), reason="an sdist has no results")
@every_recipe
def test_what_a_recipe_says_was_measured_is_what_was_kept(recipe: Path) -> None:
    kept = ROOT / "results" / f"{recipe.stem}.json"
    if not kept.exists():
        assert "# Measured: not yet." in recipe.read_text()
        return
    result, said = json.loads(kept.read_text()), recipe.read_text().partition("# Measured: ")[2].partition("\n")[0]
    assert any(
        f"{result[unit]:.{digits}f}" in said for unit, digits in (("nats", 2), ("bits_per_dim", 3), ("bits_per_dim", 4))
    ), said


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an sdist has no link, but the folder itself")
def test_a_clone_has_the_recipes_at_its_root() -> None:
    link = ROOT / "recipes"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == PATHS[0].parent


@every_recipe
def test_a_recipe_for_photographs_says_what_makes_its_file(recipe: Path) -> None:
    if "photos32.npz" in (text := recipe.read_text()):
        assert "`python examples/photographs.py FOLDER`" in text.partition("\nmodel:")[0]
        assert (ROOT / "examples" / "photographs.py").is_file()


@every_recipe
def test_a_recipe_builds_its_model_at_full_size(recipe: Path) -> None:
    settings = _settings(recipe, [str(recipe)])
    Training(**settings.training.as_dict())
    kind, chosen = kind_of(settings.data.as_dict()), settings.model.as_dict()
    context = None
    match chosen.pop("context"):
        case "label":
            assert kind.classes is not None, "a recipe with labels is for images that have them"
            context = npx.ClassLabel(kind.classes)
        case "map":
            assert kind.maps is not None, "a recipe with maps is for images that have them"
            context, _ = kind.maps
        case other:
            assert other == "none"
    with torch.device("meta"):
        model = npx.build(chosen.pop("name"), kind.spec, chosen.pop("likelihood"), context, **chosen)
    assert sum(weight.numel() for weight in model.parameters()) > 10_000


@every_recipe
def test_a_recipe_trains(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = kind_of(yaml.safe_load(recipe.read_text())["data"])
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", 2), ("validation", 1), ("test", 1)):
        arrays[f"{split}_images"] = generator.integers(kind.stored.levels, size=(count, *kind.stored.shape))
        if kind.classes is not None:
            arrays[f"{split}_labels"] = np.full(count, kind.classes - 1)
        if kind.maps is not None:
            context, grid = kind.maps
            assert context.levels is not None
            arrays[f"{split}_maps"] = generator.integers(context.levels, size=(count, *grid))
    np.savez(tmp_path / "tiny.npz", levels=kind.stored.levels, first_label=0, **arrays)
    smaller = ["--data.name", tmp_path / "tiny.npz", "--data.layout", "NCHW", "--training.batch", 1]
    smaller += ["--training.epochs", 1, "--training.samples", 0, "--training.compile", "false"]
    # As wide as it is, but less deep where that takes long: it has been built at full size.
    smaller += [word for part in LESS_DEEP.get(recipe.stem, ()) for word in (f"--model.{part}", 1)]
    assert main([str(word) for word in ["train", recipe, "--out", tmp_path / "run", *smaller]]) == 0, (
        capsys.readouterr()
    )
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1].startswith("2,1,")
    assert (tmp_path / "run" / "model.safetensors").is_file()
