"""Which device a command runs on."""

from gencheck.errors import InputError


def chosen_device(name: str) -> str:
    """The device that `name` means; ``auto`` is a CUDA device where there is one.

    Raises
    ------
    InputError
        It is no device, or none that this machine has.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
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
            remedy="Pass --device cpu, or install a CUDA build of torch.",
        )
    return str(device)
