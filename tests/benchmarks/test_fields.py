"""The cache of simulated fields: never fields of another preset, never two of one seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_fluorgen.simulation.field import simulate_field
from napari_fluorgen.simulation.presets import get_preset


def test_fields_come_back_as_they_were_simulated_and_are_made_once(benchmark_module, tmp_path):
    fields = benchmark_module("fields")
    preset = get_preset("20x")
    (file,) = fields.simulate(preset, [7], (48, 64), tmp_path, workers=1)
    made = file.stat().st_mtime_ns
    found = fields.read(file)
    expected = simulate_field(preset, 7, (48, 64))
    np.testing.assert_array_equal(found.labels, expected.nuclei_labels)
    assert found.stack.z_um == expected.z_um
    for stain, image in expected.stains.items():
        np.testing.assert_array_equal(found.truth[stain], image)
    assert fields.simulate(preset, [7], (48, 64), tmp_path, workers=1) == [file]
    assert file.stat().st_mtime_ns == made


def test_another_preset_has_another_folder(benchmark_module, tmp_path):
    fields = benchmark_module("fields")
    preset = get_preset("20x")
    other = replace(preset, camera=replace(preset.camera, nuclei_counts=(1.0, 2.0)))
    assert fields._digest(preset) != fields._digest(other)
