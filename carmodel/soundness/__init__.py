"""Whether a model is sound, before anything is compiled or run: what is wrong with it is said in one line."""

from ..model import Model
from ..tools.errors import InputError
from .compilation import check_compilation
from .declarations import check_declarations
from .rates import check_rates

__all__ = ["check"]


def check(model: Model) -> None:
    """Raise InputError that says what is wrong with a model: a declaration, a value that its functions give, or code.

    Its functions are called with floats before anything is compiled: numba's own messages are hard to read.
    """
    try:
        check_declarations(model)
        check_rates(model)
        check_compilation(model)
    except InputError as error:
        raise InputError(f"model {model.name}: {error}") from None
