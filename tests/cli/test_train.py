import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import nextpixel as npx
from nextpixel.cli.train import _count, _settings

GOOD = "model: {name: gated_pixelcnn, filters: 4, blocks: 1, head: 4}\ndata: {name: digits}\ntraining: {epochs: 1}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def test_a_run_folder_holds_the_complete_recipe(labelled: Path) -> None:
    config = yaml.safe_load((labelled / "config.yaml").read_text())
    assert config["model"]["filters"] == 4
    assert config["model"]["context"] == "label"
    assert config["model"]["kernel"] == 3  # the constructor's default
    assert config["training"]["learning_rate"] == 0.01
    assert config["training"]["betas"] == [0.9, 0.999]
    assert npx.load(labelled).context == npx.ClassLabel(2)


def test_the_command_line_overrides_the_recipe(
    call: Callable[..., Any], recipe: Callable[..., Any], data: Path
) -> None:
    said = call(
        "train", recipe(GOOD), "--data.name", data, "--model.filters=6", "--training.batch", 8, "--training.samples", 0,
        "--seed", 3, "--training.betas", "[0.8, 0.9]", "--out", "mine",
    )  # fmt: skip
    assert said.status == 0, said.err
    assert said.out == "The run is in mine; its best model is mine/model.safetensors.\n"
    config = yaml.safe_load(Path("mine/config.yaml").read_text())
    assert (config["model"]["filters"], config["training"]["batch"], config["training"]["seed"]) == (6, 8, 3)
    assert config["training"]["betas"] == [0.8, 0.9]
    assert npx.load("mine").spec == npx.ImageSpec(1, 4, 5, 3)


def test_the_run_folder_is_named_after_the_recipe(
    call: Callable[..., Any], recipe: Callable[..., Any], data: Path
) -> None:
    assert call("train", recipe(GOOD), "--data.name", data).status == 0
    assert Path("runs/recipe/model.safetensors").is_file()


def test_a_likelihood_has_settings_of_its_own(call: Callable[..., Any], recipe: Callable[..., Any], data: Path) -> None:
    words = ("--data.name", data, "--model.likelihood", "logistic_mixture", "--model.mixtures", 2, "--out", "mine")
    said = call("train", recipe(GOOD), *words)
    assert said.status == 0, said.err
    assert yaml.safe_load(Path("mine/config.yaml").read_text())["model"]["mixtures"] == 2
    assert npx.load("mine").recipe["arguments"]["mixtures"] == 2
    assert call("evaluate", "mine").status == 0


def test_the_same_seed_gives_the_same_weights(call: Callable[..., Any], recipe: Callable[..., Any], data: Path) -> None:
    for out in ("a", "b"):
        assert call("train", recipe(GOOD), "--data.name", data, "--out", out).status == 0
    assert Path("a/last.safetensors").read_bytes() == Path("b/last.safetensors").read_bytes()


