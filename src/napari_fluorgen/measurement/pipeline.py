"""The pipelines of an exported folder."""

from __future__ import annotations

from collections.abc import Sequence

from napari_fluorgen.measurement.cppipe import (
    Module,
    assemble,
    export_tables,
    image_math,
    object_intensity,
    primary_objects,
    secondary_objects,
    size_shape,
    threshold,
)
from napari_fluorgen.measurement.cppipe import (
    load_data as load_data_module,
)
from napari_fluorgen.measurement.names import IMAGE_NAMES
from napari_fluorgen.measurement.objects import CELL_THRESHOLD_CORRECTION


def pipeline_text(
    images: Sequence[str],
    droplet_pixels: tuple[int, int],
    *,
    load_data: str | Sequence[Module],
    find_objects: bool,
) -> str:
    """Return a pipeline that measures an exported folder.

    Parameters
    ----------
    images : sequence of str
        Names of the images in the LoadData table.
    droplet_pixels : tuple of int
        Smallest and largest diameter of a lipid droplet in pixels.
    load_data : str or sequence of Module
        Name of the LoadData table in the default input folder, or modules in place of LoadData.
    find_objects : bool
        True: CellProfiler grows cells from the nuclei masks and finds the lipid droplets, so that
        both can be tuned there. False: cells and droplets are loaded from masks as well.

    Returns
    -------
    str
        Contents of a ``.cppipe`` file.
    """
    modules = [load_data_module(load_data)] if isinstance(load_data, str) else list(load_data)
    if find_objects:
        modules += cell_modules(droplet_pixels)
    else:
        modules += [_relate("Nuclei", "Cells", means=False), _cytoplasm()]
    return assemble([*modules, *measuring_modules(images)])


def cell_modules(droplet_pixels: tuple[int, int]) -> list[Module]:
    """Find cells around the nuclei, their cytoplasm, and droplets of some diameters in pixels."""
    return [*_cells(), _cytoplasm(), _droplets(droplet_pixels)]


def measuring_modules(images: Sequence[str]) -> list[Module]:
    """Measure all objects in some images, and write the tables."""
    objects, named = "Nuclei, Cells, Cytoplasm, LipidDroplets", ", ".join(images)
    return [
        size_shape(objects),
        object_intensity(named, objects),
        _relate("Cells", "LipidDroplets", means=True),
        (
            "MeasureImageIntensity",
            4,
            "",
            [
                ("Select images to measure", named),
                ("Measure the intensity only from areas enclosed by objects?", "No"),
                ("Select input object sets", ""),
                ("Calculate custom percentiles", "No"),
                ("Specify percentiles to measure", "10,90"),
            ],
        ),
        export_tables(),
    ]


def _cells() -> list[Module]:
    stains = (IMAGE_NAMES["lipids"], IMAGE_NAMES["cytoplasm"])
    return [
        image_math("CellBodies", stains, "Lipids and cytoplasm together show the whole cell."),
        secondary_objects(
            "Nuclei",
            "Cells",
            "CellBodies",
            "One cell for each nucleus.",
            threshold(CELL_THRESHOLD_CORRECTION, 0.0),
        ),
    ]


def _cytoplasm() -> Module:
    return (
        "IdentifyTertiaryObjects",
        3,
        "Cells without their nuclei.",
        [
            ("Select the larger identified objects", "Cells"),
            ("Select the smaller identified objects", "Nuclei"),
            ("Name the tertiary objects to be identified", "Cytoplasm"),
            ("Shrink smaller object prior to subtraction?", "No"),
        ],
    )


def _droplets(pixels: tuple[int, int]) -> Module:
    return primary_objects(
        IMAGE_NAMES["lipids"],
        "LipidDroplets",
        pixels,
        "Diameters are in pixels.",
        threshold(1.0, 1.3488),
    )


def _relate(parent: str, child: str, *, means: bool) -> Module:
    return (
        "RelateObjects",
        5,
        f"Which {parent} each of the {child} lies in.",
        [
            ("Parent objects", parent),
            ("Child objects", child),
            ("Calculate child-parent distances?", "None"),
            ("Calculate per-parent means for all child measurements?", "Yes" if means else "No"),
            ("Calculate distances to other parents?", "No"),
            ("Do you want to save the children with parents as a new object set?", "No"),
            ("Name the output object", "RelateObjects"),
            ("Parent name", "None"),
        ],
    )
