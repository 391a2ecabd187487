from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_fluorgen.errors import Cancelled, ConfigError, DeviceError, InputError
from napari_fluorgen.staining import engine
from napari_fluorgen.staining.backends import open_backend
from napari_fluorgen.staining.background import estimate_background
from napari_fluorgen.staining.devices import resolve_device
from napari_fluorgen.staining.engine import Notice, Planned, TileDone, estimate, stain_arrays

FAST = {"device": "cpu", "precision": "float32", "focus": "as-is"}


def untiled(stack, model):
    """The networks over the whole field at once, written down independently of the engine."""
    import torch

    _, height, width = stack.shape
    data = np.asarray(stack.data)
    background = estimate_background(data, 0.325)
    x = (background.divide(data, slice(0, height), slice(0, width)) - 1) * model.spec.input.gain
    pad = [(0, 0), (0, -height % model.spec.divisor), (0, -width % model.spec.divisor)]
    x = np.pad(x, pad, mode="edge")
    with torch.no_grad():
        outputs = model.combined()(torch.from_numpy(x[None]))
    return {
        name: output[0, 0, :height, :width].numpy()
        for name, output in zip(model.spec.output_names, outputs, strict=True)
    }


def counts(maps, model, stain):
    span = model.spec.outputs[stain]
    return span.minimum + maps[stain].astype(np.float64) * (span.maximum - span.minimum)


@pytest.mark.parametrize("tile", [160, 200, 256, 1000])
@pytest.mark.parametrize("shape", [(333, 402), (250, 161)])
def test_tiled_equals_untiled(model, stack_of, image_of, run, tile, shape):
    stack = stack_of(image_of(*shape))
    events, result = run(stain_arrays(stack, model, tile_px=tile, **FAST))
    assert (result.tiles == 1) == (tile >= max(shape))
    expected = untiled(stack, model)
    np.testing.assert_allclose(
        result.nuclei_probability, expected["nuclei_probability"], rtol=0, atol=1e-5
    )
    for stain in model.spec.stains:
        image = result.images[stain]
        assert image.shape == shape
        assert image.dtype == np.uint16
        # 1e-5 of full scale, and half a count of rounding.
        np.testing.assert_allclose(image, counts(expected, model, stain), rtol=0, atol=0.5 + 0.66)
    assert isinstance(events[0], Planned)
    done = [event for event in events if isinstance(event, TileDone)]
    assert [event.done for event in done] == list(range(1, result.tiles + 1))
    assert {event.total for event in done} == {result.tiles}


def test_reduced_precision_stays_close(model, stack_of, image_of, run):
    if "bfloat16" not in resolve_device("cpu").precisions:
        pytest.skip("this CPU has no native bfloat16")
    stack = stack_of(image_of(180, 220))
    _, result = run(stain_arrays(stack, model, device="cpu", precision="bfloat16"))
    expected = untiled(stack, model)["nuclei_probability"]
    assert result.precision == "bfloat16"
    assert np.abs(result.nuclei_probability - expected).mean() < 5e-3


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (17, 16), (40, 33)])
def test_tiny_images(model, stack_of, image_of, run, shape):
    stack = stack_of(image_of(*shape))
    _, result = run(stain_arrays(stack, model, **FAST))
    expected = untiled(stack, model)["nuclei_probability"]
    assert result.nuclei_probability.shape == shape
    np.testing.assert_allclose(result.nuclei_probability, expected, rtol=0, atol=1e-5)


def test_bit_for_bit_the_same(model, stack_of, image_of, run):
    stack = stack_of(image_of(260, 300))
    _, first = run(stain_arrays(stack, model, tile_px=160, **FAST))
    _, second = run(stain_arrays(stack, model, tile_px=160, **FAST))
    assert first.nuclei_probability.tobytes() == second.nuclei_probability.tobytes()
    for stain, image in first.images.items():
        assert image.tobytes() == second.images[stain].tobytes()


@pytest.mark.parametrize("backend", ["native", "openvino"])
def test_what_computes_on_the_cpu_agrees(model, stack_of, image_of, run, monkeypatch, backend):
    stack = stack_of(image_of(120, 150))
    found = []
    for name in (backend, "pytorch"):
        monkeypatch.setenv("FLUORGEN_BACKEND", name)
        found.append(run(stain_arrays(stack, model, **FAST))[1])
    assert [result.backend for result in found] == [backend, "pytorch"]
    probabilities = [result.nuclei_probability for result in found]
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-5)


def test_lazy_and_plain_arrays_agree(model, stack_of, image_of, run):
    dask = pytest.importorskip("dask.array")
    data = image_of(200, 170)
    lazy = dask.from_array(data, chunks=(1, 64, 64))
    _, expected = run(stain_arrays(stack_of(data), model, tile_px=160, **FAST))
    _, result = run(stain_arrays(stack_of(lazy), model, tile_px=160, **FAST))
    np.testing.assert_array_equal(result.images["lipids"], expected.images["lipids"])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
