"""Files that must be there, of a kind that can be read."""

from collections.abc import Iterable
from pathlib import Path

from gencheck.errors import InputError


def suffix_of(path: Path, suffixes: Iterable[str], kind: str) -> str:
    """The suffix of the file `path` in lower case, one of `suffixes`.

    Raises
    ------
    InputError
        It is missing, a folder, or of another kind.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(where=str(path), found=found, required=kind)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(
            where=str(path),
            found=f"suffix {path.suffix!r}",
            required=f"one of {', '.join(sorted(suffixes))}",
        )
    return suffix
