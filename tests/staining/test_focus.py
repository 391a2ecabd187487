from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.models import BackgroundScaling, RangeScaling
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.staining import focus

Z = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)


def judge(series, pixel=0.325):
    return focus.order_of_focus(focus.contrast_planes(series.astype(np.float32), pixel))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("absorption", [0.0, 0.1])
@pytest.mark.parametrize("planes", [7, 5, 2])
def test_direction_of_a_propagated_series(series_of, seed, absorption, planes):
    series = series_of(np.linspace(-6, 6, planes), seed=seed, absorption=absorption)
    assert judge(series) == 1
    assert judge(series[::-1]) == -1


def _stacks(series_of, *turned):
    found = []
    for seed, turn in enumerate(turned):
        series = series_of(Z, seed=seed).astype(np.float32)
        found.append(BrightfieldStack(series[::turn], FieldIdentity(str(seed)), (0.325, 0.325), Z))
    return found


def test_the_direction_of_several_stacks_is_the_one_they_agree_on(series_of):
    def judged(stacks, scaling=BackgroundScaling()):  # noqa: B008
        return focus.order_of_stacks(stacks, scaling, 0.325)

    along, against = _stacks(series_of, 1, 1), _stacks(series_of, -1, -1)
    assert judged(along) == 1
    assert judged(against) == -1
    assert judged(_stacks(series_of, 1, -1)) == 0
    assert judged([]) == 0
    turned = [replace(stack, data=stack.data[::-1], z_um=Z[::-1]) for stack in along]
    assert judged(turned) == 1  # by ascending position
    flat = [replace(stack, data=np.full((7, 64, 64), 5.0)) for stack in along]
    assert judged([along[0], flat[0]]) == 1
    assert judged([along[0], *flat]) == 0
    assert judged(along, RangeScaling(minimum=(0,) * 7, maximum=(1,) * 7)) == 0


def test_noise_and_a_single_plane_tell_nothing():
    rng = np.random.default_rng(0)
    assert judge(rng.poisson(1000, (7, 128, 128))) == 0
    assert judge(rng.poisson(1000, (1, 128, 128))) == 0
    assert judge(np.full((7, 64, 64), 5.0)) == 0


def test_a_symmetric_series_tells_nothing(series_of):
    half = series_of((2.0, 4.0, 6.0))
    assert judge(np.concatenate([half[::-1], half])) == 0


def test_sharpest_plane(series_of):
    series = series_of((-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0))
    contrast = focus.contrast_planes(series.astype(np.float32), 0.325)
    assert focus.sharpest_plane(contrast) == 2


def test_sharpest_plane_is_unknown_where_contrast_only_falls(series_of):
    series = series_of((2.0, 4.0, 6.0, 8.0))
    contrast = focus.contrast_planes(series.astype(np.float32), 0.325)
    assert focus.sharpest_plane(contrast) is None


@pytest.mark.real_data
def test_real_series_runs_against_the_stage(shared):
    """Centres of its cells are bright at the lowest stage position and dark at the highest."""
    from skimage.io import imread

    folder = shared / "data" / "sephace_brightfield" / "set1"
    files = {float(p.stem.split("-Z")[1]): p for p in folder.glob("*Z1*.png")}
    planes = np.stack([np.atleast_3d(imread(files[z]))[..., 0] for z in sorted(files)])
    assert judge(planes[:, 128:896, 288:1056], 0.2) == -1


def test_sample_reads_the_centre():
    data = np.arange(2 * 900 * 1000).reshape(2, 900, 1000)
    sample = focus.sample_planes(data)
    np.testing.assert_array_equal(sample, data[:, 66:834, 116:884].astype(np.float32))


def test_simulated_fields_run_against_the_light():
    from napari_fluorgen.simulation.field import simulate_field
    from napari_fluorgen.simulation.presets import get_preset

    field = simulate_field(get_preset("20x"), seed=3, shape=(256, 256))
    assert judge(np.asarray(field.brightfield)) == focus.SIMULATED_ORDER
