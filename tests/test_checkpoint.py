import json
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nextpixel as npx

SPEC = npx.ImageSpec(1, 4, 3, levels=4)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = npx.build("gated_pixelcnn", SPEC, context=npx.ClassLabel(3), filters=4, blocks=1, head=4)
    npx.save(model, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def _with_recipe(path: Path, **changes: Any) -> None:
    model = npx.load(path)
    recipe = {"format": 1, **model.recipe, **changes}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"nextpixel": json.dumps(recipe)})


def test_a_loaded_model_is_ready_to_use(saved: Path) -> None:
    model = npx.load(saved)
    assert not model.training
    assert model.context == npx.ClassLabel(3)
    assert model.sample(2, 1).shape == (2, 1, 4, 3)


def test_a_run_folder_stands_for_its_best_model(saved: Path) -> None:
    saved.rename(saved.with_name("model.safetensors"))
    assert npx.load(saved.parent).spec == SPEC


def test_others_may_read_the_file(saved: Path) -> None:
    beside = saved.with_name("plain")
    beside.write_text("")
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(beside.stat().st_mode)


def test_what_cannot_be_loaded_is_named(saved: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(saved.read_bytes()[:-100])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    torch_file = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(3)}, torch_file)
    pickled = tmp_path / "model.pkl"
    pickled.write_bytes(pickle.dumps({"weight": 3}))
    text = tmp_path / "notes.txt"
    text.write_text("not a model")
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for path, sentence in (
        (tmp_path / "nothing", "There is no model at .*nothing"),
        (tmp_path / "folder", r"There is no model at .*folder"),
        (truncated, "truncated.safetensors is not a whole safetensors file"),
        (foreign, "foreign.safetensors holds weights, but not a nextpixel model"),
        (torch_file, "model.pt is a pickle, which can run any code"),
        (pickled, "model.pkl is a pickle"),
        (text, "notes.txt is not a whole safetensors file"),
        (empty, "empty is not a whole safetensors file"),
    ):
        with pytest.raises(npx.BadInput, match=sentence):
            npx.load(path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "has format 2; this nextpixel reads format 1"),
        ({"name": "future"}, "There is no model 'future'"),
        ({"arguments": {"filters": 8, "blocks": 1, "head": 4}}, "do not fit its own recipe"),
        ({"arguments": {"colour": 8}}, "has no setting 'colour'"),
        ({"spec": {"channels": 0}}, "channels must be"),
        ({"context": {"kind": "Mood"}}, "damaged recipe"),
        ({"spec": 3}, "damaged recipe"),
    ],
)
def test_damaged_recipes_are_named(saved: Path, changes: dict, sentence: str) -> None:
    _with_recipe(saved, **changes)
    with pytest.raises(npx.BadInput, match=sentence):
        npx.load(saved)


def test_a_recipe_that_is_no_json_is_named(saved: Path) -> None:
    save_file({"weight": torch.zeros(3)}, saved, metadata={"nextpixel": "{"})
    with pytest.raises(npx.BadInput, match=r"damaged recipe: '\{'"):
        npx.load(saved)


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(saved: Path, tmp_path: Path) -> None:
    model, before = npx.load(saved), saved.read_bytes()
    (tmp_path / "folder").mkdir()
    with pytest.raises(npx.BadInput, match=r"cannot be written to .*folder: Is a directory"):
        npx.save(model, tmp_path / "folder")
    with pytest.raises(npx.BadInput, match="cannot be written"):
        npx.save(model, saved / "below-a-file.safetensors")
    assert saved.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "m.safetensors"]


def test_precision_is_kept(tmp_path: Path) -> None:
    model = npx.build("gated_pixelcnn", SPEC, filters=4, blocks=1, head=4).double()
    npx.save(model, tmp_path / "double.safetensors")
    assert next(npx.load(tmp_path / "double.safetensors").parameters()).dtype == torch.float64
