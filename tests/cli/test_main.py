import contextlib
import inspect
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nextpixel.cli import VERBS, drawing, listing, main, measuring
from nextpixel.cli.parsers import PARSERS
from nextpixel.likelihoods import LIKELIHOODS
from nextpixel.models import MODELS, settings_of
from nextpixel.shipped import names

COMMAND = [sys.executable, "-W", "error", "-m", "nextpixel.cli"]


def test_help_names_every_verb(call: Callable[..., Any]) -> None:
    said = call("--help")
    assert said.status == 0
    assert all(f"  {verb} " in said.out for verb in VERBS)


def test_nothing_asked_is_a_mistake_that_is_explained(call: Callable[..., Any]) -> None:
    said = call()
    assert (said.status, said.out) == (2, "")
    assert "usage: nextpixel COMMAND" in said.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"  nextpixel {verb}" in text.partition("examples:")[2]


def test_the_version_is_told(call: Callable[..., Any]) -> None:
    assert call("--version").out.startswith("nextpixel 0.")


def test_a_quiet_command_prints_results_and_what_goes_wrong(call: Callable[..., Any]) -> None:
    sizes = ("--model.filters", 4, "--model.blocks", 1, "--model.head", 4, "--data.limit", 20, "--training.samples", 0)
    train = ("train", "digits", "--model.name", "gated_pixelcnn", *sizes, "--training.epochs", 1, "--out")
    assert "Trained 1.00 epochs" in call(*train, "a").err
    quiet = call(*train, "b", "--quiet")
    assert (quiet.status, quiet.err) == (0, "")
    assert Path("b/model.safetensors").read_bytes() == Path("a/model.safetensors").read_bytes()
    assert "bits" in call("--quiet", "evaluate", "b").out
    assert "There is no model at nothing" in call("--quiet", "evaluate", "nothing").err


def test_an_unknown_verb_is_refused_with_a_guess(refused: Callable[..., Any]) -> None:
    assert "no command 'smaple'; did you mean sample?" in refused("smaple")
    assert "no command 'xyz'; the choice is train, " in refused("xyz")


def test_numbers_in_the_help_are_those_of_the_code() -> None:
    images, rows = drawing.ACROSS, drawing.DRAWN + drawing.COMPLETED
    told = {
        "score": f"the {measuring.COSTLIEST} costliest images",
        "evaluate": f"(default: {measuring.LATENT_SAMPLES})",
        "data show": f"(at the most {listing.MOST_CLASSES})",
        "plot figure": f"{images}x{rows} images: {drawing.DRAWN} rows from scratch, then {drawing.COMPLETED} rows",
    }
    for words, number in told.items():
        assert number in " ".join(PARSERS[words].format_help().split()), words


@pytest.mark.parametrize("words", [["train"], ["models"], ["plot", "curves"], ["recipes"], []], ids=" ".join)
def test_help_of_a_verb_is_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for asked in (["help", *words], [*words, "--help"]):
        with contextlib.suppress(SystemExit):
            main(asked)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != ""


def test_help_of_no_verb_is_refused_with_a_guess(refused: Callable[..., Any]) -> None:
    assert "no command 'trian'; did you mean train?" in refused("help", "trian")


@pytest.mark.parametrize("name", [*MODELS, *LIKELIHOODS])
def test_a_model_is_told_with_what_each_setting_means(name: str, call: Callable[..., Any]) -> None:
    out = call("models", name).out
    part = {**MODELS, **LIKELIHOODS}[name]
    assert out.startswith(f"{name}\n\n")
    assert ">>>" not in out
    for setting in settings_of(part):
        default = inspect.signature(part).parameters[setting].default
        assert re.search(rf"^    (?! ).*\b{setting} = {re.escape(str(default))}(, .*)?: \S", out, re.MULTILINE), setting


def test_a_setting_is_told_in_the_words_of_its_model(call: Callable[..., Any]) -> None:
    out = call("models", "gated_pixelcnn").out
    assert "    filters = 128: features in each stack (D).\n" in out
    assert "[1] van den Oord et al." in out
    assert "filters = 64, blocks = 3, kernel = 3" in call("models", "pixelvae").out


