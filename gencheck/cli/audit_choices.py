"""What `concentrate`, `rank` and `compare` are asked for, from the words of the options they share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gencheck.audit.options import AuditOptions
    from gencheck.audit.selection import DataSelection


def audit_options(
    device: str, dtype: str, memory: str | None = None, **others: Any
) -> "AuditOptions":
    """The options of an audit.

    Raises
    ------
    InputError
        The device is not there, or the memory is no amount.
    """
    import torch

    from gencheck.audit.options import AuditOptions
    from gencheck.cli.devices import chosen_device
    from gencheck.memory import parse_bytes

    return AuditOptions(
        device=chosen_device(device),
        dtype=getattr(torch, dtype),
        memory=None if memory is None else parse_bytes(memory),
        **others,
    )


def data_selection(
    path: Path, normalise: tuple[str, str] | None, resize: str | None, **others: Any
) -> "DataSelection":
    """Which items of which files.

    Raises
    ------
    InputError
        Means and deviations, or the size, are none.
    """
    from gencheck.audit.selection import DataSelection
    from gencheck.load.normalise import normalisation
    from gencheck.load.resize import resize_of

    return DataSelection(
        path=path, normalise=normalisation(normalise), resize=resize_of(resize), **others
    )
