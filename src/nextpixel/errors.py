"""The one exception for input that a user can mend, the checks that raise it, and what is said of damaged files."""

import difflib
import os
import re
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from typing import Any


class BadInput(ValueError):
    """What the user gave cannot be used; the message is one sentence with the bad value in it.

    The command line prints the sentence and exits with status 2; any other exception is a defect of ours.
    """


def plain(value: Any) -> Any:
    """A number of numpy's or torch's as Python's own, which JSON knows; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def shown(value: object) -> str:
    """The beginning of what a value is, on one line, for a sentence."""
    return " ".join(repr(value).split())[:80]


def whole(value: object, name: str, *, least: int, bits: int | None = None, why: str = "") -> int:
    """A setting as Python's own number, if it is whole, at least `least` (`why` says what sets it) and below 2^bits."""
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < least or (bits and number >= 2**bits):
        limits = f"at least {least}" + (f" and below 2^{bits}" if bits else "") + (f", {why}" if why else "")
        raise BadInput(f"{name} must be a whole number of {limits}, not {value!r}.")
    return number


def require(needed: int, what: str, lower: str) -> None:
    """Refuse what needs more bytes than this machine has; `lower` is what to lower then."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**40
    if needed > there:
        sizes = f"{min(needed, 2**80) / 2**30:,.0f} GiB of memory, but there are {there / 2**30:,.0f}"
        raise BadInput(f"{what} need {sizes}; lower {lower}.")


def flag(value: object, name: str) -> None:
    """Refuse what is neither True nor False, as a text would count as True."""
    if not isinstance(value, bool):
        raise BadInput(f"{name} must be True or False, not {shown(value)}.")


def called(value: object, name: str) -> None:
    """Refuse what is to be called and cannot be."""
    if value is not None and not callable(value):
        raise BadInput(f"{name} must be a function, not {shown(value)}.")


def odd(value: object, name: str, *, least: int = 1) -> None:
    """Refuse a kernel's size that has no middle."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or value % 2 == 0:
        raise BadInput(f"{name} must be odd and at least {least}, not {value!r}.")


def share(value: object, name: str) -> None:
    """Refuse a part of a whole that is not in [0, 1)."""
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise BadInput(f"{name} must be in [0, 1), not {value!r}.")


def one_of(value: object, name: str, choices: Sequence[object]) -> None:
    """Refuse what is not among the choices."""
    if value not in choices:
        *others, last = choices
        raise BadInput(f"{name} must be {', '.join(map(str, others))} or {last}, not {value!r}.")


def closest(word: object, names: Collection[str]) -> str | None:
    """The name that was meant, by a part (`gated`) or with a slip, whatever its case and signs (`PixelCNN++`)."""
    asked, *known = (re.sub(r"[\W_]", "", re.sub(r"\+|plus", "p", str(name).lower())) for name in (word, *names))
    parts = sorted((name for name in known if len(asked) > 2 and asked in name), key=len)  # the whole one is first
    close = parts or difflib.get_close_matches(asked, known, 1)
    return [*names][known.index(close[0])] if close else None


def unknown(what: str, name: object, names: Collection[str]) -> BadInput:
    """What to say of a name that is not there."""
    close, many = closest(name, names), len(names) > 20
    choice = f"nextpixel {what}s lists what there is." if many else f"the choice is {', '.join(names)}."
    return BadInput(f"There is no {what} {name!r}; {f'did you mean {close}?' if close else choice}")


@contextmanager
def needs(package: str, extra: str, what: str) -> Generator[None, None, None]:
    """Imports of an optional package stand in this: where it is missing, the sentence names the extra that has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise BadInput(f"{what} needs {package}: pip install 'nextpixel[{extra}]'.") from error


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
        text = re.sub(r" <\S+ object at 0x\w+>", "", " ".join(str(error).split()))
        reason = (isinstance(error, OSError) and error.strerror) or text or repr(error)
        raise Damaged(f"{what} {cannot} ({reason.rstrip('.')}).") from error