@pytest.mark.parametrize("verb", ["models", "train"])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pixelcnn++", "pixelcnnpp"), ("PixelCNN++", "pixelcnnpp"), ("PixelCNN", "pixelcnn"),
        ("gated", "gated_pixelcnn"), ("pixel-snail", "pixelsnail"), ("Gated PixelCNN", "gated_pixelcnn"),
        ("vae", "pixelvae"), ("BiLSTM", "diagonal_bilstm"), ("rowlstm", "row_lstm"), ("pixelcnplus", "pixelcnnpp"),
        ("residul", "residual_pixelcnn"),
    ],
)  # fmt: skip
def test_a_model_of_another_spelling_is_guessed(verb: str, name: str, meant: str, refused: Callable[..., Any]) -> None:
    words = ("models", name) if verb == "models" else ("train", "digits", "--model.name", name)
    assert f"no model {name!r}; did you mean {meant}?" in refused(*words)


def test_models_and_data_are_listed(call: Callable[..., Any]) -> None:
    models, data = call("models"), call("data")
    assert all(name in models.out for name in MODELS)
    assert "filters = 128" in models.out
    assert "logistic_mixture" in models.out
    assert "mixtures = 10" in models.out
    assert "[1" not in models.out  # a source whose list is elsewhere
    assert "nextpixel models NAME says more" in models.out
    assert "digits\n" in data.out
    assert "1x8x8 with 17 levels, 10 classes; 1,257 train, 180 validation, 360 test images" in data.out


def test_the_list_of_commands_has_whole_sentences(call: Callable[..., Any]) -> None:
    lines = [line for line in call("--help").out.splitlines() if line.startswith("  ")]
    assert len(lines) == len(VERBS)
    assert all(line.endswith(".") for line in lines)


def test_a_misspelt_option_is_named(refused: Callable[..., Any]) -> None:
    assert "--lable; did you mean --label? See nextpixel sample --help." in refused("sample", "--lable", 3)


def test_a_setting_in_a_sentence_can_be_typed(refused: Callable[..., Any], tmp_path: Path) -> None:
    (some := tmp_path / "some").mkdir()
    for name in "ab":
        (some / f"{name}.png").write_bytes(b"no picture")
    assert "; --data.damaged=skip leaves such files out." in refused("train", some, "--minutes", 1)
    assert "; --damaged=skip leaves such files out." in refused("data", "show", some)
    assert "some has no image that can be read." in refused("data", "show", some, "--damaged=skip")


def test_options_of_another_verb_are_refused(refused: Callable[..., Any]) -> None:
    assert "Unrecognized arguments: --known" in refused("models", "--known")


NOWHERE = f"nextpixel: There is no model at nowhere; those that come with nextpixel are {', '.join(names())}.\n"


