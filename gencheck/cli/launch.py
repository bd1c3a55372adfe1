"""Which of several processes this one is, where torchrun started them."""

import os
from dataclasses import dataclass

from gencheck.errors import InputError

# Commands that can be shared among processes.
SHARED = ("concentrate", "rank", "train")


@dataclass(frozen=True)
class Launch:
    """Which of how many processes this one is, on all machines and on its own."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def launch() -> Launch:
    """As the environment has it that torchrun sets; one process of one where it sets nothing."""
    names = {"rank": "RANK", "size": "WORLD_SIZE", "local_rank": "LOCAL_RANK"}
    found = {field: os.environ.get(name, "") for field, name in names.items()}
    if not all(text.isdigit() for text in found.values()) or int(found["size"]) < 2:
        return Launch(0, 1, 0, 1)
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    numbers = {field: int(text) for field, text in found.items()}
    return Launch(**numbers, local_size=max(1, int(local) if local.isdigit() else 1))


def require_shareable(command: str) -> None:
    """Do nothing where one process runs `command`, or where several can.

    Raises
    ------
    InputError
        Several would each do all of it.
    """
    if launch().size > 1 and command not in SHARED:
        raise InputError(
            where="torchrun",
            found=f"{launch().size} processes for gencheck {command}",
            required=f"one, or a command that they can share: {', '.join(SHARED)}",
            remedy=f"Run it without torchrun: gencheck {command}",
        )
