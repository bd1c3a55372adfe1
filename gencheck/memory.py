"""Amounts of memory: as users write them, and as the machine has them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gencheck.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

# What --memory allows the readers of files while a command runs; None for a share of what is free.
_limit: ContextVar[int | None] = ContextVar("memory limit", default=None)

# The share of the memory available now that a run may take where the user names no limit.
_DEFAULT_SHARE = 0.8


def parse_bytes(text: str) -> int:
    """The number of bytes that ``4GiB``, ``500MB`` or ``1e9`` mean.

    Raises
    ------
    InputError
        Not a positive amount.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    try:
        amount = float(match[1]) * _UNITS[match[2] or ""] if match else 0.0
    except ValueError:
        amount = 0.0
    if not 0 < amount < 2.0**62:
        raise InputError(
            where="--memory", found=repr(text), required="an amount such as 4GiB or 500MB"
        )
    return int(amount)


def shown_bytes(amount: float) -> str:
    """An amount in words, such as ``1.6 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB"


def available_bytes() -> int | None:
    """The share of the machine's free memory that a run may take; None where it cannot be told."""
    found = [n for n in (_meminfo_available(), _control_group_free()) if n is not None]
    return int(min(found) * _DEFAULT_SHARE) if found else None


@contextmanager
def memory_limit(amount: int | None) -> Iterator[None]:
    """Within it, what is read from files must fit into `amount` bytes; None: into what is free."""
    before = _limit.set(amount)
    try:
        yield
    finally:
        _limit.reset(before)


def named_bytes() -> int | None:
    """What --memory allows; None where the user names no limit."""
    return _limit.get()


def allowed_bytes() -> int | None:
    """What --memory allows, or else the share of free memory that a run may take."""
    limit = named_bytes()
    return available_bytes() if limit is None else limit


def require_memory(amount: int, where: str, what: str) -> None:
    """Do nothing where `amount` bytes fit into the limit of the run.

    Called with what a file declares, before anything of that size is read or made.

    Raises
    ------
    InputError
        They do not fit.
    """
    limit, allowed = named_bytes(), allowed_bytes()
    if allowed is not None and amount > allowed:
        raise InputError(
            where=where,
            found=f"{what} of {shown_bytes(amount)}",
            required=f"at most {shown_bytes(allowed)}, "
            + ("what is free here" if limit is None else "what --memory allows"),
            remedy="Allow more with --memory where the command has it, or take a smaller file.",
        )


def _meminfo_available() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(match[1]) * 1024 if match else None


def _control_group_free() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return max(int(limit) - int(used), 0) if limit.isdigit() and used.isdigit() else None
