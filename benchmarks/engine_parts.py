"""What benchmarks/engine.py times, each in a process of its own so that peak memory is its own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import reference_tiling
from fields import bound_threads
from numpy.typing import NDArray
from process import peak_bytes

from napari_fluorgen.models import Architecture, Model, ModelSpec, load_model, save_package
from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity

Options = dict[str, Any]


def reference_size_model(folder: Path) -> Model:
    """Networks of the reference's size with random but fixed weights, as a package."""
    import torch

    from napari_fluorgen.networks import build_network

    path = folder / "reference-size"
    if (path / "rdf.yaml").exists():
        return Model(path)
    architectures = {
        "nuclei": Architecture(kind="nuclei", first_filters=32),
        "lipids": Architecture(kind="dense-unet"),
        "cytoplasm": Architecture(kind="dense-unet"),
    }
    spec = ModelSpec.model_validate(
        {
            "name": "reference-size",
            "pixel_size_um": 0.325,
            "z_um": (-6, -4, -2, 0, 2, 4, 6),
            "input": {"kind": "background", "gain": 4.0},
            "outputs": {stain: {"minimum": 0, "maximum": 65535} for stain in STAINS},
            "architectures": architectures,
            "overlap_px": 96,
            "divisor": 16,
        }
    )
    torch.manual_seed(20)
    sample = (field((256, 256)).astype(np.float32) / 3000 - 1)[None] * 4
    networks = {}
    for stain, architecture in architectures.items():
        network = build_network(architecture).eval()
        # Statistics of real activations, so that no layer fades or saturates.
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train()
                module.momentum = None
        with torch.no_grad():
            network(torch.from_numpy(sample))
        networks[stain] = network.eval()
    folder.mkdir(parents=True, exist_ok=True)
    tile = sample[:, :, :64, :64]
    return Model(save_package(path, spec, networks, test_input=tile, card="# Random weights\n"))


