"""As many threads for compiled loops as torch has."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def as_many_threads_as_torch() -> Iterator[None]:
    """Let compiled loops run on as many threads as torch, or on as many as there are.

    Both libraries may set the number of threads of one OpenMP runtime: torch's is put back after, or
    its smallest products would wait for threads that it was told not to use.
    """
    # only here, so that those who run no loops need no compiler
    import numba

    count = torch.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(count)
