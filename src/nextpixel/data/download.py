"""Files of named data sets: below the user's data root, or fetched once into the cache, checked by SHA-256."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pooch
import requests
import yaml
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from nextpixel.errors import BadInput
from nextpixel.files import home

ROOT_VARIABLE = "NEXTPIXEL_DATA"
TABLE = yaml.safe_load(Path(__file__).with_name("catalogue.yaml").read_text("utf-8"))


def data_root(root: str | Path | None) -> Path | None:
    """The folder of the user's data sets: this one, or else the one that NEXTPIXEL_DATA names, if it does."""
    named = root if root is not None else os.environ.get(ROOT_VARIABLE) or None
    path = None if named is None else home(named)
    if path is not None and not path.is_dir():
        raise BadInput(f"The data root {named} is not a folder.")
    return path


def below_root(root: str | Path | None, *places: str | Path) -> Path | None:
    """The first of these files and folders that is there below the data root."""
    below = data_root(root)
    return None if below is None else next((below / place for place in places if (below / place).exists()), None)


def cache_folder() -> Path:
    """Where downloads and unpacked files are kept for this user; it need not exist yet."""
    return Path(pooch.os_cache("nextpixel"))


@dataclass(frozen=True)
class Source:
    """The files of a named data set."""

    folder: str  # where they lie below the data root or the cache, in torchvision's layout
    mirrors: Sequence[str]  # addresses that end with a slash, tried in turn
    hashes: dict[str, str]  # SHA-256 of each file as it was first published, by its name, the same at every mirror
    class_names: Sequence[str] | None = None  # in the order of their labels; None where they are digits
    unpacked: Sequence[str] = ()  # folders below the data root, any one of which may stand for the files

    def locate(self, file: str, root: str | Path | None) -> Path:
        """Where a file is on this machine, downloaded first if need be; `data_root` says which root that is."""
        return self._own(file, root) or self.fetch(file)

    def whereabouts(self, root: str | Path | None) -> str:
        """Say where `locate` would take the files from; nothing is downloaded or checked."""
        cache, folder = cache_folder() / self.folder, below_root(root, *self.unpacked)
        places = [folder or self._own(file, root) or cache / file for file in self.hashes]
        if not all(place.exists() for place in places):
            return "not here yet, to be downloaded when first opened"
        in_cache = any(place.parent == cache for place in places)
        return f"in the cache, {cache}" if in_cache else f"in the data root, {folder or places[0].parent}"

    def fetch(self, file: str) -> Path:
        """Take a file from the cache, downloaded when it is not there or damaged; a failure leaves no file behind."""
        place, known = cache_folder() / self.folder, f"sha256:{self.hashes[file]}"
        pooch.get_logger().setLevel("WARNING")  # the progress bar says enough
        downloader: Any = _download  # pooch takes any such function, and says that it asks for more
        reasons = []
        for mirror in self.mirrors:
            try:
                return Path(pooch.retrieve(mirror + file, known, file, place, downloader=downloader))
            except requests.RequestException as error:
                reasons.append(f"{mirror} {_reason(error)}")
            except OSError as error:
                raise BadInput(f"{file} cannot be kept in {place} ({error.strerror or error}).") from error
            except ValueError:  # how pooch says that the hash differs
                reasons.append(f"{mirror} sent a file with another SHA-256")
        instead = f"put it in {ROOT_VARIABLE}/{self.folder} instead"
        raise BadInput(f"{file} could not be downloaded: {'; '.join(reasons)}; {instead}.")

    def _own(self, file: str, root: str | Path | None) -> Path | None:
        """The user's own, which may also lie there uncompressed, without `.gz`."""
        return below_root(root, Path(self.folder, file), Path(self.folder, file.removesuffix(".gz")))


SOURCES = {name: Source(**files) for name, files in TABLE["files"].items()}


def write_watched(file: IO[bytes], pieces: Iterable[bytes], what: str, size: int | None) -> None:
    """Write pieces to a file, one after the other, under a bar of bytes if someone watches."""
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bar:
        task = bar.add_task(what, total=size)
        for piece in pieces:
            file.write(piece)
            bar.update(task, advance=len(piece))


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"answered {error.response.status_code}"
    cut = isinstance(error, requests.exceptions.ChunkedEncodingError)
    return "cut the transfer off" if cut else "could not be reached"


def _download(address: str, place: str, pooch: object) -> None:
    """What pooch's own downloader does, with a bar that is drawn by rich."""
    with requests.get(address, stream=True, timeout=30) as answer, Path(place).open("wb") as file:
        answer.raise_for_status()
        size = int(answer.headers.get("content-length", 0)) or None
        write_watched(file, answer.iter_content(2**16), f"Downloading {address.rpartition('/')[2]}", size)
