"""What a trained model has learnt is where more training begins, of every kind of model, and nothing resets it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel.cli import main
from nextpixel.data import DataSet
from nextpixel.models import settings_of
from nextpixel.training import Training, train

STILL = Training(epochs=1, batch=8, learning_rate=1e-12, samples=0, precision="fp32", ema=0.0)
SETTINGS: dict[str, Any] = {"filters": 4, "blocks": 1}
LABEL = npx.ClassLabel(2)


def randomised(name: str, data: DataSet, **settings: Any) -> npx.Model:
    model = npx.build(name, data.spec, context=LABEL, **{**SETTINGS, **settings})
    return with_random_weights(model)


def with_random_weights(model: npx.Model) -> npx.Model:
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        weight.data = 0.5 * torch.randn(weight.shape, generator=generator) + 0.1
    return model


def agree(one: npx.Model, other: npx.Model) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(left, right, atol=1e-6) for left, right in pairs)


@pytest.mark.parametrize("name", npx.MODELS)
def test_training_begins_with_the_weights_of_a_model(name: str, data: DataSet, tmp_path: Path) -> None:
    known = settings_of(npx.MODELS[name])
    small: dict[str, Any] = {"filters": 4, "blocks" if "blocks" in known else "layers": 1}
    context, named = (None, None) if name == "pixelvae" else (LABEL, npx.ClassLabel(2, ("zeros", "twos")))
    trained = with_random_weights(npx.build(name, data.spec, context=context, **small))
    npx.save(trained, tmp_path / "a.safetensors")
    again = train(npx.load(tmp_path / "a.safetensors"), data, out=tmp_path / "b", settings=STILL)
    assert agree(trained, npx.load(again / "last.safetensors"))
    dropped: dict[str, Any] = {"dropout": 0.3} if "dropout" in known else {}
    fresh = npx.build(name, data.spec, context=named, **small, **dropped)
    settings = replace(STILL, start=str(tmp_path / "a.safetensors"))
    folder = train(fresh, replace(data, class_names=("zeros", "twos")), out=tmp_path / "c", settings=settings)
    found = npx.load(folder / "last.safetensors")
    assert agree(trained, found)
    assert (found.context, found.recipe["arguments"].get("dropout")) == (named, dropped.get("dropout"))


def test_a_run_is_resumed_without_the_model_that_it_began_with(data: DataSet, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    npx.save(randomised("gated_pixelcnn", data), file)
    settings = replace(STILL, start=str(file), learning_rate=0.01)
    begun = train(
        npx.build("gated_pixelcnn", data.spec, context=LABEL, **SETTINGS), data, out=tmp_path / "b", settings=settings
    )
    file.unlink()
    before = npx.load(begun / "last.safetensors")
    model = npx.build("gated_pixelcnn", data.spec, context=LABEL, **SETTINGS)
    train(model, data, out=begun, settings=replace(settings, epochs=2, learning_rate=1e-12), resume=True)
    assert agree(before, npx.load(begun / "last.safetensors"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"filters": 6}, "a model whose filters is 4, but that to train has 6"),
        ({"residual": False}, "a model whose residual is True, but that to train has False"),  # the same weights
        ({"context": None}, "whose context is ClassLabel(classes=2, names=…), but that to train has None"),
        ({"spec": npx.ImageSpec(1, 4, 5, 3, ordinal=False)}, "whose ordinal is True, but that to train has False"),
        ({"likelihood": "logistic_mixture", "mixtures": 1}, "whose likelihood is categorical"),
        ({"name": "pixelcnnpp"}, "whose name is gated_pixelcnn, but that to train has pixelcnnpp"),
    ],
)
def test_another_network_is_refused(changed: dict[str, Any], said: str, data: DataSet, tmp_path: Path) -> None:
    file, out = tmp_path / "a.safetensors", tmp_path / "b"
    npx.save(randomised("gated_pixelcnn", data), file)
    asked: dict[str, Any] = {"name": "gated_pixelcnn", "spec": data.spec, "context": LABEL, **SETTINGS, **changed}
    model = npx.build(**asked)
    data = replace(data, spec=model.spec)
    with pytest.raises(npx.BadInput) as refusal:
        train(model, data, out=out, settings=replace(STILL, start=str(file)))
    assert said in str(refusal.value)
    assert not out.exists()


def test_a_model_of_orders_may_not_start_from_one_of_others(data: DataSet, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    npx.save(randomised("gated_pixelcnn", data, orders=4), file)
    model = npx.build("gated_pixelcnn", data.spec, context=LABEL, **SETTINGS)
    with pytest.raises(npx.BadInput, match="a model whose orders is 4, but that to train has 1"):
        train(model, data, out=tmp_path / "b", settings=replace(STILL, start=str(file)))


def test_what_is_no_model_is_refused(model: npx.Autoregressive, data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(npx.BadInput, match="There is no model at nowhere"):
        train(model, data, out=tmp_path / "b", settings=replace(STILL, start="nowhere"))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_are_trained_in_32(dtype: torch.dtype, data: DataSet, tmp_path: Path) -> None:
    npx.save(randomised("gated_pixelcnn", data).to(dtype), tmp_path / "a.safetensors")
    begun = npx.load(tmp_path / "a.safetensors")
    settings = replace(STILL, learning_rate=1e-5, epochs=2)  # such steps are lost in so few bits
    trained = npx.load(train(begun, data, out=tmp_path / "b", settings=settings) / "last.safetensors")
    weights, before = trained.state_dict().values(), npx.load(tmp_path / "a.safetensors").state_dict().values()
    assert {weight.dtype for weight in weights} == {torch.float32}
    assert all((new - old).any() for new, old in zip(weights, before, strict=True))


def test_classes_of_another_order_are_not_learnt_as_those_of_the_model(tmp_path: Path) -> None:
    data = npx.open_data("digits")
    named = replace(data, class_names=tuple("abcdefghij"))
    settings = npx.Training(epochs=1, samples=0, batch=512, precision="fp32")
    sizes: dict[str, Any] = {"filters": 4, "blocks": 0, "head": 4}
    for names, fits in (("abcdefghij", True), ("bacdefghij", False), ("abcdefghijk", True)):
        context = npx.ClassLabel(len(names), tuple(names))
        model = npx.build("gated_pixelcnn", data.spec, context=context, **sizes)
        if fits:
            npx.train(model, named, out=tmp_path / names, settings=settings)
        else:
            with pytest.raises(npx.BadInput, match="labels would change places"):
                npx.train(model, named, out=tmp_path / names, settings=settings)


def test_images_that_are_not_what_their_spec_says_are_not_learnt(tmp_path: Path) -> None:
    data = npx.open_data("digits")
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=0, head=4)
    for change in (lambda x: x.astype(np.int64) - 1, lambda x: x + np.uint8(9), lambda x: x[:, 0]):
        spoilt = data.with_splits(lambda split, change=change: replace(split, images=change(np.asarray(split.images))))
        with pytest.raises(npx.BadInput):
            npx.train(model, spoilt, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_run_of_python_says_how_python_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = npx.open_data("digits", limit=60)
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=0, head=4)
    npx.train(model, data, out=tmp_path / "run", settings=npx.Training(epochs=1, samples=0, batch=32))
    assert main(["train", str(tmp_path / "run"), "--resume", "--training.epochs", "2"]) == 2
    assert "npx.train(…, out=…, resume=True)" in capsys.readouterr().err
