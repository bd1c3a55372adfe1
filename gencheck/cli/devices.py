"""The device that a user asks for."""

from gencheck.cli.launch import launch
from gencheck.errors import InputError


def chosen_device(name: str) -> str:
    """The device that an option means, in torch's words.

    Raises
    ------
    InputError
        It means none, or one that is not there.
    """
    import torch

    own = launch()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and own.size > 1:
        # each process of a machine has a device of its own
        name = f"cuda:{own.local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda"}:
        raise InputError(
            where="--device", found=repr(name), required="auto, cpu, cuda or cuda:INDEX"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            where="--device",
            found=f"{name}, where torch sees {torch.cuda.device_count()} CUDA devices",
            required="a device that is there",
            remedy="Pass --device cpu, or install "
            + ("NVIDIA's driver." if torch.backends.cuda.is_built() else "a CUDA build of torch."),
        )
    return str(device)
