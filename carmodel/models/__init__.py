"""Models by name: those that come with carmodel, a file each, and a person's own, from folders that the person names.

A model's file is code, and loading it runs it.  So a run file says no more than a name: where that is looked up is said
by `--models FOLDER` and the environment variable `CARMODEL_MODELS`.
"""

import ast
import hashlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from typing import NamedTuple
from weakref import WeakSet

from ..model import MODELS, Model
from ..tools.errors import InputError
from ..tools.files import MODEL_BYTES, read_bytes

#: The model of run files that name none.
DEFAULT = "polyakov"

#: Of the shipped models.
NAMES = tuple(sorted(module.name for module in iter_modules(__path__)))

#: Folders of a person's own models, as PATH names folders.
VARIABLE = "CARMODEL_MODELS"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

#: A model is one file, whole: beside Python's own library it imports from these only.
_PACKAGES = ("carmodel", "numpy")

#: Models that were checked.
_sound: WeakSet[Model] = WeakSet()

#: Folders of `searching`.
_searched: ContextVar[tuple[Path, ...]] = ContextVar("searched", default=())

#: The file of a model that is being loaded, "" for none.
_loading: ContextVar[str] = ContextVar("loading", default="")


class Source(NamedTuple):
    """The file that a model is declared in: its name, its content, and the SHA-256 of that."""

    file: str
    content: bytes
    sha256: str


def searched() -> tuple[Path, ...]:
    """Folders of `searching`."""
    return _searched.get()


def folders() -> tuple[Path, ...]:
    """Where models are looked up beside the shipped ones: folders of `searching`, then those of CARMODEL_MODELS."""
    named_by_environment = filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    return (*searched(), *(Path(os.path.abspath(folder)) for folder in named_by_environment))


@contextmanager
def searching(more: Iterable[str | Path]) -> Iterator[None]:
    """Look models up in these folders, too, while the block lasts.

    Raises InputError where one of them is no folder.
    """
    found = []
    for folder in more:
        if not str(folder) or not os.path.isdir(folder):
            raise InputError(f"--models {str(folder)!r}: is no folder; accepted: a folder with models' files")
        found.append(Path(os.path.abspath(folder)))
    token = _searched.set((*found, *_searched.get()))
    try:
        yield
    finally:
        _searched.reset(token)


def found_names() -> tuple[str, ...]:
    """Names of the shipped models and of files in `folders()`, which are not opened."""
    files = [file for folder in folders() if folder.is_dir() for file in folder.glob("*.py")]
    return tuple(sorted({*NAMES, *(file.stem for file in files if _NAME.fullmatch(file.stem))}))


