"""Random shifts and flips of images: more items for the standard phase than the file has."""

import torch
from torch import Tensor
from torch.nn import functional

from gencheck.errors import InputError
from gencheck.training.architectures import image_shape


def require_images(shape: tuple[int, ...], shift: int, where: str) -> None:
    """Do nothing where items of `shape` are images that can be shifted by up to `shift` pixels.

    Raises
    ------
    InputError
        They are rows of features, which have no neighbours to be shifted to, or smaller.
    """
    if len(shape) in (2, 3) and shift < min(image_shape(shape)[-2:]):
        return
    raise InputError(
        where=where,
        found=f"items of shape {shape}",
        required=f"images of more than {shift} pixels in height and width",
        remedy="Train a table of features without it.",
    )


def augment(items: Tensor, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image moved by whole pixels, uniform in −shift … shift in both directions, and mirrored.

    What a shift uncovers is 0. Half of the images are mirrored left to right where `flip`.

    Parameters
    ----------
    items
        Shape (N, H, W), (N, C, H, W) or (N, H, W, C); a batch that is not changed.
    generator
        On the CPU; nothing is drawn for what is not asked for.

    Raises
    ------
    InputError
        They are no images.
    """
    own = tuple(items.shape[1:])
    require_images(own, shift, "augmentation")
    last = len(own) == 3 and image_shape(own) != own
    images = items.movedim(-1, 1) if last else items.reshape(len(items), -1, *own[-2:])
    if shift:
        images = _shifted(images, shift, generator)
    if flip:
        mirrored = torch.rand(len(items), generator=generator).to(items.device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    return images.movedim(1, -1) if last else images.reshape(items.shape)


def _shifted(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Shape (N, C, H, W): windows of the images with a border of zeros, drawn for each."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (shift, shift, shift, shift))
    # every window as a view; only those drawn are copied
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    drawn = torch.randint(2 * shift + 1, (2, count), generator=generator).to(images.device)
    down, across = drawn
    return windows[torch.arange(count, device=images.device), :, down, across]
