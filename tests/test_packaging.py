"""What is installed: the wheel's content and what it asks for, and the one sentence where an extra is missing."""

import email
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import nextpixel as npx
from nextpixel import plots, shipped
from nextpixel.cli.listing import RECIPES
from nextpixel.errors import needs

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def build(source: Path, out: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(out), "-t", "sdist", "-t", "wheel"]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out)
    return out


def content(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_recipes_its_data_and_their_licences(built: Path) -> None:
    files = content(built)
    package = {name for name in files if not name.startswith("nextpixel-")}
    here = {path.relative_to(ROOT / "src") for path in (ROOT / "src" / "nextpixel").rglob("*") if path.is_file()}
    assert package == {path.as_posix() for path in here if path.suffix != ".pyc"}
    assert {f"nextpixel/recipes/{name}.yaml" for name in RECIPES} <= package
    assert {"nextpixel/data/digits.npz", "nextpixel/py.typed"} <= package
    licences = {name.rpartition("/")[2] for name in files if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    build(source, tmp_path / "again")
    assert content(tmp_path / "again") == content(built)


@pytest.mark.slow
def test_what_only_some_commands_need_is_an_extra(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("METADATA"))
        asked = email.message_from_bytes(file.read(name)).get_all("Requires-Dist", [])
    plain = {line.partition(">")[0] for line in asked if "extra ==" not in line}
    assert not plain & {"datasets", "gradio", "matplotlib", "tensorboard", "scikit-learn", "scipy", "shtab"}
    everything = {line.partition(">")[0] for line in asked if "extra == 'all'" in line}
    assert everything == {"datasets", "gradio", "matplotlib", "tensorboard", "scipy", "shtab"}


@pytest.mark.slow
def test_the_command_works_from_the_wheel(built: Path, tmp_path: Path) -> None:
    """In a folder without the sources, where no extra can be imported, TensorBoard for now excepted."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "installed")
    for package in ("matplotlib", "sklearn", "scipy"):
        (tmp_path / "installed" / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "nextpixel.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else done.stderr

    assert run("recipes").count("\n  Measured: ") == len(RECIPES)
    small = ("--model.filters", "4", "--model.blocks", "1", "--training.epochs", "1", "--training.samples", "0")
    assert run("train", "digits", *small).startswith("The run is in runs/digits; ")
    assert "bits per dimension" in run("evaluate", "runs/digits")
    assert run("plot", "curves", "runs/digits") == (
        "nextpixel: plot curves needs matplotlib: pip install 'nextpixel[plots]'.\n"
    )


def test_the_citation_and_the_notice_say_what_the_project_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format asks for
    assert citation["version"] == PROJECT["version"] == npx.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert f"## [{npx.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    notice = (ROOT / "NOTICE").read_text()
    assert not [name for name in shipped.names() if not re.search(rf"\b{name}\b", notice)]


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment where the wheel is installed, and no source; what it needs is lent by ours."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    # After its own packages; the file that leads from ours to the sources is not read there.
    (site / "lent.pth").write_text("\n".join({sysconfig.get_path(name) for name in ("purelib", "platlib")}) + "\n")
    return folder / "bin" / "python"


def clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["", "\n\ndef wrong() -> int:\n    return npx.load('x').spec\n"])
def test_a_users_script_passes_pyright_strict_against_the_wheel(wrong: str, installed: Path, tmp_path: Path) -> None:
    """And one with a wrong type does not."""
    (tmp_path / "user.py").write_text((ROOT / "tests" / "typed" / "user.py").read_text() + wrong)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", installed, "--outputjson"]
    environment = clean() | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    rules = [found.get("rule", found["message"]) for found in said["generalDiagnostics"]]
    assert rules == (["reportReturnType"] if wrong else []), done.stdout
    assert said["summary"]["filesAnalyzed"] == 1


@pytest.mark.slow
def test_a_users_script_and_the_command_run_from_the_wheel_without_noise(installed: Path, tmp_path: Path) -> None:
    """A warning of any package would be an error."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [installed, "-W", "error", *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=clean(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    where = run("-c", "import nextpixel; print(nextpixel.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])
    script = run(ROOT / "tests" / "typed" / "user.py")
    assert "nothing later is seen, by change holds" in script.stdout
    for words in (["models"], ["recipes"], ["data"], ["sample", "-n", "1", "--out", "one.png"]):
        assert run("-m", "nextpixel.cli", *words).stderr == "", words
    assert (tmp_path / "one.png").is_file()


@pytest.fixture
def model() -> npx.Autoregressive:
    return npx.build("pixelcnn", npx.ImageSpec(1, 3, 3, levels=2), filters=2, layers=1)


@pytest.mark.parametrize(
    ("kind", "draw"),
    [
        ("curves", lambda model: plots.draw_curves([])),
        (
            "receptive-field",
            lambda model: plots.draw_receptive_field(model, plots.receptive_field(model, 1, 1, images=1), 1, 1),
        ),
    ],
)
def test_a_plot_without_matplotlib_names_its_extra(
    kind: str, draw: Callable, model: npx.Autoregressive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(npx.BadInput, match=rf"^plot {kind} needs matplotlib: pip install 'nextpixel\[plots\]'\.$"):
        draw(model)


def test_what_an_extra_itself_misses_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError, match="numpy_of_another"), needs("scipy", "mat", "A .mat file"):
        raise ModuleNotFoundError("No module named 'numpy_of_another'", name="numpy_of_another")


def test_every_extra_that_a_sentence_names_is_one() -> None:
    extras = PROJECT["optional-dependencies"]
    assert {"plots", "tensorboard", "mat", "all"} <= set(extras)
    assert "nextpixel[all]" in extras["dev"]
