"""What README and docs/ show is run; the README's tree is the tree."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from conftest import ROOT, write_split
from demo_serving import served
from packaging.requirements import Requirement

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.S)


SLOW = ("export.md",)


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name, marks=[pytest.mark.slow] * (p.name in SLOW)) for p in PAGES])
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page.name == "export.md":  # graphs cannot be traced through the shape checks of these tests
        code = "\n".join(_blocks(page, "python"))
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return
    scope: dict = {}
    for block in _blocks(page, "python"):
        if "gradio_client" not in block:
            exec(block, scope)


def test_what_programs_ask_the_app_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    blocks = [block for page in PAGES for block in _blocks(page, "python") if "gradio_client" in block]
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    write_split(tmp_path / "cells", 1, 0, (128, 144))
    next((tmp_path / "cells" / "images").iterdir()).rename("cell.png")
    with served(ROOT / "checkpoints", tmp_path) as server:
        for block in blocks:
            assert "http://127.0.0.1:7860" in block
            exec(block.replace("http://127.0.0.1:7860", server.address), {})
    shown = capsys.readouterr().out
    assert "max+nearest" in shown and "lift+lift@adaptive" in shown


def test_a_space_installs_what_the_app_needs() -> None:
    import yaml

    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    assert [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")] == wanted
    front = yaml.safe_load((ROOT / "README.md").read_text().split("---")[1])
    assert front["sdk"] == "gradio" and (ROOT / front["app_file"]).is_file() and front["license"] == project["license"].lower()
    gradio = next(line for line in wanted if line.startswith("gradio"))
    assert Requirement(gradio).specifier.contains(front["sdk_version"])


def test_console_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from unetlift import cli

    monkeypatch.chdir(tmp_path)
    for seed, (split, count) in enumerate({"train": 8, "val": 2, "test": 2}.items()):
        write_split(tmp_path / "cells" / split, count, seed)
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), tmp_path / "lite0.pth")
    pages = [ROOT / "docs" / name for name in ("data.md", "training.md", "predict.md", "stability.md", "anchoring.md")]
    commands = [line for page in pages for block in _blocks(page, "console") for line in block.splitlines()]
    assert len(commands) == 15
    for line in commands:
        prompt, program, *arguments = shlex.split(line)
        assert (prompt, program) == ("$", "unetlift")
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0, (line, capsys.readouterr().err)


def test_yaml_blocks_of_the_training_page_are_accepted() -> None:
    import yaml

    from unetlift.config import NetworkConfig
    from unetlift.recipe import TrainConfig

    data_set, run = (yaml.safe_load(block) for block in _blocks(ROOT / "docs" / "training.md", "yaml"))
    assert set(data_set) == {"classes", "colours", "ignore_index"}
    assert set(run) <= set(TrainConfig.__dataclass_fields__) | set(NetworkConfig.__dataclass_fields__)


def test_every_flag_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for line in re.findall(r"^unetlift (.*)$", text, flags=re.M):
        command = shlex.split(line)
        if command[0] == "COMMAND":
            continue
        shown = subprocess.run([sys.executable, "-m", "unetlift.cli", command[0], "--help"], capture_output=True, text=True).stdout
        for flag in (part for part in command if part.startswith("--")):
            assert flag in shown, (line, flag)


def test_the_readmes_tree_is_the_tree() -> None:
    tree = re.search(r"## The tree\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)[1]
    named, folder = set(), []
    for line in tree.splitlines():
        indent, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folder = [*folder[:indent], name.rstrip("/")]
        named.add("/".join(folder))
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "unetlift").glob("*.py")} - {"unetlift/__init__.py"}
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "unetlift").glob("*/__init__.py")}
    opened = [room for room in rooms if any(name.startswith(f"{room}/") for name in named)]  # all of its files, or none
    files = {path.relative_to(ROOT).as_posix() for room in opened for path in (ROOT / room).glob("[!_]*.py")}
    assert {name for name in named if name.startswith("unetlift/")} == package | rooms | files
    assert all((ROOT / name).exists() for name in named)


def test_the_rooms_contracts_hold() -> None:
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_code_is_clean() -> None:
    done = subprocess.run([Path(sys.executable).with_name("ruff"), "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_modules_and_functions_stay_small() -> None:
    import ast

    for path in (ROOT / "unetlift").rglob("*.py"):
        source = path.read_text()
        assert len(source.splitlines()) <= 250, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                doc = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (len(doc.splitlines()) if doc else 0)
                assert lines <= 40, (path, node.name, lines)
