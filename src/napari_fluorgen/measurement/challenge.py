"""A pipeline in the style of the Adipocyte Cell Challenge's: the same 99 numbers an image."""

from __future__ import annotations

from napari_fluorgen.measurement.cppipe import (
    Module,
    assemble,
    export_tables,
    image_math,
    load_data,
    object_intensity,
    primary_objects,
    secondary_objects,
    size_shape,
    threshold,
)
from napari_fluorgen.measurement.pixel_size import DEFAULT_PIXEL_SIZE_UM

NUCLEUS_UM = (5.0, 26.0)
"""Smallest and largest diameter of a nucleus."""
DROPLET_UM = (1.0, 16.0)
"""Smallest and largest diameter of a lipid droplet."""
HOLE_UM = (1.0, 3.0)
"""Smallest and largest diameter of a hole in a droplet."""
HOLE_DEPTH = 0.05
"""Least depth that a hole loses from one radius to the next, as a part of the image's range."""
DEFECT_UM2 = 0.15
"""Least defect signal of a defective droplet: that depth summed over square micrometres."""

_SHAPES = ("Area", "Compactness", "FormFactor", "MeanRadius", "Perimeter", "Solidity")
_INTENSITIES = ("IntegratedIntensity", "MeanIntensity", "StdIntensity")
MEASURED_IMAGES = {
    "nuclei_no_edge": ("Hoechst", "Bodipy", "CellTrackerRed"),
    "cells_no_edge": ("Bodipy", "CellTrackerRed"),
    "Lipids_no_edge": ("Bodipy", "Defect_image_rescaled"),
}
_COUNTS = (
    "Count_Defective_lipid_droplets",
    "Count_Lipids_no_edge",
    "Count_cells_no_edge",
    "Count_nuclei",
    "Count_nuclei_no_edge",
)
_GRANULARITY = tuple(f"Granularity_{size}_Bodipy" for size in range(1, 17))


def feature_names() -> tuple[str, ...]:
    """Return the names of the 99 numbers an image that the challenge scored."""
    objects = [
        f"{statistic}_{name}_{feature}"
        for statistic in ("Mean", "StDev")
        for name in MEASURED_IMAGES
        for feature in _features(name)
    ]
    return (*_COUNTS, *_GRANULARITY, *objects)


