"""What napari finds of the plugin, and its reader, writer and samples without a window."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import npe2
import numpy as np
import pytest
import tifffile
import yaml
from napari.layers import Labels

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.field_lock import field_lock
from napari_fluorgen.io.results import list_fields, read_field
from napari_fluorgen.widgets.presenters.layers import record_of, result_layers, stack_layers
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.reader import get_reader
from napari_fluorgen.widgets.writer import write_results

from .conftest import layer_of, write_labels


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_distribution("napari-fluorgen")


def test_manifest_is_valid():
    command = [sys.executable, "-m", "npe2", "validate", "napari-fluorgen"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_leads_to_something(manifest):
    for command in manifest.contributions.commands:
        assert callable(npe2.manifest.utils.import_python_name(command.python_name))


def test_the_docks_come_in_the_order_of_the_work(manifest):
    names = [widget.display_name for widget in manifest.contributions.widgets]
    assert names == ["Load stacks", "Virtual stain", "Confidence", "Measure & export", "Train"]


def test_the_top_level_shows_the_same_manifest():
    top = Path(__file__).resolve().parents[2] / "napari.yaml"
    if not top.exists():
        pytest.skip("not in a checkout")
    packaged = resources.files("napari_fluorgen").joinpath("napari.yaml").read_text()
    assert yaml.safe_load(top.read_text()) == yaml.safe_load(packaged)


def test_starting_napari_loads_nothing_heavy(manifest):
    """Modules that the manifest names must not import torch or openvino."""
    modules = {c.python_name.split(":")[0] for c in manifest.contributions.commands}
    modules = {m for m in modules if ".dock" not in m}
    code = f"""
import importlib, sys
for name in {sorted(modules)!r}:
    importlib.import_module(name)
heavy = {{"torch", "openvino", "skimage", "napari", "zarr", "dask"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_napari_asks_us_about_the_instruments_names(manifest, plate_folder):
    manager = npe2.PluginManager()
    manager.register(manifest)
    file = next(plate_folder.glob("*C04.tif"))
    assert list(manager.iter_compatible_readers([str(file)]))
    assert list(manager.iter_compatible_readers([str(plate_folder)]))
    assert not list(manager.iter_compatible_readers([str(plate_folder / "other.tif")]))
    assert not list(manager.iter_compatible_readers([str(plate_folder / "picture.png")]))


@pytest.mark.parametrize("path", ["", "/nowhere", "/nowhere/a.tif", "http://x/y.tif", []])
def test_foreign_paths_are_left_to_others(path):
    assert get_reader(path) is None


def test_foreign_files_and_folders_are_left_to_others(tmp_path):
    tifffile.imwrite(tmp_path / "mine.tif", np.zeros((7, 8, 8), np.uint16))
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text("[]")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / ".zattrs").write_text("{")
    for path in (tmp_path, *tmp_path.iterdir()):
        assert get_reader(str(path)) is None


def test_a_plate_opens_with_its_first_field(plate_folder):
    write_labels(plate_folder, "B03", 1, np.eye(96, 128, dtype=np.uint16))
    layers = get_reader(str(plate_folder))(str(plate_folder))
    assert [kind for _, _, kind in layers] == ["image"] * 4 + ["labels"]
    assert record_of(layers[0][1]["metadata"])["identity"].well == "B03"
    assert layers[0][0].shape == (7, 96, 128)


def test_files_of_one_field_become_one_stack(plate_folder):
    files = [str(path) for path in sorted(plate_folder.glob("*_B03_*F002*C04.tif"))]
    assert len(files) == 7
    layers = get_reader(files)(files)
    assert record_of(layers[0][1]["metadata"])["identity"].site == 2
    assert sum(meta["name"].endswith("brightfield") for _, meta, _ in layers) == 1


def test_written_results_are_read_again(result, stack, tmp_path):
    folder = tmp_path / "results"
    spatial = Spatial.of_stack(stack).plane()
    data = [spec.as_tuple() for spec in result_layers(result, spatial, run="r")]
    written = write_results(str(folder), data)
    assert all(Path(file).is_file() for file in written)
    layers = get_reader(str(folder))(str(folder))
    roles = {record_of(meta["metadata"])["role"]: pixels for pixels, meta, _ in layers}
    np.testing.assert_array_equal(roles["lipids"], result.images["lipids"])
    np.testing.assert_array_equal(roles["nuclei labels"], result.nuclei_labels)
    np.testing.assert_allclose(roles["p-value nucleus"], result.p_values["nucleus"])


def test_a_field_that_is_being_stained_into_the_folder_is_not_saved(result, stack, tmp_path):
    folder = tmp_path / "results"
    spatial = Spatial.of_stack(stack).plane()
    other = replace(result, identity=replace(result.identity, name="other"), channel_files={})
    data = [
        spec.as_tuple()
        for key, field in (("a", other), ("b", result), ("c", result))
        for spec in result_layers(field, spatial, run=key)
    ]
    one = [layer for layer in data if record_of(layer[1]["metadata"])["run"] == "b"]
    with field_lock(folder, result.identity):
        before = list(folder.iterdir())
        for layers in (data, one):
            with pytest.raises(OutputError, match=r"is being stained into .*results by another"):
                write_results(str(folder), layers)
        assert list(folder.iterdir()) == before, "nothing of other fields either"
        write_results(str(tmp_path / "elsewhere"), one)
    assert not folder.exists()
    write_results(str(folder), one)
    assert list_fields(folder) == [result.identity.name]
    assert list(folder.glob("*.stain.lock")) == []
    with pytest.raises(OutputError, match="exists already"):  # two results of one field
        write_results(str(tmp_path / "twice"), [*one, *data[-len(one) :]])


@pytest.mark.usefixtures("viewer")  # napari's own writers are there once it has started
def test_other_layers_are_written_as_napari_does(result, stack, tmp_path):
    spatial = Spatial.of_stack(stack).plane()
    specs = [*stack_layers(stack), *result_layers(result, spatial, run="r")]
    layers = [layer_of(spec).as_layer_data_tuple() for spec in specs]
    written = {Path(file).name for file in write_results(str(tmp_path / "all"), layers)}
    assert {"B03 s1 brightfield.tif", "B03 s1 true lipids.tif", "P_B03_F001_lipids.tif"} <= written
    assert read_field(tmp_path / "all", "P_B03_F001").nuclei_labels.max() == 3
    foreign = Labels(np.eye(9, dtype=int)).as_layer_data_tuple()
    alone = write_results(str(tmp_path / "one"), [foreign])
    np.testing.assert_array_equal(tifffile.imread(alone), np.eye(9))
    part = [layer for layer in layers if "outlines" in layer[1]["name"]]
    assert len(write_results(str(tmp_path / "part"), part)) == 1


@pytest.mark.parametrize("key", ["adipocytes-1", "adipocytes-2"])
def test_samples_have_truth_and_a_pixel_size(manifest, key, sample_folder):
    if not any(sample_folder.iterdir()):
        pytest.skip("no sample data in this checkout")
    (sample,) = [s for s in manifest.contributions.sample_data if s.key == key]
    command = next(c for c in manifest.contributions.commands if c.id == sample.command)
    layers = npe2.manifest.utils.import_python_name(command.python_name)()
    assert layers[0][0].shape[0] == 7
    assert layers[0][1]["units"][-1] == "micrometer"
    assert [kind for _, _, kind in layers] == ["image"] * 4 + ["labels"]
