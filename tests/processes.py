"""Processes that a test kills: forked from one that has loaded gencheck, since loading takes seconds."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch._dynamo.convert_frame
import torch.export._trace

# What the commands load when they run, so that the server has it before it forks; above, what
# torch.export loads when it is first called.
import gencheck.audit.run
import gencheck.cli.concentrate_audit
import gencheck.cli.train
import gencheck.training.run  # noqa: F401
from gencheck.cli.app import app


def forked(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A started process that runs `target`, a function of a module, in this folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def started(words: list[str], folder: Path) -> BaseProcess:
    """`gencheck` with such arguments, started in a folder; what it prints is not kept."""
    return forked(_command, words, folder)


def _command(words: list[str], folder: Path) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(devnull, stream)
    os.chdir(folder)
    torch.set_num_threads(1)
    app(words)
