"""A run that is stopped and resumed, wherever, is the run that nothing happened to: compared by bytes.

What the clock decides is left out: the columns `minutes`, `images_per_second` and `waiting` of metrics.csv, and of its
last row in the state. TensorBoard's files hold the time of day, and state.previous what was saved before.
"""

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

import nextpixel as npx
from nextpixel import pictures
from nextpixel.data import DataSet
from nextpixel.data.transforms import binarise, threshold
from nextpixel.models import MODELS
from nextpixel.sealed import Sealed, write
from nextpixel.training import Training, train
from nextpixel.training.loop import _Loop
from training.test_golden import SMALL

CLOCK = ("minutes", "images_per_second", "waiting")
# Three steps an epoch, a validation every four steps and at the end: epochs end between validations.
SETTINGS = Training(
    epochs=3, batch=8, learning_rate=0.01, validate_every=1.33, validation_images=12, samples=2, precision="fp32"
)
FALLING = {"schedule": "exponential", "decay": 0.9, "warmup": 5, "gradient_clip": 5.0}
VAE = {"filters": 4, "latent": 3, "blocks": 1, "encoder": 4, "maps": 4, "head": 8}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    **{name: (name, SMALL[name], {}) for name in MODELS},
    "dropout": ("gated_pixelcnn", {"filters": 4, "blocks": 1, "head": 8, "dropout": 0.5}, {}),
    "labels": ("gated_pixelcnn", {"filters": 4, "blocks": 1, "head": 8, "context": npx.ClassLabel(10)}, {}),
    "reading orders": (
        "gated_pixelcnn",
        {"filters": 4, "blocks": 1, "head": 8, "context": npx.ClassLabel(10), "orders": 8},
        {},
    ),
    "dynamic binarisation": ("pixelcnn", {"filters": 4, "layers": 1, "likelihood": "bernoulli"}, {}),
    "batch norm": ("pixelcnn", {"filters": 4, "layers": 2, "norm": "batch"}, {}),
    "warm-up": ("pixelvae", {**VAE, "warmup": 6, "free_bits": 0.1}, {}),
    "whitening": ("pixelvae", {**VAE, "warmup": 20, "spread": 1.0, "equalised": True, "dropout": 0.2}, {}),
    "adamw": ("pixelcnn", {"filters": 4, "layers": 1}, {"optimizer": "adamw", "weight_decay": 0.1, "ema": 0.5}),
    "muon": ("gated_pixelcnn", {"filters": 16, "blocks": 1}, {"optimizer": "muon", "weight_decay": 0.1}),
    "getting worse": (
        "pixelcnn",
        {"filters": 4, "layers": 1},
        {"learning_rate": 1.0, "ema": 0.0, "warmup": 50, "schedule": "constant"},
    ),
    "rmsprop": ("pixelcnn", {"filters": 4, "layers": 1}, {"optimizer": "rmsprop", "accumulate": 2, **FALLING}),
}


def digits(case: str) -> DataSet:
    """The middle of some digits, 4x4."""
    data = npx.open_data("digits", limit=27)
    spec, images = replace(data.spec, height=4, width=4), np.ascontiguousarray(data.train.images[:, :, 2:6, 2:6])
    split = replace(data.train, images=images)
    if case != "dynamic binarisation":
        return replace(data, spec=spec, train=split, validation=split, test=split)
    drawn, fixed = replace(split, draw=partial(binarise, levels=17)), replace(split, images=threshold(images, 7))
    return replace(data, spec=replace(spec, levels=2), train=drawn, validation=fixed, test=fixed)


def go(case: str, out: Path, *, resume: bool = False, seed: int = 0) -> Path:
    """Train that case, as a process that has just started would."""
    name, sizes, settings = CASES[case]
    data = digits(case)
    torch.manual_seed(seed)  # of the first weights, which a resumed run does not need
    model = npx.build(name, data.spec, **{"likelihood": "categorical", **sizes})
    return train(model, data, out=out, settings=replace(SETTINGS, **settings), resume=resume, device="cpu")


def left(run: Path) -> dict[str, Any]:
    """What a run leaves, but for what the clock decides."""
    with (run / "metrics.csv").open() as file:
        rows = [{key: value for key, value in row.items() if key not in CLOCK} for row in csv.DictReader(file)]
    with safe_open(run / "state.safetensors", "pt") as file:
        state = {key: (str((t := file.get_tensor(key)).dtype), t.numpy().tobytes()) for key in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["training"])
    position = {key: value for key, value in about.items() if key not in (*CLOCK, "row", "sha256")}
    row = {key: value for key, value in about["row"].items() if key not in CLOCK}
    whole = [
        "model.safetensors",
        "last.safetensors",
        "config.yaml",
        *(f"samples/{p.name}" for p in run.glob("samples/*")),
    ]
    return {
        "metrics.csv": rows,
        "position": {**position, "row": row},
        **{f"state: {key}": tensor for key, tensor in state.items()},
        **{name: (run / name).read_bytes() for name in whole},
    }


