"""The house: a light import, the package map, the floors, and both ways of finding the sub-packages."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DIR = PYPROJECT["tool"]["setuptools"]["package-dir"]

# Floor of each room; a module may import its own floor and those below. The longest matching prefix decides.
FLOORS = {
    "inspatio_gym.render": 5,
    "inspatio_gym": 1,
    "inspatio_gym.types": 1,
    "inspatio_gym.camera": 1,
    "inspatio_gym.clock": 1,
    "inspatio_gym.geometry": 1,
    "inspatio_gym.scenes": 2,
    "inspatio_gym.checkpoints": 2,
    "inspatio_gym.world": 3,
    "inspatio_gym.fake": 3,
    "inspatio_gym.warp": 3,
    "inspatio_gym.layers": 3,
    "inspatio_gym.star": 3,
    "inspatio_gym.evaluation": 3,
    "inspatio_gym.evaluation.command": 5,
    "inspatio_gym.evaluation.pictures": 5,
    "inspatio_gym.evaluation.report": 5,
    "inspatio_gym.training": 3,
    "inspatio_gym.training.world.card": 5,
    "inspatio_gym.training.world.command": 5,
    "inspatio_gym.envs": 4,
    "inspatio_gym.agents": 5,
    "inspatio_gym.bench": 5,
    "inspatio_gym.collect": 5,
    "inspatio_gym.doctor": 5,
    "inspatio_gym.status": 5,
    "inspatio_gym.cli": 5,
}


def floor_of(module: str) -> int:
    parts = module.split(".")
    while ".".join(parts) not in FLOORS:
        parts.pop()
    return FLOORS[".".join(parts)]


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in PYPROJECT["tool"]["setuptools"]["packages"]:
        head = max((key for key in PACKAGE_DIR if package == key or package.startswith(key + ".")), key=len)
        folder = ROOT / PACKAGE_DIR[head] / Path(*package[len(head) :].strip(".").split("."))
        found += [
            (package if file.stem == "__init__" else f"{package}.{file.stem}", file) for file in folder.glob("*.py")
        ]
    return found


def test_every_python_file_of_the_house_belongs_to_a_listed_package():
    listed = {file for _, file in modules()}
    tree = {file for room in set(PACKAGE_DIR.values()) for file in (ROOT / room).rglob("*.py")}
    assert tree == listed


@pytest.mark.parametrize(("module", "file"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_no_import_runs_upwards(module: str, file: Path):
    own = floor_of(module)
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("inspatio_gym"):
                assert floor_of(name) <= own, f"{module} (floor {own}) imports {name} (floor {floor_of(name)})"


def run_python(code: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_light_and_registers_the_ids(tmp_path: Path):
    code = (
        "import sys, gymnasium, inspatio_gym\n"
        "heavy = {'torch', 'ray', 'stable_baselines3', 'numba', 'cv2', 'av', 'pycolmap'} & set(sys.modules)\n"
        "print(sorted(heavy), 'InSpatio-v0' in gymnasium.registry)"
    )
    assert run_python(code, tmp_path) == "[] True"


def test_an_environment_brings_nothing_that_is_slow_to_import(tmp_path: Path):
    code = (
        "import sys, gymnasium, inspatio_gym\n"
        "gymnasium.make('InSpatio-v0', scene='room').reset(seed=0)\n"
        "print(sorted({'torch', 'ray', 'scipy.spatial', 'scipy.interpolate', 'pycolmap', 'matplotlib'} & set(sys.modules)))"
    )
    assert run_python(code, tmp_path) == "[]"


def test_the_source_tree_alone_finds_its_sub_packages(tmp_path: Path):
    """A worker that gets the tree as its working directory, with nothing installed."""
    code = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import inspatio_gym.envs, inspatio_gym.scenes.synthetic, inspatio_gym.agents\n"
        "print(inspatio_gym.envs.__file__)"
    )
    assert run_python(code, tmp_path) == str(ROOT / "envs" / "__init__.py")


@pytest.mark.slow
def test_a_wheel_holds_the_whole_house_and_nothing_called_envs(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    site = tmp_path / "site"
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"inspatio_gym"}
    assert (site / "inspatio_gym" / "py.typed").is_file()
    assert {file.suffix for file in (site / "inspatio_gym/checkpoints/inspatio-tiny").iterdir()} == {
        ".json",
        ".md",
        ".png",
        ".safetensors",
    }
    code = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        "import inspatio_gym, inspatio_gym.envs.env, inspatio_gym.scenes\n"
        "print(inspatio_gym.__file__)"
    )
    assert run_python(code, tmp_path) == str(site / "inspatio_gym" / "__init__.py")
