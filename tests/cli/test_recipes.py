import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nextpixel.cli.listing import FOLDER, RECIPES
from nextpixel.data import CATALOGUE

SMALL = ("--model.filters", 4, "--model.blocks", 1, "--model.head", 4, "--training.epochs", 1, "--training.samples", 0)


def test_the_list_says_what_each_is_what_it_costs_and_what_was_measured(call: Callable[..., Any]) -> None:
    said = call("recipes")
    assert said.status == 0
    lines = said.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == sorted(path.stem for path in FOLDER.glob("*.yaml"))
    digits = lines.index("digits")
    assert lines[digits + 1].startswith("  Class-conditional digits: ")
    assert lines[digits + 2].startswith("  Cost: two minutes on one core")
    assert lines[digits + 3].startswith("  Measured: ")
    assert len(lines) == 4 * len(RECIPES)


def test_a_recipe_is_shown_as_it_is(call: Callable[..., Any]) -> None:
    assert call("recipes", "mnist-binary").out == (FOLDER / "mnist-binary.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("digts", "There is no recipe 'digts'; did you mean digits?"),
        ("Fashion_MNIST", "There is no recipe 'Fashion_MNIST'; did you mean fashion-mnist?"),
        ("xyz", "There is no recipe 'xyz'; nextpixel recipes lists what there is."),
    ],
)
def test_what_cannot_be_shown(name: str, sentence: str, refused: Callable[..., Any]) -> None:
    assert sentence in refused("recipes", name)


@pytest.mark.parametrize("name", ["digits", "recipes/digits.yaml"])
def test_a_recipe_is_trained_by_its_name_or_as_a_clone_has_it(name: str, call: Callable[..., Any]) -> None:
    assert "digits" in CATALOGUE, "a data set of that name does not come first"
    said = call("train", name, *SMALL, "--data.limit", 20)
    assert said.status == 0, said.err
    assert said.out == "The run is in runs/digits; its best model is runs/digits/model.safetensors.\n"
    config = yaml.safe_load(Path("runs/digits/config.yaml").read_text())
    assert (config["data"]["name"], config["model"]["context"]) == ("digits", "label")


@pytest.mark.parametrize("name", ["digits", "recipes/digits.yaml"])
def test_a_file_of_ones_own_comes_before_a_recipe(name: str, call: Callable[..., Any]) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("model: {name: pixelcnn, layers: -1}\ndata: {name: digits}")
    assert re.search("layers .*-1", call("train", name).err)


def test_a_folder_of_that_name_is_no_recipe(call: Callable[..., Any]) -> None:
    Path("digits").mkdir()
    both = "recipes/digits.yaml is the recipe, ./digits --minutes 20 trains on what is in the folder."
    assert both in call("train", "digits").err
    said = call("train", "recipes/digits.yaml", "--dry-run", "--model.filters", 4, "--model.blocks", 1)
    assert said.status == 0, said.err
    assert "digits has no images in it" in call("train", "./digits", "--minutes", 1).err
    Path("own").mkdir()
    assert (
        "no recipe own; to train on these data say how long: nextpixel train own --minutes 20"
        in call("train", "own").err
    )
    assert "no recipe mnist; to train on these data say how long" in call("train", "mnist").err  # a data set's name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("digts",), "There is no recipe 'digts'; did you mean digits?"),
        (("recipes/digts.yaml",), "There is no recipe 'digts'; did you mean digits?"),
        (("digits.yaml",), "There is no recipe 'digits.yaml'; did you mean digits?"),  # a file of one's own, elsewhere
        (("mine/digits.yaml",), "There is no recipe 'mine/digits.yaml'"),
        (("DIGITS",), "There is no recipe 'DIGITS'; did you mean digits?"),
        (("digits", "--resume"), "give the run folder alone: nextpixel train RUN_FOLDER --resume, not digits."),
        (("runs/digits", "--resume"), "There is no recipe 'runs/digits'"),
        (("photos32-pixelvae",), "no file or folder photos32.npz; say where your own data is with --data.name PATH."),
        (("codes-photos32",), "no file or folder codes.npz; say where your own data is with --data.name PATH."),
    ],
)
def test_names_that_are_no_recipes_and_recipes_for_data_that_is_not_there(
    words: tuple[str, ...], sentence: str, refused: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEXTPIXEL_DATA", raising=False)  # it may have these files
    assert sentence in refused("train", *words)


def test_own_data_may_lie_below_the_data_root(
    call: Callable[..., Any], refused: Callable[..., Any], data: Path
) -> None:
    (root := Path("../sets")).mkdir()
    shutil.copy(data, root / "mine.npz")
    assert "mine.npz" in refused("train", "digits", *SMALL, "--data.name", "mine.npz", "--out", "run")
    small = ("digits", *SMALL, "--data.name", "mine.npz", "--data-root", root, "--out", "run")
    assert call("train", *small).status == 0
    assert "name: mine.npz" in Path("run/config.yaml").read_text()
    assert call("evaluate", "run").status == 0
    root.rename("../moved")
    assert call("evaluate", "run", "--data-root", "../moved").status == 0


def test_a_resumed_run_whose_data_moved_says_how_to_name_it(call: Callable[..., Any], data: Path) -> None:
    shutil.copy(data, "mine.npz")
    assert call("train", "digits", *SMALL, "--data.name", "mine.npz", "--out", "run").status == 0
    Path("mine.npz").rename("moved.npz")
    assert "say where your own data is with --data.name PATH." in call("train", "run", "--resume").err


def test_the_help_of_train_names_recipes_and_what_it_shows_works(capsys: pytest.CaptureFixture[str]) -> None:
    from nextpixel.cli import main

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    shown = [line.split()[2] for line in text.partition("examples:")[2].splitlines() if "nextpixel train" in line]
    assert {name for name in shown if not name.endswith("/") and not name.startswith("runs/")} <= set(RECIPES)
    assert len(shown) == 7
