import json
import math
import pickle
import random
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nextpixel as npx
from nextpixel import sealed
from zoo import CASES

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
    with pytest.raises(npx.BadInput, match=r"folder cannot be written: it is there, and is not a file"):
        npx.save(model, tmp_path / "folder")
    with pytest.raises(npx.BadInput, match="cannot be written"):
        npx.save(model, saved / "below-a-file.safetensors")
    assert saved.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "m.safetensors"]


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.ckpt", "model.bin", "model.pkl"])
def test_no_model_is_saved_in_what_others_would_take_for_a_pickle(name: str, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(npx.BadInput, match=f"{name} would say that it is a pickle; models are saved as model.safeten"):
        npx.save(npx.load(saved), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_precision_is_kept(tmp_path: Path) -> None:
    model = npx.build("gated_pixelcnn", SPEC, filters=4, blocks=1, head=4).double()
    npx.save(model, tmp_path / "double.safetensors")
    assert next(npx.load(tmp_path / "double.safetensors").parameters()).dtype == torch.float64


def _replaced(value: Any, path: tuple[str, ...], new: Any) -> Any:
    """A recipe in which what is at the path is another value."""
    return {**value, path[0]: _replaced(value[path[0]], path[1:], new)} if path else new


WRONG = (
    *(0, -1, 5, 99999, 10**6, 10**9, 2**40, 2**63, 10**30, 10**400),
    *(4.0, 0.5, -0.0, 1e308, "4", "yes", "", True, False, None, [], [4], {}, {"kind": "Vector", "size": 3}),
)
ABSURD = {
    "gated_pixelcnn": npx.Both(npx.ClassLabel(3), npx.Both(npx.Latent(2, maps=3), npx.Map(1, levels=3))),
    "pixelcnnpp": npx.ClassLabel(2, names=("a", "b")),
    "pixelsnail": npx.Vector(3),
    "diagonal_bilstm": npx.Map(2),
    "row_lstm": None,
    "pixelvae": None,
}
SMALL = {
    "gated_pixelcnn": {"filters": 4, "blocks": 1, "head": 4, "norm": "layer", "coordinates": True},
    "pixelcnnpp": {"filters": 4, "blocks": 1},
    "pixelsnail": {"filters": 4, "blocks": 1, "layers": 1, "keys": 2, "values": 2},
    "diagonal_bilstm": {"filters": 4, "layers": 1, "head": 4, "first_kernel": 3},
    "row_lstm": {"filters": 4, "layers": 1, "head": 4, "first_kernel": 3},
    "pixelvae": {"latent": 2, "maps": 2, "encoder": 2, "filters": 4, "blocks": 1, "head": 4, "spread": 0.5},
}


@pytest.mark.parametrize("name", ABSURD)
def test_no_recipe_takes_more_than_the_file_or_raises_anything_but_a_sentence(name: str, tmp_path: Path) -> None:
    # In a process without the tests' check of annotations, which would catch wrong types first.
    command = [sys.executable, __file__, name, str(tmp_path / "m.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # What no weight's shape tells of, and a context with as many features as the one it replaces.
    allowed = {"height", "width", "levels", "dropout", "free_bits", "spread", "warmup", "equalised", "first", "names"}
    loaded = json.loads(done.stdout)
    assert {key for key, _ in loaded} <= allowed
    assert all(type(new) is int and 0 < new < 10**5 for key, new in loaded if key in ("height", "width"))


def load_absurdities(name: str, path: Path) -> list[tuple[str, Any]]:
    """What is loaded when each entry of a recipe is each of the wrong values, with two more GiB than there are."""

    def places(value: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield above, value
        for key, each in value.items() if isinstance(value, dict) else ():
            yield from places(each, *above, key)

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**31,) * 2)
    likelihood = "logistic_mixture" if name == "pixelcnnpp" else "categorical"
    model = npx.build(name, SPEC, likelihood, ABSURD[name], **SMALL[name])
    recipe = json.loads(json.dumps({"format": 1, **model.recipe}))
    tensors, loaded = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}, []
    for place, old in places(recipe):
        for new in WRONG:
            changed = _replaced(recipe, place, new)
            save_file(tensors, path, metadata={"nextpixel": json.dumps(changed)})
            try:
                npx.load(path)
            except npx.BadInput as error:
                if not str(error).startswith(str(path)) or len(str(error)) > 1000:
                    raise RuntimeError(f"no sentence for {place} = {new!r:.80}") from error
            else:
                if (type(new), new) != (type(old), old):
                    loaded.append((place[-1], new))
    return loaded


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "[" * 5000 + "]" * 5000,
        '{"format": 1, "context": ' + '{"kind": "Both", "second": null, "first": ' * 900 + "null" + "}" * 900 + "}",
        '{"format": 1' + ', "x": 0' * 100000 + "}",
        '{"format": ' + "1" * 5000 + "}",
        '{"format": NaN}',
        '{"format": 1e999}',
        '"format"',
        "null",
        "",
    ],
)
def test_no_text_in_place_of_a_recipe_raises_anything_but_a_short_sentence(text: str, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "m.safetensors", metadata={"nextpixel": text})
    with pytest.raises(npx.BadInput, match=r"m\.safetensors (cannot be read|holds a damaged recipe): ") as error:
        npx.load(tmp_path / "m.safetensors")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("depth", [15, 17, 300])
