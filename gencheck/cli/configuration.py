"""Defaults of options by command, from `gencheck.toml` or `[tool.gencheck]` in pyproject.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencheck.errors import InputError

OWN, SHARED = "gencheck.toml", "pyproject.toml"
# What a command is told by its own line alone.
_NEVER = frozenset({"help", "version", "debug"})


@dataclass(frozen=True)
class Configuration:
    """The defaults of one folder.

    Attributes
    ----------
    path
        The file that they are from; None where there is none.
    given
        By command, then by option as it is written (``n-models``): the value.
    defaults
        The same by the parameter's name, as a command line takes it.
    """

    path: Path | None
    given: dict[str, dict[str, Any]]
    defaults: dict[str, dict[str, Any]]


def read_configuration(folder: Path, commands: Mapping[str, Any]) -> Configuration:
    """The configuration of `folder`, every key of it known to its command.

    Parameters
    ----------
    commands
        By name: the commands of the command line, with their parameters.

    Raises
    ------
    InputError
        The file is no TOML, has an unknown command or option, or there are two files.
    """
    own, shared = folder / OWN, folder / SHARED
    table = _parsed(own) if own.is_file() else None
    beside = _parsed(shared).get("tool", {}).get("gencheck") if shared.is_file() else None
    if table is not None and beside is not None:
        raise InputError(
            where=f"{OWN} and {SHARED}",
            found="defaults of gencheck in both",
            required="one of them",
            remedy=f"Move [tool.gencheck…] of {SHARED} into {OWN}, without the `tool.gencheck.`.",
        )
    path, prefix = (own, "") if table is not None else (shared, "tool.gencheck.")
    given = table if table is not None else beside
    if given is None:
        return Configuration(None, {}, {})
    if not isinstance(given, dict):
        raise InputError(where=str(path), found="no table", required="[tool.gencheck.COMMAND]")
    defaults = {}
    for name, options in given.items():
        where = f"{path}, [{prefix}{name}]"
        if name not in commands or not isinstance(options, dict):
            raise InputError(
                where=where,
                found="no command" if isinstance(options, dict) else "a value outside of a table",
                required=f"a table of one of {', '.join(commands)}",
            )
        defaults[name] = _known(where, options, commands[name])
    return Configuration(path, given, defaults)


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as handle:
            return tomllib.load(handle)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            where=str(path), found=f"no TOML ({error})", required="a TOML file"
        ) from error


def _known(where: str, options: dict[str, Any], command: Any) -> dict[str, Any]:
    """The options by parameter name."""
    names = {
        declared.removeprefix("--"): parameter
        for parameter in command.params
        for declared in parameter.opts
        if declared.startswith("--") and declared.removeprefix("--") not in _NEVER
    }
    found = {}
    for key, value in options.items():
        if key not in names:
            raise InputError(
                where=f"{where}, {key}",
                found="an unknown option",
                required=f"one of {', '.join(sorted(names))}",
            )
        if isinstance(value, dict):
            raise InputError(
                where=f"{where}, {key}", found="a table", required="the value of an option"
            )
        plain = value if isinstance(value, list | bool) else str(value)
        # one value of an option that may be given several times
        once = names[key].multiple and not isinstance(value, list)
        if names[key].nargs > 1 and not isinstance(value, list):
            raise InputError(
                where=f"{where}, {key}", found=repr(value), required=f"a list of {names[key].nargs}"
            )
        found[names[key].name] = [plain] if once else plain
    return found
