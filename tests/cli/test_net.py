"""One net under every command: no traceback, no exit 1 but of a gate, text that is only text."""

import io
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import gencheck.cli.failures
import gencheck.guarantees.validation as validation
from gencheck.cli.app import app, callback_of, command_names
from gencheck.cli.failures import foreseen
from gencheck.errors import InputError, UnsupportedModel
from gencheck.printable import encodable, printable
from tests.conftest import Program

runner = CliRunner()
ROOT = Path(gencheck.__file__).parent
SMALL = ["val-bound", "--m-val", "100", "--n-models", "3", "--val-error", "0.1"]


def raising(error: BaseException) -> Any:
    def function(*arguments: Any, **more: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 2, "the memory does not suffice"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "does not suffice"),
        (ImportError("x.so: failed to map segment from shared object"), 2, "does not suffice"),
        (OSError(28, "No space left on device", "f.bin"), 2, "f.bin: found No space left"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 2, "content that cannot be read"),
        (RecursionError("too deep"), 2, "content that cannot be read"),
        (struct.error("short"), 2, "content that cannot be read"),
        (zipfile.BadZipFile("no zip"), 2, "content that cannot be read"),
        (zlib.error("bad"), 2, "content that cannot be read"),
        (EOFError(), 2, "content that cannot be read"),
        (UnsupportedModel(["x"]), 3, "Cannot trace"),
        (KeyError("x"), 4, "a defect of gencheck: KeyError: 'x'"),
        (RuntimeError("shapes"), 4, "a defect of gencheck"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_exception_has_its_exit_code(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "validation_result", raising(error))
    plain = runner.invoke(app, SMALL)
    assert plain.exit_code == code
    assert words in plain.stderr
    assert "Traceback" not in plain.stderr
    assert plain.stdout == ""
    if code != 130:
        loud = runner.invoke(app, [*SMALL, "--debug"])
        assert loud.exit_code == code
        assert "Traceback" in loud.stderr


def test_torch_in_a_reader_is_bad_input_and_in_the_front_end_a_bad_model() -> None:
    def raised_in(module: str) -> RuntimeError:
        try:
            exec("raise RuntimeError('no kernel')", {"__name__": module})
        except RuntimeError as error:
            return error
        raise AssertionError

    assert foreseen(raised_in("gencheck.load.checkpoint"), "f").exit_code == 2
    assert foreseen(raised_in("gencheck.network.frontend.trace"), "f").exit_code == 3
    assert foreseen(raised_in("gencheck.spectral.beta1.lanczos"), "f").exit_code == 4


def test_memory_that_ran_out_in_a_reader_is_still_memory() -> None:
    refused = UnsupportedModel(["the model's forward (torch.export: MemoryError)"])
    refused.__cause__ = MemoryError()
    assert "the memory does not suffice" in str(foreseen(refused, "m.pt"))
    assert foreseen(refused, "m.pt").exit_code == 2


@pytest.mark.parametrize("library", ["torch", "scipy"])
def test_an_installation_without_dependencies_says_so(library: str) -> None:
    missing = ModuleNotFoundError(f"No module named {library!r}", name=library)
    assert foreseen(missing, "m.pt").exit_code == 2
    assert f"no {library}, which one without dependencies leaves out" in str(
        foreseen(missing, "m.pt")
    )
    assert foreseen(ModuleNotFoundError("x", name="gencheck.nonsense"), "m.pt").exit_code == 4


def test_every_command_takes_debug() -> None:
    for command in command_names():
        assert "debug" in callback_of(command).__annotations__, command


@pytest.mark.parametrize("words", [["nonsense"], ["val-bound", "--nonsense"], ["explain"]])
def test_a_mistake_in_the_command_line_is_plain_text(words: list[str]) -> None:
    done = runner.invoke(app, words)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    evil = runner.invoke(app, [*words, "\x1b[31m[bold]x[/bold]"])
    assert evil.exit_code == 2
    assert "\x1b" not in evil.stderr


# --- output -------------------------------------------------------------------------------------


def losses(folder: Path) -> Path:
    path = folder / "losses.csv"
    path.write_text("loss\n" + "0\n1\n" * 20)
    return path


def with_output(folder: Path, output: Path | str) -> Any:
    command = ["val-bound", "--losses", str(losses(folder)), "--n-models", "3"]
    return runner.invoke(app, [*command, "--output", str(output)])


def test_output_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "validation_result", raising(AssertionError("worked first")))
    own = tmp_path / "losses.json"
    own.write_text("{}")
    (tmp_path / "soft.json").symlink_to("losses.csv")
    os.link(losses(tmp_path), tmp_path / "hard.json")
    (tmp_path / "folder.json").mkdir()
    for name, words in {
        "folder.json": "a folder",
        "missing/o.json": "no folder",
        "o.txt": "suffix '.txt'",
        "o": "suffix ''",
        "soft.json": "a file that the command reads (LOSSES)",
        "hard.json": "a file that the command reads (LOSSES)",
    }.items():
        done = with_output(tmp_path, tmp_path / name)
        assert done.exit_code == 2, done.stderr
        assert words in done.stderr
    assert losses(tmp_path).read_text().startswith("loss\n")


