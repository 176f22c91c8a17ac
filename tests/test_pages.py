"""What the pages say is run: their examples and commands, the tables, the benchmarks behind them."""

import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import forked
import nextpixel as npx
from nextpixel.cli import main
from nextpixel.cli.parsers import PARSERS, parse
from nextpixel.cli.recipe import SECTIONS
from nextpixel.data import open_data

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
TRIED = {  # pages with Python that this file runs; what stands in a {code-cell} is run when the pages are built
    "README.md",
    "docs/codes.md",
    "docs/compression.md",
    "docs/guide.md",
    "docs/orders.md",
    "docs/own-network.md",
    "docs/scores.md",
}


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(page: Path, table: str) -> list[str]:
    """What stands between the markers of a table, without its head."""
    (rows,) = re.findall(rf"<!-- {table} -->\n(.*?)<!-- end -->", page.read_text(), re.DOTALL)
    return rows.splitlines()[2:]


def test_the_examples_of_the_readme_and_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pages = README.read_text() + (ROOT / "docs" / "guide.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", pages, re.DOTALL)
    assert len(blocks) == 3
    exec(blocks[0], shortest := {})
    assert shortest["images"].shape == shortest["again"].shape == (10, 1, 28, 28)
    names: dict = {}
    for block in blocks[1:]:
        exec(block.replace("max_minutes=0.2", "max_minutes=0.05"), names)
    assert names["images"].shape == names["again"].shape == (16, 1, 28, 28)
    assert names["bits"].shape == (16,)
    assert names["best"].spec == npx.ImageSpec(1, 8, 8, 17)


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
            assert forked.run([ROOT / words[0], *words[1:]]).returncode == 0, line
    with Image.open("samples.png") as picture:
        assert picture.size == (8 * 64 + 7 * 2,) * 2


def test_the_file_of_the_page_about_codes_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn, block = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "codes.md").read_text(), re.DOTALL)
    exec(drawn, found := {})
    assert (found["digits"].shape, found["digits"].dtype) == ((10, 1, 28, 28), np.uint8)
    splits = {"train": np.arange(30), "test": np.arange(5)}
    exec(block, {"splits": splits, "encode": lambda images: np.tile(images[:, None, None], (1, 8, 8))})
    assert open_data("codes.npz").spec == npx.ImageSpec(1, 8, 8, levels=512, ordinal=False)


def test_the_page_about_compression_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "compression.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(block, {})


def test_the_tables_are_what_the_command_writes() -> None:
    script = _script(ROOT / "benchmarks" / "results.py")
    assert {ROOT / name for name in script.PAGES} == {README, RESULTS}
    for name, chosen in script.PAGES.items():
        page = (ROOT / name).read_text()
        assert script.tabulated(page, chosen) == page, name
    runs, machines = (
        [json.loads(path.read_text()) for path in (ROOT / folder).glob("*.json")]
        for folder in ("results", "benchmarks/machines")
    )
    assert len(_rows(RESULTS, "likelihoods")) == len(runs)
    assert len(_rows(RESULTS, "bounds")) == 2 * len([run for run in runs if "bounds" in run])
    assert len(_rows(RESULTS, "speed")) == sum(len(figures["held"]) for figures in machines)


def test_the_readme_has_a_few_rows_of_the_page_of_all_results() -> None:
    few = _rows(README, "likelihoods")
    assert 1 <= len(few) <= 6
    assert len(set(few)) == len(few)
    every = {_figures(row) for row in _rows(RESULTS, "likelihoods")}
    assert {_figures(row) for row in few} <= every
    assert README.read_text().count("<!-- end -->") == 1


def _figures(row: str) -> tuple[str, ...]:
    """Of a row: the images, the model, its weights, the minutes, the likelihood."""
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    return (*cells[:3], cells[3].split(",")[0], *cells[4:6])


def test_tables_name_files_and_recipes_in_commands_only() -> None:
    """What a run was about is said in words; file names are ours."""
    names = {path.stem for path in (ROOT / "results").glob("*.json")} | {".npz", ".json", ".yaml", "mnist-"}
    tables = [_rows(README, "likelihoods"), *(_rows(RESULTS, table) for table in ("likelihoods", "bounds", "speed"))]
    for row in (row for table in tables for row in table):
        words = re.sub("`(nextpixel|python) .*?`", "", row)
        assert not [name for name in names if name in words], row