def same(run: Path, other: Path) -> None:
    one, two = left(run), left(other)
    assert one.keys() == two.keys()
    assert [key for key in one if one[key] != two[key]] == []


class Stop:
    """Interrupts a run at one call of a function that it calls, before or after it."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str, *, call: int, after: bool = False) -> None:
        self.happened, calls, usual = False, iter(range(10**6)), getattr(owner, name)
        self.run: Any = None
        begin = _Loop.run

        def begun(run: _Loop) -> None:
            self.run = run
            begin(run)

        def watched(*arguments: Any, **options: Any) -> Any:
            stops = next(calls) == call
            if stops and not after:
                self.ask()
            result = usual(*arguments, **options)
            if stops and after:
                self.ask()
            return result

        patch.setattr(_Loop, "run", begun)
        patch.setattr(owner, name, watched)

    def ask(self) -> None:
        self.happened = True
        self.run.interrupted.set()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run of a case that nothing happened to; made once."""
    made: dict[str, Path] = {}
    return lambda case: made.get(case) or made.setdefault(case, go(case, tmp_path_factory.mktemp("whole") / "run"))


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_stopped_again_and_again_is_the_uninterrupted_one(
    case: str, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first step, the last one of an epoch, one with a validation and the first one of the last epoch."""
    usual, out = _Loop.step, tmp_path / "run"

    def stopping(run: _Loop) -> None:
        if run.position.step in (0, 2, 3, 6):
            run.interrupted.set()
        usual(run)

    monkeypatch.setattr(_Loop, "step", stopping)
    for attempt in range(4):
        with pytest.raises(KeyboardInterrupt):
            go(case, out, resume=attempt > 0, seed=attempt)
    monkeypatch.undo()
    go(case, out, resume=True, seed=4)
    same(out, whole(case))


@pytest.mark.parametrize(
    ("owner", "name", "call", "after", "step"),
    [
        (_Loop, "step", 1, False, 2),
        (_Loop, "step", 2, True, 4),  # noticed in the next step, with which a validation comes
        (_Loop, "validation_nats", 0, False, 4),
        (_Loop, "validation_nats", 0, True, 4),
        (_Loop, "save", 0, False, 4),
        (pictures, "grid", 0, False, 4),
        (_Loop, "validate", 0, True, 5),
        (_Loop, "step", 5, False, 6),  # between epochs
        (_Loop, "validation_nats", 1, False, 8),
        (_Loop, "validate", 1, True, 9),  # noticed in the last step, whose validation is left for later
    ],
)
def test_a_run_that_is_stopped_once_is_the_uninterrupted_one(
    owner: Any, name: str, call: int, after: bool, step: int, whole: Any, tmp_path: Path
) -> None:
    """Before or after a call of some function, in a run with dropout, warm-up and whitening."""
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop = Stop(patch, owner, name, call=call, after=after)
        with pytest.raises(KeyboardInterrupt):
            go("whitening", out)
        assert stop.happened
    with safe_open(out / "state.safetensors", "pt") as file:
        assert json.loads(file.metadata()["training"])["step"] == step
    go("whitening", out, resume=True, seed=1)
    same(out, whole("whitening"))


@pytest.mark.parametrize(("count", "told"), [(0, 0), (1, 0), (2, 1), (None, 0)])
def test_a_run_that_had_more_processes_says_what_may_differ(
    count: int | None, told: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that was saved before processes were counted is loaded as any other."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        Stop(patch, _Loop, "step", call=0)
        with pytest.raises(KeyboardInterrupt):
            go("adamw", out)
    file = Sealed(out / "state.safetensors", key="training")
    assert file.about.pop("processes") == 1
    about = file.about if count is None else {**file.about, "processes": count}
    write(file.path, file.tensors(), key="training", about=about)
    go("adamw", out, resume=True)
    assert capsys.readouterr().err.count("goes on with 1 in the place of 2 processes: sums may differ") == told


@pytest.mark.parametrize(("precision", "told"), [("bf16", 1), ("fp32", 0), ("", 0), (None, 0)])
def test_a_run_that_goes_on_in_another_precision_says_so(
    precision: str | None, told: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a machine of another kind, where `auto` chooses another; once, as it is then that of the run."""
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        Stop(patch, _Loop, "step", call=0)
        with pytest.raises(KeyboardInterrupt):
            go("adamw", out)
    file = Sealed(out / "state.safetensors", key="training")
    assert file.about.pop("precision") == "fp32"
    about = file.about if precision is None else {**file.about, "precision": precision}
    write(file.path, file.tensors(), key="training", about=about)
    go("adamw", out, resume=True)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("goes on in fp32 in the place of bf16; training.precision bf16 goes on as before.") == told