def test_output_is_none_of_a_run_folder_s_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    done = runner.invoke(app, ["concentrate", str(run), "x.npz", "--output", str(run / "run.json")])
    assert done.exit_code == 2
    assert "a file that the command reads (CHECKPOINT)" in done.stderr


def test_output_through_a_link_and_into_streams(tmp_path: Path) -> None:
    target = tmp_path / "real.json"
    target.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    assert with_output(tmp_path, link).exit_code == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["schema"] == "gencheck.val-bound/1"
    assert with_output(tmp_path, "/dev/null").exit_code == 0
    assert not Path("/dev/null").is_file()
    full = with_output(tmp_path, "/dev/full")
    assert full.exit_code == 2
    assert "No space left on device" in full.stderr
    assert Path("/dev/full").exists()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        assert with_output(tmp_path, fifo).exit_code == 0
        assert json.loads(reader.communicate()[0])["schema"] == "gencheck.val-bound/1"
    assert fifo.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fifo",
        "link.json",
        "losses.csv",
        "real.json",
    ]


# --- text ---------------------------------------------------------------------------------------


def test_printable() -> None:
    assert printable("β1 \u202f≤ 3") == "β1 \u202f≤ 3"
    assert printable("a\x1b[31m\n\u202e\udcff\ud800") == r"a\x1b[31m\n\u202e\xff\ud800"
    assert printable("a\nb\r", keep="\n") == "a\nb\\r"
    assert encodable("a\udcff\nβ") == "a\\xff\nβ"


def test_errors_hold_no_control_characters() -> None:
    evil = "\x1b]0;x\x07[red]"
    error = InputError(where=evil, found=f"a\n{evil}", required=evil, remedy=f"one\n{evil}")
    assert "\x1b" not in str(error)
    assert str(error).count("\n") == 1
    assert "\x1b" not in str(UnsupportedModel([evil], [evil]))


def test_reports_show_user_text_as_it_is(tmp_path: Path) -> None:
    name = tmp_path / "[bold]x[ ] :smile: \x1b[31m\n.csv"
    name.write_text("loss\n" + "0\n1\n" * 20)
    done = runner.invoke(app, ["val-bound", "--losses", str(name), "--n-models", "3"])
    assert done.exit_code == 0, done.stderr
    together = "".join(done.stdout.split())
    assert r"[bold]x[]:smile:\x1b[31m\n.csv" in together
    assert "\x1b" not in done.stdout


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    name = tmp_path / "caf\udcff.csv"
    name.write_text("loss\n" + "0\n1\n" * 20)
    command = ["val-bound", "--losses", str(name), "--n-models", "3"]
    shown = runner.invoke(app, command)
    assert shown.exit_code == 0, shown.stderr
    assert r"caf\xff.csv" in "".join(shown.stdout.split())
    doc = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert doc["inputs"]["file"]["path"].endswith(r"caf\xff.csv")
    missing = runner.invoke(app, ["val-bound", "--losses", "\udcff\x1b", "--n-models", "3"])
    assert missing.exit_code == 2
    assert r"\xff\x1b" in missing.stderr


