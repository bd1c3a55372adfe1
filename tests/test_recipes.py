"""The recipes for pipelines, run as they are written, in a folder that is not gencheck's own."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
# what a checkout of the repository brings that an installation needs
CHECKOUT = (
    *("gencheck", "pyproject.toml", "README.md", "LICENSE", "constraints.txt", ".github"),
    ".pre-commit-hooks.yaml",
)


class Job:
    """A pipeline's machine: an empty folder, and a Python of its own in which gencheck is not installed.

    Its dependencies are those of the tests, by a path file, so that nothing is downloaded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "job"
        self.folder.mkdir()
        self.python = folder / "python"
        # pip is one of the dependencies, but for environments that other tools have made
        site_packages = Path(sysconfig.get_path("purelib"))
        venv.create(self.python, with_pip=not (site_packages / "pip").is_dir())
        site = sysconfig.get_path("purelib", vars={"base": str(self.python)})
        installed = folder / "dependencies"
        installed.mkdir()
        for entry in site_packages.iterdir():
            # gencheck itself is what the recipe installs
            if "gencheck" not in entry.name and entry.suffix != ".pth":
                (installed / entry.name).symlink_to(entry)
        # first, because a new Python brings an old setuptools of its own
        line = f"import sys; sys.path.insert(0, {str(installed)!r})"
        (Path(site) / "dependencies.pth").write_text(line + "\n")

    def check_out(self, name: str) -> None:
        """Copy the repository to the folder `name`, as a checkout would."""
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
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
                # each recipe installs every module and runs a few of them
                "PIP_NO_COMPILE": "1",
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


def recipe(name: str) -> str:
    """The block of docs/pipelines.md under the mark of a recipe."""
    text = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    return text.split(f"<!-- recipe: {name} -->\n```")[1].split("\n", 1)[1].split("\n```")[0]


class Runner:
    """The shell steps of a composite action, as a runner carries them out."""

    def __init__(self, job: Job, action: Path) -> None:
        self.job, self.action = job, action
        self.definition = yaml.safe_load((action / "action.yml").read_text(encoding="utf-8"))
        self.summary, self.output = job.folder / "summary.md", job.folder / "output.txt"

    def run(self, step: dict[str, Any], inputs: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """One step, with what it takes from the inputs."""
        values = {name: about["default"] for name, about in self.definition["inputs"].items()}
        assert inputs.keys() <= values.keys()
        values |= inputs

        def filled(text: str) -> str:
            return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda m: values[m[1]], text)

        assert step["shell"] == "bash"
        # what a user gives reaches the shell as a variable, never as text of the script
        assert "${{" not in step["run"]
        return self.job.run(
            step["run"],
            **{name: filled(text) for name, text in step["env"].items()},
            GITHUB_ACTION_PATH=str(self.action),
            GITHUB_STEP_SUMMARY=str(self.summary),
            GITHUB_OUTPUT=str(self.output),
            RUNNER_TEMP=str(self.job.folder),
        )


@pytest.mark.slow
def test_the_action(job: Job) -> None:
    job.check_out(".action")
    runner = Runner(job, job.folder / ".action" / ".github" / "actions" / "gencheck")
    steps = yaml.safe_load(recipe("github"))["jobs"]["trust"]["steps"]
    (used,) = (step for step in steps if "gencheck" in step["uses"])
    inputs = {name: str(value) for name, value in used["with"].items()}
    install, gate = runner.definition["runs"]["steps"]
    installed = runner.run(install, inputs)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "torch" not in installed.stdout
    for wrong, code, said in (
        (5, 0, "Gate passed"),
        (60, 1, "::error title=gencheck::Gate FAILED"),
    ):
        (job.folder / "predictions.csv").write_text(predictions(wrong))
        run = runner.run(gate, inputs)
        assert run.returncode == code, run.stdout + run.stderr
        assert said in run.stdout
    assert "Gate FAILED: max-risk 0.05" in runner.summary.read_text()
    assert json.loads((job.folder / "gencheck.json").read_text())["schema"].startswith("gencheck")
    more = runner.run(gate, inputs | {"args": "--solve\nnonsense", "predictions": "no such; file"})
    assert more.returncode == 2
    assert "::error title=gencheck::gencheck: " in more.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wrong", "code"), [("gitlab", 60, 1), ("shell", 5, 0)])
def test_recipes(name: str, wrong: int, code: int, job: Job) -> None:
    text = recipe(name)
    script = text if name == "shell" else "\n".join(yaml.safe_load(text)["trust"]["script"])
    repository = job.folder.parent / f"repository-{name}"
    if not repository.exists():
        job.check_out(f"../{repository.name}")
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all"],
        ):
            subprocess.run(["git", *command], cwd=repository, check=True, capture_output=True)
    shutil.rmtree(job.folder / ".gencheck", ignore_errors=True)
    (job.folder / "predictions.csv").write_text(predictions(wrong))
    run = job.run(script, GENCHECK_REPOSITORY=repository.as_uri())
    assert run.returncode == code, run.stdout + run.stderr
    assert "max-risk 0.05" in run.stdout


@pytest.mark.slow
def test_the_hook(job: Job) -> None:
    """The hook's entry as pre-commit calls it: in the repository's root, without file names."""
    wanted = yaml.safe_load(recipe("pre-commit"))["repos"][0]["hooks"][0]["id"]
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["id"] == wanted
    assert not hook["pass_filenames"]
    text = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    (job.folder / "gencheck.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    job.check_out(".hook")
    assert job.run("python -m pip install --no-deps ./.hook").returncode == 0
    for wrong, code in ((5, 0), (60, 1)):
        (job.folder / "predictions.csv").write_text(predictions(wrong))
        run = job.run(hook["entry"])
        assert run.returncode == code, run.stdout + run.stderr
    (job.folder / "gencheck.toml").unlink()