def test_the_page_about_a_network_of_ones_own_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its two programs as files, then its commands, with a smaller network and less of everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "my_network", ModuleType("my_network"))
    del sys.modules["my_network"]  # to be put back as it was, whatever is imported now
    page = (ROOT / "docs" / "own-network.md").read_text()
    own, cheating = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    Path("my_network.py").write_text(own)
    Path("cheating.py").write_text(cheating)
    names = runpy.run_path("my_network.py", run_name="__main__")
    assert names["images"].shape == (10, 1, 8, 8)
    assert names["best"].recipe["name"] == "my_network:MyNetwork"
    bits = float(capsys.readouterr().out.removesuffix(" bits/dim\n"))
    assert abs(bits - 2.1) < 0.1
    runpy.run_path("cheating.py")
    assert capsys.readouterr().out == said
    lines = re.findall(r"^    (nextpixel .*)$", page, re.MULTILINE)
    assert len(lines) == 5
    shorter = shlex.split("--training.epochs 1 --training.samples 4 --model.filters 4 --model.blocks 1")
    for line in lines:
        words = shlex.split(line)[1:]
        sys.modules.pop("my_network", None)  # as each command is a process of its own
        assert main(words + shorter * (words[0] == "train")) == 0, line
    assert "laws hold, none fail." in capsys.readouterr().out
    assert Path("digits.png").exists()


@pytest.mark.slow
def test_the_page_about_scores_is_made_by_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With digits in the place of all other images, and a smaller network."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "scores.md").read_text()
    for name, other in (("fashion-mnist", "digits"), ("--outside mnist", "--outside digits"), ("256", "17")):
        page = page.replace(name, other)
    shorter = "--training.epochs 1 --training.samples 0 --model.filters 4 --model.blocks 1 --model.context none"
    made = _script(ROOT / "benchmarks" / "scores.py").measured(page, *shorter.split())
    (said,) = re.findall(r"```text\n(.*?)```", made, re.DOTALL)
    assert "inside: digits, test, 360 images\noutside: digits, test, 360 images\n" in said
    assert {line.split()[0] for line in said.splitlines()} >= {"bits_per_dim", "complexity", "typicality", "ratio"}
    assert re.sub("```text.*?```", "", made, flags=re.DOTALL) == re.sub("```text.*?```", "", page, flags=re.DOTALL)
    assert {"scores.png", "scores.csv", "scores.npz", "redrawn.npz"} <= {path.name for path in tmp_path.iterdir()}


def test_the_example_of_the_page_about_orders_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "orders.md").read_text(), re.DOTALL)
    assert "orders=8)" in block
    smaller = (
        block.replace("28, 28", "6, 6").replace("14:", "3:").replace("orders=8)", "orders=8, filters=4, blocks=1)")
    )
    exec(smaller.replace("particles=64", "particles=2"), {"npx": npx, "torch": torch})


@every_page
def test_all_python_of_a_page_is_run(page: Path) -> None:
    """By this file, or by the build of the documentation."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    assert ("```python" in text) == (name in TRIED)
    assert "```{code-cell}" not in text or text.startswith("---\nfile_format: mystnb\n")
    assert not re.findall(r"```(?:py|pycon|ipython3?|sh|shell|console)\b", text)
    for script in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@every_page
def test_every_command_of_a_page_is_one(page: Path) -> None:
    """Of `train` its own options; that the settings of a recipe are some is the recipe's matter."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for line in re.findall(r"^    (nextpixel .*)$", prose, re.MULTILINE):
        words = shlex.split(line, comments=True)[1:]
        if words[0] != "train":
            parse([word.replace("runs/*", "runs/a") for word in words if word != "--import" and word != "my_network"])
            continue
        _, others = PARSERS["train"].parse_known_args(words[1:])
        settings = [word for word in others if word.startswith("-")]
        assert all(word[2:].partition(".")[0] in SECTIONS for word in settings), line


def test_every_promise_has_a_test_of_that_name() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (?!promise|---)(.*) \|$", page, re.MULTILINE)
    assert len(rows) > 15
    for row in rows:
        (file, name) = re.findall(r"\| `(tests/[\w/]+\.py)::(test_\w+)`$", row)[0]
        assert f"\ndef {name}(" in (ROOT / file).read_text(), row


def test_every_model_has_a_page_and_every_page_stands_in_a_list() -> None:
    folder = ROOT / "docs"
    assert {path.stem for path in (folder / "models").glob("*.md")} == {"index", *npx.MODELS}
    listed = {"index"}
    for page in (folder / "index.md", folder / "models" / "index.md"):
        for entries in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            names = [line for line in entries.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / name).relative_to(folder).as_posix() for name in names}
    assert listed == {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md")}


@every_page
def test_what_a_page_shows_and_links_to_is_there(page: Path) -> None:
    links = [link for link in re.findall(r"\]\((\S+?)\)", page.read_text()) if "://" not in link]
    for name, _, part in (link.partition("#") for link in links):
        there = page.parent / name if name else page
        assert there.exists(), name
        heads = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE) if part else []
        assert not part or part in [re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads], part


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    missing = [name for name in npx.__all__ if f"nextpixel.{name}\n" not in page and f"`nextpixel.{name}`" not in page]
    assert not missing