def test_a_run_is_resumed_by_its_folder(call: Callable[..., Any], recipe: Callable[..., Any], data: Path) -> None:
    start = ("train", recipe(GOOD), "--data.name", data, "--out", "run")
    assert call(*start).status == 0
    assert "run is not empty" in call(*start).err
    assert "finished, after 1 steps" in call("train", "run", "--resume").err
    assert "run is a run folder" in call("train", "run").err
    assert "give the run folder alone" in call("train", recipe(GOOD), "--resume").err
    again = call("train", "run", "--resume", "--minutes", 3).err
    assert "--minutes is for a new run; to go on until so many in all, say --resume --training.max_minutes M." in again
    said = call("train", "run", "--resume", "--training.epochs", 3)
    assert said.status == 0, said.err
    assert [row.split(",")[0] for row in Path("run/metrics.csv").read_text().splitlines()] == ["step", "1", "2", "3"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("just a sentence", "is not a recipe: it has no sections model, data, training"),
        ("[1, 2]", "is not a recipe"),
        ("", "is not a recipe"),
        ("model: {name: gated_pixelcnn", "is not YAML, see line 1"),
        ("a: !!python/object/apply:os.system [true]", "is not YAML"),
        (GOOD.replace("training:", "trainnig:"), "has a section 'trainnig'"),
        (GOOD.replace("{epochs: 1}", "5"), "section training of .* must have settings, not 5"),
        (GOOD.replace("filters", "filtres"), r"no setting model\.filtres; did you mean model\.filters\?"),
        (GOOD.replace("epochs", "zzz"), r"no setting training\.zzz\."),
        (GOOD.replace("{epochs: 1}", "{3: 4}"), "has a setting 3, which is no name"),
        (GOOD.replace("filters: 4", "filters: many"), r"model\.filters must be a whole number, not many\."),
        (GOOD.replace("filters: 4", "filters: 1.5"), r"model\.filters must be a whole number, not 1\.5\."),
        (GOOD.replace("filters: 4", "filters: -4"), "filters .* -4"),
        (GOOD.replace("filters: 4", "norm: batch"), r"model\.norm must be one of none, layer, positional, not batch\."),
        (GOOD.replace("epochs: 1", "epochs: 0"), r"training\.epochs must be at least 1, not 0\."),
        (GOOD.replace("epochs: 1", "max_minutes: soon"), r"max_minutes must be a number or null, not soon\."),
        (GOOD.replace("epochs: 1", "betas: [1]"), r"training\.betas must be a tuple with 2 elements, not \[1\]\."),
        (GOOD.replace("epochs: 1", "compile: maybe"), r"training\.compile must be true or false, not maybe\."),
        (
            GOOD.replace("epochs: 1", "optimizer: sgd"),
            r"optimizer must be one of adam, adamw, rmsprop, muon, not sgd\.",
        ),
        (GOOD.replace("gated_pixelcnn", "gated_pixelcn"), "no model 'gated_pixelcn'; did you mean gated_pixelcnn"),
        (GOOD.replace("name: gated_pixelcnn, ", ""), r"does not say model\.name"),
        (GOOD.replace("name: digits", ""), r"does not say data\.name"),
        (GOOD.replace("digits", "digit"), "no data set 'digit'.*Did you mean digits"),
        (GOOD.replace("digits", "nowhere.npz"), r"no file or folder nowhere\.npz"),
        (GOOD.replace("filters", "likelihood: poisson, filters"), "no likelihood 'poisson'"),
        (GOOD.replace("filters", "likelihood: bernoulli, filters"), "bernoulli likelihood is for images of 2 levels"),
        (GOOD.replace("filters", "context: labels, filters"), r"must be one of none, label, map, label.map, not"),
    ],
)  # fmt: skip
def test_recipes_that_cannot_be_used(
    text: str, sentence: str, recipe: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    said = refused("train", recipe(text))
    assert re.search(sentence, said), said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--training.epohcs", "3"], "There is no setting training.epohcs; did you mean training.epochs?"),
        (["--epochs", "3"], "There is no setting epochs; did you mean training.epochs?"),
        (["--training.epochs", "x"], "training.epochs must be a whole number, not x."),
        (["--training.epochs"], "Argument --training.epochs: expected one argument"),
        (["--model.name", "pixel"], "no model 'pixel'"),
        (["--out"], "Argument --out: expected one argument"),
        (["--device", "abacus"], "no device 'abacus' here; there is cpu"),
        (["--data-root", "nowhere"], "data root nowhere is not a folder"),
        (["another.yaml"], "Unrecognized arguments: another.yaml"),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], sentence: str, recipe: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    text = GOOD.replace("digits", "mnist") if "--data-root" in arguments else GOOD
    assert sentence in refused("train", recipe(text), *arguments)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        *[("data.ordinal", value, "must be true or false") for value in ('"yes"', "yes", "on", '"true"', "1", "'1'")],
        *[("training.compile", value, "must be true or false") for value in ("no", "0", "1.0")],
        *[("model.filters", value, "must be a whole number") for value in ('"3"', "3.0", "1e1", "true", "1_0", "010")],
        *[("model.filters", value, "must be a whole number") for value in ("0x10", "0b1", "１２", "1:30", "4a", "[4]")],
        *[
            ("training.learning_rate", value, "must be a number")
            for value in ('"0.1"', "true", "1_0.5", "１.5", "1:2.0")
        ],
        *[("training.learning_rate", value, "must be a finite number") for value in (".inf", ".nan", "-.inf", "1e999")],
        *[("training.betas", value, "must be") for value in ('["0.9", 0.99]', "[0.9, .nan]", "0.9", "{a: 0.9}")],
        *[("training.optimizer", value, "must be one of") for value in ("1", "[adam]", "Adam")],
        *[("data.name", value, "must be") for value in ("5", "true", '""', "[digits]")],
        *[("training.epochs", value, "must be at most") for value in ("9223372036854775808", "-99999999999999999999")],
        *[("training.validate_every", value, "must be at most") for value in ("1e19", "1e308")],
        *[("model.filters", value, "must be at most 65536") for value in ("65537", "1000000000")],
    ],
)
def test_a_value_has_the_type_that_is_asked_for(
    setting: str, value: str, sentence: str, recipe: Callable[..., Any], refused: Callable[..., Any], plain: Path
) -> None:
    section, name = setting.split(".")
    sections: dict[str, dict[str, Any]] = yaml.safe_load(GOOD)
    sections[section].pop(name, None)
    text = "\n".join(f"{key}: {json.dumps(found)}" for key, found in sections.items())
    written = text.replace(f"{section}: {{", f'{section}: {{"{name}": {value}, ').replace(", }", "}")
    said = refused("train", recipe(written))
    assert f"{setting} {sentence}" in said
    if value[0] not in "\"'[{-" and setting != "data.name":  # on a command line every value is a text without quotes
        assert f"{setting} {sentence}" in refused("train", recipe(GOOD), f"--{setting}", value)


