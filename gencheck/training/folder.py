"""The folder of a run: whose it is while it is being made, and when it counts as finished.

``started.json`` says what the run is from its first moment on; ``run.json`` is written last and goes
first. So a folder with ``run.json`` is whole, and one without it is nobody's to read.
"""

import json
from pathlib import Path

from gencheck.atomic import PARTIAL, make_folder, remove, write_whole
from gencheck.errors import InputError
from gencheck.load.run_folder import GATES, MODEL, RECORD, SOLUTION, SPLIT, WEIGHTS, run_record
from gencheck.training.state import Facts, require_same

STARTED = "started.json"
_REMEDY = "Repeat the command that made it, choose another --out, or start afresh: --overwrite."
_PROGRAMS = [
    f"{name}.{kind}" for name in (GATES, WEIGHTS, MODEL) for kind in ("pt2", "safetensors")
]
_OTHERS = [SPLIT, SOLUTION, "standard.state", "freeze.state"]


def claim(out: Path, facts: Facts, overwrite: bool) -> None:
    """Make `out` the folder of the run that `facts` decide.

    Raises
    ------
    InputError
        It holds another run and `overwrite` is False: the message names what differs. Or it cannot be
        written.
    """
    make_folder(out, "--out")
    for partial in out.glob(f".*{PARTIAL}"):
        remove(partial, "--out")
    if overwrite:
        for name in (RECORD, STARTED, *_PROGRAMS, *_OTHERS):
            remove(out / name, "--out")
    else:
        _require_own(out, facts)
    text = json.dumps(dict(facts), indent=2, ensure_ascii=False)
    write_whole(out / STARTED, text.encode(), "--out")
    remove(out / RECORD, "--out")


def release(out: Path) -> None:
    """Remove what only an unfinished run needs; ``run.json`` has been written.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    for name in (*(name for name in _OTHERS if name.endswith(".state")), STARTED):
        remove(out / name, "--out")


def _require_own(out: Path, facts: Facts) -> None:
    there = [n for n in (STARTED, RECORD, *_PROGRAMS, *_OTHERS) if (out / n).exists()]
    if not there:
        return
    if STARTED in there:
        found = _facts_in(out / STARTED)
    elif RECORD in there:
        found = run_record(out)["inputs"].get("identity")
    else:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            where=f"--out {out}",
            found=f"{', '.join(there)}, and no record of the run that they are from",
            required="an empty folder, or that of the same command",
            remedy=_REMEDY,
        )
    require_same(facts, {str(k): str(v) for k, v in found.items()}, f"--out {out}", _REMEDY)


def _facts_in(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
