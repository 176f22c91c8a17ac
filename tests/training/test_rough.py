"""Rough handling: kills, full disks, two processes, signals, damaged files. What was learnt stays."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.tensorboard import SummaryWriter

import nextpixel as npx
from nextpixel import pictures, plots, sealed
from nextpixel.data import DataSet, Split
from nextpixel.data.lazy import Lazy
from nextpixel.errors import Damaged
from nextpixel.training import Training, loop, train
from nextpixel.training.batches import Batches
from nextpixel.training.display import interruption
from nextpixel.training.loop import _Loop
from nextpixel.training.run import RunFolder
from nextpixel.training.settings import LARGEST
from nextpixel.training.state import MovingAverage, Position, State
from test_files import full_disk

SETTINGS = Training(epochs=3, batch=8, learning_rate=0.02, warmup=2, ema=0.5, samples=4, precision="fp32")


def fresh(data: DataSet) -> npx.Autoregressive:
    torch.manual_seed(0)
    return npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(2), filters=4, blocks=1, head=4, dropout=0.2)


def rows(folder: Path) -> list[list[str]]:
    """The rows of metrics.csv, without the three columns that the clock decides."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    return [[cell for place, cell in enumerate(line.split(",")) if place not in (2, 7, 9)] for line in lines]


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended alike, to the bit."""
    for name in ("model", "last", "state"):
        mine, its = load_file(one / f"{name}.safetensors"), load_file(other / f"{name}.safetensors")
        if mine.keys() != its.keys() or not all(torch.equal(mine[key], its[key]) for key in mine):
            return False
    return rows(one) == rows(other)


@pytest.fixture
def whole(data: DataSet, tmp_path: Path) -> Path:
    """A run that nothing happened to."""
    return train(fresh(data), data, out=tmp_path / "whole", settings=SETTINGS)


def snapshot(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, call: int, to: Path) -> None:
    """Copy the run folder at that call of a function: what a kill at this moment leaves."""
    usual, calls = getattr(owner, name), iter(range(10**6))

    def watched(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            shutil.copytree(to.parent / "a", to)
            (to / ".state.safetensors.part").write_bytes(b"half")
        return usual(*arguments, **options)

    monkeypatch.setattr(owner, name, watched)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (_Loop, "step", 0),  # nothing is done yet
        (_Loop, "step", 3),
        (_Loop, "validate", 0),
        (_Loop, "save", 0),  # the best model is there, and no state
        (State, "save", 0),  # and the last one
    ],
)
def test_a_run_killed_before_its_first_save_is_started_again(
    owner: Any, name: str, call: int, data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        snapshot(patch, owner, name, call=call, to=tmp_path / "killed")
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    with pytest.raises(npx.BadInput, match=r"has no state\.safetensors; start it, here or elsewhere"):
        train(fresh(data), data, out=tmp_path / "killed", settings=SETTINGS, resume=True)
    train(fresh(data), data, out=tmp_path / "killed", settings=SETTINGS)
    assert same(tmp_path / "killed", whole)
    assert not list((tmp_path / "killed").rglob("*.part"))


@pytest.mark.parametrize(
    ("owner", "name", "call", "damage"),
    [
        (RunFolder, "record", 0, b""),  # between state and metrics
        (RunFolder, "record", 0, b"step,epo"),
        (RunFolder, "record", 1, b""),
        (RunFolder, "record", 1, b"10,2,0.0"),  # while a row is written
        (RunFolder, "record", 1, b"5,1,1,1,1,1,1,1\n"),
        (SummaryWriter, "flush", 2, b"\n\xff,,\n"),
        (pictures, "write", 1, b"15,3,0.0001,3,4,5,6,7\n"),  # beyond the state
        (_Loop, "step", 7, b"nan,2,0.0001,3,4,5,6,7\n"),
        (_Loop, "save", 1, b""),
        (State, "save", 1, b""),  # between models and state
    ],
)
def test_a_run_killed_later_goes_on_with_each_row_once(
    owner: Any,
    name: str,
    call: int,
    damage: bytes,
    data: DataSet,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        snapshot(patch, owner, name, call=call, to=tmp_path / "killed")
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    with (tmp_path / "killed" / "metrics.csv").open("ab") as file:
        file.write(damage)
    with pytest.raises(npx.BadInput, match="is not empty; give another folder, or resume the run that is there"):
        train(fresh(data), data, out=tmp_path / "killed", settings=SETTINGS)
    train(fresh(data), data, out=tmp_path / "killed", settings=SETTINGS, resume=True)
    assert same(tmp_path / "killed", whole)
    assert not list((tmp_path / "killed").rglob("*.part"))


def test_a_run_killed_before_its_last_row_has_it_as_soon_as_it_is_looked_at(
    data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        snapshot(patch, RunFolder, "record", call=2, to=tmp_path / "killed")
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    with pytest.raises(npx.BadInput, match="is finished, after 15 steps"):
        train(fresh(data), data, out=tmp_path / "killed", settings=SETTINGS, resume=True)
    assert same(tmp_path / "killed", whole)


def test_a_full_disk_is_not_told_of_by_tensorboards_thread(
    data: DataSet, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = SummaryWriter.add_scalar

    def filled(*arguments: Any) -> None:
        with full_disk(0):
            usual(*arguments)
            arguments[0].flush()

    monkeypatch.setattr(SummaryWriter, "add_scalar", filled)
    with pytest.raises(npx.BadInput, match=r"^The metrics in .* cannot be written: .* step 5, and .* resumed\.$"):
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["thesis.txt", "samples/cat.jpg", "events/a", "model.safetensors", "last.safetensors"])
def test_only_what_a_run_left_is_removed(name: str, data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "a" / name).parent.mkdir(parents=True)
    (tmp_path / "a" / name).write_text("my only copy")
    (tmp_path / "a" / "config.yaml").write_text("mine as well")
    with pytest.raises(npx.BadInput, match=r"is not empty, and [\w./]+ is not of a run"):
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    assert (tmp_path / "a" / name).read_text() == "my only copy"
    assert (tmp_path / "a" / "config.yaml").exists()
    assert not (tmp_path / "a" / ".lock").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_one_process_trains_in_a_folder(resume: bool, tmp_path: Path) -> None:
    script = "import sys, nextpixel.training.run as run, pathlib\nfolder = run.RunFolder(pathlib.Path(sys.argv[1]), "
    script += "resume=False)\nprint('holds it', flush=True)\nsys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"holds it\n"
    if resume:
        (tmp_path / "a" / "state.safetensors").touch()
    with pytest.raises(npx.BadInput, match=r"Another process is training in .*a; wait for it"):
        RunFolder(tmp_path / "a", resume=resume)
    other.kill()
    other.communicate()
    for _ in range(2):
        RunFolder(tmp_path / "a", resume=resume).close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_once_and_is_left_as_it_was(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda number, frame: heard.append(number))
    try:
        with interruption() as interrupted:
            os.kill(os.getpid(), number)
            assert interrupted.is_set()
            assert heard == []
            os.kill(os.getpid(), number)
            assert heard == [number]
        os.kill(os.getpid(), number)
        assert heard == [number] * 2
        signal.signal(number, signal.SIG_IGN)
        with interruption() as interrupted:
            os.kill(os.getpid(), number)
            assert not interrupted.is_set()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_handler_that_is_not_pythons_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: pytest.fail("it was replaced"))
    with interruption() as interrupted:
        assert not interrupted.is_set()


def test_a_terminal_that_is_gone_does_not_end_a_run(
    data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(sys.stderr, "write", gone)
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    assert same(tmp_path / "a", whole)


def fail_once(usual: Callable[..., Any], error: BaseException, call: int) -> Callable[..., Any]:
    calls = iter(range(10**6))

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise error
        return usual(*arguments, **options)

    return failing


@pytest.mark.parametrize(
    ("owner", "name", "call", "step"),
    [
        (Batches, "part", 8, 7),  # one call comes before the first step
        (Split, "batch", 21, 10),  # 2 looks, 11 batches of training and 2 of validation come before
        (_Loop, "validation_nats", 1, 10),
        (pictures, "by_class", 1, 10),
        (pictures, "write", 1, 10),
        (SummaryWriter, "flush", 2, 10),
        (SummaryWriter, "add_scalar", 9, 10),
    ],
)
@pytest.mark.parametrize("kind", [npx.BadInput, OSError])
def test_what_fails_beside_the_weights_does_not_lose_them(
    kind: type[Exception],
    owner: Any,
    name: str,
    call: int,
    step: int,
    data: DataSet,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail_once(getattr(owner, name), kind("cat.png is damaged."), call))
        with pytest.raises(npx.BadInput, match=rf"cat\.png is damaged; the run is saved at step {step}, and .*\.$"):
            train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS, resume=True)
    assert same(tmp_path / "a", whole)


@pytest.mark.parametrize("call", [0, 2, 4])  # of a validation, the first one writes the best weights
def test_best_weights_that_could_not_be_written_are_written_when_the_run_goes_on(
    call: int, data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", fail_once(npx.save, npx.BadInput("model.safetensors cannot be written."), call))
        with pytest.raises(npx.BadInput, match=rf"cannot be written; the run is saved at step {5 * (1 + call // 2)}, "):
            train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS, resume=True)
    assert same(tmp_path / "a", whole)


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("call", [0, 2])  # the first sheet, and the last
def test_samples_that_a_kill_left_undrawn_are_drawn_when_the_run_goes_on(
    call: int, data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(plots, "samples", fail_once(plots.samples, Killed(), call))
        with pytest.raises(Killed):
            train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    sheets = {path.name: path.read_bytes() for path in (whole / "samples").iterdir()}
    assert sheets.keys() - {path.name for path in (tmp_path / "a" / "samples").iterdir()}
    with contextlib.suppress(npx.BadInput):  # that it is finished
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS, resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a" / "samples").iterdir()} == sheets
    assert same(tmp_path / "a", whole)


@pytest.mark.parametrize("call", [1, 3, 6])  # batches of validation: the second of the first, one of each other
def test_an_interruption_does_not_wait_for_a_validation(
    call: int, data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may take longer than torchrun waits; it comes again, whole, when the run goes on."""
    usual, seen = _Loop.log_prob, list[bool]()

    def asked(run: _Loop, *given: Any) -> torch.Tensor:
        if not torch.is_grad_enabled():
            seen.append(run.interrupted.is_set())
            if len(seen) == call:
                run.interrupted.set()
        return usual(run, *given)

    settings = replace(SETTINGS, batch=8)
    with monkeypatch.context() as patch:
        patch.setattr(_Loop, "log_prob", asked)
        with pytest.raises(KeyboardInterrupt):
            train(fresh(data), data, out=tmp_path / "a", settings=settings)
    assert len(seen) == call, "it went on with the validation"
    train(fresh(data), data, out=tmp_path / "a", settings=settings, resume=True)
    assert same(tmp_path / "a", whole)


