"""Files are whole or absent, and one module writes all of them."""

import ast
import os
import stat
import threading
from pathlib import Path
from typing import IO

import pytest

from gencheck.atomic import make_folder, remove, write_whole
from gencheck.errors import InputError

ROOT = Path(__file__).parent.parent / "gencheck"
# What puts bytes into a file that it opens by itself.
WRITERS = {
    "write_text",
    "write_bytes",
    "NamedTemporaryFile",
    "mkstemp",
    "save_file",
    "rename",
    "tofile",
}
# What writes into a path or a buffer: a buffer is asked for.
INTO_BUFFERS = {"savez", "savez_compressed", "save", "savefig", "dump"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_other_module_writes_files(path: Path) -> None:
    if path.name == "atomic.py":
        return
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        # a pipe's content, in a temporary folder, named once its kind is known
        named = path.name == "pipes.py" and name == "rename"
        assert named or name not in WRITERS, f"line {call.lineno}: {name}"
        if name == "open":
            modes = [a.value for a in call.args if isinstance(a, ast.Constant)]
            modes += [k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)]
            texts = [mode for mode in modes if isinstance(mode, str) and len(mode) < 4]
            # a pipeline's own summary, which is appended to; a pipe's content, in a temporary folder
            own = (path.name, texts) in (("deliver.py", ["a"]), ("pipes.py", ["wb"]))
            assert own or not any(set(mode) & set("wax+") for mode in texts), f"line {call.lineno}"
        if name in INTO_BUFFERS:
            # of the call, and of one that makes what has the method, as a pickler is made
            maker = getattr(call.func, "value", None)
            arguments = [*call.args, *(maker.args if isinstance(maker, ast.Call) else [])]
            names = [getattr(argument, "id", "") for argument in arguments]
            # the library's own `save` of bytes, and a method of ours, have no path at all
            own = name == "save" and names in ([""], ["state"], ["tile", "block"], ["path", ""])
            assert own or "buffer" in names, f"line {call.lineno}: {name} of {names}"


def test_whole_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one", "--output")
    write_whole(path, lambda buffer: buffer.write(b"two"), "--output")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    remove(path, "--output")
    remove(path, "--output")
    assert not path.exists()


def test_every_byte_and_name_is_forced_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        said.append(kind)
        sync(handle)

    def replaced(self: Path, target: Path) -> Path:
        said.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_whole(tmp_path / "file", b"one", "--output")
    assert said == ["file", "name", "folder"]
    remove(tmp_path / "file", "--output")
    assert said[3:] == ["folder"]


def test_errors_leave_what_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one", "--output")

    def broken(buffer: IO[bytes]) -> None:
        buffer.write(b"half")
        raise ValueError("cannot draw")

    with pytest.raises(ValueError, match="cannot draw"):
        write_whole(path, broken, "--output")
    with pytest.raises(InputError, match=r"--plot .*absent/file: found No such file or directory"):
        write_whole(tmp_path / "absent" / "file", b"", "--plot")
    with pytest.raises(InputError, match=r"--plot .*: found Is a directory"):
        write_whole(tmp_path, b"", "--plot")
    with pytest.raises(InputError, match=r"--out .*: found File exists"):
        make_folder(path, "--out")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(InputError, match=r"--output .*circle"):
        write_whole(tmp_path / "circle", b"", "--output")
    assert path.read_bytes() == b"one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["circle", "file"]


def test_links_pipes_and_devices(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, b"new", "--output")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_whole(pipe, b"through", "--output")
    reader.join(60)
    assert got == [b"through"]
    assert pipe.is_fifo()
    write_whole(Path("/dev/null"), b"gone", "--output")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(InputError, match="/dev/full: found No space left on device"):
        write_whole(Path("/dev/full"), b"gone", "--output")