def test_number_types(model, stack_of, image_of, run, dtype):
    data = (image_of(64, 64) // 10).clip(1, 255).astype(np.uint8)
    _, expected = run(stain_arrays(stack_of(data), model, **FAST))
    _, result = run(stain_arrays(stack_of(data.astype(dtype)), model, **FAST))
    np.testing.assert_array_equal(result.images["nuclei"], expected.images["nuclei"])


def test_brightness_of_the_lamp_does_not_matter(model, stack_of, image_of, run):
    data = image_of(96, 96).astype(np.float32)
    _, dim = run(stain_arrays(stack_of(data), model, **FAST))
    _, bright = run(stain_arrays(stack_of(data * 8), model, **FAST))
    np.testing.assert_allclose(dim.nuclei_probability, bright.nuclei_probability, rtol=0, atol=1e-5)


def test_results_come_back_on_the_pixels_of_the_input(model, stack_of, image_of, run):
    from scipy.ndimage import zoom

    coarse = image_of(120, 144).astype(np.float32)
    fine = np.stack([zoom(plane, 2, order=1, grid_mode=True, mode="nearest") for plane in coarse])
    _, expected = run(stain_arrays(stack_of(coarse), model, **FAST))
    events, result = run(stain_arrays(stack_of(fine, pixel=0.1625), model, tile_px=160, **FAST))
    assert events[0].plan.model_shape == (120, 144)
    assert result.nuclei_probability.shape == (240, 288)
    assert result.images["cytoplasm"].shape == (240, 288)
    back = result.nuclei_probability.reshape(120, 2, 144, 2).mean(axis=(1, 3))
    assert np.corrcoef(back.ravel(), expected.nuclei_probability.ravel())[0, 1] > 0.9


def test_resampled_tiled_equals_resampled_untiled(model, stack_of, image_of, run):
    stack = stack_of(image_of(300, 250), pixel=0.5)
    _, whole = run(stain_arrays(stack, model, tile_px=2000, **FAST))
    _, tiled = run(stain_arrays(stack, model, tile_px=180, **FAST))
    assert tiled.tiles > whole.tiles == 1
    np.testing.assert_allclose(
        tiled.nuclei_probability, whole.nuclei_probability, rtol=0, atol=1e-5
    )


def test_fixed_ranges_follow_the_place_in_the_model(ranged_model, stack_of, image_of, run):
    import torch

    data = image_of(64, 64)
    _, result = run(stain_arrays(stack_of(data), ranged_model, **FAST))
    x = np.clip((data.astype(np.float32) - 200) / 1800, 0, 1)
    with torch.no_grad():
        expected = ranged_model.combined()(torch.from_numpy(x[None]))[-1][0, 0].numpy()
    np.testing.assert_allclose(result.nuclei_probability, expected, rtol=0, atol=1e-5)


def test_stopped_between_tiles(model, stack_of, image_of):
    seen = []
    generator = stain_arrays(
        stack_of(image_of(300, 300)),
        model,
        tile_px=160,
        should_stop=lambda: len(seen) >= 2,
        **FAST,
    )

    def watch():
        for event in generator:
            seen.extend([event] if isinstance(event, TileDone) else [])

    with pytest.raises(Cancelled):
        watch()
    assert len(seen) == 2


def test_a_run_can_be_abandoned(model, stack_of, image_of):
    generator = stain_arrays(stack_of(image_of(300, 300)), model, tile_px=160, **FAST)
    next(generator)
    generator.close()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["model", "ranged_model"])
def test_numbers_that_are_none_are_refused(request, name, stack_of, image_of, run, value):
    data = image_of(90, 80).astype(np.float32)
    data[3, 40, 50] = value
    with pytest.raises(InputError, match="not numbers"):
        run(stain_arrays(stack_of(data), request.getfixturevalue(name), **FAST))


def test_constant_and_dark_planes_are_refused(model, stack_of, image_of, run):
    data = image_of(64, 64)
    data[2] = 1234
    with pytest.raises(InputError, match=r"Plane 3 .* constant"):
        run(stain_arrays(stack_of(data), model, **FAST))
    with pytest.raises(InputError, match="constant"):
        run(stain_arrays(stack_of(np.zeros((7, 64, 64), np.uint16)), model, **FAST))


def test_unknown_device_and_precision(model, stack_of, image_of, run):
    stack = stack_of(image_of(32, 32))
    with pytest.raises(ConfigError, match="abacus"):
        run(stain_arrays(stack, model, device="abacus"))
    with pytest.raises(ConfigError, match="decimal"):
        run(stain_arrays(stack, model, device="cpu", precision="decimal"))


