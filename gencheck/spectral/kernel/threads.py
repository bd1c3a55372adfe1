"""Work for several threads, each of which computes alone.

Threads that share every product and sum wait for each other at the end of each: on a machine with other
work for as long as a time slice, and busily. Whole steps for each, taken when the last is done, need no
such waits, and their bits do not depend on the number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")

# Parts that work is cut into for each thread: the last to finish then keeps the others waiting less.
_PARTS = 8


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _alone() -> None:
    """Let torch compute on this thread alone."""
    # asked first: a thread that has not asked yet takes the number for all when it does
    torch.get_num_threads()
    torch.set_num_threads(1)


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads on which torch has one thread each."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=_alone)
    started = Barrier(count)
    list(pool.map(lambda _: started.wait(), range(count)))
    # what torch gives to threads that it has not seen yet is the last number set anywhere
    torch.set_num_threads(threads)
    return pool


# threads do not survive a fork
os.register_at_fork(after_in_child=_pool.cache_clear)


def side_by_side(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What `calls` return, in their order, carried out on as many threads as torch has.

    They are taken one by one, on the calling thread, shortly before they are carried out. After an
    error none of them goes on.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield from (call() for call in calls)
        return
    waiting: deque[Future[T]] = deque()
    try:
        for call in calls:
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
            waiting.append(_pool(threads).submit(call))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


def in_parts(count: int, call: Callable[[int, int], None]) -> None:
    """``call(first, stop)`` for parts that make up `count`, on as many threads as torch has."""
    size = max(1, -(-count // (_PARTS * torch.get_num_threads())))
    parts = ((start, min(start + size, count)) for start in range(0, count, size))
    for _ in side_by_side(partial(call, *part) for part in parts):
        pass
