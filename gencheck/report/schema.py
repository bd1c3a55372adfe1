"""The JSON Schema of each command's document, shipped with the package."""

from importlib import resources

from gencheck.errors import InputError

_FOLDER = resources.files("gencheck.report") / "schemas"


def schema_names() -> list[str]:
    """The names of all documents that have a schema, sorted."""
    return sorted(
        entry.name.removesuffix(".json")
        for entry in _FOLDER.iterdir()
        if entry.name.endswith(".json")
    )


def schema_text(name: str) -> str:
    """The JSON Schema (draft 2020-12) of document `name`, as text.

    Raises
    ------
    InputError
        No document has that name.
    """
    if name not in schema_names():
        raise InputError(
            where="NAME",
            found=repr(name),
            required=f"one of {', '.join(schema_names())}",
        )
    return (_FOLDER / f"{name}.json").read_text(encoding="utf-8")
