"""Nothing of the user's is lost, left out or changed without a word: what testers met, a kind of fault each."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import nextpixel as npx
from nextpixel.cli import main
from nextpixel.data import open_data
from nextpixel.tiles import Picture, packed

SIZE = (4, 4)
SMALL: dict[str, dict[str, Any]] = {
    "model": {"name": "gated_pixelcnn", "likelihood": "categorical", "filters": 4, "head": 4, "blocks": 2},
    "training": {"epochs": 1, "batch": 8, "samples": 0, "precision": "fp32"},
}


def _images(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, size=(count, *size), dtype=np.uint8)


def _pictures(folder: Path, count: int, size: tuple[int, int] = SIZE) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(_images(count, size=size)):
        Image.fromarray(255 * image).save(folder / f"{number:03d}.png")
    return folder


def _recipe(path: Path, name: Path, **data: Any) -> Path:
    path.write_text(yaml.safe_dump({**SMALL, "data": {"name": str(name), **data}}))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, the set that it learnt from, its twin, and a set with two splits."""
    folder = tmp_path_factory.mktemp("made")
    np.savez(folder / "own.npz", images=_images(60), levels=2)
    np.savez(folder / "split.npz", train_images=_images(6, 1), test_images=_images(3, 2), levels=2)
    assert main(["train", str(_recipe(folder / "r.yaml", folder / "own.npz")), "--out", str(folder / "run")]) == 0
    assert main(["exact", str(folder / "run"), "-o", str(folder / "twin.safetensors")]) == 0
    return folder


