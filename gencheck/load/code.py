"""The user's own code, imported only where an option names it."""

import importlib
import sys
from pathlib import Path
from typing import Any

from gencheck.errors import InputError


def named_attribute(name: str, option: str, required: str) -> Any:
    """What ``MODULE:ATTRIBUTE`` names; the module is imported with the working directory on the path.

    Raises
    ------
    InputError
        It cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        if not attribute:
            raise ValueError("no ':' in it")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise InputError(
            where=f"{option} {name}", found=f"{type(error).__name__}: {error}", required=required
        ) from error
