"""Files of torch.save: state dicts read without running anything, and what the others are."""

import io
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

from gencheck.errors import InputError
from gencheck.load.files import reading, require_archive_fits, shortened

_WRITTEN_BY = "a file written by torch.save"


def export_lines(model: str) -> str:
    """The three lines of Python that make a ``.pt2`` of what the line `model` puts at hand."""
    return (
        "Make a .pt2 of it in three lines, with the shape of one item:\n"
        "  import torch\n"
        f"  {model}\n"
        "  torch.export.save(torch.export.export(model.eval(), (torch.zeros(2, *ITEM_SHAPE),)), "
        '"model.pt2")'
    )


def read_pickled(path: Path) -> Any:
    """What torch.save wrote: plain tensors, numbers, text and containers of these.

    Raises
    ------
    InputError
        Damaged, or it would have to run code: a module, TorchScript, objects of other classes.
    """
    require_archive_fits(path)
    refuse_torchscript(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        foreign = _foreign_names(path)
        if foreign is None:
            with reading(path, _WRITTEN_BY):
                raise
        raise foreign from error


def refuse_torchscript(path: Path) -> None:
    """Do nothing where a file is no TorchScript archive.

    Raises
    ------
    InputError
        It is one.
    """
    if not zipfile.is_zipfile(path):
        return
    with reading(path, _WRITTEN_BY), zipfile.ZipFile(path) as archive:
        scripted = any(name.endswith("constants.pkl") for name in archive.namelist())
    if scripted:
        raise InputError(
            where=str(path),
            found="a TorchScript program, whose code is not run",
            required="a .pt2 program, or a state dict with --model",
            remedy=export_lines(
                "model = Net(); model.load_state_dict(torch.jit.load("
                f'"{path.name}").state_dict())  # Net: the class that was scripted'
            ),
        )


def _foreign_names(path: Path) -> InputError | None:
    """What to say of a pickle that names classes beyond those of tensors; None where it names none.

    Nothing is unpickled: the operations of the pickle are only listed.
    """
    raw = _pickle_of(path)
    found = [name for name in _globals_of(raw) if not _is_plain(name)]
    if not found:
        return None
    # what every torch.nn.Module has
    if b"_forward_hooks" in raw:
        return InputError(
            where=str(path),
            found=f"a whole pickled module ({shortened(repr(found[0]), 80)}), which would have to "
            "run code, so it was not loaded",
            required="a .pt2 program, or a state dict with --model",
            remedy=export_lines(
                f'model = torch.load("{path.name}", weights_only=False)'
                "  # runs the file's code: only one of your own"
            ),
        )
    named = shortened(", ".join(repr(name) for name in dict.fromkeys(found)), 160)
    return InputError(
        where=str(path),
        found=f"a pickle that would have to run code, so it was not loaded: it names {named}",
        required="a state dict of plain tensors, as torch.save(model.state_dict(), path) writes",
        remedy="Save the state dict alone, or export the model with torch.export.save.",
    )


def _is_plain(name: str) -> bool:
    return (
        name in {"collections.OrderedDict", "torch.Size"}
        or name.startswith(("torch._utils._rebuild_", "torch.storage."))
        or (name.startswith("torch.") and name.endswith("Storage"))
    )


def _pickle_of(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            return archive.read(name)
    except Exception:
        # the layout of torch before 1.6, or no file of torch's at all
        return path.read_bytes()


def _globals_of(raw: bytes) -> list[str]:
    """The globals that the pickles in `raw` name, in their order."""
    found: list[str] = []
    stream = io.BytesIO(raw)
    try:
        while stream.tell() < len(raw):
            strings: list[str] = []
            for operation, value, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL":
                    found.append(str(value).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL" and len(strings) > 1:
                    found.append(f"{strings[-2]}.{strings[-1]}")
                elif isinstance(value, str):
                    strings.append(value)
    except Exception:
        # storages follow the pickles, or the file is damaged; what was named so far is known
        return found
    return found
