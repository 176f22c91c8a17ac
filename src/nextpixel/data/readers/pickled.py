"""Arrays in pickles, found without running the pickle.

A pickle is a program, and loading it runs whatever its author named. Here its instructions are only looked at: those
for plain data and those by which numpy writes arrays are understood, and acted out by the lines below. Nothing is
imported or called by name; what is not understood is refused.
"""

import math
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.errors import BadInput

_MODULES = ("numpy.core", "numpy._core")  # before numpy 2, and since
_RECONSTRUCT, _SCALAR, _FROM_BUFFER = (
    frozenset(f"{module}.{name}" for module in _MODULES)
    for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
)
_ARRAY, _KIND, _ENCODE = "numpy.ndarray", "numpy.dtype", "_codecs.encode"
_UNDERSTOOD = _RECONSTRUCT | _SCALAR | _FROM_BUFFER | {_ARRAY, _KIND, _ENCODE}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
# What a program that makes no sense brings about; a value that could not be unpacked is a ValueError too.
_NONSENSE = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def read_pickled(path: Path) -> dict[str, np.ndarray]:
    """Find the arrays in a pickle.

    Args:
        path: a pickle, protocol 2 to 5, of a dictionary of arrays or of a single array, which is then called `images`.

    Returns:
        Arrays of booleans, integers or floats by their names; what else the dictionary holds is left out.

    Raises:
        BadInput: no pickle, a damaged one, no arrays, or one that asks for more than arrays need.
    """
    reading = _Reading()
    try:
        value = reading.run(path.read_bytes())
    except _Refused as error:
        raise BadInput(f"{path} {error}; nothing of it was run.") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from error
    except _NONSENSE as error:
        raise BadInput(f"{path} is a damaged pickle ({error}).") from error
    if isinstance(value, _Array):
        value = {"images": value}
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds no dictionary of arrays, but a {type(value).__name__}.")
    arrays = {_name(key, path): found.array for key, found in value.items() if isinstance(found, _Array)}
    missing = [name for name, array in arrays.items() if array is None]
    if missing or not arrays:
        raise BadInput(f"{path} holds {f'an array {missing[0]} without values' if missing else 'no arrays'}.")
    return {name: array for name, array in arrays.items() if array is not None}


def convert_pickle(path: Path, place: Path) -> dict[str, np.ndarray]:
    """Write the arrays of a pickle into an npz file, at once or not at all.

    Args:
        path: as for `read_pickled`.
        place: the npz file.

    Returns:
        What was written.

    Raises:
        BadInput: as `read_pickled`.
    """
    arrays = read_pickled(path)
    beside = place.with_name(f".{place.name}.part")
    try:
        # Not numpy's own function: names such as `file` are arguments to it.
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
    return arrays


class _Refused(Exception):
    """The pickle asks for something that no array needs; the message follows the file's name."""


@dataclass(frozen=True)
class _Global:
    """What a pickle would import."""

    name: str


@dataclass(eq=False)
class _Kind:
    """A dtype; the order of its bytes is told after it was made."""

    dtype: np.dtype[Any]


@dataclass(eq=False)
class _Array:
    """An array, whose values are told after it was made."""

    array: np.ndarray | None = None


