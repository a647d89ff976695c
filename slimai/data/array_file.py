"""The one door of ``.npy`` and ``.npz`` files from outside: a header promises no more than the file holds."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from slimai.errors import InputError

Array = NDArray[Any]
LARGEST_NPZ = 2**29  # bytes of all arrays of a file, unpacked

# what numpy raises for damaged headers and data
_DAMAGED = (
    *(ValueError, EOFError, SyntaxError, TokenError, OverflowError, TypeError, MemoryError, RecursionError, KeyError),
    *(AttributeError, IndexError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
)


def open_npy(path: Path) -> Array:
    """Return the array of an .npy file, mapped: nothing of it is read yet.

    Raises:
        ValueError: it is none, or it is not whole; the message is one line. OSError: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            shape, dtype = _header(file)
            held = path.stat().st_size - file.tell()
        _require(shape, dtype, held)
        if math.prod(shape) == 0:  # nothing to map
            return np.empty(shape, dtype)
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGED as error:
        raise ValueError(_line(error)) from None
    return found


def read_npz(path: Path, largest: int = LARGEST_NPZ) -> dict[str, Array]:
    """Return the arrays of an .npz file by name.

    Raises:
        InputError: it cannot be read, is no archive of plain arrays, is empty, or holds more than `largest` bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.endswith(".npy")]
            total = sum(item.file_size for item in members)
            if total > largest:
                cure = "give fewer samples at a time"
                raise InputError.at(str(path), f"more than {largest} bytes of arrays are not read", total, cure=cure)
            arrays = {item.filename.removesuffix(".npy"): _member(archive, item) for item in members}
    except OSError as error:
        raise InputError.at(str(path), f"cannot be read ({error.strerror or error})") from None
    except _DAMAGED as error:
        message = f"is no .npz file of plain arrays ({_line(error)})"
        raise InputError.at(str(path), message, cure="write it with numpy.savez") from None
    if not arrays:
        raise InputError.at(str(path), "holds no array", cure="save one array per network input")
    return arrays


class NpzFile:
    """An .npz file whose arrays are read one at a time.

    headers: array name -> (shape, dtype), in the file's order.
    """

    def __init__(self, path: Path) -> None:
        """Read the headers; raise InputError where it cannot be read or is no archive of plain arrays."""
        self.path = path
        self.headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        with self._opened() as archive:
            for item in archive.infolist():
                if item.filename.endswith(".npy"):
                    with archive.open(item) as file:
                        shape, dtype = _header(file)
                    _require(shape, dtype, item.file_size)
                    self.headers[item.filename.removesuffix(".npy")] = (shape, dtype)
        if not self.headers:
            raise InputError.at(str(path), "holds no array", cure="save one array per tensor")

    def read(self, name: str) -> Array:
        """Return one array; raises InputError where the file is damaged."""
        with self._opened() as archive:
            return _member(archive, archive.getinfo(f"{name}.npy"))

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except OSError as error:
            raise InputError.at(str(self.path), f"cannot be read ({error.strerror or error})") from None
        except _DAMAGED as error:
            message = f"is no .npz file of plain arrays ({_line(error)})"
            raise InputError.at(str(self.path), message, cure="write it with numpy.savez") from None


def _member(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Array:
    with archive.open(item) as file:
        shape, dtype = _header(file)
        _require(shape, dtype, item.file_size)
    with archive.open(item) as file:
        values: Array = npy.read_array(file, allow_pickle=False)
        return values


def _require(shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    """Raise ValueError where a header promises more bytes than there are, or Python objects."""
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if promised > held:
        raise ValueError(f"its header promises {min(promised, 2**63)} bytes or more, and there are {held}")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version} of the .npy format is not read")
    if any(size < 0 for size in shape):
        raise ValueError(f"a negative size in {shape}")
    return shape, dtype


def _line(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error) or type(error).__name__
    return text.splitlines()[0][:200]