def test_the_process_says_one_sentence_and_exits_with_2() -> None:
    done = subprocess.run([*COMMAND, "sample", "nowhere"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", NOWHERE)


def test_a_line_is_written_whole_under_torchrun_too() -> None:
    """It starts `python -u`, which writes a line and its end apart: what another process says came in between."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # which keeps apart what is written apart
    command = [sys.executable, "-u", "-m", "nextpixel.cli", "sample", "nowhere"]
    with ours, its:
        assert subprocess.run(command, stdout=its.fileno(), stderr=its.fileno(), check=False).returncode == 2
        its.shutdown(socket.SHUT_WR)
        written = [*iter(lambda: ours.recv(10_000), b"")]
    assert len(written) == 1
    assert written[0].startswith(b"nextpixel: There is no model at nowhere")
    assert written[0].endswith(b"\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen([*COMMAND, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_an_interruption_is_silent(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nextpixel.cli.listing.models", interrupt)
    said = call("models")
    assert (said.status, said.out, said.err) == (130, "", "")


def test_a_defect_of_ours_is_not_hidden(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> None:
        raise ValueError("ours")

    monkeypatch.setattr("nextpixel.cli.listing.models", fail)
    with pytest.raises(ValueError, match="ours"):
        call("models")


def test_what_the_system_refuses_is_a_sentence(refused: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> None:
        raise OSError(28, "No space left on device", "runs/a")

    monkeypatch.setattr("nextpixel.cli.listing.models", fail)
    assert "runs/a cannot be used: No space left on device." in refused("models")


def test_lack_of_memory_is_a_sentence(refused: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> None:
        bytearray(2**50)

    monkeypatch.setattr("nextpixel.cli.listing.models", fail)
    assert "The memory does not suffice; ask for fewer or smaller images" in refused("models")
    monkeypatch.setattr("nextpixel.cli.listing.models", lambda arguments: torch.empty(2**50))
    assert "The memory does not suffice" in refused("models")
    monkeypatch.setattr("nextpixel.cli.listing.models", lambda arguments: torch.ones(2).view(3))
    with pytest.raises(RuntimeError, match="shape"):  # a defect of ours
        refused("models")


@pytest.mark.parametrize("argument", ["", " ", "--out=", "--data=", "a\0b"])
def test_arguments_that_say_nothing(argument: str, refused: Callable[..., Any]) -> None:
    assert f"The argument {argument!r} is empty, or has" in refused("sample", "run", argument)


def test_a_very_long_word_is_cut(refused: Callable[..., Any]) -> None:
    assert len(refused("sample", "a" * 5000)) < 300


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", r"+/- ... \u2016 \xe9"), ("latin-1", "\xb1 ... \\u2016 \xe9"), ("utf-8", "± … ‖ é")],
)
def test_what_the_terminal_cannot_show_is_written_otherwise(encoding: str, shown: str) -> None:
    said = "import sys; from nextpixel.cli import main; sys.exit(main(['evaluate', 'x', '--± … ‖ é']))"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, check=False, env=environment)
    assert done.returncode == 2
    assert f"nextpixel: Unrecognized arguments: --{shown};" in done.stderr.decode(encoding)


COMMANDS = [*PARSERS, "train folder --minutes 3"]


def test_no_help_and_no_refusal_of_an_option_needs_torch() -> None:
    """In one process: what one of them imported would stay."""
    calls = [[], ["--help"], ["--version"], ["nothing"], ["train"], ["plot", "curvs"]]
    calls += [[*command.split(), "--help"] for command in COMMANDS]
    calls += [[*command.split(), "--nothing"] for command in PARSERS if command != "train"]
    said = f"""
import sys
from nextpixel.cli import main
for words in {calls}:
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    assert status == (0 if {{"--help", "--version"}} & {{*words}} else 2), words
    assert "torch" not in sys.modules, words
"""
    subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)


def test_train_alone_says_in_ten_lines_how_it_is_used(call: Callable[..., Any]) -> None:
    said = call("train")
    assert (said.status, said.out) == (2, "")
    assert "--minutes" in said.err
    assert "nextpixel train --help" in said.err
    assert len([line for line in said.err.splitlines() if line]) <= 10


def test_all_public_names_load_at_their_first_use() -> None:
    said = """
import json, sys
import nextpixel
listed = set(nextpixel.__all__) <= set(dir(nextpixel))
light = "torch" not in sys.modules
from nextpixel import *
from nextpixel import ImageSpec as spec, data
homes = {name: getattr(nextpixel, name) is globals()[name] for name in nextpixel.__all__}
try:
    nextpixel.nothing
except AttributeError as error:
    print(json.dumps([listed, light, all(homes.values()), data.__name__, nextpixel.plots.__name__, str(error)]))
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    missing = "module 'nextpixel' has no attribute 'nothing'"
    assert json.loads(done.stdout) == [True, True, True, "nextpixel.data", "nextpixel.plots", missing]


HOOK = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.{handler})
class Interrupt:
    def __del__(self):  # where Python would print what is raised, and go on
        os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            Interrupt()
sys.meta_path.insert(0, Finder())
from nextpixel.cli import main
sys.exit(main(["sample", "nowhere"]))
"""


@pytest.mark.parametrize("module", ["torch", "numpy", "numpy._core.multiarray", "PIL.Image", "nextpixel.cli.drawing"])
def test_an_interruption_while_modules_are_imported_is_silent(module: str) -> None:
    hook = HOOK.format(module=module, handler="default_int_handler")  # that of a background job ignores it
    done = subprocess.run([sys.executable, "-c", hook], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_an_interruption_that_is_ignored_stays_so() -> None:
    ignoring = HOOK.format(module="torch", handler="SIG_IGN")
    done = subprocess.run([sys.executable, "-c", ignoring], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, NOWHERE)
