"""What a training node runs: it has torch and lightning, and nothing of what a desktop needs."""

import json
import subprocess
import sys

import pytest

# All that the node lacks. What remains beyond the standard library is torch, lightning, numpy,
# scipy, scikit-image with what it needs itself, tifffile, pydantic, PyYAML, safetensors, typer
# and rich.
ABSENT = (
    "bioimageio", "crepes", "dask", "imagecodecs", "llvmlite", "magicgui", "napari", "onnx",
    "onnxruntime", "openvino", "openvino_telemetry", "pandas", "platformdirs", "qtpy", "sklearn",
    "superqt", "tensorboard", "zarr",
)  # fmt: skip

# Looks to the programs as if these packages were not installed.
HIDE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {absent!r}
        return None if hidden else self.finder.find_spec(name, path, target)

    def find_distributions(self, context):
        if hasattr(self.finder, "find_distributions") and context.name not in {absent!r}:
            yield from self.finder.find_distributions(context)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

IMPORT_ALL = """
import importlib, pkgutil, napari_fluorgen
for module in pkgutil.walk_packages(napari_fluorgen.__path__, "napari_fluorgen."):
    if not module.name.startswith("napari_fluorgen.widgets") and "__main__" not in module.name:
        importlib.import_module(module.name)
"""

RUN = """
from napari_fluorgen.cli import main
sys.argv[0] = "fluorgen"
sys.exit(main())
"""


def run_on_node(script, *arguments, cwd=None):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            HIDE.replace("{absent!r}", repr(ABSENT)) + script,
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_absent_packages_are_hidden():
    script = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"
    assert run_on_node(script.format(ABSENT)).strip() == "[]"


def test_every_module_but_the_widgets_imports():
    run_on_node(IMPORT_ALL)


@pytest.mark.slow
def test_simulates_trains_and_stains(config_file, pairs_folder, tmp_path):
    run_on_node(RUN, "simulate", "-o", "simulated", "--fields", 1, "--size", 64, cwd=tmp_path)
    run_on_node(RUN, "train", config_file, "-o", "tiny-20x", cwd=tmp_path)
    run_on_node(
        RUN, "stain", "simulated", "-o", "stained", "--model", "tiny-20x", "--device", "cpu",
        cwd=tmp_path,
    )  # fmt: skip
    (field,) = json.loads((tmp_path / "stained" / "run.json").read_text())["fields"].values()
    assert field["backend"] == "pytorch"
    names = {path.name.rpartition("C")[2] for path in (tmp_path / "stained").glob("*.tif")}
    assert names == {"01.tif", "02.tif", "03.tif"}
