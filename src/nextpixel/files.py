"""Where files are, and files that are written whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nextpixel.errors import BadInput


def home(path: str | os.PathLike[str]) -> Path:
    """The path with ~ at its start read as a home folder; as it stands where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's raises there)


@contextmanager
def whole_file(path: str | os.PathLike[str], cannot: str | None = None) -> Generator[Path]:
    """Give the path of a file beside `path`, which takes its place, on the disk for good, when all went well.

    Otherwise what was at `path` stays as it was. Missing folders are made; a link is followed, not replaced.

    Raises:
        BadInput: the file cannot be written, such as on a full disk; `cannot` is what the sentence then begins with.
    """
    try:
        target = Path(os.path.realpath(path))
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    except ValueError as error:  # a folder's root, or what no file may be called
        raise BadInput(f"{str(path)!r} cannot be written: it is not the name of a file.") from error
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
    with suppress(OSError):  # not every system can open a folder
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
