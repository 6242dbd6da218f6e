"""Compiled code on disk between runs: numba's cache, where what is damaged or cannot be kept never ends a run.

Loading from it is running code: the folder is the user's own, and nobody else can write to it.
"""

import functools
import hashlib
import itertools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numba
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, UserProvidedCacheLocator

from .environment import launched_rank
from .messages import one_line

_PACKAGE = Path(__file__).parents[1]

#: Every module that holds compiled code, and how it is kept; all models that come with carmodel among them.
_COMPILED = (
    "tools/codecache.py",
    "tools/compiled.py",
    "model.py",
    "tuples.py",
    *sorted(f"models/{file.name}" for file in (_PACKAGE / "models").glob("[!_]*.py")),
    "spaces/fluxes.py",
    "spaces/reactions.py",
    "spaces/stencils.py",
    "spaces/cutstencils.py",
    "spaces/faces.py",
    "spaces/cosine.py",
    "solvers/patankar.py",
    "solvers/phi.py",
    "solvers/redblack.py",
)

# Numba counts what it compiles; functions of one name, and of types whose names are the same, differ in that number
# alone.  Code that several processes have kept meets in a later one, where the first of two with the same number would
# stand for both, whichever model they were compiled for.  So each process counts from a place of its own.
FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(7)))


@functools.cache
def cache_folder() -> str | None:
    """A folder of the user's own for this version of the compiled code, or None: compile anew in each process.

    Numba does not notice when a function that a kernel calls changes in another file.  The folder is therefore named
    after a checksum of every module that holds compiled code.
    """
    sources = b"".join((_PACKAGE / name).read_bytes() for name in _COMPILED)
    checksum = hashlib.sha256(numba.__version__.encode() + sources).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(home, "carmodel")
    folder = os.path.join(os.path.abspath(os.path.expanduser(root)), checksum)
    try:
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        if not os.path.lexists(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        refusal = _refusal(folder) or ("" if os.access(folder, os.W_OK) else "cannot be written")
    except OSError as error:
        refusal = f"cannot be made: {error.strerror}"
    if refusal:
        _say(f"{folder}: {refusal}; loops are compiled anew in each process; NUMBA_CACHE_DIR can name another folder")
        return None
    return folder


def _refusal(folder: str) -> str:
    """Why code from a folder may be another user's, or ""."""
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode):
        return "is not a folder"
    if about.st_uid != os.geteuid():
        return "belongs to another user"
    if about.st_mode & 0o022:
        return "others can write to it"
    above = list(Path(folder).resolve().parents)
    if above[0].stat().st_uid not in (0, os.geteuid()):
        return f"{above[0]} belongs to another user"
    for parent in above:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"others can write to {parent}"
    return ""


@functools.cache
def _say(text: str) -> None:
    """Once in a process, and on the first rank only."""
    if launched_rank() in (None, "0"):
        print(one_line(f"warning: compiled code in {text}"), file=sys.stderr, flush=True)


class _Damaged(Exception):  # noqa: N818
    """A file is not as it was written."""


class _Files(IndexDataCacheFile):
    """The files of one function, each followed by a checksum; unpickling ends before it."""

    def _load_index(self) -> dict[Any, str]:
        try:
            _check(self._index_path)
            return super()._load_index()
        except FileNotFoundError:
            return {}
        except Exception:
            _say_damaged()
            return {}

    def _load_data(self, name: str) -> Any:
        _check(self._data_path(name))
        return super()._load_data(name)

    @contextmanager
    def _open_for_write(self, path: str) -> Iterator[BytesIO]:
        content = BytesIO()
        with super()._open_for_write(path) as file:
            yield content
            file.write(content.getvalue() + _checksum(content.getvalue()))


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _check(path: str) -> None:
    content = Path(path).read_bytes()
    size = len(content) - hashlib.sha256().digest_size
    if size < 0 or _checksum(content[:size]) != content[size:]:
        raise _Damaged


def _say_damaged() -> None:
    _say(f"{cache_folder()}: is damaged; what is damaged is compiled anew")


class _Locator(UserProvidedCacheLocator):
    """In `cache_folder`, wherever numba's own setting points."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._py_file, self._lineno = file, function.__code__.co_firstlineno
        self._cache_path = os.path.join(cache_folder() or "", self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_Locator":
        return cls(function, file)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _Places:
    """The files of one function: code for types of other modules than carmodel's is in a folder of its own.

    An index holds the types, and a process that cannot import them could not read it.
    """

    def __init__(self, folder: str, *about: Any) -> None:
        self._folder, self._about = folder, about
        self._files: dict[str, _Files] = {}

    def load(self, key: tuple[Any, ...]) -> Any:
        """What was kept for a signature, the key's first item, or None."""
        place = _place(key[0])
        return None if place is None else self._files_in(place).load(key)

    def save(self, key: tuple[Any, ...], data: Any) -> None:
        """Keep the code for a signature."""
        if (place := _place(key[0])) is not None:
            os.makedirs(os.path.join(self._folder, place), exist_ok=True)
            self._files_in(place).save(key, data)

    def _files_in(self, place: str) -> _Files:
        if place not in self._files:
            self._files[place] = _Files(os.path.join(self._folder, place), *self._about)
        return self._files[place]


def _place(signature: Any) -> str | None:
    """Of code for a signature, below the function's folder; None: nobody else has its types.

    It holds a checksum of the source of each module: where that changes, what a kernel calls may have changed.
    """
    package = __name__.partition(".")[0]
    modules = sorted({kind.__module__ for kind in _classes(signature)})
    places = [_own_folder(name) for name in modules if name.partition(".")[0] != package]
    return None if None in places else os.path.join("", *filter(None, places))


def _classes(kinds: Any) -> Iterator[type]:
    """The classes of all named tuples in a signature."""
    if isinstance(kinds, tuple | list):
        for kind in kinds:
            yield from _classes(kind)
        return
    if named := getattr(kinds, "instance_class", None):
        yield named
    yield from _classes([*getattr(kinds, "types", ()), *filter(None, [getattr(kinds, "dtype", None)])])


@functools.cache
def _own_folder(module: str) -> str | None:
    """Named after a module and its source; None where it has no source that can be read again: a notebook."""
    spec: Any = getattr(sys.modules[module], "__spec__", None)
    try:
        source = spec.loader.get_data(spec.origin)
    except (AttributeError, OSError, TypeError):
        return None
    return f"{module}-{hashlib.sha256(source).hexdigest()[:16]}"


class CodeCache(FunctionCache):
    """Compiled code of a function as numba loads and saves it; neither raises."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Places(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The code for a signature, or None."""
        try:
            return super().load_overload(signature, context)
        except Exception:  # whatever damaged code sets off
            _say_damaged()
            return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep the code for a signature, where there is room."""
        try:
            super().save_overload(signature, code)
        except OSError as error:
            _say(f"{cache_folder()}: cannot be written: {error.strerror}; what is compiled is not kept")
