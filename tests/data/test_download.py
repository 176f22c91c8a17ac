import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nextpixel.data.download import Source
from nextpixel.errors import BadInput

FILE = "some-file.gz"
CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Serve = Callable[[dict[str, bytes]], str]


def fetch_from(*mirrors: str) -> Path:
    return Source("Some/raw", mirrors, {FILE: SHA256}).fetch(FILE)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_fetched_once(cache: Path, serve: Serve) -> None:
    files = {FILE: CONTENT}
    address = serve(files)
    assert fetch_from(f"{address}good/") == cache / "nextpixel/Some/raw" / FILE
    files.clear()
    assert fetch_from(f"{address}good/").read_bytes() == CONTENT
    assert len(files_below(cache)) == 1


@pytest.mark.parametrize("manner", ["absent", "wrong", "cut"])
def test_the_mirror_is_tried_next(cache: Path, serve: Serve, manner: str) -> None:
    address = serve({FILE: CONTENT})
    assert fetch_from(f"{address}{manner}/", f"{address}good/").read_bytes() == CONTENT
    assert len(files_below(cache)) == 1


@pytest.mark.parametrize(
    ("manner", "sentence"),
    [("absent", "answered 404"), ("wrong", "sent a file with another SHA-256"), ("cut", "cut the transfer off")],
)
def test_a_failure_is_told_and_leaves_nothing(cache: Path, serve: Serve, manner: str, sentence: str) -> None:
    mirror = f"{serve({FILE: CONTENT})}{manner}/"
    with pytest.raises(
        BadInput, match=f"{FILE} could not be downloaded: {mirror} {sentence}; put it in NEXTPIXEL_DATA/"
    ):
        fetch_from(mirror)
    assert not files_below(cache)


def test_no_network(cache: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        first, second = f"http://127.0.0.1:{port}/a/", f"http://127.0.0.1:{port}/b/"
        with pytest.raises(BadInput, match=f"{first} could not be reached; {second} could not be reached; put it in"):
            fetch_from(first, second)
    assert not files_below(cache)


def test_a_damaged_cache_is_mended(serve: Serve) -> None:
    mirror = f"{serve({FILE: CONTENT})}good/"
    path = fetch_from(mirror)
    path.write_bytes(CONTENT[:-1])
    assert fetch_from(mirror).read_bytes() == CONTENT


def test_a_damaged_cache_without_a_mirror_stays_an_error(serve: Serve) -> None:
    address = serve({FILE: CONTENT})
    fetch_from(f"{address}good/").write_bytes(CONTENT[:-1])
    with pytest.raises(BadInput, match="answered 404"):
        fetch_from(f"{address}absent/")


def test_a_cache_that_cannot_be_written(cache: Path, serve: Serve) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(BadInput, match=f"{FILE} cannot be kept in "):
        fetch_from(f"{serve({FILE: CONTENT})}good/")


def locate_below(root: Path | None) -> Path:
    return Source("Some/raw", (), {FILE: SHA256}).locate(FILE, root)


@pytest.mark.parametrize("name", [FILE, "some-file"], ids=["compressed", "plain"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_the_data_root_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, by: str) -> None:
    path = tmp_path / "root/Some/raw" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    if by == "argument":
        monkeypatch.setenv("NEXTPIXEL_DATA", "elsewhere")
        assert locate_below(tmp_path / "root") == path
    else:
        monkeypatch.setenv("NEXTPIXEL_DATA", str(tmp_path / "root"))
        assert locate_below(None) == path


def test_what_the_root_lacks_is_fetched(tmp_path: Path, cache: Path, serve: Serve) -> None:
    mirrors = (f"{serve({FILE: CONTENT})}good/",)
    found = Source("Some/raw", mirrors, {FILE: SHA256}).locate(FILE, tmp_path)
    assert found.is_relative_to(cache)


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"The data root .*nowhere is not a folder"):
        locate_below(tmp_path / "nowhere")