class Fragile(Lazy):
    """Images of which some turn out to be damaged when they are asked for."""

    def __init__(self, images: np.ndarray, damaged: set[int]) -> None:
        self.images, self.damaged = images, damaged

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: np.ndarray) -> np.ndarray:
        if bad := self.damaged.intersection(indices.tolist()):
            raise Damaged(f"image {min(bad)} is damaged.")
        return self.images[indices]

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return indices.astype(np.uint64)


def test_damaged_images_that_nobody_looked_at_neither_bar_a_start_nor_end_a_validation(
    data: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = data.with_splits(lambda split: replace(split, images=Fragile(split.images, {1, 7})))
    train(fresh(data), torn, out=tmp_path / "a", settings=replace(SETTINGS, unreadable=2, epochs=1))
    said = capsys.readouterr()
    told = " ".join((said.out + said.err).split())
    assert f"2 of {len(data.validation)} validation images cannot be read: left out." in told
    assert told.count("image 1 is damaged: another stands in for it.") == 1
    assert told.count("image 7 is damaged: another stands in for it.") == 1


def test_a_run_that_failed_at_its_first_step_is_started_again(
    data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call, owner, name in ((1, Batches, "part"), (0, _Loop, "log_prob")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail_once(getattr(owner, name), npx.BadInput("cat.png is damaged."), call))
            with pytest.raises(npx.BadInput, match=r"cat\.png is damaged\.$"):
                train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS)
    assert same(tmp_path / "a", whole)


@pytest.mark.parametrize("size", [100, 3000, 6000])
def test_a_full_disk_is_a_sentence_and_the_last_state_stays(size: int, data: DataSet, tmp_path: Path) -> None:
    train(fresh(data), data, out=tmp_path / "a", settings=replace(SETTINGS, epochs=1, schedule="constant"))
    before = (tmp_path / "a" / "state.safetensors").read_bytes()
    with full_disk(size), pytest.raises(npx.BadInput, match=r"^/.*/a/[\w.]+ cannot be written: File too large"):
        train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS, resume=True)
    assert (tmp_path / "a" / "state.safetensors").read_bytes() == before
    assert npx.load(tmp_path / "a").spec == npx.load(tmp_path / "a" / "last.safetensors").spec == data.spec
    assert not list((tmp_path / "a").rglob("*.part"))
    train(fresh(data), data, out=tmp_path / "a", settings=SETTINGS, resume=True)
    assert [row[0] for row in rows(tmp_path / "a")] == ["step", "5", "10", "15"]


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_of_any_number_of_channels_are_trained_and_drawn(channels: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 3, (16, channels, 4, 4)).astype(np.uint8)
    split = Split(images, None)
    data = DataSet("channels", npx.ImageSpec(channels, 4, 4, levels=3), None, split, split, split)
    model = npx.build("gated_pixelcnn", data.spec, filters=2 * channels, blocks=0, head=2 * channels)
    folder = train(model, data, out=tmp_path / "a", settings=replace(SETTINGS, epochs=1))
    assert len(list(folder.glob("samples/*.png"))) == 1