def named(name: str, more: Iterable[str | Path] = ()) -> Model:
    """A shipped model, or the MODEL of a file NAME.py in `more` folders or in `folders()`.

    A file is loaded once as long as its content stays; what it says is checked before it is used (`soundness`).

    Raises InputError where there is no such model, more than one, or a wrong one.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _unknown(name)
    with searching(more):
        files = [folder / f"{name}.py" for folder in folders()]
        files = [file for file in files if os.path.lexists(file)]
        if name in NAMES:
            if files:
                raise InputError(f"{files[0]}: '{name}' is a model that comes with carmodel; accepted: another name")
            shipped: Model = import_module(f".{name}", __name__).MODEL
            return shipped
        if not files:
            for folder in folders():
                if not folder.is_dir():
                    raise InputError(f"{VARIABLE}: {folder}: is no folder; accepted: folders with models' files")
            raise _unknown(name)
    if len({os.path.realpath(file) for file in files}) > 1:
        raise InputError(f"model = {name!r}: {files[0]} and {files[1]}; accepted: one file of that name")
    if _loading.get():
        raise InputError(f"model = {name!r} inside of a model's file; accepted there: {', '.join(NAMES)}")
    return _loaded(name, files[0])


def _unknown(name: object) -> InputError:
    names = ", ".join(map(repr, found_names()))
    return InputError(f"model = {name!r}; accepted: {names}, or the name of a file in a folder of --models")


def sound(model: Model) -> Model:
    """The model, checked once.  Raises InputError that says what is wrong with it."""
    if model not in _sound and not is_shipped(model):
        from ..soundness import check  # brings in numba

        check(model)
        _sound.add(model)
    return model


def is_shipped(model: Model) -> bool:
    """Whether a model comes with carmodel."""
    return model.Parameters.__module__.startswith(f"{__name__}.")


def source(model: Model) -> Source | None:
    """The file of a model as it was loaded; None of one that has none, as in a notebook."""
    try:
        spec = sys.modules[model.Parameters.__module__].__spec__
        content = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]
        return Source(Path(spec.origin).name, content, hashlib.sha256(content).hexdigest())  # type: ignore[union-attr, arg-type]
    except (AttributeError, KeyError, OSError, TypeError):
        return None


class _AsRead(SourceLoader):
    """Runs the very bytes that were read, and keeps them."""

    def __init__(self, file: Path, content: bytes) -> None:
        self._file, self._content = str(file), content

    def get_filename(self, fullname: str) -> str:
        return self._file

    def get_data(self, path: str | bytes) -> bytes:
        return self._content


def _loaded(name: str, file: Path) -> Model:
    """The model of a file.  Raises InputError that names the file and, where there is one, the line."""
    try:
        content = read_bytes(file, MODEL_BYTES)
    except ValueError as error:
        raise InputError(f"{file}: {error}; accepted: a model's file (Python)") from None
    # Named after the content: types of another version of the file are others, in numba's eyes and on disk.
    module_name = f"carmodel_model_{name}_{hashlib.sha256(content).hexdigest()[:16]}"
    if module_name in sys.modules:
        model: Model = sys.modules[module_name].MODEL
        return model
    token = _loading.set(str(file))
    try:
        _check_imports(content)
        spec = spec_from_file_location(module_name, file, loader=_AsRead(file, content))
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[module_name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return _of_file(getattr(module, "MODEL", None), name)
    except BaseException as error:
        sys.modules.pop(module_name, None)
        for kind in [kind for kind in MODELS if kind.__module__ == module_name]:
            del MODELS[kind]
        if isinstance(error, Exception | SystemExit):
            raise InputError(f"{file}: {_what_and_where(error, file)}") from None
        raise
    finally:
        _loading.reset(token)


def _of_file(model: object, name: str) -> Model:
    """MODEL of the file NAME.py, if it is sound.  Raises InputError."""
    if not isinstance(model, Model):
        raise InputError(f"MODEL = {model!r}; accepted: MODEL = Model(...)")
    if model.name != name:
        raise InputError(f"MODEL.name = {model.name!r}; accepted: {name!r}, the name of the file")
    return sound(model)


def _check_imports(content: bytes) -> None:
    """Raise InputError where a file's text imports what the copy in a run directory would lack."""
    for node in ast.walk(ast.parse(content)):
        match node:
            case ast.Import():
                modules = [alias.name for alias in node.names]
            case ast.ImportFrom():
                modules = ["." * node.level + (node.module or "")]
            case _:
                continue
        for module in modules:
            top = module.partition(".")[0]
            if top not in _PACKAGES and top not in sys.stdlib_module_names:
                accepted = f"{' and '.join(_PACKAGES)} and Python's own library: a model is one file"
                raise InputError(f"line {node.lineno}: import of '{module}'; accepted: {accepted}")


def _what_and_where(error: BaseException, file: Path) -> str:
    """What went wrong while a file was loaded, with its line."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, SyntaxError) and error.filename in (str(file), "<unknown>"):
        line, what = error.lineno, error.msg
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line, what = (lines[-1] if lines else None), str(error)
    return f"{f'line {line}: ' if line else ''}{type(error).__name__}: {what}"
