import csv
import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import nextpixel as npx
from nextpixel.data import DataSet, MapKind, Split
from nextpixel.nn.context import Context
from nextpixel.training import Training, loop, train
from nextpixel.training.batches import Batches
from nextpixel.training.loop import _Loop
from nextpixel.training.state import Position

SETTINGS = Training(epochs=3, batch=8, learning_rate=0.02, warmup=2, ema=0.5, samples=4, precision="fp32")


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_of(model: npx.Autoregressive) -> npx.Autoregressive:
    other = npx.build("gated_pixelcnn", model.spec, context=model.context, **model.recipe["arguments"])
    other.load_state_dict(model.state_dict())
    return other


def validation_nats(model: npx.Autoregressive, data: DataSet) -> float:
    images, labels = torch.from_numpy(data.validation.images), data.validation.labels
    with torch.no_grad():
        return -model.log_prob(images, labels).mean().item()


def test_a_run_learns_and_leaves_a_complete_folder(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    before = validation_nats(copy_of(model).eval(), data)
    folder = train(model, data, out=tmp_path / "runs" / "a", settings=SETTINGS)
    metrics = rows(folder)
    assert [row["step"] for row in metrics] == [5, 10, 15]
    assert [row["epoch"] for row in metrics] == [1, 2, 3]
    assert metrics[-1]["validation_nats"] < metrics[0]["validation_nats"] < before - 1
    assert metrics[-1]["learning_rate"] < 0.05 * SETTINGS.learning_rate
    for row in metrics:
        bits = row["validation_nats"] / (20 * math.log(2))
        assert row["validation_bits_per_dim"] == pytest.approx(bits, rel=1e-5)
    assert yaml.safe_load((folder / "config.yaml").read_text())["training"]["batch"] == 8
    assert any(path.name.startswith("events.") for path in folder.iterdir())
    assert [path.name for path in sorted(folder.glob("samples/*"))] == [f"{step:08d}.png" for step in (5, 10, 15)]
    with Image.open(folder / "samples" / "00000015.png") as picture:
        assert picture.size[0] > picture.size[1] / 3
    assert not list(folder.rglob("*.part"))


def test_tensorboard_gets_losses_between_validations_and_the_samples(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def events(folder: Path) -> tuple[list[int], list[int]]:
        found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
        losses = found.Scalars("step/train_nats")
        assert all(math.isfinite(event.value) for event in losses)
        assert found.Images("samples")[-1].encoded_image_string.startswith(b"\x89PNG")
        return [event.step for event in losses], [event.step for event in found.Images("samples")]

    settings = replace(SETTINGS, epochs=16, validate_every=8.0)  # every 40 steps
    folder = train(model, data, out=tmp_path / "a", settings=settings)
    assert events(folder) == ([*range(2, 81, 2)], [40, 80])


def test_the_saved_models_have_the_average_weights(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    folder = train(model, data, out=tmp_path / "a", settings=SETTINGS)
    best, last = npx.load(folder), npx.load(folder / "last.safetensors")
    nats = [row["validation_nats"] for row in rows(folder)]
    assert validation_nats(best, data) == pytest.approx(min(nats), rel=1e-4)
    assert validation_nats(last, data) == pytest.approx(nats[-1], rel=1e-4)
    assert any(not torch.equal(own, model.state_dict()[name]) for name, own in last.state_dict().items())


def test_the_best_model_stays_when_later_ones_are_worse(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats = iter([3.0, 2.0, 4.0])
    seen: list[bytes] = []

    def pretend(run: _Loop) -> float:
        if run.folder.best.exists():
            seen.append(run.folder.best.read_bytes())
        return next(nats)

    monkeypatch.setattr(_Loop, "validation_nats", pretend)
    folder = train(model, data, out=tmp_path / "a", settings=SETTINGS)
    first, second = seen
    assert folder.joinpath("model.safetensors").read_bytes() == second != first


def test_a_run_ends_when_validations_bring_nothing_better_and_counts_on_when_it_is_resumed(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats = iter([3.0, 2.0, 4.0, 1.0, 1.0, 2.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(_Loop, "validation_nats", lambda run: next(nats))
    settings, folder = replace(SETTINGS, epochs=20, patience=2), tmp_path / "a"
    train(copy_of(model), data, out=folder, settings=settings)
    assert [row["epoch"] for row in rows(folder)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(npx.BadInput, match=r"to go on, raise .*patience"):
        train(copy_of(model), data, out=folder, settings=settings, resume=True)
    train(copy_of(model), data, out=folder, settings=replace(settings, patience=4), resume=True)
    assert [row["epoch"] for row in rows(folder)][6:] == [7, 8]


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT is not ignored, which it is where CI runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "muon"])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    optimizer: Any, model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    settings = replace(SETTINGS, optimizer=optimizer, weight_decay=0.1, gradient_clip=5.0)
    whole = train(copy_of(model), data, out=tmp_path / "whole", settings=settings)

    usual, steps = _Loop.step, iter(range(100))

    def interrupted(run: _Loop) -> None:
        if next(steps) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        usual(run)

    monkeypatch.setattr(_Loop, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(copy_of(model), data, out=tmp_path / "halves", settings=settings)
    assert signal.getsignal(signal.SIGINT) is handler
    assert [row["step"] for row in rows(tmp_path / "halves")] == [5]
    fresh = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(2), **model.recipe["arguments"])
    halves = train(fresh, data, out=tmp_path / "halves", settings=settings, resume=True)

    for name in ("model", "last", "state"):
        one, other = load_file(whole / f"{name}.safetensors"), load_file(halves / f"{name}.safetensors")
        assert one.keys() == other.keys()
        for key in one:
            assert torch.equal(one[key], other[key]), f"{name}: {key}"
    drop = ("minutes", "images_per_second", "waiting")
    assert [{k: v for k, v in row.items() if k not in drop} for row in rows(whole)] == [
        {k: v for k, v in row.items() if k not in drop} for row in rows(halves)
    ]


def test_a_run_starts_from_the_data_where_the_model_has_such_a_start(data: DataSet, tmp_path: Path) -> None:
    model = npx.build("pixelcnnpp", data.spec, context=npx.ClassLabel(2), filters=4, blocks=1)
    settings = replace(SETTINGS, epochs=1, learning_rate=1e-12, samples=0)
    saved = npx.load(train(model, data, out=tmp_path / "a", settings=settings) / "last.safetensors")
    fresh = npx.build("pixelcnnpp", data.spec, context=npx.ClassLabel(2), filters=4, blocks=1)
    fresh.load_state_dict(saved.state_dict())
    lengths = fresh.backbone.get_parameter("parameters_of.length").clone()
    assert (lengths - 1).abs().min() > 1e-3
    labels = torch.arange(8) % 2
    fresh.initialise(torch.from_numpy(data.train.images[:8]), labels)
    assert fresh.backbone.get_parameter("parameters_of.length").equal(lengths)  # only the first start is from data


def test_rmsprop_keeps_one_moment_and_learns(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer="rmsprop", learning_rate=0.005)
    folder = train(model, data, out=tmp_path / "a", settings=settings)
    metrics = rows(folder)
    assert metrics[-1]["validation_nats"] < metrics[0]["validation_nats"]
    state = load_file(folder / "state.safetensors")
    kept = {name.rpartition(".")[2] for name in state if name.startswith("optimizer.")}
    assert kept == {"step", "square_avg"}


def test_a_finished_run_goes_on_only_with_more_epochs(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    folder = train(model, data, out=tmp_path / "a", settings=SETTINGS)
    before = contents(folder)
    with pytest.raises(npx.BadInput, match="finished, after 15 steps"):
        train(model, data, out=folder, settings=SETTINGS, resume=True)
    assert contents(folder) == before
    train(model, data, out=folder, settings=replace(SETTINGS, epochs=4), resume=True)
    assert [row["step"] for row in rows(folder)] == [5, 10, 15, 20]


def test_a_loss_that_is_not_finite_stops_the_run(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train(model, data, out=tmp_path / "a", settings=SETTINGS)
    before = contents(folder)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    monkeypatch.setattr(
        _Loop, "log_prob", lambda run, images, labels, drawn=None: torch.full((8,), math.nan, requires_grad=True)
    )
    with pytest.raises(npx.BadInput, match=r"loss is nan at step 16, with a learning rate of 0\.0"):
        train(model, data, out=folder, settings=replace(SETTINGS, epochs=5), resume=True)
    after = contents(folder)
    assert {name for name in after if after[name] != before.get(name)} == {folder / "config.yaml"}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_left_out_where_that_is_asked_for(
    what: str, model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    usual = _Loop.log_prob

    def spoilt(run: _Loop, images: torch.Tensor, context: Any, drawn: Any = None) -> torch.Tensor:
        nats = usual(run, images, context)
        if run.position.step != 6 or not nats.requires_grad:
            return nats
        if what == "loss":
            return nats * math.nan
        nats.register_hook(lambda gradient: gradient * math.inf)
        return nats

    monkeypatch.setattr(_Loop, "log_prob", spoilt)
    other = copy_of(model)
    order = Batches(data.train, size=8, seed=0).indices(6)
    named = f"of the training images {', '.join(map(str, order))}"
    wrong = "loss is nan" if what == "loss" else "gradient is not finite"
    with pytest.raises(npx.BadInput, match=rf"{wrong} at step 7, with a learning rate of 0\.\d+, {named}; lower"):
        train(other, data, out=tmp_path / "stops", settings=SETTINGS)
    assert all(weight.isfinite().all() for weight in other.parameters())
    capsys.readouterr()
    folder = train(model, data, out=tmp_path / "skips", settings=replace(SETTINGS, non_finite="skip"))
    assert capsys.readouterr().err.count(f"{wrong} at step 7") == 1
    assert [row["step"] for row in rows(folder)] == [5, 10, 15]
    assert all(math.isfinite(value) for row in rows(folder) for value in row.values())
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_a_run_of_nothing_finite_ends(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = _Loop.log_prob
    monkeypatch.setattr(_Loop, "log_prob", lambda run, *given: usual(run, *given) * math.nan)
    with pytest.raises(npx.BadInput, match="loss is nan at step 100"):
        train(model, data, out=tmp_path / "a", settings=replace(SETTINGS, epochs=99, non_finite="skip"))


def test_a_validation_that_is_not_finite_saves_nothing(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Loop, "validation_nats", lambda run: math.inf)
    with pytest.raises(npx.BadInput, match="validation loss is inf at step 5"):
        train(model, data, out=tmp_path / "a", settings=SETTINGS)
    assert not list((tmp_path / "a").glob("*.safetensors"))


def test_minutes_end_a_run_with_a_validation_and_a_rate_near_zero(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))  # a second whenever somebody looks
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    settings = replace(SETTINGS, epochs=10**4, max_minutes=10.0, samples=0, validate_every=20.0)
    folder = train(model, data, out=tmp_path / "a", settings=settings)
    metrics = rows(folder)
    assert 10 <= metrics[-1]["minutes"] < 10.5
    assert metrics[-1]["learning_rate"] < 0.001 * settings.learning_rate
    assert not list(folder.glob("samples/*"))


def test_by_default_the_warm_up_suits_a_short_run(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    settings = Training(epochs=8, batch=8, learning_rate=0.02, samples=0, precision="fp32")
    before = validation_nats(copy_of(model).eval(), data)
    folder = train(model, data, out=tmp_path / "a", settings=settings)
    assert rows(folder)[0]["learning_rate"] > 0.9 * settings.learning_rate
    assert rows(folder)[-1]["validation_nats"] < before - 3


@pytest.mark.parametrize(("ema", "decay"), [(None, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_by_default_nothing_limits_the_span_of_the_average(
    ema: float | None,
    decay: float,
    model: npx.Autoregressive,
    data: DataSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[float] = []
    usual = _Loop.run
    monkeypatch.setattr(_Loop, "run", lambda run: (seen.append(run.state.average.decay), usual(run))[1])
    train(model, data, out=tmp_path / "a", settings=replace(SETTINGS, epochs=1, ema=ema))
    assert seen == [decay]


def test_a_fraction_of_an_epoch_and_of_the_images_is_validated(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, epochs=1, validate_every=0.4, validation_images=5)
    folder = train(model, data, out=tmp_path / "a", settings=settings)
    assert [row["step"] for row in rows(folder)] == [2, 4, 5]
    few = replace(data, validation=data.validation.take(slice(5)))
    assert validation_nats(npx.load(folder), few) == pytest.approx(
        min(row["validation_nats"] for row in rows(folder)), rel=1e-4
    )


def test_bf16_trains_weights_that_stay_float32(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    folder = train(model, data, out=tmp_path / "a", settings=replace(SETTINGS, precision="bf16"))
    metrics = rows(folder)
    assert metrics[-1]["validation_nats"] < metrics[0]["validation_nats"]
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float32}


def test_a_model_without_context_ignores_labels_and_the_global_generator_is_left_alone(
    data: DataSet, tmp_path: Path
) -> None:
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1, head=4, dropout=0.5)
    state = torch.get_rng_state()
    train(model, data, out=tmp_path / "a", settings=replace(SETTINGS, epochs=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_with_something_in_it_is_left_alone(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("my only copy")
    with pytest.raises(npx.BadInput, match="is not empty"):
        train(model, data, out=tmp_path, settings=SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_folders_that_cannot_be_used_are_refused(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(npx.BadInput, match="file/run cannot be written: Not a directory"):
        train(model, data, out=tmp_path / "file" / "run", settings=SETTINGS)
    with pytest.raises(npx.BadInput, match="file cannot be written"):
        train(model, data, out=tmp_path / "file", settings=SETTINGS)
    with pytest.raises(npx.BadInput, match=r"no run to resume: it has no state\.safetensors"):
        train(model, data, out=tmp_path / "nowhere", settings=SETTINGS, resume=True)
    assert not (tmp_path / "nowhere").exists()


def test_states_that_do_not_fit_are_refused_and_left_alone(
    model: npx.Autoregressive, data: DataSet, tmp_path: Path
) -> None:
    folder = train(model, data, out=tmp_path / "a", settings=SETTINGS)
    more = replace(SETTINGS, epochs=9)
    before = contents(folder)
    with pytest.raises(npx.BadInput, match=r"has training\.batch 8, not 4; resume it as it began"):
        train(model, data, out=folder, settings=replace(more, batch=4), resume=True)
    config = (folder / "config.yaml").read_bytes()
    (folder / "config.yaml").unlink()  # the state itself says so too
    with pytest.raises(npx.BadInput, match="5 steps in an epoch, not 10"):
        train(model, data, out=folder, settings=replace(more, batch=4), resume=True)
    (folder / "config.yaml").write_bytes(config)
    wider = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(2), filters=6, blocks=1, head=4)
    with pytest.raises(npx.BadInput, match="has filters 4, not 6; resume it as it began"):
        train(wider, data, out=folder, settings=more, resume=True)
    assert contents(folder) == before

    state = folder / "state.safetensors"
    tensors, good = load_file(state), state.read_bytes()
    with safe_open(state, "pt") as file:
        about = json.loads(file.metadata()["training"])
    plain = {"training": json.dumps({name: value for name, value in about.items() if name != "sha256"})}
    (folder / "state.previous").unlink()
    save_file({name: t for name, t in tensors.items() if not name.startswith("average.")}, state, metadata=plain)
    with pytest.raises(npx.BadInput, match="not the training state of this model"):
        train(model, data, out=folder, settings=more, resume=True)
    state.write_bytes(good)
    for wrong in (b"", b"\x80\x04K\x00.", state.read_bytes()[:-100]):
        state.write_bytes(wrong)
        with pytest.raises(npx.BadInput, match=r"state\.safetensors is (not a whole safetensors file|a pickle)"):
            train(model, data, out=folder, settings=more, resume=True)
    save_file({"weight": torch.zeros(1)}, state)
    with pytest.raises(npx.BadInput, match=r"state\.safetensors holds weights, but not a nextpixel training state"):
        train(model, data, out=folder, settings=more, resume=True)


def test_data_that_do_not_fit_are_refused(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    empty = replace(data, validation=data.validation.take(slice(0)))
    with pytest.raises(npx.BadInput, match="stripes has no validation images"):
        train(model, empty, out=tmp_path / "a")
    other = replace(data, spec=npx.ImageSpec(1, 4, 5, levels=4))
    with pytest.raises(npx.BadInput, match="1x4x5 with 3 levels, but those of stripes are 1x4x5 with 4 levels"):
        train(model, other, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_position_tells_its_epoch() -> None:
    assert Position(step=7, per_epoch=4).epoch == 1.75


def with_maps(split: Split) -> Split:
    """The maps are the classes, at four places; the labels are gone."""
    assert split.labels is not None
    return replace(split, labels=None, maps=np.tile(split.labels[:, None, None, None], (1, 1, 2, 1)))


@pytest.fixture
def mapped(data: DataSet) -> DataSet:
    train, validation, test = (with_maps(split) for split in (data.train, data.validation, data.test))
    return replace(data, classes=None, train=train, validation=validation, test=test, maps=MapKind(1, 2))


def test_maps_are_given_in_training_validation_and_samples(
    mapped: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = npx.build("gated_pixelcnn", mapped.spec, context=npx.Map(1, levels=2), filters=4, blocks=1, head=4)
    before, drawn, sample = copy_of(model), [], npx.Autoregressive.sample

    def watched(self: npx.Autoregressive, count: int, context: Any = None, **options: Any) -> torch.Tensor:
        drawn.append(context)
        return sample(self, count, context, **options)

    monkeypatch.setattr(npx.Autoregressive, "sample", watched)
    folder = train(model, mapped, out=tmp_path / "a", settings=replace(SETTINGS, samples=20))
    maps = torch.from_numpy(mapped.validation.maps)
    with torch.no_grad():
        nats = -npx.load(folder / "last.safetensors").log_prob(torch.from_numpy(mapped.validation.images), maps).mean()
    assert rows(folder)[-1]["validation_nats"] == pytest.approx(nats.item(), rel=1e-4)
    assert [context.tolist() for context in drawn] == [maps.tolist()] * 3  # all 12 of them, at each validation
    assert not torch.equal(before.state_dict()["encoder.names.weight"], model.state_dict()["encoder.names.weight"])


@pytest.mark.parametrize(
    ("context", "change", "sentence"),
    [
        (npx.Map(1, levels=2), {"maps": None}, "needs Map.size=1, levels=2. for each image; these images have none"),
        (npx.Map(1, levels=2), {"maps": np.ones((12, 1, 3, 5), int)}, "of 3x5 places cannot be enlarged .* of 4x5"),
        (npx.Map(1, levels=2), {"maps": np.arange(12).reshape(12, 1, 1, 1)}, r"must be in \[0, 2\); one is 2"),
        (npx.Map(1), {}, "needs a map of 1 features for each image, as a tensor of floating-point numbers, not int64"),
        (npx.ClassLabel(2), {"labels": np.arange(12)}, r"Class labels must be in \[0, 2\); one is 2"),
        (npx.ClassLabel(2), {}, "needs a class label"),
    ],
)
def test_what_a_model_cannot_be_given_is_refused_before_anything_is_written(
    context: Context, change: dict[str, Any], sentence: str, mapped: DataSet, tmp_path: Path
) -> None:
    if "labels" in change:
        mapped = replace(mapped, train=replace(mapped.train, labels=np.zeros(40, np.int64)))
    data = replace(mapped, validation=replace(mapped.validation, **change))
    model = npx.build("gated_pixelcnn", data.spec, context=context, filters=4, blocks=1, head=4)
    with pytest.raises(npx.BadInput, match=sentence):
        train(model, data, out=tmp_path / "a", settings=SETTINGS)
    assert not (tmp_path / "a").exists()
