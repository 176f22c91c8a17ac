import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nextpixel as npx
from nextpixel.cli import VERBS, listing
from nextpixel.data import CATALOGUE


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SIZES", {"filters": 4, "blocks": 1, "head": 4})
    monkeypatch.setattr(listing, "SECONDS", 0.0)


def test_what_is_here_is_told_with_speeds(call: Callable[..., Any], tmp_path: Path) -> None:
    said = json.loads(call("doctor", "--json", "--data-root", tmp_path).out)
    assert said["versions"]["nextpixel"] == npx.__version__
    assert said["versions"]["python"] == platform.python_version()
    assert said["versions"]["torch"] == torch.__version__
    assert said["machine"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert said["places"]["data root"] == str(tmp_path)
    assert {*CATALOGUE} <= {*said["places"]}
    assert set(said["images a second"]) == {"training step", "sampling"}
    assert all(rate > 0 for rate in said["images a second"].values())


@pytest.mark.parametrize(("fast", "word"), [(True, "fast"), (False, "no faster")])
def test_the_words_about_bf16_are_what_precision_auto_goes_by(
    fast: bool, word: str, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "has_fast_bf16", lambda device: fast)
    said = call("doctor")
    assert said.status == 0
    assert f"  bf16               {word}" in said.out
    assert said.out.count("\n") > 30


def test_a_library_or_compiler_that_is_not_here_is_no_error(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LIBRARIES", ("torch", "no-such-library"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = json.loads(call("doctor", "--json").out)
    assert said["versions"]["no-such-library"] == "not installed"
    assert said["machine"]["compiler"] == "none"


ASKED = """
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_shtab_nextpixel nextpixel "${{COMP_WORDS[$COMP_CWORD]}}" "${{COMP_WORDS[$((COMP_CWORD - 1))]}}"
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_verbs_kinds_options_and_choices(call: Callable[..., Any]) -> None:
    script = call("completion", "bash").out

    def completed(*words: str) -> list[str]:
        asked = script + ASKED.format(words=" ".join(["nextpixel", *words]))
        return subprocess.run(["bash"], input=asked, capture_output=True, text=True, check=True).stdout.split()

    assert completed("sam") == ["sample"]
    assert {*VERBS} <= {*completed("''")}
    assert completed("plot", "c") == ["curves"]
    assert completed("data", "p") == ["pack"]
    assert completed("sample", "--te") == ["--temperature"]
    assert completed("evaluate", "--split", "t") == ["train", "test"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_with_every_verb(shell: str, call: Callable[..., Any]) -> None:
    script = call("completion", shell).out
    assert all(verb in script for verb in VERBS)