class Cramped:
    """The real backend, with memory for tiles up to a size only."""

    name = "openvino"

    def __init__(self, inner, limit):
        self.inner, self.limit, self.sizes, self.closed = inner, limit, [], False

    def prepare(self, tile_shape, tiles):
        if max(tile_shape) > self.limit:
            raise MemoryError

    def predict(self, batch):
        self.prepare(batch.shape[2:], 1)
        self.sizes.append(batch.shape[2:])
        return self.inner.predict(batch)

    def close(self):
        self.closed = True


@pytest.fixture
def cramped(model, monkeypatch):
    from napari_fluorgen.staining.selftest import OpenedBackend

    device = resolve_device("cpu")

    def build(limit):
        backend = Cramped(open_backend(model, device, "float32"), limit)
        opened = OpenedBackend(backend, device, "float32", ())
        monkeypatch.setattr(engine, "open_tested_backend", lambda *_: opened)
        return backend

    return build


def test_too_little_memory_halves_the_tile_and_goes_on(model, stack_of, image_of, run, cramped):
    stack = stack_of(image_of(420, 500))
    _, expected = run(stain_arrays(stack, model, **FAST))
    backend = cramped(300)
    events, result = run(stain_arrays(stack, model, **FAST))
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "500 pixels; it goes on with 248" in notices[0]
    assert notices[0] in result.messages
    assert max(max(size) for size in backend.sizes) <= 248
    np.testing.assert_allclose(
        result.nuclei_probability, expected.nuclei_probability, rtol=0, atol=1e-5
    )


def test_the_smaller_tile_is_kept_for_the_tiles_that_follow(
    model, stack_of, image_of, run, cramped
):
    cramped(210)
    events, result = run(stain_arrays(stack_of(image_of(300, 700)), model, tile_px=380, **FAST))
    assert result.tiles == 3
    assert len([event for event in events if isinstance(event, Notice)]) == 1


def test_no_memory_at_all_is_said(model, stack_of, image_of, run, cramped):
    backend = cramped(10)
    with pytest.raises(DeviceError, match="too little memory"):
        run(stain_arrays(stack_of(image_of(300, 300)), model, **FAST))
    assert backend.closed


def test_estimate_matches_the_plan_of_the_run(model, stack_of, image_of, run):
    stack = stack_of(image_of(300, 300))
    expected = estimate(stack, model, "cpu", precision="float32", focus="as-is", tile_px=160)
    events, result = run(stain_arrays(stack, model, tile_px=160, **FAST))
    assert expected.tiles == result.tiles
    assert expected.bytes == events[0].plan.memory_bytes
    assert 0 < expected.seconds < 60


def test_whole_run_gives_no_warnings(model, stack_of, image_of, run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(stain_arrays(stack_of(image_of(48, 48)), model, **FAST))


@pytest.mark.parametrize("tile", [160, 184, 232])
def test_no_seam_where_an_edge_of_the_image_meets_the_border_of_a_tile(
    model, stack_of, image_of, run, tile
):
    from napari_fluorgen.staining.plan import plan_tiles

    shape = (347, 419)
    plan = plan_tiles(shape, tile, model.spec.overlap_px, model.spec.divisor)
    assert len(plan.tiles) > 4
    data = image_of(*shape).astype(np.float32)
    for done in plan.tiles:
        # A step of half the light on both borders of what is kept of each tile.
        data[:, done.inner[0].start :, done.inner[1].start :] *= np.float32(1.5)
        data[:, done.inner[0].stop - 8 :, done.inner[1].stop - 8 :] *= np.float32(1 / 1.5)
    stack = stack_of(data)
    events, result = run(stain_arrays(stack, model, tile_px=tile, **FAST))
    assert events[0].plan.tiles == plan.tiles
    expected = untiled(stack, model)["nuclei_probability"]
    np.testing.assert_allclose(result.nuclei_probability, expected, rtol=0, atol=1e-5)


def test_a_sink_takes_what_is_finished_after_each_tile(model, stack_of, image_of, run):
    from napari_fluorgen.staining.sinks import ArraySink

    class Watched(ArraySink):
        def __init__(self):
            self.made = {}

        def array(self, name, shape, dtype):
            self.made[name] = super().array(name, shape, dtype)
            return self.made[name]

    stack = stack_of(image_of(330, 200))
    _, expected = run(stain_arrays(stack, model, tile_px=160, **FAST))
    sink, written = Watched(), []
    for event in stain_arrays(stack, model, tile_px=160, sink=sink, **FAST):
        if isinstance(event, TileDone):
            written.append(int((sink.made["nuclei_probability"] != 0).sum()))
    assert written == sorted(set(written))
    assert written[-1] == 330 * 200
    for stain, image in expected.images.items():
        np.testing.assert_array_equal(sink.made[stain], image)
