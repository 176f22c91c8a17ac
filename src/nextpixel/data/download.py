"""Files of named data sets: below the user's data root, or fetched once into the cache, checked by SHA-256."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from nextpixel.errors import BadInput

ROOT_VARIABLE = "NEXTPIXEL_DATA"


def locate(file: str, *, folder: str, sha256: str, mirrors: Sequence[str], root: str | Path | None) -> Path:
    """Where a file is on this machine, downloaded first if need be.

    Args:
        file: its name, the same at every mirror; below the root it may also lie uncompressed, without `.gz`.
        folder: where it lies below the root or the cache, in torchvision's layout.
        sha256: what a download must have.
        mirrors: addresses that end with a slash, tried in turn.
        root: of the user's data sets; the variable NEXTPIXEL_DATA names it when None.

    Raises:
        BadInput: the root is not a folder, or no mirror gave the right file.
    """
    named = root if root is not None else os.environ.get(ROOT_VARIABLE) or None
    if named is not None:
        if not Path(named).expanduser().is_dir():
            raise BadInput(f"The data root {named} is not a folder.")
        path = Path(named).expanduser() / folder / file
        for candidate in (path, path.with_suffix("") if path.suffix == ".gz" else path):
            if candidate.is_file():
                return candidate
    return fetch(file, folder=folder, sha256=sha256, mirrors=mirrors)


def fetch(file: str, *, folder: str, sha256: str, mirrors: Sequence[str]) -> Path:
    """Take a file from the cache, downloaded when it is not there or damaged; a failure leaves no file behind.

    Raises:
        BadInput: no mirror gave the right file, or the cache cannot be written.
    """
    place = Path(pooch.os_cache("nextpixel")) / folder
    pooch.get_logger().setLevel("WARNING")  # the progress bar says enough
    reasons = []
    for mirror in mirrors:
        try:
            with _progress() as progress:
                bar: Any = _Bar(progress, file)  # pooch takes any such bar, and says that it is a boolean
                downloader: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16)
                found = pooch.retrieve(mirror + file, f"sha256:{sha256}", file, place, downloader=downloader)
            return Path(found)
        except requests.RequestException as error:
            reasons.append(f"{mirror} {_reason(error)}")
        except OSError as error:
            raise BadInput(f"{file} cannot be kept in {place} ({error.strerror or error}).") from error
        except ValueError:  # how pooch says that the hash differs
            reasons.append(f"{mirror} sent a file with another SHA-256")
    raise BadInput(f"{file} could not be downloaded: {'; '.join(reasons)}; put it in {ROOT_VARIABLE}/{folder} instead.")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"answered {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "cut the transfer off"
    if isinstance(error, requests.Timeout):
        return "did not answer in time"
    return "could not be reached"


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_interactive)


class _Bar:
    """What pooch expects of a progress bar, drawn by rich."""

    def __init__(self, progress: Progress, file: str) -> None:
        self.total = 0  # set by pooch
        self._progress = progress
        self._task = progress.add_task(f"Downloading {file}", total=None)

    def update(self, amount: int) -> None:
        self._progress.update(self._task, advance=amount, total=self.total)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop_task(self._task)
