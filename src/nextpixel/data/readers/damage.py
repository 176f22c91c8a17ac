"""What is said of files that cannot be read: one sentence, whatever the library below raised."""

import lzma
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager

from nextpixel.errors import BadInput

_DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, AttributeError),
    *(SyntaxError, AssertionError, tokenize.TokenError, struct.error, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, tarfile.TarError),
)


class Damaged(BadInput):
    """A file that cannot be read, in contrast to one that does not fit."""


@contextmanager
def told(what: object, cannot: str = "is damaged or cannot be read") -> Generator[None]:
    """Say which file it was that failed; only calls of libraries belong inside, since our own defects would hide."""
    try:
        yield
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(f"{what} does not fit into memory.") from error
    except _DAMAGE as error:
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split()) or repr(error)
        raise Damaged(f"{what} {cannot} ({reason.rstrip('.')}).") from error