@pytest.mark.parametrize(("value", "read"), [("1e-3", 1e-3), ("2", 2.0), (".5", 0.5), ("1.E+1", 10.0), ("0.25", 0.25)])
def test_numbers_are_written_in_every_usual_way(value: str, read: float, recipe: Callable[..., Any]) -> None:
    path = recipe(GOOD.replace("{epochs: 1}", f"{{learning_rate: {value}}}"))
    assert _settings(path, [str(path)]).training.learning_rate == read
    assert _settings(path, [str(path), "--training.learning_rate", value]).training.learning_rate == read
    assert _settings(path, [str(path), "--data.name", "123"]).data.name == "123"
    assert _settings(path, [str(path), "--data.ordinal", "False"]).data.ordinal is False


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"model: {name: a, name: b}", "is not YAML, see line 1: name stands there twice."),
        (b"model: {}\ndata: {}\nmodel: {}", "see line 3: model stands there twice."),
        (b"a: &a [1, 1]\nb: &b [*a, *a]\nmodel: {name: *b}", "see line 2: it has an alias."),
        (b"model:\n\tname: x", "is not YAML, see line 2."),
        (b'model: {name: "a\\0b"}', "There is no model 'a\\x00b'"),
        (b"model: !!python/name:os.system", "is not YAML, see line 1: could not"),
        (b"model: " + b"[" * 5000 + b"]" * 5000, "is not YAML."),
        ("model: {}".encode("utf-16"), "is not YAML: it is not in UTF-8"),
        (b"\xff\xfe", "is not YAML: it is not in UTF-8"),
        (b"x" * 10_000_000, "is not a recipe: it has more than 262,144 bytes."),
        (b"model: {name: gated_pixelcnn}\ndata: {name: digits, splits: {train: 1}}", "data.splits must be"),
        (b"model: {name: gated_pixelcnn}\ndata: {name: digits, roots: a}", "There is no setting data.roots"),
    ],
)
def test_files_that_are_no_recipes(
    content: bytes, sentence: str, refused: Callable[..., Any], tmp_path: Path, plain: Path
) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    assert sentence in refused("train", tmp_path / "recipe.yaml")
    if b"gated" in content or "YAML" in sentence:  # a run's recipe is read by the same rules
        run = shutil.copytree(plain, tmp_path / "run")
        (run / "config.yaml").write_bytes(content)
        assert sentence in refused("evaluate", run)


