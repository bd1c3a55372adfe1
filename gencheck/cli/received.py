"""Inputs that come through a pipe: read once, before the command, where a command can use them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gencheck.load.files import is_pipe, require_no_pipe

# Parameters whose content alone tells what they are. A model, a store or a run is more than a stream of
# bytes; what a command writes is no input.
_READABLE = {
    *("losses", "predictions", "scores", "baseline", "candidates"),
    *("data", "reference", "unlabelled"),
}
_WRITTEN = {"output", "report", "plot", "cache", "save", "save_predictions", "out"}


def receive_pipes(parameters: dict[str, Any], options: Mapping[str, str]) -> None:
    """Put files in the place of the pipes among a command's inputs.

    Parameters
    ----------
    options
        What each parameter is called on the command line.

    Raises
    ------
    InputError
        One holds nothing, or nothing that is read from a pipe, or stands where a file must.
    """
    for name, value in parameters.items():
        if name in _WRITTEN or not any(map(is_pipe, _paths(value))):
            continue
        if name not in _READABLE:
            for path in _paths(value):
                require_no_pipe(path, options[name])
        many = isinstance(value, list | tuple)
        made = [_received(path) for path in _paths(value)]
        parameters[name] = made if many else made[0]


def _paths(value: Any) -> Iterator[Path]:
    many = value if isinstance(value, list | tuple) else [value]
    return (each for each in many if isinstance(each, Path))


def _received(path: Path) -> Path:
    if not is_pipe(path):
        return path
    from gencheck.load.pipes import received

    return received(path)
