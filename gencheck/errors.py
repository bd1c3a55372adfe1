"""The errors a user can meet, and the exit code that each one ends a command with."""

from collections.abc import Iterator
from contextlib import contextmanager

from gencheck.printable import printable


class GencheckError(Exception):
    """Base of every error that gencheck raises on purpose; `exit_code` is what the command returns."""

    exit_code = 2


class InputError(GencheckError):
    """Input that cannot be used: where it is, what was found, what is required, what to do next.

    Parameters
    ----------
    where
        The place: file, array, row, option, layer.
    found
        What stands there.
    required
        What would be accepted.
    remedy
        The next step for the user.
    """

    def __init__(self, *, where: str, found: str, required: str, remedy: str = "") -> None:
        self.where, self.found, self.required, self.remedy = where, found, required, remedy
        shown = (printable(text) for text in (where, found, required))
        message = "{}: found {}; required: {}.".format(*shown)
        super().__init__(f"{message} {printable(remedy, keep=chr(10))}".rstrip())


class UnreadableModel(InputError):  # noqa: N818 - states a condition, like the other names here
    """A model that torch itself cannot read or run."""

    exit_code = 3


# The extra that brings each optional library.
_EXTRAS = {
    "jinja2": "report",
    "lightning": "lightning",
    "matplotlib": "plot",
    "numba": "fast",
    "pandas": "pandas",
    "Pillow": "images",
    "pyarrow": "parquet",
    "safetensors": "safetensors",
    "transformers": "transformers",
}


class MissingDependency(GencheckError):  # noqa: N818 - states a condition, like the other names here
    """An optional library is needed for this input and is not installed."""

    def __init__(self, library: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed. "
            f'Install it with: python -m pip install "gencheck[{_EXTRAS[library]}]"'
        )


@contextmanager
def needing(library: str, purpose: str) -> Iterator[None]:
    """Around the import of an optional library.

    Raises
    ------
    MissingDependency
        It is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependency(library, purpose) from error


class UnsupportedModel(GencheckError):  # noqa: N818 - the contract's own name
    """The model has operations that the path view does not cover; names every one of them.

    Parameters
    ----------
    offenders
        One entry for each offending operation, such as ``aten.softmax.int at head.attn (reason)``.
    layers
        The layers from which the model is covered, nearest to the input first.
    """

    exit_code = 3

    def __init__(self, offenders: list[str], layers: list[str] | None = None) -> None:
        self.offenders, self.layers = offenders, layers or []
        count = len(offenders)
        noun = "operation is" if count == 1 else "operations are"
        lines = "\n".join(f"  - {printable(offender)}" for offender in offenders)
        super().__init__(
            f"Cannot trace: {count} {noun} outside the path view:\n{lines}\n"
            f"{self._advice()}See `gencheck explain supported` for what is covered."
        )

    def _advice(self) -> str:
        if not self.layers:
            return ""
        layers = [printable(layer) for layer in self.layers[:8]]
        shown = ", ".join(layers) + (", …" if len(self.layers) > 8 else "")
        return (
            f"Its tail is covered from these layers on: {shown}. To audit the tail: "
            f"--from {layers[0]}\n"
        )


class SolverError(GencheckError):
    """An iterative solver did not reach its tolerance; no number is reported in its place."""

    exit_code = 4


class SelfCheckError(GencheckError):
    """A run-time self-check failed: a figure contradicts a theorem or the model's own output."""

    exit_code = 4
