"""``fluorgen models``: list, describe, test, import and export model packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_fluorgen.cli import options, output
from napari_fluorgen.errors import ModelError

if TYPE_CHECKING:
    from napari_fluorgen.models import Model

app = typer.Typer(help="List, describe, test, import and export models.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="An installed model, or a package's folder.")
]
_STAIN_OF_CHANNEL = {"C1": "nuclei", "C2": "lipids", "C3": "cytoplasm"}


@app.command("list")
def list_installed(json: output.JsonFlag = False) -> None:
    """List the installed models."""
    from napari_fluorgen.models import list_models

    summaries = list_models()
    if json:
        models = [_summary(summary) for summary in summaries]
        output.finish({"command": "models list", "status": "done", "models": models})
        return
    width = max((len(summary.name) for summary in summaries), default=0)
    for summary in summaries:
        output.result(
            f"{summary.name:{width}s}  {summary.version:7s} {summary.magnification:4s} "
            f"{summary.pixel_size_um:<6g} µm/px  {', '.join(summary.stains)}  "
            f"({_data(summary.simulated)})"
        )
    if not summaries:
        output.result("No model is installed: use `fluorgen models import`.")


@app.command()
def info(name: Name, json: output.JsonFlag = False) -> None:
    """Show what a model was made for and from."""
    from napari_fluorgen.models import load_model

    model = load_model(name)
    if json:
        output.finish({"command": "models info", "status": "done"} | _record(model))
        return
    spec = model.spec
    output.result(f"{spec.name} {spec.version}: {spec.description}")
    output.result(f"folder       {model.path}")
    output.result(f"weights      sha256:{model.digest}")
    output.result(f"stains       {', '.join(spec.stains)}")
    planes = ", ".join(f"{z:g}" for z in spec.z_um)
    output.result(f"input        {spec.planes} planes at {planes} µm, {spec.pixel_size_um:g} µm/px")
    output.result(f"calibration  {'yes' if model.calibration else 'no'}")
    output.result(f"trained on   {_data(spec.simulated)}")
    output.result(f"licence      {model.license_id}")
    output.result("")
    output.result(model.card)


@app.command("test")
def check(name: Name, json: output.JsonFlag = False) -> None:
    """Check that a model computes here what it computed where it was made."""
    from napari_fluorgen.models import load_model, test_model

    report = test_model(load_model(name))
    if not report.passed:
        raise ModelError(
            f"Model {report.model} computes other numbers here than where it was made, "
            f"{_worst(report.deviations)} where {report.tolerance:g} is allowed: install it again."
        )
    if json:
        output.finish(
            {
                "command": "models test",
                "status": "done",
                "model": report.model,
                "deviations": report.deviations,
                "tolerance": report.tolerance,
            }
        )
        return
    output.result(f"{report.model} is sound: {_worst(report.deviations)}")


@app.command("import")
def import_model(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...", help="A package (folder or zip), or checkpoints C1*, C2*, C3*.pth."
        ),
    ],
    magnification: Annotated[
        str, typer.Option("--magnification", help="Of checkpoints: 20x, 40x or 60x.")
    ] = "20x",
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the installed model; default: its own, or reference-20x."),
    ] = None,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Install a model package, or make one of reference checkpoints."""
    if all(path.suffix == ".pth" for path in source):
        model = _import_checkpoints(source, magnification, name, overwrite)
    elif len(source) == 1:
        from napari_fluorgen.models import install_package

        model = install_package(source[0], overwrite=overwrite, name=name)
    else:
        raise typer.BadParameter("name one package, or up to three .pth checkpoints")
    if json:
        output.finish({"command": "models import", "status": "done"} | _record(model))
        return
    output.result(f"{model.spec.name} is installed in {model.path}")


@app.command("export")
def export_model(
    name: Name,
    path: Annotated[Path, typer.Option("-o", "--output", metavar="ZIP", help="The zip file.")],
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Write a model package as one zip file, the form that BioImage.IO takes."""
    from napari_fluorgen.models import export_package, load_model

    written = export_package(load_model(name), path, overwrite=overwrite)
    if json:
        output.finish({"command": "models export", "status": "done", "output": str(written)})
        return
    output.result(f"{name} is exported to {written}")


def _import_checkpoints(
    paths: list[Path], magnification: str, name: str | None, overwrite: bool
) -> Model:
    from napari_fluorgen.models import import_reference, load_model, user_model_dir
    from napari_fluorgen.models.library import check_not_shipped

    checkpoints: dict[str, Path] = {}
    for path in paths:
        stain = _STAIN_OF_CHANNEL.get(path.name[:2].upper())
        if stain is None:
            raise ModelError(
                f"{path} does not say which stain it predicts: its name must start with C1 "
                "(nuclei), C2 (lipids) or C3 (cytoplasm)."
            )
        if stain in checkpoints:
            raise ModelError(
                f"{checkpoints[stain]} and {path} are both for {stain}: give one for each stain."
            )
        checkpoints[stain] = path
    name = name or f"reference-{magnification}"
    check_not_shipped(name, overwrite)
    folder = import_reference(
        user_model_dir() / name,
        checkpoints,
        magnification=magnification,
        name=name,
        overwrite=overwrite,
    )
    return load_model(folder)


def _data(simulated: bool) -> str:
    return "simulated data" if simulated else "real data"


def _summary(summary: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: str(v) if isinstance(v, Path) else v for key, v in asdict(summary).items()}


def _record(model: Model) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "digest": model.digest,
        "calibrated": model.calibration is not None,
        "spec": model.spec.model_dump(mode="json"),
    }


def _worst(deviations: dict[str, float]) -> str:
    name, value = max(deviations.items(), key=lambda item: item[1])
    return f"largest deviation {value:.2g} ({name})"
