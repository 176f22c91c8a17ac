"""What the pages say is run: their examples and commands, the tables, the benchmarks behind them."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import nextpixel as npx
from nextpixel.cli import main
from nextpixel.data import open_data

ROOT = Path(__file__).parents[1]


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    names: dict = {}
    exec(blocks[0], names)
    assert names["images"].shape == names["again"].shape == (16, 1, 28, 28)
    assert names["bits"].shape == (16,)


@pytest.mark.slow
def test_the_commands_of_the_page_about_codes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, on 60 small photographs with small networks, in the folder that the page names."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    patches = noise.integers(256, size=(600, 8, 8, 3)).astype(np.uint8)
    photographs = patches[noise.integers(600, size=(60, 4, 4))].swapaxes(2, 3).reshape(60, 32, 32, 3)
    Path("my-photographs").mkdir()
    for number, photograph in enumerate(photographs):
        Image.fromarray(photograph).save(f"my-photographs/{number}.png")
    shorter = shlex.split("--training.epochs 1 --training.samples 4 --model.filters 4 --model.blocks 1 --model.head 4")
    lines = re.findall(r"^    (\S.*)$", (ROOT / "docs" / "codes.md").read_text(), re.MULTILINE)
    assert len(lines) == 13
    for line in lines:
        program, *words = shlex.split(line)
        if program == "nextpixel":
            assert main(words + shorter * (words[0] == "train")) == 0, line
        else:
            assert program == "python"
            subprocess.run([sys.executable, ROOT / words[0], *words[1:]], check=True)
    with Image.open("samples.png") as picture:
        assert picture.size == (8 * 64 + 7 * 2,) * 2


def test_the_file_of_the_page_about_codes_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "codes.md").read_text(), re.DOTALL)
    splits = {"train": np.arange(30), "test": np.arange(5)}
    exec(block, {"splits": splits, "encode": lambda images: np.tile(images[:, None, None], (1, 8, 8))})
    assert open_data("codes.npz").spec == npx.ImageSpec(1, 8, 8, levels=512, ordinal=False)


def test_the_tables_of_the_readme_are_what_the_command_writes() -> None:
    page = (ROOT / "README.md").read_text()
    assert _script(ROOT / "benchmarks" / "results.py").tabulated(page) == page
    assert page.count("\n| ") > len(list((ROOT / "results").glob("*.json")))  # each has a row, beside the headers


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("sampling.py", ["filters=6", "blocks=1", "--size", 4, "--repeats", 1]),
        ("training.py", ["--filters", 4, "--blocks", 1, "--size", 6, "--batch", 2, "--repeats", 1]),
    ],
)
def test_benchmarks_run(script: str, options: list) -> None:
    command = [sys.executable, ROOT / "benchmarks" / script, *options, "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert {"what", "ratio", "must"} <= rows[0].keys()
    assert all(row["ratio"] > 0 for row in rows)
