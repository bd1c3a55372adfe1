"""An experiment's plot as a file."""

from pathlib import Path
from typing import Any

from gencheck.atomic import write_whole
from gencheck.errors import InputError, MissingDependency
from gencheck.experiments.experiment import ExperimentResult

FORMATS = ("png", "svg", "pdf")


def empty_figure(path: Path) -> Any:
    """A matplotlib figure for `path`, before any work is done, so that nothing is computed in vain.

    Raises
    ------
    InputError
        No format has that suffix, or the folder does not exist.
    MissingDependency
        matplotlib is not installed.
    """
    if path.suffix.removeprefix(".").lower() not in FORMATS:
        raise InputError(
            where=f"--plot {path}",
            found=f"the suffix {path.suffix!r}",
            required=f"one of {', '.join(f'.{name}' for name in FORMATS)}",
        )
    if not path.parent.is_dir():
        raise InputError(
            where=f"--plot {path}", found="a folder that does not exist", required="one that does"
        )
    try:
        # the class, not pyplot: no window system is asked and no global state is touched
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            library="matplotlib", extra="plot", purpose=f"Drawing {path}"
        ) from error
    return Figure(figsize=(8, 5), layout="constrained")


def save_plot(result: ExperimentResult, figure: Any, path: Path) -> None:
    """Draw `result` onto `figure` and write it to `path`, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    result.plot(figure)
    kind = path.suffix.removeprefix(".").lower()
    write_whole(path, lambda buffer: figure.savefig(buffer, format=kind, dpi=150), "--plot")