def test_a_byte_order_mark_means_nothing(recipe: Callable[..., Any]) -> None:
    path = recipe("\ufeff" + GOOD)
    assert _settings(path, [str(path)]).model.filters == 4


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--model.kernel", 60001, "weights of a model, their gradients and moments need"),
        ("--model.filters", 60000, "GiB of memory, but there are"),
        ("--model.blocks", 60000, "The weights of the model cannot even be counted; lower model.filters"),
        ("--training.samples", 10**9, "training.samples must be at least 0 and at most 65536"),
        ("--training.samples", 10**7, "training.samples must be at least 0 and at most 65536"),
    ],
)
def test_what_no_memory_holds_is_refused_before_it_is_taken(
    option: str, value: int, sentence: str, recipe: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    assert sentence in refused("train", recipe(GOOD), option, value)


def test_to_count_a_model_changes_nothing() -> None:
    before = torch.get_rng_state()
    _count(partial(npx.build, "gated_pixelcnn", npx.ImageSpec(3, 8, 8, 4), filters=6, blocks=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.nn.Linear(1, 1).weight.device.type == "cpu"


def test_a_recipe_comes_first_and_exists(refused: Callable[..., Any]) -> None:
    assert "There is no recipe 'nowhere.yaml'; nextpixel recipes lists what there is." in refused(
        "train", "nowhere.yaml"
    )
    assert "The recipe comes first, before --out" in refused("train", "--out", "a", "recipe.yaml")


def test_labels_are_needed_for_a_context_of_labels(
    recipe: Callable[..., Any], refused: Callable[..., Any], data: Path
) -> None:
    unlabelled = data.parent / "unlabelled.npz"
    np.savez(unlabelled, images=np.load(data)["images"], levels=3)
    sentence = refused("train", recipe(GOOD), "--data.name", unlabelled, "--model.context", "label")
    assert "model.context is label, but" in sentence
    assert "has no labels" in sentence


def test_an_output_that_cannot_be_written(recipe: Callable[..., Any], refused: Callable[..., Any]) -> None:
    path = recipe(GOOD)
    assert "cannot be written: Not a directory" in refused("train", path, "--out", path / "run")
    assert "is not empty" in refused("train", path, "--out", path.parent)


def test_a_model_may_be_given_maps_and_labels(mapped: Path, both: Path) -> None:
    assert npx.load(mapped).context == npx.Map(1, levels=7)
    assert npx.load(both).context == npx.Both(npx.ClassLabel(2), npx.Map(1, levels=7))
    assert npx.load(both).spec == npx.ImageSpec(1, 4, 6, levels=5, ordinal=False)  # as the file itself says
    with Image.open(sorted(both.glob("samples/*.png"))[-1]) as picture:
        assert (162, 69, 171) in picture.convert("RGB").get_flattened_data()  # the colour of the name 1


def test_maps_may_be_numbers(call: Callable[..., Any], recipe: Callable[..., Any], codes: Path) -> None:
    arrays = dict(np.load(codes))
    del arrays["map_levels"]
    np.savez("numbers.npz", **{**arrays, "maps": arrays["maps"] / 7})
    said = call("train", recipe(GOOD), "--data.name", "numbers.npz", "--model.context", "map", "--out", "mine")
    assert said.status == 0, said.err
    assert npx.load("mine").context == npx.Map(1)
    assert call("evaluate", "mine").status == 0


@pytest.mark.parametrize(("context", "missing"), [("map", "maps"), ("label+map", "maps"), ("label", "labels")])
def test_a_context_that_the_data_do_not_have(
    context: str, missing: str, recipe: Callable[..., Any], refused: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    arrays = dict(np.load(data))
    if missing == "labels":
        del arrays["labels"]
    np.savez(tmp_path / "own.npz", **arrays)
    said = refused("train", recipe(GOOD), "--data.name", tmp_path / "own.npz", "--model.context", context)
    assert f"model.context is {context}, but {tmp_path / 'own.npz'} has no {missing}." in said


def test_maps_of_another_size_and_likelihoods_of_brightness_are_refused(
    recipe: Callable[..., Any], refused: Callable[..., Any], codes: Path, tmp_path: Path
) -> None:
    words = ("train", recipe(GOOD), "--data.name", codes, "--model.context", "map")
    assert "logistic_mixture likelihood needs levels in order, not names; take categorical" in refused(
        *words, "--model.likelihood", "logistic_mixture"
    )
    np.savez(tmp_path / "own.npz", **{**np.load(codes), "maps": np.zeros((48, 3, 3), int)})
    words = ("train", recipe(GOOD), "--data.name", tmp_path / "own.npz", "--model.context", "map")
    assert "A map of 3x3 places cannot be enlarged by whole factors to images of 4x6." in refused(*words)


def test_another_model_leaves_out_what_it_has_not_and_says_so(
    call: Callable[..., Any], recipe: Callable[..., Any], data: Path
) -> None:
    model = "{name: gated_pixelcnn, filters: 4, blocks: 1, head: 4, coordinates: true}"
    words = ["train", recipe(f"model: {model}\ndata: {{name: {data}}}\ntraining: {{epochs: 1}}\n")]
    words += ["--model.name", "pixelcnn", "--model.layers", 1]
    said = call(*words, "--out", "a")
    assert said.status == 0, said.err
    assert "recipe.yaml sets blocks, coordinates, which pixelcnn with categorical has not." in said.err
    assert npx.load(Path("a")).recipe["arguments"]["filters"] == 4
    assert "no setting model.coordinates" in call(*words, "--out", "b", "--model.coordinates", "true").err


def test_a_dry_run_says_what_a_run_would_cost_and_leaves_nothing(
    call: Callable[..., Any], recipe: Callable[..., Any], data: Path
) -> None:
    said = call("train", recipe(GOOD), "--data.name", data, "--dry-run", "--out", "dry")
    assert said.status == 0, said.err
    lines = {re.sub(r" of [\d,]+ .*", "", line.split(": ")[0]): line.split(": ")[1] for line in said.out.splitlines()}
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 5, 3), filters=4, blocks=1, head=4)
    assert lines["weights"] == f"{sum(weight.numel() for weight in model.parameters()):,}"
    assert re.fullmatch(r"[\d.e-]+ s, [\d.e+]+ images a second", lines["a step"])
    assert {"memory", "disk"} <= lines.keys()
    assert not Path("dry").exists()
    assert not Path("runs").exists()


def test_data_on_the_hub_and_runs_that_are_none_are_told_the_way(call: Callable[..., Any], tmp_path: Path) -> None:
    said = call("train", "hf:big/set", "--data.streaming", "true").err
    assert "There is no recipe hf:big/set; to train on these data say how long: nextpixel train hf:big/set" in said
    Path("e1/samples").mkdir(parents=True)
    assert "e1 holds no run to resume; start it again." in call("train", "e1", "--resume").err


def test_a_trial_says_what_ends_the_run(call: Callable[..., Any]) -> None:
    said = call("train", "digits", "--dry-run", "--training.max_minutes", 2, "--model.filters", 8).out
    assert "minutes, and validations; training.max_minutes ends it after 2\n" in said
    assert "ends it" not in call("train", "shapes-coloured", "--dry-run", "--model.filters", 6, "--model.blocks", 1).out


def test_a_dry_run_tells_of_a_model_that_it_cannot_start_from(call: Callable[..., Any]) -> None:
    said = call("train", "digits", "--dry-run", "--training.start", "mnist")
    assert said.status == 2
    assert "training.start mnist is a model whose context is None" in said.err
    assert "There is no model at nowhere" in call("train", "digits", "--dry-run", "--training.start", "nowhere").err


def test_training_can_begin_with_a_trained_model(
    call: Callable[..., Any], recipe: Callable[..., Any], data: Path, labelled: Path
) -> None:
    shutil.copytree(labelled, "begun")
    config = Path("begun/config.yaml")
    said = call(
        "train", config, "--training.start", "begun", "--training.learning_rate", 1e-12, "--out", "more",
        "--data.root", "begun",  # null in that config, as start is
    )  # fmt: skip
    assert said.status == 0, said.err
    kept = yaml.safe_load(Path("more/config.yaml").read_text())
    assert kept["training"]["start"] == str(Path("begun").absolute())  # which is found from any folder
    pairs = zip(*(npx.load(run).state_dict().values() for run in ("begun", "more")), strict=True)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)
    said = call("train", recipe(GOOD), "--training.start", "mnist-8", "--data.name", data)
    assert (said.status, "mnist-8 is a model whose" in said.err) == (2, True), said.err
