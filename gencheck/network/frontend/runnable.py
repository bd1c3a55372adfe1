"""Which operators of ATen may be run on tensors from a file: they compute, and do nothing else."""

from functools import cache

import torch

from gencheck.network.frontend.aten import ON_SIZES

# Composites that torch.export leaves whole, and kin of the core operators: made from numbers or from
# another tensor's shape, the same numbers in another place, sums and products. All of them compute
# on tensors alone, with every overload and in place.
_NAMES = """
    _assert_tensor_metadata _fused_rms_norm _prelu_kernel _reshape_alias _safe_softmax
    _scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu _unsafe_view
    _weight_norm _weight_norm_interface adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d addbmm addmv all alpha_dropout
    aminmax baddbmm batch_norm bilinear broadcast_to bucketize cdist channel_shuffle chunk
    concat concatenate contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d
    conv_transpose3d cosine_similarity count_nonzero detach diag dot dropout einsum empty_like
    expand_as expand_copy eye feature_alpha_dropout feature_dropout fft_rfft fill flatten fliplr
    flipud floor_divide frobenius_norm glu group_norm hardswish hsplit hstack im2col index_add
    index_copy instance_norm is_floating_point layer_norm lift_fresh lift_fresh_copy
    linalg_vector_norm linear linspace log_sigmoid log_softmax logsumexp mT matmul max_pool1d
    max_pool2d max_pool3d meshgrid moveaxis movedim mv native_channel_shuffle new_empty new_full
    new_ones new_zeros norm numpy_T ones ones_like outer pad pixel_shuffle pixel_unshuffle prelu
    ravel relu6 repeat_interleave reshape reshape_as rms_norm roll rot90
    scaled_dot_product_attention searchsorted select_copy softmax split stack std std_mean
    swapaxes swapdims t take take_along_dim tensor_split tensordot tile to transpose tril triu
    type_as unbind unflatten unfold unsafe_split upsample_bicubic2d upsample_linear1d
    upsample_nearest1d var_mean view_as view_copy vstack zero zeros zeros_like
"""
_COMPOSITES = frozenset(_NAMES.split())


@cache
def computes_on_tensors(target: str) -> bool:
    """True for operators that only compute on tensors: core or pointwise ones of ATen and kin.

    All overloads of an operator compute the same, on other kinds of arguments.
    """
    parts = target.split(".")
    if len(parts) != 3 or parts[0] != "aten" or not hasattr(torch.ops.aten, parts[1]):
        return False
    operator = getattr(torch.ops.aten, parts[1])
    if parts[2] not in operator.overloads():
        return False
    if parts[1].removesuffix("_") in _COMPOSITES:
        return True
    tags = [getattr(operator, overload).tags for overload in operator.overloads()]
    # what draws at random would not give an item the same tensor twice
    random = any(torch.Tag.nondeterministic_seeded in tag for tag in tags)
    return not random and any(torch.Tag.core in tag or torch.Tag.pointwise in tag for tag in tags)


def makes_gates(target: str) -> bool:
    """True for what the program of a gate may call: those, parts of a result, and sizes."""
    return target in {"getitem", *ON_SIZES} or computes_on_tensors(target)
