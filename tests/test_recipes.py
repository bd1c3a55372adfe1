"""The recipes for pipelines, run as they are written, in a folder that is not gencheck's own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# what a checkout of the repository brings that an installation needs
CHECKOUT = ("gencheck", "pyproject.toml", "README.md", "LICENSE", "constraints.txt")


class Job:
    """A pipeline's machine: an empty folder, and a Python of its own in which gencheck is not installed.

    Its dependencies are those of the tests, by a path file, so that nothing is downloaded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "job"
        self.folder.mkdir()
        self.python = folder / "python"
        venv.create(self.python, with_pip=True)
        site = sysconfig.get_path("purelib", vars={"base": str(self.python)})
        installed = folder / "dependencies"
        installed.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            # gencheck itself is what the recipe installs
            if "gencheck" not in entry.name and entry.suffix != ".pth":
                (installed / entry.name).symlink_to(entry)
        # first, because a new Python brings an old setuptools of its own
        line = f"import sys; sys.path.insert(0, {str(installed)!r})"
        (Path(site) / "dependencies.pth").write_text(line + "\n")

    def check_out(self, name: str) -> None:
        """Copy the repository to the folder `name`, as a checkout would."""
        target = self.folder / name
        target.mkdir()
        for entry in CHECKOUT:
            copy = shutil.copytree if (ROOT / entry).is_dir() else shutil.copy
            copy(ROOT / entry, target / entry)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one shell step."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={
                **inherited,
                "PATH": f"{self.python / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "VIRTUAL_ENV": str(self.python),
                # nothing is fetched: what builds and what is needed is there
                "PIP_NO_INDEX": "1",
                "PIP_NO_BUILD_ISOLATION": "0",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """One machine for all recipes."""
    return Job(tmp_path_factory.mktemp("pipeline"))


def predictions(wrong: int, items: int = 1000) -> str:
    """A file with so many wrong predictions."""
    return "label,prediction\n" + "1,0\n" * wrong + "1,1\n" * (items - wrong)


@pytest.mark.slow
def test_the_workflow_of_the_readme(job: Job) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = text.split("```yaml\njobs:")[1].split("```")[0]
    assert "{ repository: OWNER/gencheck, path: .gencheck }" in workflow
    job.check_out(".gencheck")
    install, gate = re.findall(r"- run: (.+)", workflow)
    done = job.run(install)
    assert done.returncode == 0, done.stdout + done.stderr
    for wrong, code in ((5, 0), (60, 1)):
        (job.folder / "predictions.csv").write_text(predictions(wrong))
        run = job.run(gate)
        assert run.returncode == code, run.stderr
    assert "gate failed: max-risk 0.05" in run.stderr
    where = job.run("python -c 'import gencheck; print(gencheck.__file__)'").stdout
    assert where.startswith(str(job.python)), where
    assert sys.executable not in where