class _Reading:
    """The state of whoever reads a pickle: a stack of values, what lies below each mark, and what was noted."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._notes: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        if not content.startswith(b"\x80"):
            raise _Refused("is no pickle of protocol 2 to 5")
        for instruction, argument, _ in pickletools.genops(content):
            if instruction.name == "STOP":
                break
            self._follow(instruction.name, argument)
        return self._stack.pop()

    def _follow(self, instruction: str, argument: Any) -> None:
        stack = self._stack
        match instruction:
            case "PROTO" | "FRAME":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append(_CONSTANTS[instruction])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(bytes(argument))
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._push(tuple(self._taken(int(instruction[-1]))))
            case "TUPLE":
                self._push(tuple(self._marked()))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND" | "APPENDS":
                items = self._taken(1) if instruction == "APPEND" else self._marked()
                self._stack[-1].extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM" | "SETITEMS":
                items = self._taken(2) if instruction == "SETITEM" else self._marked()
                self._stack[-1].update(_pairs(items))
            case "MEMOIZE":
                self._notes[len(self._notes)] = stack[-1]
            case "BINPUT" | "LONG_BINPUT":
                self._notes[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._notes[argument])
            case "GLOBAL":
                stack.append(_understood(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                module, name = self._taken(2)
                stack.append(_understood(f"{module}.{name}"))
            case "REDUCE":
                called, arguments = self._taken(2)
                stack.append(_made(called, arguments))
            case "BUILD":
                target, state = self._taken(2)
                stack.append(_told(target, state))
            case _:
                raise _Refused(f"has the instruction {instruction}, which no array needs")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _taken(self, count: int) -> list[Any]:
        """The values on top of the stack, the last one last."""
        values = self._stack[-count:]
        if len(values) < count:
            raise IndexError("the stack is too short")
        del self._stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        """The values above the last mark."""
        values, self._stack = self._stack, self._below.pop()
        return values


def _understood(name: str) -> _Global:
    if name not in _UNDERSTOOD:
        raise _Refused(f"asks for the global {name}, which no array of numbers needs")
    return _Global(name)


def _made(called: Any, arguments: Any) -> Any:
    """What numpy would make of these arguments."""
    match called, arguments:
        case _Global(name), (_Global(kind), *_) if name in _RECONSTRUCT and kind == _ARRAY:
            return _Array()
        case _Global(name), (str(text), *_) if name == _KIND:
            if not _NUMBERS.fullmatch(text):
                raise _Refused(f"holds values of numpy's type {text!r}, which are no numbers")
            return _Kind(np.dtype(text))
        case _Global(name), (_Kind() as kind, content) if name in _SCALAR:
            return _Array(_values(content, kind, ()))
        case _Global(name), (content, _Kind() as kind, shape, "K", axes) if name in _FROM_BUFFER:
            return _Array(_values(content, kind, shape).transpose(axes))
        case _Global(name), (content, _Kind() as kind, shape, "C" | "F" as order, *_) if name in _FROM_BUFFER:
            return _Array(_values(content, kind, shape, by_columns=order == "F"))
        case _Global(name), (str(text), "latin1") if name == _ENCODE:  # how protocol 2 writes bytes
            return text.encode("latin-1")
        case _Global(name), _:
            raise _Refused(f"uses the global {name} as no array does")
        case _:
            raise _Refused(f"calls a {type(called).__name__}, which no array needs")


def _told(target: Any, state: Any) -> Any:
    """The target, once it has its state."""
    match target, state:
        case _Array(), (_, shape, _Kind() as kind, by_columns, content):
            target.array = _values(content, kind, shape, by_columns=bool(by_columns))
        case _Kind(), (_, "<" | ">" | "|" | "=" as order, *_):
            target.dtype = target.dtype.newbyteorder(order)
        case _:
            raise _Refused(f"sets the state of a {type(target).__name__} as no array does")
    return target


def _pairs(items: list[Any]) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    for key in keys:
        if not isinstance(key, str | bytes | int):  # such as a tuple too deep to be hashed
            raise _Refused(f"has a dictionary with a key that is a {type(key).__name__}, not a name")
    return dict(zip(keys, values, strict=True))


def _values(content: Any, kind: _Kind, shape: Any, *, by_columns: bool = False) -> np.ndarray:
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array without a shape")
    raw = content.encode("latin-1") if isinstance(content, str) else content  # Python 2 had no bytes
    if not isinstance(raw, bytes) or math.prod(shape) * kind.dtype.itemsize != len(raw):
        raise ValueError(f"no values for an array of {kind.dtype} and shape {shape}")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if by_columns else "C")


def _name(key: Any, path: Path) -> str:
    name = key.decode("latin-1") if isinstance(key, bytes) else key
    if not isinstance(name, str) or not name.isidentifier():  # it becomes a file's name in the archive
        raise BadInput(f"{path} has an array named {name!r}, which must be a word such as train or test_labels.")
    return name
