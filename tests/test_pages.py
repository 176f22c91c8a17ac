"""What the README says is run: its example, its tables, the benchmarks behind them."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

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
