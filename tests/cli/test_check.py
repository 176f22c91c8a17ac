"""The table of the laws, its exit status, and what it says of models that break them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel.likelihoods import Likelihood
from nextpixel.models import MODELS
from nextpixel.unroll import Backbone


class Leaking(Backbone):
    """A network that sees what it predicts, in one parallel pass; step by step it cannot."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Likelihood, context: int = 0) -> None:
        super().__init__(spec, likelihood, colours="dependent", carries=False)
        self.gain = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, levels, context):
        seen = torch.nn.functional.one_hot(levels[:, 0].long(), self.spec.levels).movedim(-1, 1)
        return self.gain * seen.to(self.gain.dtype)

    def init_state(self, batch, context):
        return torch.zeros(batch, self.spec.levels)

    def begin_row(self, row, above, state): ...

    def step(self, column, substep, state):
        return self.gain * state

    def observe(self, column, substep, levels, state): ...


@pytest.fixture
def leaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(MODELS, "leaking", Leaking)
    npx.save(npx.build("leaking", npx.ImageSpec(1, 4, 5, 3)), tmp_path / "leaking.safetensors")
    return tmp_path / "leaking.safetensors"


def test_a_model_that_is_right_has_a_table_and_status_0(call: Callable[..., Any], labelled: Path, data: Path) -> None:
    said = call("check", labelled, "--split", "train")
    assert (said.status, said.err) == (0, "")
    first, *rows, last = said.out.splitlines()
    assert first.startswith(f"{labelled}, 3 images of {data}, train, in ")
    table = [row for row in rows if row.startswith("  ")]
    assert len(table) == 9
    assert table[0].split() == ["holds", "nothing", "later", "is", "seen,", "by", "gradient", "0", "(at", "most", "0)"]
    assert "(at least 0.0001)" in table[-1]
    blind = sum(row.startswith("  note") for row in table)  # one small block sees less than 4x5
    words = [row for row in rows if not row.startswith("  ")]
    assert len(words) == blind
    assert all(re.fullmatch("Note: everything earlier is seen, .*: predictions do not know .*", row) for row in words)
    assert last == f"{9 - blind} of 9 laws hold, none fail."
    assert not list(Path().iterdir())


def test_a_leak_fails_with_status_1_and_its_meaning(call: Callable[..., Any], leaking: Path, data: Path) -> None:
    said = call("check", leaking, "--data", data, "--split", "all")
    assert said.status == 1
    assert "  fails           nothing later is seen, by change " in said.out
    meaning = "a sub-pixel sees itself or what follows: its likelihood means nothing."
    assert f"Fails: nothing later is seen, by change: {meaning}" in said.out
    assert re.search("Not applicable: everything earlier is seen, of .* pairs .*: no level has a gradient.", said.out)
    assert said.out.splitlines()[-1] == "3 of 9 laws hold, 4 fail."


def test_json_has_every_figure_and_no_nan(call: Callable[..., Any], leaking: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    said = call("check", leaking, "--json")
    told = json.loads(said.out, parse_constant=refuse)
    assert said.status == 1
    assert said.err.startswith("Note: the images are random, as there are no others: Nothing says which data set ")
    assert (told["model"], told["about"], told["fails"]) == (str(leaking), "3 random images", True)
    assert [finding["verdict"] for finding in told["findings"]] == [
        *["not applicable"] * 2,
        *["fails"] * 2,
        *["holds"] * 3,
        *["fails"] * 2,
    ]
    first, _, change, *_ = told["findings"]
    assert (first["figure"], first["untested"]) == (None, "no level has a gradient")
    # Changed, a level has a logit of 0.5 that it had not, or the other way round.
    assert change["figure"] == pytest.approx(0.5)
    assert change["tolerance"] == 1e-9


@pytest.mark.parametrize("run", ["plain", "mapped", "both"])
def test_models_of_every_context_pass(call: Callable[..., Any], request: pytest.FixtureRequest, run: str) -> None:
    folder = request.getfixturevalue(run)
    told = json.loads(call("check", folder, "--json").out)
    assert not told["fails"]
    assert ", test" in told["about"]
    alone = shutil.copy(folder / "model.safetensors", "alone.safetensors")
    told = json.loads(call("check", alone, "--json").out)
    assert not told["fails"]
    assert ", test" in told["about"]  # the file itself says what it learnt from


def test_seeds_draw_other_places(call: Callable[..., Any], plain: Path) -> None:
    first, again, other = (
        json.loads(call("check", plain, "--json", "--seed", seed).out)["findings"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_a_picture_shows_what_is_not_seen(call: Callable[..., Any], plain: Path) -> None:
    said = call("check", plain, "--out", "sees.png")
    assert said.status == 0
    assert said.out.endswith("What pixel 2,2 sees and what not: sees.png\n")
    with Image.open("sees.png") as picture:
        assert picture.width > 200


def test_bad_input_is_one_sentence(refused: Callable[..., Any], plain: Path, data: Path, tmp_path: Path) -> None:
    assert "no model at nowhere" in refused("check", "nowhere")
    assert "no data set 'nothing'" in refused("check", plain, "--data", "nothing")
    assert "1x4x5 with 3 levels, but those of digits are 1x8x8" in refused("check", plain, "--data", "digits")
    assert "must end in .png or .jpg or .jpeg or .webp, not sees.gif" in refused("check", plain, "--out", "sees.gif")
    assert "no device 'tpu'" in refused("check", plain, "--device", "tpu")
    assert "'-1' is not a whole number" in refused("check", plain, "--seed=-1")
    one = tmp_path / "one.npz"
    np.savez(one, test_images=np.load(data)["images"][:1], train_images=np.load(data)["images"][1:], levels=3)
    assert "The test split of" in refused("check", plain, "--data", one)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nosuchpackage", "ModuleNotFoundError: No module named 'nosuchpackage'"),
        ("def f(:", "SyntaxError: invalid syntax (broken_{}.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_why(
    code: str, said: str, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sentence = refused("check", "mnist", "--import", name)
    assert f"The module '{name}' cannot be imported ({said.format(abs(hash(code)))})" in sentence


def test_a_run_that_python_trained_knows_its_data(call: Callable[..., Any], tmp_path: Path) -> None:
    data = npx.open_data("digits")
    model = npx.build("pixelcnn", data.spec, filters=4, layers=1)
    settings = npx.Training(epochs=1, samples=0, precision="fp32")
    npx.train(model, data, out="run", settings=settings, device="cpu")
    assert "digits, test, 4 images" in call("evaluate", "run", "--images", 4).out
    assert "the images are random" not in call("check", "run").err