def field(shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Seven planes of counts with structure at all scales; the same each time."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(5)
    total = np.zeros(shape, np.float32)
    for sigma in (1, 3, 8, 25):
        noise = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
        total += noise / noise.std()
    contrast = np.linspace(-0.1, 0.14, 7, dtype=np.float32)[:, None, None]
    return np.clip(3000 * (1 + contrast * total), 1, 65535).astype(np.uint16)


def stack_of(options: Options, model: Model) -> BrightfieldStack:
    """The field as a stack that the model takes as it is."""
    pixel = (model.spec.pixel_size_um,) * 2
    planes = field(options["size"])
    return BrightfieldStack(planes, FieldIdentity("benchmark"), pixel, model.spec.z_um)


def opened(options: Options) -> Model:
    """The model of a run."""
    if options["model"]:
        return load_model(options["model"])
    return reference_size_model(Path(options["data"]))


def start(options: Options) -> None:
    """Bound the threads of a process."""
    os.environ["FLUORGEN_THREADS"] = str(options["threads"])
    bound_threads(options["threads"])


def ceiling(options: Options) -> Options:
    """Operations a second of a matrix product: the best of PyTorch and OpenVINO."""
    import torch

    start(options)
    device, found = options["device"], {}
    for precision in sorted({"float32", options["precision"]}):
        side = 2048 if device == "cpu" else 8192
        kind = {"dtype": getattr(torch, precision), "device": device}
        left, right = (torch.ones(side, side, **kind) / 64 for _ in range(2))
        runs = [lambda a=left, b=right: (a @ b)[0, 0].item()]
        if device == "cpu":
            runs.append(_openvino_product(side, precision, options["threads"]))
        seconds = min(_best(run) for run in runs)
        found[precision] = 2 * side**3 / seconds
    return found


def reference(options: Options) -> Options:
    """Time the reference's tiling."""
    import torch

    from napari_fluorgen.networks.combined import CombinedNetwork

    start(options)
    model, device = opened(options), options["device"]
    networks = {
        stain: CombinedNetwork({stain: network}).eval().to(device)
        for stain, network in model.networks().items()
    }
    planes = _planes(options, model)[0, :, : options["size"][0], : options["size"][1]]
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    maps, facts = reference_tiling.stain(planes, networks, device, options["reference_tiles"])
    if maps is not None:
        names = [f"{name}{index}" for name in networks for index in range(2)]
        known = [name for name in names if name in maps]
        np.savez(options["folder"] / "reference.npz", **{_name(x): maps[x] for x in known})
    return {**facts, **_memory(device)}


def engine(options: Options) -> Options:
    """Time the engine from planes of counts to stains in counts: first run, then warm ones."""
    from napari_fluorgen.staining import stain_arrays

    start(options)
    model = opened(options)
    stack = stack_of(options, model)
    times, times_cpu, planned = [], [], None
    for _ in range(1 + options["repeats"]):
        began, began_cpu = time.perf_counter(), time.process_time()
        run = stain_arrays(
            stack, model, device=options["device"], precision=options["precision"], focus="as-is"
        )
        planned = next(run)
        result = _last(run)
        times.append(time.perf_counter() - began)
        times_cpu.append(time.process_time() - began_cpu)
    best = int(np.argmin(times[1:])) + 1
    facts = {
        "first_seconds": times[0],
        "seconds": times[best],
        "cpu_seconds": min(times_cpu[1:]),
        "network_seconds": result.seconds,
        "tiles": result.tiles,
        "tile_shape": list(result.tile_shape),
        "computed_pixels": planned.plan.computed_pixels,
        "backend": result.backend,
        "expected_bytes": planned.plan.memory_bytes,
        **_memory(options["device"]),
    }
    if options["deviation"]:
        np.savez(options["folder"] / "engine.npz", **_maps(options, model, stack, planned))
    return facts


def untiled(options: Options) -> Options:
    """Run each network once over the whole field, float32, eager PyTorch, on the CPU."""
    import torch

    from napari_fluorgen.networks.combined import CombinedNetwork

    start(options)
    model = opened(options)
    planes = torch.from_numpy(_planes(options, model))
    maps = {}
    for stain, network in model.networks().items():
        with torch.inference_mode():
            outputs = CombinedNetwork({stain: network}).eval()(planes)
        maps |= {_name(f"{stain}{i}"): output[0, 0].numpy() for i, output in enumerate(outputs)}
    np.savez(options["folder"] / "untiled.npz", **maps)
    return _memory("cpu")


def profile(options: Options) -> Options:
    """Seconds of one tile of the plan by type of layer, on the CPU."""
    from napari_fluorgen.staining.backends import open_backend
    from napari_fluorgen.staining.devices import resolve_device

    start(options)
    model = opened(options)
    shape = tuple(options["tile_shape"])
    planes = _planes(options | {"size": shape}, model)
    backend = open_backend(model, resolve_device("cpu"), options["precision"])
    return {"layers": backend.profile(planes)}


def _maps(options: Options, model: Model, stack: BrightfieldStack, planned: Any) -> Any:
    """The engine's maps before they become counts, through the same tiles."""
    from napari_fluorgen.staining.selftest import open_tested_backend
    from napari_fluorgen.staining.source import TileSource
    from napari_fluorgen.staining.stitch import blend

    backend = open_tested_backend(model, options["device"], options["precision"]).backend
    source = TileSource(stack, model.spec, planned.adaptation)
    maps = {n: np.zeros(planned.plan.canvas_shape, np.float32) for n in model.spec.output_names}

    def predict(tile: Any) -> dict[str, NDArray[np.float32]]:
        return {name: m[0] for name, m in backend.predict(source.read(*tile.outer)).items()}

    for _ in blend(planned.plan.tiles, predict, maps):
        pass
    return maps


def _planes(options: Options, model: Model) -> NDArray[np.float32]:
    """The field as the networks want it, sides rounded up to the divisor."""
    from napari_fluorgen.staining.adapt import match_stack
    from napari_fluorgen.staining.plan import round_up
    from napari_fluorgen.staining.source import TileSource

    stack = stack_of(options, model)
    source = TileSource(stack, model.spec, match_stack(stack, model.spec, focus="as-is"))
    rows, columns = (round_up(side, model.spec.divisor) for side in options["size"])
    return source.read(slice(0, rows), slice(0, columns))


def _name(key: str) -> str:
    """Name of an output of the engine, from the network and the number of its output."""
    return "nuclei_probability" if key.endswith("1") else key[:-1]


def _openvino_product(side: int, precision: str, threads: int) -> Any:
    from napari_fluorgen.staining.backends.openvino_cpu import import_openvino

    ov = import_openvino()
    left = ov.opset13.parameter([side, side], np.float32)
    right = ov.opset13.constant(np.full((side, side), 1 / 64, np.float32))
    product = ov.Model([ov.opset13.matmul(left, right, False, False)], [left])
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(product, "CPU", settings).create_infer_request()
    values = np.full((side, side), 1 / 64, np.float32)
    return lambda: request.infer([values])


def _best(run: Any) -> float:
    run()
    times = []
    for _ in range(7):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def _last(generator: Any) -> Any:
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


def _memory(device: str) -> Options:
    """Peak memory of this process, in bytes, and of the GPU where it was used."""
    found = {"peak_bytes": peak_bytes()}
    if device == "cuda":
        import torch

        found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    return found