@pytest.fixture
def here(made: Path, call: Callable[..., Any]) -> Path:
    """A copy of those, where the test works."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace(str(made), str(Path.cwd())))
    return Path.cwd()


def _refused(said: Any, sentence: str) -> None:
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert sentence in said.err, said.err


def test_images_of_a_file_with_splits_are_all_taken_or_those_asked_for(here: Path, call: Callable[..., Any]) -> None:
    for words, count in (((), 9), (("--split", "train"), 6), (("--split=test",), 3)):
        said = call("compress", "twin.safetensors", "split.npz", *words, "-o", "c.npxc")
        assert f"c.npxc: {count} images" in said.out, said.err
        assert said.err.count("these are all 9 images of split.npz: train, test") == (count == 9)
    call("compress", "twin.safetensors", "split.npz", "-o", "c.npxc")
    call("decompress", "twin.safetensors", "c.npxc", "-o", "c.npz")
    assert (np.load("c.npz")["images"][:, 0] == np.concatenate([_images(6, 1), _images(3, 2)])).all()
    for verb, rest in (("complete", ("--known", "top-half", "--completions", 1)), ("score", ())):
        said = call(verb, "run", "split.npz", *rest, "-n", 20, "--out", "a.npz")
        assert said.status == 0, said.err
        assert len(np.load("a.npz")["images"]) == 9
    _refused(
        call("compress", "twin.safetensors", "split.npz", "--split", "validation", "-o", "d.npxc"), "no validation"
    )
    _refused(call("score", "run", "split.npz", "--data-root", "x", "--out", "a.csv"), "not both")
    folder = _pictures(here / "pictures", 3)
    _refused(call("compress", "twin.safetensors", folder, "--split", "test", "-o", "d.npxc"), "taken as they are")


def test_no_output_takes_the_place_of_what_is_read(here: Path, call: Callable[..., Any]) -> None:
    folder = _pictures(here / "pictures", 12)
    kept = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    for words in (
        ("complete", "run", "--known", "top-half", "--out", "own.npz"),  # which its config.yaml names
        ("score", "run", "--out", "own.npz"),
        ("complete", "run", "--data", "own.npz", "--data-root", here, "--known", "top-half", "--out", here / "own.npz"),
        ("complete", "run", folder, "--known", "top-half", "--out", folder / "000.png"),
        ("score", "run", folder, "--out", folder / "003.png"),
        ("data", "show", folder, "--out", folder / "001.png"),
        ("compress", "twin.safetensors", folder, "-o", folder / "002.png"),
        ("exact", "run", "-o", "run/last.safetensors"),
    ):
        _refused(call(*words), "what the command reads, and would be lost")
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == kept
    assert call("sample", "run", "-n", 2, "--out", "run/a.png").status == 0  # a folder of a run is not one of images
    assert call("sample", "run", "-n", 2, "--out", "run/a.png").status == 0


def test_a_run_is_not_put_among_the_images_that_it_learns_from(here: Path, call: Callable[..., Any]) -> None:
    folder = _pictures(here / "pictures", 40)
    recipe = _recipe(here / "p.yaml", folder, levels=2)
    _refused(call("train", recipe, "--out", folder / "deep" / "run"), "would be one of them")
    os.chdir(folder)
    _refused(call("train", ".", "--minutes", 0.01), "runs/pictures is in .")
    assert not (folder / "runs").exists()
    assert not (folder / "deep").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "hf:me/x"), "hf:me/x is a name on the Hub"),
        (("--out", os.fsdecode(b"run\xff")), "is not UTF-8"),
        (("--out", "x", "--seed", 1, "--training.seed", 2), "--seed and --training.seed are one setting"),
        (("--out", "x", "--data-root", "a", "--data.root", "b"), "--data-root and --data.root are one setting"),
        (("--out", "x", "--data", "plain"), "--data.name plain"),
        (("--out", "x", "--training.betas", "0.9,0.99"), "training.betas must be a list"),
        (("--out", "x", "--training.optimizer", "rmsprop", "--training.epsilon", 0.1), "leave them to rmsprop"),
    ],
)
def test_what_a_run_cannot_be_is_said_before_it_begins(
    words: tuple[object, ...], sentence: str, here: Path, call: Callable[..., Any]
) -> None:
    before = {*here.iterdir()}
    _refused(call("train", "r.yaml", *words), sentence)
    assert {*here.iterdir()} == before


def test_other_places_that_are_none(here: Path, call: Callable[..., Any]) -> None:
    for words in (
        ("exact", "run", "-o", "hf:x.safetensors"),
        ("export", "run", "hf:me/y"),
        ("sample", "run", "--out", "hf:a.png"),
    ):
        _refused(call(*words), "is a name on the Hub")
    with pytest.raises(npx.BadInput, match="not UTF-8"):
        npx.save(npx.load("run"), os.fsdecode(b"\xff.safetensors"))
    _refused(call("train", "own.npz", "--minutes", 0.01, "--data.name", "digits"), "not for digits")


def test_a_run_is_resumed_as_the_network_that_it_was(here: Path, call: Callable[..., Any]) -> None:
    state = Path("run/state.safetensors").read_bytes()
    more = ("train", "run", "--resume", "--training.epochs", 2)
    _refused(call(*more, "--model.residual", "false"), "has residual True, not False")
    _refused(call(*more, "--model.kernel", 5), "has kernel 3, not 5")
    _refused(call(*more, "--training.start", "mnist"), "leave out --training.start mnist")
    assert Path("run/state.safetensors").read_bytes() == state
    assert "kernel: 3" in Path("run/config.yaml").read_text()
    assert call(*more).status == 0


def test_a_mask_of_a_picture_is_cut_into_tiles_as_it_is(here: Path, call: Callable[..., Any]) -> None:
    _pictures(here / "large", 20, (8, 8))
    assert (
        call("train", _recipe(here / "t.yaml", here / "large", bits=1, size=4, fit="tiles"), "--out", "t").status == 0
    )
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, 4:] = 255
    mask[6, 1] = 255
    Image.fromarray(mask).save("mask.png")
    said = call("complete", "t", "large/000.png", "--known", "mask.png", "-n", 4, "--completions", 1, "--out", "a.npz")
    assert said.status == 0, said.err
    tiles = mask.reshape(2, 4, 2, 4).transpose(0, 2, 1, 3).reshape(4, 4, 4) > 0
    assert (np.load("a.npz")["known"][:, 0] == tiles).all()


def test_which_maps_a_file_of_images_and_maps_gives_is_said(
    codes: Path, mapped: Path, call: Callable[..., Any]
) -> None:
    own = np.load(codes)
    said = call("sample", mapped, "--maps", codes, "-n", 3, "--out", "a.npz")
    assert f"the maps are those beside the images of {codes}" in said.err
    np.savez("coarse.npz", images=own["maps"], maps=np.zeros((len(own["maps"]), 1, 1)))
    coarse = call("sample", mapped, "--maps", "coarse.npz", "-n", 3, "--out", "b.npz")
    assert "the maps are the images of coarse.npz, not the maps that these were given" in coarse.err
    np.savez("maps.npz", maps=own["maps"])
    assert "the maps are" not in call("sample", mapped, "--maps", "maps.npz", "-n", 3, "--out", "c.npz").err
    assert (np.load("a.npz")["images"] == np.load("c.npz")["images"]).all()
    assert (np.load("b.npz")["images"] == np.load("c.npz")["images"]).all()


def test_a_range_of_classes_called_by_numbers_goes_by_the_numbers(here: Path, call: Callable[..., Any]) -> None:
    for number in range(12):
        _pictures(here / "numbered" / str(number), 3)
    recipe = _recipe(here / "n.yaml", here / "numbered", bits=1)
    assert call("train", recipe, "--model.context", "label", "--out", "n").status == 0
    data = open_data(here / "numbered")
    assert data.class_names is not None
    for asked, wanted in (("1-2", "1 2"), ("9-11", "9 10 11"), ("0-11", " ".join(map(str, range(12))))):
        said = call("sample", "n", "--label", asked, "-n", len(wanted.split()), "--out", "a.npz")
        assert said.status == 0, said.err
        assert [data.class_names[label] for label in np.load("a.npz")["labels"]] == wanted.split()


def test_what_a_twin_cannot_show_is_said_before_the_checks(here: Path, call: Callable[..., Any]) -> None:
    for words in (("plot", "receptive-field", "twin.safetensors"), ("check", "twin.safetensors", "--out", "a.png")):
        _refused(call(*words), "ask the twin's float model")


def test_a_torn_row_of_metrics_is_no_bar_to_an_export(here: Path, call: Callable[..., Any]) -> None:
    with Path("run/metrics.csv").open("ab") as file:
        file.write(b"9,3.0,\xff")
    said = call("export", "run", "out", "--machine", "an abacus")
    assert said.status == 0, said.err
    assert "how they were trained on an abacus" in Path("out/README.md").read_text()


def test_links_that_lead_in_a_circle_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "a" / "b", 9)
    for place in (tmp_path / "a" / "b", tmp_path / "a"):
        (place / "loop").symlink_to("loop")
    data = open_data(folder.parent)
    assert sum(map(len, data.splits.values())) == 9
    assert any("2 links or devices" in note for note in data.notes)


def test_another_programs_config_beside_a_model_is_left_alone(here: Path, call: Callable[..., Any]) -> None:
    (here / "project").mkdir()
    shutil.copy("run/model.safetensors", "project/m.safetensors")
    Path("project/config.yaml").write_text("optimizer: {lr: 1}\n")
    assert call("sample", "project/m.safetensors", "-n", 2, "--out", "a.npz", "a.png").status == 0
    Path("run/config.yaml").write_text("optimizer: {lr: 1}\n")
    _refused(call("sample", "run", "-n", 2, "--out", "b.npz", "b.png"), "has a section 'optimizer'")
    assert not Path("b.npz").exists()


def test_a_way_out_is_one_that_the_command_has(here: Path, call: Callable[..., Any]) -> None:
    folder = _pictures(here / "pictures", 12)
    (folder / "bad.png").write_bytes(b"\x89PNG nothing")
    assert "; damaged=skip" not in (
        said := call("complete", "run", folder, "--known", "top-half", "--out", "a.png").err
    )
    assert "--data.damaged" not in said
    np.savez("white.npz", images=255 * _images(9))
    assert "--bits=1" in (said := call("data", "show", "white.npz", "--levels", 2, "--out", "a.png").err)
    assert "--data." not in said
    assert (
        call("--quiet", "data", "show", "white.npz", "--levels", 2, "--out", "a.png").err == said
    )  # wherever it stands
    for name in ("train", "other"):
        _pictures(here / "parts" / name, 3)
    assert " --splits={train: NAME" in call("data", "show", "parts", "--out", "a.png").err
    assert " --data.splits={train: NAME" in call("train", _recipe(here / "q.yaml", here / "parts")).err


def test_names_that_some_disks_have_not_are_not_packed() -> None:
    for names in (("a.png", "A.png"), ("con.png",), ("b/what?.png",)):
        with pytest.raises(npx.BadInput, match="rename it"):
            packed([Picture(0, 4, 4, 1, name) for name in names])
    assert packed([Picture(0, 4, 4, 1, name) for name in ("a.png", "b/a.png", "conA.png")])


def test_a_model_without_permission_says_so(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path.open

    def forbidden(path: Path, *given: Any, **named: Any) -> Any:
        if path.name == "model.safetensors":
            raise PermissionError(13, "Permission denied")
        return usual(path, *given, **named)

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(npx.BadInput, match="Permission denied"):
        npx.load("run")


def test_a_context_that_means_nothing_is_not_left_out(here: Path) -> None:
    twin = npx.load("twin.safetensors")
    with pytest.raises(npx.BadInput, match="leave out the context"):
        npx.compress(twin, torch.zeros(2, 1, *SIZE).long(), [1, 2])


def test_several_threads_may_save_at_one_place(here: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = npx.load("run")
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(npx.save, model, "same.safetensors") for _ in range(40)]:
            done.result()
    assert npx.load("same.safetensors").spec == model.spec


def test_a_folder_of_a_known_name_hides_nothing(here: Path, call: Callable[..., Any]) -> None:
    _pictures(here / "digits", 12)
    assert "this is the set of that name; what is here is ./digits" in "\n".join(open_data("digits").notes)
    assert open_data("./digits").spec.shape == (1, *SIZE)


def test_codes_that_have_a_book_are_shown_as_what_they_stand_for(here: Path, call: Callable[..., Any]) -> None:
    np.savez("codes.npz", images=np.random.default_rng(0).integers(256, size=(2, 7, 7)), levels=256, ordinal=False)
    said = call(
        "complete",
        "mnist-codes",
        "codes.npz",
        "--label",
        3,
        "--known",
        "top-half",
        "--completions",
        1,
        "--out",
        "a.png",
    )
    assert said.status == 0, said.err
    with Image.open("a.png") as picture:
        colours = np.asarray(picture.convert("RGB"))[40:]
    grey = (colours.max(-1) == colours.min(-1)).mean()
    assert grey > 0.6  # all but what is unknown, which has a colour of its own


def test_what_a_picture_loses_is_said(here: Path, call: Callable[..., Any]) -> None:
    Image.fromarray(np.full((4, 4, 4), 100, np.uint8)).save("clear.png")
    said = call("score", "run", "clear.png", "--out", "a.csv")
    assert "transparency is laid over white" in said.err, said.err
    _pictures(here / "large", 30, (8, 8))
    assert call("train", _recipe(here / "t.yaml", here / "large", bits=1, size=4), "--out", "t").status == 0
    assert "are brought to 4 by crop" in call("score", "t", "large/000.png", "--out", "a.csv").err


def test_a_name_with_a_slip_is_guessed(here: Path, call: Callable[..., Any]) -> None:
    _refused(call("sample", "mnist-clas"), "Did you mean mnist-class?")
    _refused(call("sample", "emoji", "--label", "animal"), "Did you mean animals?")


def test_levels_are_not_lost_by_what_is_without_loss(here: Path, call: Callable[..., Any]) -> None:
    spec = npx.ImageSpec(1, 8, 8, levels=16)
    model = npx.build("pixelcnn", spec, filters=2, layers=1)
    npx.save(npx.exact(model, torch.zeros(2, 1, 8, 8).long()), "twin.safetensors")
    images = np.random.default_rng(0).integers(256, size=(30, 8, 8)).astype(np.uint8)
    np.savez("x.npz", images=images)
    for words in (("x.npz",), ("--data", "x.npz")):
        said = call("compress", "twin.safetensors", *words, "-o", "x.npxc")
        assert said.status == 2
        assert "x.npz has 256 levels, of which the model's 16 would lose some" in said.err
    assert not Path("x.npxc").exists()
    np.savez("x.npz", images=images // 16, levels=16)
    assert call("compress", "twin.safetensors", "x.npz", "-o", "x.npxc").status == 0


def test_settings_of_a_run_are_not_abbreviated(call: Callable[..., Any]) -> None:
    said = call("train", "digits", "--training.epoch", 1, "--dry-run")
    assert said.status == 2
    assert "There is no setting training.epoch; did you mean training.epochs?" in said.err
