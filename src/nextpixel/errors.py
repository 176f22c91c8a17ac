"""The one exception for input that a user can mend, and the checks of settings that raise it."""

from collections.abc import Sequence
from typing import Any


class BadInput(ValueError):
    """What the user gave cannot be used; the message is one sentence with the bad value in it.

    The command line prints the sentence and exits with status 2; any other exception is a defect of ours.
    """


def plain(value: Any) -> Any:
    """A number of numpy's or torch's as Python's own, which JSON knows; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def whole(value: object, name: str, *, least: int, bits: int | None = None, why: str = "") -> int:
    """A setting as Python's own number, if it is whole, at least `least` (`why` says what sets it) and below 2^bits."""
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < least or (bits and number >= 2**bits):
        limits = f"at least {least}" + (f" and below 2^{bits}" if bits else "") + (f", {why}" if why else "")
        raise BadInput(f"{name} must be a whole number of {limits}, not {value!r}.")
    return number


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