def test_contexts_are_nested_as_deep_as_anybody_needs_and_no_deeper(depth: int, saved: Path) -> None:
    context: dict[str, Any] = {"kind": "ClassLabel", "classes": 3}
    for _ in range(depth):
        context = {"kind": "Both", "first": {"kind": "Vector", "size": 1}, "second": context}
    _with_recipe(saved, context=context)
    sentence = "do not fit its own recipe" if depth < 16 else "nested too deep|damaged recipe"
    with pytest.raises(npx.BadInput, match=sentence):
        npx.load(saved)


@pytest.mark.parametrize("changes", [{"blocks": 10**6}, {"filters": 2**20}, {"kernel": 2**20 - 1}])
def test_more_than_the_file_holds_is_not_even_begun(changes: dict[str, int], saved: Path) -> None:
    recipe = {"format": 1, **npx.load(saved).recipe}
    recipe["arguments"] = {"filters": 1, "blocks": 1, "head": 1} | changes
    for held in (1, 2**22):  # one large tensor does not pay for many layers
        save_file({"weight": torch.zeros(held)}, saved, metadata={"nextpixel": json.dumps(recipe)})
        began = time.process_time()
        with pytest.raises(npx.BadInput, match=r"cannot be read: (it asks for more than|its weights do not fit)"):
            npx.load(saved)
        assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, None]
)
def test_tensors_of_another_kind_are_refused(saved: Path, dtype: torch.dtype | None) -> None:
    model = npx.load(saved)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    name = next(iter(tensors))
    recipe = json.dumps({"format": 1, **model.recipe})
    for changed in (
        {name: tensors[name][:0] if dtype is None else tensors[name].to(dtype)},
        {"another": tensors[name].clone()},
    ):
        save_file({**tensors, **changed}, saved, metadata={"nextpixel": recipe})
        with pytest.raises(npx.BadInput, match="do not fit its own recipe"):
            npx.load(saved)


def test_no_damage_is_loaded(saved: Path) -> None:
    good, draw = saved.read_bytes(), random.Random(0)
    size = 8 + int.from_bytes(good[:8], "little")
    places = [8 * draw.randrange(len(good)) for _ in range(100)]
    places += [8 * draw.randrange(size) for _ in range(400)] + list(range(0, 64, 8))
    for place in places:
        bad = bytearray(good)
        bad[place // 8] ^= 1 << draw.randrange(8)
        saved.write_bytes(bad)
        with pytest.raises(npx.BadInput, match=r"^/.*m\.safetensors .*\.$"):
            npx.load(saved)
    for end in [*range(20), *range(20, len(good), 97), len(good) - 1]:
        saved.write_bytes(good[:end])
        with pytest.raises(npx.BadInput, match=r"m\.safetensors is not a whole safetensors file: "):
            npx.load(saved)
    saved.write_bytes(good + b"\0")
    with pytest.raises(npx.BadInput, match="is not a whole safetensors file"):
        npx.load(saved)


def test_a_file_without_a_digest_is_loaded(saved: Path) -> None:
    _with_recipe(saved)
    assert npx.load(saved).spec == SPEC


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_neither_written_nor_read(saved: Path, number: float) -> None:
    model, before = npx.load(saved), saved.read_bytes()
    name, weight = list(model.named_parameters())[3]
    with torch.no_grad():
        weight.view(-1)[-1] = number
    with pytest.raises(npx.BadInput, match=f"m.safetensors is not written, because not all numbers of {name} are"):
        npx.save(model, saved)
    assert saved.read_bytes() == before
    recipe = json.dumps({"format": 1, **model.recipe})
    save_file({key: t.contiguous() for key, t in model.state_dict().items()}, saved, metadata={"nextpixel": recipe})
    with pytest.raises(npx.BadInput, match=f"m.safetensors is of no use, because not all numbers of {name} are"):
        npx.load(saved)


def test_a_model_that_build_did_not_make_is_not_called_damaged(tmp_path: Path) -> None:
    decoder = npx.build("pixelvae", SPEC, **SMALL["pixelvae"]).decoder
    sealed.write(tmp_path / "m.safetensors", decoder.state_dict(), key="nextpixel", about={"format": 1})
    with pytest.raises(npx.BadInput, match=r"the weights of a model that nextpixel\.build did not make"):
        npx.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize("second", [2, 5, 6])
def test_a_header_may_begin_like_a_pickle(second: int, saved: Path) -> None:
    _with_recipe(saved)
    content = saved.read_bytes()
    size, larger = int.from_bytes(content[:8], "little"), 256 * (second + 8) + 128
    saved.write_bytes(larger.to_bytes(8, "little") + content[8 : 8 + size].ljust(larger) + content[8 + size :])
    assert saved.read_bytes()[0] == 0x80
    assert npx.load(saved).spec == SPEC
    saved.write_bytes((256 * second + 128).to_bytes(8, "little") + saved.read_bytes()[8:])  # cuts the header
    with pytest.raises(npx.BadInput, match="is not a whole safetensors file"):
        npx.load(saved)


if __name__ == "__main__":
    print(json.dumps(load_absurdities(sys.argv[1], Path(sys.argv[2]))))


def test_a_model_is_loaded_without_the_compiler(tmp_path: Path) -> None:
    files = []
    for number, case in enumerate(case for case in CASES if ":" not in case.name):
        size = 5 if case.arguments.get("orders") == 8 else 7
        files.append(tmp_path / f"{number}.safetensors")
        npx.save(npx.build(case.name, case.spec(5, size), case.likelihood, case.context, **case.arguments), files[-1])
    script = """
import sys, nextpixel as npx
for file in sys.argv[1:]:
    npx.load(file)
    assert not {"torch._dynamo", "sympy"} & {*sys.modules}, file  # seconds each
"""
    subprocess.run([sys.executable, "-c", script, *files], check=True)
