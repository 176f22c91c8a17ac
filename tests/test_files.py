import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nextpixel.errors import BadInput
from nextpixel.files import whole_file, whole_folder


@contextmanager
def full_disk(size: int) -> Generator[None]:
    """A disk on which no file can be larger than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def put(path: Path, content: bytes) -> None:
    with whole_file(path) as beside:
        beside.write_bytes(content)


@pytest.mark.parametrize("name", ["a", "with space", "ünï"])
def test_a_file_is_made_with_its_folder_and_nothing_beside(tmp_path, name):
    put(tmp_path / name / name, b"new")
    put(tmp_path / name / name, b"newer")
    assert [(each.name, each.read_bytes()) for each in (tmp_path / name).iterdir()] == [(name, b"newer")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, BadInput, OSError, RuntimeError])
def test_what_fails_leaves_the_old_file(tmp_path, error):
    put(tmp_path / "a", b"old")

    def fail() -> None:
        with whole_file(tmp_path / "a") as beside:
            beside.write_bytes(b"half")
            raise error

    with pytest.raises(BadInput if error is OSError else error):
        fail()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"old")]


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    put(tmp_path / "a", b"old")
    with full_disk(1000), pytest.raises(BadInput, match=r"/a cannot be written: File too large\."):
        put(tmp_path / "a", bytes(2000))
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"old")]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    put(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(BadInput, match=f"{name} cannot be written: it is there, and is not a file"):
            put(tmp_path / name, b"new")


@pytest.mark.parametrize("path", ["file/within", "x" * 300])
def test_a_place_that_cannot_be_is_a_sentence(tmp_path, path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(BadInput, match=r"cannot be written: .*\.$"):
        put(tmp_path / path, b"new")


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_is_made_with_all_that_is_in_it_or_not_at_all(tmp_path, there):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    own = folder.stat().st_ino if there else None

    def fill(error: type[BaseException] | None) -> None:
        with whole_folder(folder) as beside:
            (beside / "a").mkdir()
            (beside / "a" / "b").write_text("half")
            assert not folder.exists() or [*folder.iterdir()] == [beside]
            if error is not None:
                raise error

    for error in (KeyboardInterrupt, BadInput, OSError, RuntimeError):
        with pytest.raises(BadInput if error is OSError else error):
            fill(error)
        assert [*tmp_path.rglob("*")] == [folder] * there
    fill(None)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["out", "out/a", "out/a/b"]
    assert own in (None, folder.stat().st_ino), "a folder that was there is still the same"


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    for path, sentence in (("file", "file is there and not an empty folder"), ("file/in", "cannot be written: Not a")):
        with pytest.raises(BadInput, match=sentence), whole_folder(tmp_path / path):
            pass
    with pytest.raises(BadInput, match=r"^'\\x00' cannot be written"), whole_folder("\0"):
        pass
