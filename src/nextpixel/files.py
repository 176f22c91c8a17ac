"""Where files are, and files and folders that are written whole or not at all."""

import os
import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nextpixel.errors import BadInput, shown


def home(path: str | os.PathLike[str]) -> Path:
    """The path with ~ at its start read as a home folder; as it stands where there is no such user."""
    if "\0" in str(path) or any(len(part.encode(errors="surrogatepass")) > 255 for part in Path(path).parts):
        raise BadInput(
            f"{shown(str(path))} cannot be written or read: a name on a disk has at most 255 bytes, none of them zero."
        )
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's raises there)


def here(path: str | os.PathLike[str]) -> Path:
    """A place on this disk where models may be saved; BadInput for a name on the Hub, and one that is not Unicode."""
    if str(path).startswith("hf:"):
        raise BadInput(f"{path} is a name on the Hub; save here, under another name, and share it with nextpixel push.")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{str(path)!a} is not UTF-8, as the name of a model's file must be.") from error
    return home(path)


@contextmanager
def whole_file(path: str | os.PathLike[str], cannot: str | None = None) -> Generator[Path]:
    """Give the path of a file beside `path`, which takes its place, on the disk for good, when all went well.

    Otherwise what was at `path` stays as it was. Missing folders are made; a link is followed, not replaced.

    Raises:
        BadInput: the file cannot be written, such as on a full disk; `cannot` is what the sentence then begins with.
    """
    target, beside = _places(path)
    try:
        if target.exists() and not target.is_file():  # a device would be replaced, by whoever may
            raise BadInput(f"{path} cannot be written: it is there, and is not a file.")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{cannot or f'{path} cannot be written'}: {error.strerror or error}.") from error
    _keep(target.parent)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Generator[Path]:
    """The same of a new folder, with all that is put into it; there may be an empty one at `path`, which stays.

    Raises:
        BadInput: the folder cannot be written, or is not empty.
    """
    target, beside = _places(empty(path))
    if there := target.exists():  # which may be another disk's, or where somebody stands
        beside = target / beside.name
    try:
        beside.mkdir(parents=True)
        yield beside
        for made in beside.rglob("*"):
            _keep(made)
        for made in list(beside.iterdir()) if there else ():
            made.rename(target / made.name)
        if not there:
            beside.rename(target)
        _keep(target.parent)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def empty(path: str | os.PathLike[str]) -> Path:
    """A folder to be filled, which may not be there yet; BadInput for any other."""
    folder = here(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there and not an empty folder; give another.")
    return folder


def _keep(path: Path) -> None:
    """Have what is there on the disk for good, as far as the system can: not every one opens a folder."""
    with suppress(OSError):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _places(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Where a path leads, and the place beside that."""
    try:
        target = Path(os.path.realpath(path))
        return target, target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    except ValueError as error:  # a folder's root, or what no file may be called
        raise BadInput(f"{str(path)!r} cannot be written: it is not the name of a file.") from error