def test_text_reaches_a_terminal_in_one_way_only() -> None:
    """No console, print or markup but in the one module, and in that which prints into a string."""
    own = {ROOT / "cli" / "terminal.py", ROOT / "report" / "terminal" / "plain.py"}
    others = re.compile(
        r"\bConsole\(|from_markup|\bmarkup=True|render_markup|rich\.print|(?<![\w.])print\("
        r"|sys\.stdout\.write|sys\.stderr\.write|console\.rule|from_ansi"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        if path not in own
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if others.search(line)
    ]
    assert found == []


# --- streams and signals, as processes ------------------------------------------------------------


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "GENCHECK": f"{sys.executable} -m gencheck", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


COMMAND = "$GENCHECK " + " ".join(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{COMMAND} | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}", 0),
        (f"{COMMAND} --json | true; exit ${{PIPESTATUS[0]}}", 0),
        ("$GENCHECK --help | true; exit ${PIPESTATUS[0]}", 0),
        ("$GENCHECK schema concentrate | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
        (f"{COMMAND} --max-risk 0.01 | true; exit ${{PIPESTATUS[0]}}", 1),
        (f"{COMMAND} >&-", 0),
        (f"{COMMAND} --json >&- 2>&-", 0),
        ("$GENCHECK val-bound --nonsense 2>&-", 2),
        (f"{COMMAND} 2>/dev/full >/dev/null", 0),
    ],
)
def test_closed_pipes_are_silent(line: str, code: int, tmp_path: Path) -> None:
    done = shell(tmp_path, line)
    assert done.returncode == code, done.stderr
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("line", [COMMAND, f"{COMMAND} --json", "$GENCHECK --help"])
def test_a_full_device(line: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"{line} >/dev/full")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("gencheck: standard output: found No space left on device")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_encoding_that_lacks_letters(tmp_path: Path) -> None:
    (tmp_path / "β\U0001f600.csv").write_text("loss\n" + "0\n1\n" * 20)
    line = "$GENCHECK val-bound --losses *.csv --n-models 3"
    shown = shell(tmp_path, line, PYTHONIOENCODING="ascii")
    assert shown.returncode == 0, shown.stderr
    assert r"risk \u2264" in shown.stdout
    written = shell(tmp_path, f"{line} --json", PYTHONIOENCODING="ascii")
    assert json.loads(written.stdout)["inputs"]["file"]["path"] == "β\U0001f600.csv"


def case(folder: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    torch.save(module.state_dict(), folder / "m.pt")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "d.npz",
        x_train=rng.normal(size=(20, 4)),
        y_train=rng.integers(2, size=20),
        x_test=rng.normal(size=(20, 4)),
        y_test=rng.integers(2, size=20),
    )