@pytest.fixture
def state(data: DataSet) -> State:
    model = fresh(data)
    optimizer = torch.optim.Adam(model.parameters())
    (-model(torch.zeros(2, 1, 4, 5, dtype=torch.long), torch.tensor([0, 1]))).mean().backward()
    optimizer.step()
    return State(model, MovingAverage(model, decay=0.5), optimizer, Position(3, 5))


def test_no_damage_of_a_state_is_loaded(state: State, tmp_path: Path) -> None:
    path, draw = tmp_path / "state.safetensors", random.Random(0)
    state.save(path)
    good = path.read_bytes()
    size = 8 + int.from_bytes(good[:8], "little")
    state.load(path)
    flips = [draw.randrange(8 * len(good)) for _ in range(50)] + [draw.randrange(8 * size) for _ in range(250)]
    for bit in (*flips, *range(64)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(npx.BadInput, match=r"^/.*state\.safetensors .*\.$"):
            state.load(path)
    for end in [*range(20), *range(20, len(good), len(good) // 40), len(good) - 1]:
        path.write_bytes(good[:end])
        with pytest.raises(npx.BadInput, match=r"state\.safetensors is not a whole safetensors file: "):
            state.load(path)


def test_a_state_of_another_optimizer_is_refused(state: State, tmp_path: Path) -> None:
    state.save(tmp_path / "state.safetensors")
    state.optimizer = torch.optim.RMSprop(state.model.parameters())
    with pytest.raises(npx.BadInput, match="is not the training state of this model with this optimizer"):
        state.load(tmp_path / "state.safetensors")


def test_a_state_before_the_first_validation_goes_through_a_file(state: State, tmp_path: Path) -> None:
    state.save(tmp_path / "state.safetensors")
    state.position = Position(0, 5)
    state.load(tmp_path / "state.safetensors")
    assert state.position == Position(3, 5, best=float("inf"))


def test_weights_that_are_not_finite_replace_no_good_ones(state: State, tmp_path: Path) -> None:
    state.save(tmp_path / "state.safetensors")
    before = (tmp_path / "state.safetensors").read_bytes()
    with torch.no_grad():
        next(iter(state.model.parameters())).view(-1)[0] = float("nan")
    with pytest.raises(npx.BadInput, match=r"state\.safetensors is not written, because not all numbers of model\."):
        state.save(tmp_path / "state.safetensors")
    assert (tmp_path / "state.safetensors").read_bytes() == before


WHOLE = ("epochs", "batch", "warmup", "validation_images", "samples", "seed")
NUMBERS = ("max_minutes", "learning_rate", "epsilon", "weight_decay", "gradient_clip", "ema", "validate_every", "decay")


@pytest.mark.parametrize("name", [*WHOLE, *NUMBERS, "compile", "betas", "optimizer", "schedule", "precision"])
@pytest.mark.parametrize("wrong", [True, "3", "x", [1], {}, float("nan"), float("inf"), -(10**30), 10**400, 1.5, b"1"])
def test_settings_of_a_wrong_type_or_without_bounds_are_refused(name: str, wrong: Any) -> None:
    if (name, wrong) in (("compile", True), *((name, 1.5) for name in NUMBERS if name not in ("ema", "decay"))):
        return
    settings = Training()
    object.__setattr__(settings, name, wrong)  # past beartype, which is there only in tests
    with pytest.raises(npx.BadInput, match=rf"^training\.{name} must be .*not "):
        settings.__post_init__()


@pytest.mark.parametrize("name", WHOLE)
def test_the_largest_number_of_a_setting_can_be_used(name: str, data: DataSet, tmp_path: Path) -> None:
    most = LARGEST.get(name, 2**31 - 1)
    settings = replace(SETTINGS, **{"epochs": 1, "samples": 0, name: most if name != "epochs" else 1})
    if name == "samples":
        settings = replace(settings, samples=0)
    train(fresh(data), data, out=tmp_path / "a", settings=settings)
    with pytest.raises(npx.BadInput, match=f"{name} must be .* and at most {most}, not {most + 1}"):
        replace(SETTINGS, **{name: most + 1})


def test_numbers_of_numpy_are_pythons_in_settings() -> None:
    settings = Training()
    for name, value in {"seed": np.int64(3), "ema": np.float32(0.5), "betas": (np.float64(0.5), 0.9)}.items():
        object.__setattr__(settings, name, value)
    settings.__post_init__()
    assert [type(value) for value in (settings.seed, settings.ema, *settings.betas)] == [int, float, float, float]


@pytest.mark.parametrize("damage", ["a flipped bit", "another key", "a cut", "gone", "empty"])
def test_a_run_whose_state_is_damaged_goes_on_from_the_one_before(
    damage: str, data: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = replace(SETTINGS, epochs=4, schedule="constant")
    expected = train(fresh(data), data, out=tmp_path / "expected", settings=longer)
    folder = train(fresh(data), data, out=tmp_path / "a", settings=replace(longer, epochs=3))
    state = folder / "state.safetensors"
    content = bytearray(state.read_bytes())
    if damage == "a flipped bit":
        content[len(content) // 2] ^= 4
        state.write_bytes(content)
    elif damage == "another key":  # still a safetensors file, but of nothing that is known
        state.write_bytes(content.replace(b'"training"', b'"trainine"', 1))
    elif damage == "gone":
        state.unlink()
    else:
        state.write_bytes(content[: len(content) // 2 if damage == "a cut" else 0])
    capsys.readouterr()
    train(fresh(data), data, out=folder, settings=longer, resume=True)
    said = capsys.readouterr().err
    assert said.count("The run goes on from the state that was saved before") == 1
    assert same(folder, expected)
    for name in ("state.safetensors", "state.previous"):
        (folder / name).write_bytes(b"")
    with pytest.raises(npx.BadInput, match=r"state\.safetensors is not a whole safetensors file"):
        train(fresh(data), data, out=folder, settings=replace(longer, epochs=5), resume=True)


def test_the_state_is_saved_between_validations_and_changes_nothing(
    data: DataSet, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    usual = State.save

    def watched(state: State, path: Path, **more: bool) -> None:
        saved.append(state.position.step)
        usual(state, path, **more)

    monkeypatch.setattr(State, "save", watched)
    often = train(fresh(data), data, out=tmp_path / "often", settings=replace(SETTINGS, save_every=1e-9))
    assert saved == [*range(1, 16)]
    assert same(often, whole)
    saved.clear()
    train(fresh(data), data, out=tmp_path / "seldom", settings=replace(SETTINGS, save_every=1e6))
    assert saved == [5, 10, 15]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_thirty_kills_at_random_moments_of_a_run_that_saves_all_the_time(
    data: DataSet, whole: Path, tmp_path: Path
) -> None:
    """Each time it goes on where it was saved, at a later step, and at last it is the run that was not killed."""
    settings, out, kills, noise = replace(SETTINGS, save_every=1e-9), tmp_path / "a", 0, random.Random(0)
    steps: list[int] = []
    while kills < 30:
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                train(fresh(data), data, out=out, settings=settings, resume=(out / "state.safetensors").exists())
                status = 0
            os._exit(status)
        time.sleep(noise.uniform(0.01, 0.25))
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(ended):
            kills += 1
            if (out / "state.safetensors").exists():
                steps.append(sealed.Sealed(out / "state.safetensors", key="training").about["step"])
        if not os.WIFSIGNALED(ended) or steps[-1:] == [15]:
            assert os.WIFSIGNALED(ended) or os.waitstatus_to_exitcode(ended) == 0
            assert steps == sorted(steps)
            assert same(out, whole) or steps[-1:] == [15]
            steps.clear()
            shutil.rmtree(out)
    train(fresh(data), data, out=out, settings=settings, resume=(out / "state.safetensors").exists())
    assert same(out, whole)
