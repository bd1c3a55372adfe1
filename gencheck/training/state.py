"""What a training that was interrupted goes on from: its state, and everything that decides its end."""

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.atomic import write_whole
from gencheck.errors import InputError
from gencheck.version import __version__

Facts = Mapping[str, str]


def digest_of(*tensors: Tensor) -> str:
    """SHA-256 of dtypes, shapes and values, in hexadecimal."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        for part in tensor.detach().reshape(-1).split(1 << 24):
            digest.update(part.cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def model_facts(model: nn.Module) -> dict[str, str]:
    """The modules, and the weights that training starts from."""
    state = model.state_dict()
    return {
        "architecture": re.sub(r"\s+", " ", f"{model!r} {list(state)}"),
        "initial weights": digest_of(*state.values()),
    }


def machine_facts(device: torch.device | str) -> dict[str, str]:
    """What decides the last bits of a sum."""
    return {
        "gencheck": __version__,
        "torch": str(torch.__version__),
        "device": str(device),
        "threads": str(torch.get_num_threads()),
    }


def name_of(function: Callable[..., object] | None) -> str:
    """A function's name or a module's printed form, the same in every process."""
    name = getattr(function, "__qualname__", None)
    printed = repr(function) if name is None else f"{function.__module__}.{name}"
    return re.sub(r" at 0x[0-9a-f]+", "", printed)


def require_same(facts: Facts, found: Facts, where: str, remedy: str) -> None:
    """Do nothing where `found`, which an earlier run recorded, are `facts`.

    Raises
    ------
    InputError
        They differ: the message names what does.
    """
    names = [name for name in {**facts, **found} if facts.get(name) != found.get(name)]
    if names:
        shown = ", ".join(f"{n} ({_short(found, n)}, not {_short(facts, n)})" for n in names)
        raise InputError(
            where=where,
            found=f"another training, which differs in {shown}",
            required="what the same command left",
            remedy=remedy,
        )


def _short(facts: Facts, name: str) -> str:
    value = facts.get(name, "nothing")
    return value if len(value) <= 40 else f"{value[:16]}…"


def save_state(path: Path, facts: Facts, content: Mapping[str, Any]) -> None:
    """Write a state in one piece, under a checksum.

    Raises
    ------
    InputError
        The folder cannot be written, or is full.
    """
    buffer = io.BytesIO()
    torch.save({"facts": dict(facts), **content}, buffer)
    payload = buffer.getvalue()
    write_whole(path, _head(payload) + payload, "the state of the training,")


def read_state(path: Path, facts: Facts) -> dict[str, Any] | None:
    """What `save_state` wrote under the same facts; None where there is no such file.

    Raises
    ------
    InputError
        It is damaged, or the state of another training: the message names what differs.
    """
    if not path.exists():
        return None
    try:
        raw = path.read_bytes()
        head, payload = raw[: len(_head(b""))], raw[len(_head(b"")) :]
        if head != _head(payload):
            raise ValueError("its checksum does not match")
        content: dict[str, Any] = torch.load(
            io.BytesIO(payload), map_location="cpu", weights_only=True
        )
    # torch's reader can fail in nearly any way on a file that is none of ours
    except Exception as error:
        raise InputError(
            where=str(path),
            found=f"a damaged state ({type(error).__name__}: {error})",
            required="the state that an interrupted training left",
            remedy="Start afresh: --overwrite (from Python, delete the file).",
        ) from error
    again = "Repeat the command that was interrupted, or start afresh: --overwrite"
    require_same(facts, content["facts"], str(path), f"{again} (from Python, delete the file).")
    return content


def _head(payload: bytes) -> bytes:
    return f"gencheck state 1 {hashlib.sha256(payload).hexdigest()}\n".encode()
