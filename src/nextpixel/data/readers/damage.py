"""What is said of files that cannot be read: one sentence, whatever the library below raised."""

from collections.abc import Generator
from contextlib import contextmanager

from nextpixel.errors import BadInput


class Damaged(BadInput):
    """A file that cannot be read, in contrast to one that does not fit."""


@contextmanager
def told(what: object, cannot: str = "is damaged or cannot be read") -> Generator[None]:
    """Say which file it was that failed; only calls of libraries belong inside, since our own defects would hide.

    What a library raises for a damaged file is whatever its bytes lead it into, from `zlib.error` to `AssertionError`.
    """
    try:
        yield
    except (BadInput, ImportError):
        raise
    except MemoryError as error:
        raise BadInput(f"{what} does not fit into memory.") from error
    except Exception as error:
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split()) or repr(error)
        raise Damaged(f"{what} {cannot} ({reason.rstrip('.')}).") from error
