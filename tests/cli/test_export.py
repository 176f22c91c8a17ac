"""A model with its card; and those that come with the package, which anyone can use at once."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import forked
import nextpixel as npx
from nextpixel import pictures, shipped
from nextpixel.cards import Card, safe, text_of

SHIPPED = pytest.mark.parametrize("name", shipped.names())


def test_a_run_becomes_a_folder_that_every_command_takes(call: Callable[..., Any], labelled: Path, data: Path) -> None:
    said = call("export", labelled, "out", "--licence", "Drawn by a test.", "--command", "nextpixel train x.yaml")
    assert said.status == 0, said.err
    assert {path.name for path in Path("out").iterdir()} == {
        "model.safetensors",
        "config.json",
        "config.yaml",
        "README.md",
        "samples.png",
    }
    about, card = json.loads(Path("out/config.json").read_text()), Path("out/README.md").read_text()
    figures = json.loads(call("evaluate", "out", "--json").out)
    assert about["figures"]["nats"] == pytest.approx(figures["nats"])
    assert about["figures"]["images"] == figures["images"]
    assert f"{figures['bits_per_dim']:.4f} ± {figures['bits_per_dim_error']:.4f} bits per dimension" in card
    _, head, body = card.split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert metadata["library_name"] == "nextpixel"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == round(figures["bits_per_dim"], 4)
    for words in ("# out", "Drawn by a test.", "    nextpixel train x.yaml", "van den Oord", "## Limits"):
        assert words in body
    x = torch.zeros(1, *npx.load("out").spec.shape, dtype=torch.long)
    assert npx.load("out").log_prob(x, [0]).equal(npx.load(labelled).log_prob(x, [0]))


@pytest.mark.parametrize("kind", npx.MODELS)
def test_a_card_names_the_paper_of_its_model(kind: str) -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4, levels=2), filters=4, blocks=1, orders=4)
    model.recipe["name"] = kind
    figures = {
        "bits_per_dim": 1.0,
        "bits_per_dim_error": None,
        "nats": 11.0,
        "nats_error": 0.1,
        "images": 1,
        "split": "test",
    }
    cited = text_of(model, Card("a", "b", None, None, "in some way", figures)).partition("## Cite")[2]
    assert re.fullmatch(r"\n\n- .+ et al\., .+, 201\d\n- Jain et al\., .+\n- nextpixel .+\n", cited), cited


def test_what_cannot_be_exported(refused: Callable[..., str], labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "is there and not an empty folder" in refused("export", labelled, tmp_path / "full")
    assert "called by letters" in refused("export", labelled, "new", "--name", "a/b")
    assert "There is no model at nowhere" in refused("export", "nowhere", "new")
    assert "cannot be written" in refused("export", labelled, tmp_path / "full" / "file" / "new")
    for wrong in ("", "../up", ".hidden", "x" * 200):
        with pytest.raises(npx.BadInput, match="called by letters"):
            safe(wrong)


def test_an_export_is_whole_or_not_there(
    call: Callable[..., Any], labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "write", interrupted)
    before = sorted(tmp_path.rglob("*"))
    assert call("export", labelled, tmp_path / "new").status == 130
    assert sorted(tmp_path.rglob("*")) == before


def test_a_single_image_has_no_error(call: Callable[..., Any], labelled: Path) -> None:
    assert call("export", labelled, "new", "--images", 1).status == 0
    assert json.loads(Path("new/config.json").read_text())["figures"]["nats_error"] is None
    card = Path("new/README.md").read_text()
    assert "1 test images" in card
    assert "Nobody said under which licence" in card, "one's own data has none that we know"


def test_of_several_processes_one_exports(labelled: Path, tmp_path: Path) -> None:
    words = ["-m", "nextpixel.cli", "export", labelled, "out", "--images", "3"]
    done = forked.run(words, cwd=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bits per dimension") == 1
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_run_without_a_model_yet_does_not_give_way(
    call: Callable[..., Any], labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mnist").mkdir()
    Path("mnist/config.yaml").write_bytes((labelled / "config.yaml").read_bytes())
    said = call("sample", "mnist")
    assert said.status == 2
    assert "There is no model at mnist" in said.err


def test_something_of_that_name_that_is_here_comes_first(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = npx.load("mnist").spec
    Path("mnist").mkdir()  # such as a folder of images
    assert npx.load("mnist").spec == spec
    Path("mnist/model.safetensors").write_bytes((labelled / "model.safetensors").read_bytes())
    assert npx.load("mnist").spec == npx.load(labelled).spec != spec


@SHIPPED
def test_a_shipped_model_is_small_and_says_what_it_is(name: str) -> None:
    folder = shipped.FOLDER / name
    assert (folder / shipped.FILE).stat().st_size < 4_000_000
    model, about, card = npx.load(name), shipped.about(name), (folder / shipped.CARD).read_text()
    assert about["name"] == name
    assert about["recipe"] == json.loads(json.dumps(model.recipe, default=dict))
    assert about["licence"] in card
    assert about["command"] in card
    assert f"{about['figures']['bits_per_dim']:.4f}" in card
    assert about["weights"] == sum(weight.numel() for weight in model.parameters())
    assert yaml.safe_load((folder / shipped.CONFIG).read_text())["data"]["name"]


def test_all_shipped_models_together_are_small() -> None:
    assert sum(path.stat().st_size for path in shipped.FOLDER.rglob("*")) < 20_000_000


@pytest.mark.data
@SHIPPED
def test_the_figure_of_a_card_is_what_evaluate_finds(name: str, call: Callable[..., Any]) -> None:
    """Of its first 100 test images the mean is within five standard errors of what the card says of all."""
    figures = shipped.about(name)["figures"]
    found = json.loads(call("evaluate", name, "--images", "100", "--json").out)
    found = found.get("importance", found)
    assert abs(found["nats"] - figures["nats"]) < 5 * found["nats_error"]


def test_the_first_ten_seconds(tmp_path: Path) -> None:
    """`nextpixel sample` with nothing named draws from a shipped model, and says where the picture is."""
    began = time.monotonic()
    command = [sys.executable, "-m", "nextpixel.cli", "sample", "-n", "10"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "10 images: samples.png\n"
    assert (tmp_path / "samples.png").stat().st_size > 500
    assert time.monotonic() - began < 60  # five at rest; tests share their processors


def test_models_lists_what_is_shipped(call: Callable[..., Any]) -> None:
    said = call("models").out
    assert "trained models that come with the package" in said
    assert all(f"\n  {name}\n" in said for name in shipped.names())


def test_a_completion_by_a_shipped_model(call: Callable[..., Any]) -> None:
    np.savez("digits.npz", images=np.random.default_rng(0).integers(0, 2, (3, 28, 28)), levels=2)
    said = call("complete", "mnist", "digits.npz", "--known", "bottom-half", "-n", "2", "--completions", "1")
    assert said.status == 0, said.err
    assert Path("completions.png").is_file()


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub as it takes to fetch a model: what there is, and its files."""

    folder: Path
    commit = "0" * 40

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        ours, file = path.startswith("/somebody/digits/resolve/"), self.folder / path.rpartition("/")[2]
        if not ours or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if ours else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", hashlib.sha256(body).hexdigest())
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        status, said = 200, {}
        if self.headers.get("Authorization") != "Bearer ours":
            status, said = 401, {"error": "Invalid username or password."}
        elif self.path == "/api/repos/create":
            made = json.loads(asked)
            said = {"url": f"http://{self.headers['Host']}/{made['organization']}/{made['name']}"}
        elif "/preupload/" in self.path:
            files = json.loads(asked)["files"]
            said = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        elif "/commit/" in self.path:
            for line in map(json.loads, asked.splitlines()):
                if line["key"] == "file":
                    path = self.folder / line["value"]["path"]
                    path.write_bytes(base64.b64decode(line["value"]["content"]))
            said = {
                "success": True,
                "commitOid": self.commit,
                "commitUrl": f"http://127.0.0.1/somebody/digits/commit/{self.commit}",
            }
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Commands in processes of their own, for which the Hub is here, and is the folder `hub` of the model `digits`."""
    shutil.copytree(shipped.FOLDER / "mnist", tmp_path / "hub")
    handler = type("_Hub", (Hub,), {"folder": tmp_path / "hub"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "cache")}
    settings = {**os.environ, **where, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}

    def run(*words: str | Path, **changed: str) -> subprocess.CompletedProcess[str]:
        return forked.run(["-m", "nextpixel.cli", *words], cwd=tmp_path, env=settings | changed)

    yield run
    server.shutdown()
    server.server_close()


def test_a_model_on_the_hub(tmp_path: Path, hub: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = hub("sample", "hf:somebody/digits", "-n", "4", "--out", "hub.npz")
    assert (done.returncode, done.stdout) == (0, "4 images: hub.npz\n"), done.stderr
    again = hub("sample", "hf:somebody/digits", "-n", "4", "--out", "cached.npz", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    expected = npx.load("mnist").sample(4).numpy()
    for name in ("hub.npz", "cached.npz"):
        assert (np.load(tmp_path / name)["images"] == expected).all()
    for name in ("somebody/else", "a/b/c"):
        _refused(hub("sample", f"hf:{name}"), f"hf:{name} cannot be had")


def test_a_model_is_put_on_the_hub(tmp_path: Path, hub: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    ours = shutil.copytree(shipped.FOLDER / "mnist", tmp_path / "ours")
    (ours / "private-notes.txt").write_text("not for others")
    for path in (tmp_path / "hub").iterdir():
        path.unlink()
    done = hub("push", ours, "hf:somebody/digits", HF_TOKEN="ours")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "/somebody/digits" in done.stdout
    came = {path.name: path.read_bytes() for path in (tmp_path / "hub").iterdir()}
    assert came == {path.name: path.read_bytes() for path in (shipped.FOLDER / "mnist").iterdir() if path.is_file()}
    _refused(hub("push", ours, "hf:somebody/digits", HF_TOKEN="wrong"), "cannot be put at hf:somebody/digits")
    _refused(hub("push", ours, "somebody/digits", HF_TOKEN="ours"), "hf:USER/NAME, not 'somebody/digits'")
    (ours / "README.md").unlink()
    _refused(hub("push", ours, "hf:somebody/digits"), "has no README.md; write a model with its card first")
    _refused(hub("push", ours, "hf:somebody/digits", HF_HUB_OFFLINE="1"), "has no README.md")


def _refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