@pytest.mark.slow
def test_a_termination_leaves_nothing_behind(tmp_path: Path) -> None:
    case(tmp_path)
    (tmp_path / "slow.py").write_text(
        "import time\nfrom pathlib import Path\n\n\ndef item(array):\n"
        "    Path('started').touch()\n    time.sleep(0.05)\n    return array\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["m.pt", "d.npz", "--transform", "slow:item", "--output", "o.json"]
    running = subprocess.Popen(
        [sys.executable, "-m", "gencheck", "concentrate", *command],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while running.poll() is None and not (tmp_path / "started").exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    stdout, stderr = running.communicate(timeout=60)
    assert (running.returncode, stdout, stderr) == (143, "", "")
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "o.json").exists()


@pytest.mark.slow
def test_too_little_memory_is_said(tmp_path: Path) -> None:
    case(tmp_path)
    np.save(tmp_path / "losses.npy", np.zeros(60_000_000, dtype=np.uint8))
    limit = 400 * 2**20

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    for command in (
        ["val-bound", "--losses", "losses.npy", "--n-models", "3"],
        ["concentrate", "m.pt", "d.npz"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "gencheck", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            preexec_fn=limited,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            check=False,
            timeout=300,
        )
        assert done.returncode == 2, done.stderr
        assert "the memory does not suffice" in done.stderr
        assert "Traceback" not in done.stderr


# --- extreme numbers ------------------------------------------------------------------------------


def invoked(folder: Path, *options: str) -> Any:
    files = [str(folder / "m.pt"), str(folder / "d.npz")]
    return runner.invoke(app, ["concentrate", *files, "--beta2-budget", "0.1", *options])


@pytest.mark.parametrize("landmarks", [[], ["--landmarks", "5"]], ids=["whole", "landmarks"])
@pytest.mark.parametrize(
    ("factor", "dtype"),
    [(1e19, "float32"), (1e30, "float32"), (1e60, "float64"), (1e300, "float64")],
)
def test_huge_items_are_answered_or_refused_by_name(
    factor: float, dtype: str, landmarks: list[str], tmp_path: Path
) -> None:
    def audited(size: float) -> Any:
        case(tmp_path)
        arrays = dict(np.load(tmp_path / "d.npz"))
        for name in ("x_train", "x_test"):
            arrays[name] = (arrays[name] * size).astype(dtype)
        np.savez(tmp_path / "d.npz", **arrays)
        rounds = "0" if landmarks else "5"
        return invoked(tmp_path, "--dtype", dtype, *landmarks, "--permutations", rounds, "--json")

    done = audited(factor)
    if factor == 1e60:
        # so large that biases do not matter: β1 grows with the square
        values = [json.loads(done.stdout)["beta1"]["value"] / factor**2]
        values.append(json.loads(audited(1e20).stdout)["beta1"]["value"] / 1e40)
        assert values[0] == pytest.approx(values[1], rel=1e-9)
        return
    if factor == 1e300:
        assert done.exit_code == 2, done.stderr
        return
    # landmarks are kernels in float64 whatever the dtype
    if landmarks and dtype == "float32":
        assert done.exit_code == 0, done.stderr
        return
    assert done.exit_code == 2, done.stderr
    assert "the path kernel of the items: found values of up to" in done.stderr
    if dtype == "float32":
        assert invoked(tmp_path, "--dtype", "float64").exit_code == 0


def test_items_past_the_dtype_are_named(tmp_path: Path) -> None:
    case(tmp_path)
    arrays = dict(np.load(tmp_path / "d.npz"))
    arrays["x_train"][3, 1] = 1e39
    np.savez(tmp_path / "d.npz", **arrays)
    done = invoked(tmp_path)
    assert done.exit_code == 2
    assert "item 3: found a number past the range of float32" in done.stderr
    assert "Warning" not in done.stderr


def test_huge_targets_are_refused_by_item(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "m.pt")
    rows = ["a,b,y", "1,1,0.5", "0,1,1e160", "0.5,0,1", "1,0,0", "0,1,1"]
    (tmp_path / "d.csv").write_text("\n".join(rows))
    files = [str(tmp_path / "m.pt"), str(tmp_path / "d.csv")]
    done = runner.invoke(app, ["concentrate", *files, "--holdout", "0.4", "--task", "regression"])
    assert done.exit_code == 2, done.stderr
    assert "item 1: found a target of 1e+160" in done.stderr


def test_an_endless_budget_is_refused(tmp_path: Path) -> None:
    case(tmp_path)
    for text in ("inf", "nan", "-1"):
        done = invoked(tmp_path, "--beta2-budget", text)
        assert done.exit_code == 2
        assert "--beta2-budget" in done.stderr


def test_the_program_s_own_streams_are_text(program: Program) -> None:
    assert isinstance(sys.stdout, io.TextIOBase)
    assert program(*SMALL, "--json").stdout.endswith("}\n")