def challenge_style_pipeline(
    pixel_size_um: float = DEFAULT_PIXEL_SIZE_UM,
    *,
    table: str = "load_data.csv",
    smallest_side: int | None = None,
) -> str:
    """Return a pipeline that measures the 99 numbers of the challenge in each image.

    The names and definitions of the numbers are the challenge's. How objects are found is not:
    lengths are given in micrometres, so that one pipeline suits any magnification, and
    thresholds follow each image, so that stains of any brightness are measured (the challenge's
    own pipeline drops nuclei whose mean exceeds 2,621 camera counts). Figures of the two
    pipelines do not compare with each other.

    Parameters
    ----------
    pixel_size_um : float
        Micrometres a pixel.
    table : str
        Name of the LoadData table in the default input folder; it names the images Hoechst,
        Bodipy and CellTrackerRed.
    smallest_side : int, optional
        Rows or columns of the smallest image: the window of the local threshold spans half of it
        at most, as CellProfiler demands.

    Returns
    -------
    str
        Contents of a ``.cppipe`` file.
    """

    def pixels(length_um: float) -> int:
        return max(round(length_um / pixel_size_um), 1)

    def diameters(limits_um: tuple[float, float]) -> tuple[int, int]:
        smallest = max(pixels(limits_um[0]), 2)
        return smallest, max(pixels(limits_um[1]), smallest + 1)

    window = pixels(40.0)
    if smallest_side is not None:
        window = max(min(window, smallest_side // 2), 1)
    modules = [
        load_data(table),
        primary_objects(
            "Hoechst",
            "nuclei",
            diameters(NUCLEUS_UM),
            "Nuclei, with a threshold that follows the brightness around them.",
            threshold(1.0, 2.0, window=window),
            smoothing=pixels(5.0),
            distance=pixels(5.0),
        ),
        image_math(
            "lipids_cytoplasm",
            ("Bodipy", "CellTrackerRed"),
            "Lipids and cytoplasm together show the whole cell.",
        ),
        secondary_objects(
            "nuclei",
            "cell_bodies",
            "lipids_cytoplasm",
            "One cell for each nucleus.",
            threshold(0.7, 1.0),
            method="Propagation",
        ),
        _without_edge("cell_bodies", "cells_no_edge", also=("nuclei", "nuclei_no_edge")),
        primary_objects(
            "Bodipy",
            "lipid_droplets",
            diameters(DROPLET_UM),
            "Lipid droplets, parted by shape: a hole or noise would part them by intensity.",
            threshold(1.0, 1.0),
        ),
        _without_edge("lipid_droplets", "Lipids_no_edge"),
        *_defects(diameters(HOLE_UM)),
        size_shape("cells_no_edge, nuclei_no_edge, Lipids_no_edge", advanced=False),
        *(object_intensity(", ".join(images), name) for name, images in MEASURED_IMAGES.items()),
        _filter(
            "Lipids_no_edge",
            "Defective_lipid_droplets",
            "Droplets with a hole.",
            mode="Measurements",
            feature="Intensity_IntegratedIntensity_Defect_image_rescaled",
            minimum=DEFECT_UM2 / pixel_size_um**2,
        ),
        _granularity(),
        export_tables(_chosen()),
    ]
    return assemble(modules)


def _features(name: str) -> list[str]:
    return [f"AreaShape_{shape}" for shape in _SHAPES] + [
        f"Intensity_{kind}_{image}" for kind in _INTENSITIES for image in MEASURED_IMAGES[name]
    ]


def _chosen() -> list[str]:
    """Return what ExportToSpreadsheet writes; of objects it writes means and deviations."""
    image = ["Metadata_FoV", "Metadata_Well", *_COUNTS, *_GRANULARITY]
    return [f"Image|{name}" for name in image] + [
        f"{name}|{feature}" for name in MEASURED_IMAGES for feature in _features(name)
    ]


def _defects(holes: tuple[int, int]) -> list[Module]:
    """Return modules that make an image of dark holes within droplets."""
    return [
        (
            "RescaleIntensity",
            3,
            "The depth of a hole is a part of the range of the image.",
            [
                ("Select the input image", "Bodipy"),
                ("Name the output image", "Bodipy_rescaled"),
                ("Rescaling method", "Stretch each image to use the full intensity range"),
                ("Method to calculate the minimum intensity", "Custom"),
                ("Method to calculate the maximum intensity", "Custom"),
                ("Lower intensity limit for the input image", 0.0),
                ("Upper intensity limit for the input image", 1.0),
                ("Intensity range for the input image", "0.0,1.0"),
                ("Intensity range for the output image", "0.0,1.0"),
                ("Select image to match in maximum intensity", "None"),
                ("Divisor value", 1.0),
                ("Divisor measurement", "None"),
            ],
        ),
        (
            "EnhanceOrSuppressFeatures",
            7,
            "Dark holes; those between droplets are masked below.",
            [
                ("Select the input image", "Bodipy_rescaled"),
                ("Name the output image", "Holes"),
                ("Select the operation", "Enhance"),
                ("Feature size", 10),
                ("Feature type", "Dark holes"),
                ("Range of hole sizes", f"{holes[0]},{holes[1]}"),
                ("Smoothing scale", 2.0),
                ("Shear angle", 0.0),
                ("Decay", 0.95),
                ("Enhancement method", "Tubeness"),
                ("Speed and accuracy", "Fast"),
                ("Rescale result image", "No"),
            ],
        ),
        (
            "ExpandOrShrinkObjects",
            2,
            "The rim of a droplet is no hole.",
            [
                ("Select the input objects", "lipid_droplets"),
                ("Name the output objects", "droplets_inside"),
                ("Select the operation", "Shrink objects by a specified number of pixels"),
                ("Number of pixels by which to expand or shrink", 1),
                ("Fill holes in objects so that all objects shrink to a single point?", "No"),
            ],
        ),
        (
            "MaskImage",
            3,
            "Holes within droplets.",
            [
                ("Select the input image", "Holes"),
                ("Name the output image", "Holes_in_droplets"),
                ("Use objects or an image as a mask?", "Objects"),
                ("Select object for mask", "droplets_inside"),
                ("Select image for mask", "None"),
                ("Invert the mask?", "No"),
            ],
        ),
        image_math(
            "Defect_image_rescaled",
            ("Holes_in_droplets",),
            "Shallow dips are noise.",
            operation="None",
            add=-HOLE_DEPTH,
        ),
    ]


def _without_edge(objects: str, name: str, *, also: tuple[str, str] | None = None) -> Module:
    """Drop objects that touch the border, and with them those that they belong to."""
    return _filter(
        objects, name, "Whole objects only.", mode="Image or mask border", relabelled=also
    )


def _filter(
    objects: str,
    name: str,
    note: str,
    *,
    mode: str,
    feature: str = "AreaShape_Area",
    minimum: float = 0.0,
    relabelled: tuple[str, str] | None = None,
) -> Module:
    more: list[tuple[str, object]] = []
    if relabelled is not None:
        more = [
            ("Select additional object to relabel", relabelled[0]),
            ("Name the relabeled objects", relabelled[1]),
        ]
    return (
        "FilterObjects",
        10,
        note,
        [
            ("Select the objects to filter", objects),
            ("Name the output objects", name),
            ("Select the filtering mode", mode),
            ("Select the filtering method", "Limits"),
            ("Select the objects that contain the filtered objects", "None"),
            ("Select the location of the rules or classifier file", "Elsewhere...|"),
            ("Rules or classifier file name", "rules.txt"),
            ("Class number", 1),
            ("Measurement count", 1),
            ("Additional object count", 1 if relabelled else 0),
            ("Assign overlapping child to", "Both parents"),
            ("Keep removed objects as a separate set?", "No"),
            ("Name the objects removed by the filter", "RemovedObjects"),
            ("Select the measurement to filter by", feature),
            ("Filter using a minimum measurement value?", "Yes"),
            ("Minimum value", minimum),
            ("Filter using a maximum measurement value?", "No"),
            ("Maximum value", 1.0),
            *more,
            ("Allow fuzzy feature matching?", "No"),
        ],
    )


def _granularity() -> Module:
    return (
        "MeasureGranularity",
        4,
        "How much of the lipid stain lies in droplets of each size.",
        [
            ("Select images to measure", "Bodipy"),
            ("Measure within objects?", "No"),
            ("Select objects to measure", ""),
            ("Subsampling factor for granularity measurements", 0.25),
            ("Subsampling factor for background reduction", 0.25),
            ("Radius of structuring element", 10),
            ("Range of the granular spectrum", 16),
        ],
    )
