"""The benchmark's pure parts, and that it writes a table; how fast anything is, is not asked here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

import measures
import nextpixel as npx
import report
import subjects

ROOT = Path(__file__).parents[1]
FIGURES = {
    "date": "2026-01-01",
    "quick": False,
    "machine": {
        "processor": "Abacus",
        "cores": 2,
        "threads": 2,
        "instructions": ["avx2"],
        "torch uses": "AVX2",
        "bf16": "emulated",
        "torch": "2.13.0",
        "load before": 0.0,
    },
    "peaks": {"1": {"convolution 64": 5e10, "copy": 1e10}, "2": {"convolution 64": 1e11, "copy": 1e10}},
    "models": {
        "pixelcnn": {
            "recipe": "r",
            "weights": 1000,
            "images": "28x28x1, 2 levels",
            "limits": {"forwards": "≤ 2"},
            "memory": 2**21,
            "threads": {
                "1": {"streaming": {"1": {"naive": 60.0, "sampling": 1.0, "forwards": 9.0}, "64": {"forwards": 1.5}}},
                "2": {
                    "streaming": {"1": {"naive": 40.0, "sampling": 1.0, "forwards": 7.0}, "64": {"forwards": 1.75}},
                    "training": {"float32": {"images a second": 123.4, "share of peak": 0.456}},
                },
            },
            "growth": {what: {"training step": 1.0, "sampling": 2.0} for what in report.GROWTH},
        }
    },
}


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_an_exponent_is_found(power: float) -> None:
    sizes = [8, 16, 32, 64]
    assert measures.exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_every_model_is_measured_and_every_recipe_is_there() -> None:
    described = {key: subject.describe() for key, subject in subjects.SUBJECTS.items()}
    assert {name for name, *_ in described.values()} == npx.MODELS.keys()
    assert npx.MODELS.keys() <= described.keys()
    for subject in subjects.SUBJECTS.values():
        if subject.recipe:
            said = yaml.safe_load((ROOT / "recipes" / f"{subject.recipe}.yaml").read_text())
            assert "context" not in said["model"]  # which the benchmark would have to make up


def test_the_table_names_the_best_number_of_threads() -> None:
    page = report.table({"abacus": FIGURES, "earlier": {"machine": {}, "held": []}})
    (row,) = [line for line in page.splitlines() if line.startswith("| pixelcnn | r |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:9] == ["123 (2)", "46 % (2)", "7 (2)", "1.5 (1)", "60 (1)"]
    assert cells[-1] == "2"
    assert "| pixelcnn | 1.00 / 2.00 |" in page
    assert "earlier" not in page


def test_what_is_held_is_the_best_against_its_limit() -> None:
    (row,) = report.held(FIGURES)
    assert (row["model"], row["ratio"], row["must"]) == ("pixelcnn", 1.5, "≤ 2")


@pytest.mark.parametrize("measured", [FIGURES["models"]["pixelcnn"]["threads"], {"1": {}}])
def test_the_plot_is_drawn_whatever_was_measured(measured: dict) -> None:
    models = {"pixelcnn": FIGURES["models"]["pixelcnn"] | {"threads": measured}}
    assert min(report.draw("abacus", FIGURES | {"models": models}).size) > 300


def test_the_tables_of_all_machines_are_what_the_command_writes() -> None:
    machines = ROOT / "benchmarks" / "machines"
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(machines.glob("*.json"))}
    assert (machines / "README.md").read_text() == report.table(kept)


def test_the_command_writes_a_table_figures_and_a_plot(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "bench.py", "--quick", "--models", "pixelcnn", "--name", "here"]
    done = subprocess.run([*command, "--out", tmp_path, "--threads", "1"], capture_output=True, text=True, check=True)
    assert (tmp_path / "README.md").read_text() in done.stdout
    figures = json.loads((tmp_path / "here.json").read_text())
    (its,) = figures["models"].values()
    assert its["threads"]["1"]["training"]["float32"]["share of peak"] > 0
    assert its["threads"]["1"]["streaming"]["1"]["naive"] > 0
    assert its["memory"] > 0
    assert its["growth"].keys() == {*report.GROWTH}
    with Image.open(tmp_path / "here.png") as picture:
        assert picture.size > (300, 300)
