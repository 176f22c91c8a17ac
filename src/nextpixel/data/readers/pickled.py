"""Arrays in pickles, taken out by an unpickler that makes plain data and arrays of numbers and nothing else.

A pickle is a program, and loading it runs whatever its author named. Here it can name only what numpy's arrays need,
and each of these names stands for a few lines below. The unpickler is the standard library's, the one in Python, since
that in C can be made to allocate gigabytes by a few bytes (a note of number 2**31). In either, keys can be made whose
hashes take for ever (tuples within tuples) or are all the same (large numbers), so there keys are words.
"""

import io
import math
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nextpixel.data.readers.damage import told
from nextpixel.errors import BadInput
from nextpixel.files import whole_file

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_MOST_LETTERS = 2**22  # of a list of words that becomes an array of equally long ones
_Plain: Any = getattr(pickle, "_Unpickler")  # noqa: B009 (a name that type checkers do not know)


def read_pickled(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Find the arrays in a pickle.

    Args:
        path: a pickle of a dictionary of arrays or of a single array, which is then called `images`.

    Returns:
        Arrays of booleans, integers or floats by their names, lists of whole numbers or of words being arrays too; and
        the names of what else the dictionary holds.

    Raises:
        BadInput: no pickle, a damaged one, no arrays, or one that asks for more than arrays need.
    """
    with told(path):
        content = path.read_bytes()
    with told(path, "is no pickle of arrays or a damaged one, of which nothing was run"):
        try:
            value = _Unpickler(content).load()
        except KeyError as error:
            raise ValueError(f"it has the instruction {error}, which no array needs") from error
        except pickle.UnpicklingError as error:
            raise ValueError(str(error)) from error
    if isinstance(value, _Array):
        value = {"images": value}
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds no dictionary of arrays, but a {type(value).__name__}.")
    arrays, left = {}, []
    for key, found in value.items():
        name = key.decode("latin-1") if isinstance(key, bytes) else key
        array, is_word = _as_array(found), isinstance(name, str) and name.isidentifier()
        if isinstance(found, _Array) and (array is None or not is_word):  # the name becomes a file's in the archive
            why = "without values" if array is None else "whose name must be a word such as train or test_labels"
            raise BadInput(f"{path} has an array {name!r:.60} {why}.")
        if array is None or not is_word:
            left.append(f"{name!s:.60}")
        else:
            arrays[name] = array
    if not arrays:
        raise BadInput(f"{path} holds no arrays.")
    return arrays, left


def convert_pickle(path: Path, place: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Write what `read_pickled` gives into an npz file, at once or not at all, and return it.

    Raises:
        BadInput: as `read_pickled`, or the npz file cannot be written.
    """
    arrays, left = read_pickled(path)
    # Not numpy's own function: names such as `file` are arguments to it.
    with whole_file(place) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return arrays, left


class _Kind:
    """Stands for a dtype; the order of its bytes is told after it was made."""

    def __init__(self, text: str, *_: Any) -> None:
        if not _NUMBERS.fullmatch(text):
            raise ValueError(f"it holds values of numpy's type {text!r:.60}, which are no numbers")
        self.dtype = np.dtype(text)

    def tell(self, _: int, order: str, *others: Any) -> None:
        self.dtype = self.dtype.newbyteorder(order)  # pyright: ignore[reportArgumentType]


class _Array:
    """Stands for an array, whose values are told after it was made."""

    array: np.ndarray | None = None

    def __init__(self, *_: Any) -> None:
        pass

    def tell(self, _: int, shape: Any, kind: _Kind, by_columns: object, content: bytes) -> None:
        if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
            raise ValueError("it holds an array without a shape")
        if len(shape) > 32 or type(content) is not bytes or math.prod(shape) * kind.dtype.itemsize != len(content):
            raise ValueError(f"it holds no values for an array of {kind.dtype} and shape {shape[:33]}")
        self.array = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if by_columns else "C")


def _frombuffer(content: bytes, kind: _Kind, shape: tuple[int, ...], order: str, axes: Any = None) -> _Array:
    made = _Array()
    made.tell(1, shape, kind, order == "F", content)
    if order == "K" and made.array is not None:
        made.array = made.array.transpose(axes)
    return made


class _Unpickler(_Plain):
    """What would import, change or hash something is replaced."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin-1")  # Python 2 had text where there are bytes now
        self._encoded: dict[int, tuple[str, bytes]] = {}

    def find_class(self, module: str, name: str) -> Any:
        understood = {
            "numpy.core.multiarray._reconstruct": _Array,
            "numpy.core.multiarray.scalar": lambda kind, content: _frombuffer(content, kind, (), "C"),
            "numpy.core.numeric._frombuffer": _frombuffer,
            "numpy.ndarray": _Array,
            "numpy.dtype": _Kind,
            "_codecs.encode": self._bytes,
        }
        full = f"{module}.{name}"
        if (old := full.replace("numpy._core.", "numpy.core.")) not in understood:  # before numpy 2, and since
            raise ValueError(f"it asks for the global {full}, which no array of numbers needs")
        return understood[old]

    def _bytes(self, text: str, how: str = "latin1") -> bytes:
        """How protocols 0 to 2 write bytes; encoded once, since a text that is used often would fill the memory."""
        if how != "latin1":
            raise ValueError(f"it encodes by {how!r:.60}, which no array needs")
        if id(text) not in self._encoded:
            self._encoded[id(text)] = text, text.encode(how)
        return self._encoded[id(text)][1]

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) not in (_Array, _Kind):
            raise ValueError(f"it sets the state of a {type(target).__name__} as no array does")
        if type(target) is _Array and type(state[-1]) is str:
            state = [*state[:-1], self._bytes(state[-1])]
        target.tell(*state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1].update(_items([key, value]))

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].update(_items(items))

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append(_items(items))

    def load_put(self) -> None:
        number = int(self.readline())
        if not 0 <= number < 2**32:
            raise ValueError(f"it notes something as number {number}")
        self.memo[number] = self.stack[-1]

    def load_bytearray8(self) -> None:  # the standard one allocates what is promised before it reads
        self.stack.append(self.read(*struct.unpack("<Q", self.read(8))))

    dispatch: ClassVar[Any] = {
        **{code: load for code, load in _Plain.dispatch.items() if code not in (*pickle.ADDITEMS, *pickle.FROZENSET)},
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.PUT[0]: load_put,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _items(items: list[Any]) -> dict[Any, Any]:
    for key in items[::2]:
        if type(key) not in (str, bytes) and not (type(key) is int and abs(key) < 2**32):
            raise ValueError(f"it has a dictionary with a key that is a {type(key).__name__}, not a name")
    return dict(zip(items[::2], items[1::2], strict=True))


def _as_array(found: Any) -> np.ndarray | None:
    """An array, a whole number, or a list of either whole numbers or words; flat, so that none is there many times."""
    if isinstance(found, _Array):
        return found.array
    if type(found) is bool or (type(found) is int and abs(found) < 2**63):
        return np.array(found)
    if not isinstance(found, list) or not found:
        return None
    if all(type(item) is int and abs(item) < 2**63 for item in found):
        return np.array(found)
    if all(isinstance(item, str | bytes) for item in found) and len(found) * max(map(len, found)) < _MOST_LETTERS:
        return np.array([item.decode("latin-1") if isinstance(item, bytes) else item for item in found])
    return None
