"""CellProfiler pipelines as text (format 5, which CellProfiler 4.2 reads)."""

from __future__ import annotations

from collections.abc import Sequence

from napari_fluorgen.measurement.names import IMAGE_NAMES
from napari_fluorgen.measurement.objects import CELL_THRESHOLD_CORRECTION

_HEADER = """CellProfiler Pipeline: http://www.cellprofiler.org
Version:5
DateRevision:420
GitHash:
ModuleCount:{count}
HasImagePlaneDetails:False
"""
_MODULE = (
    "{name}:[module_num:{number}|svn_version:'Unknown'|variable_revision_number:{revision}"
    "|show_window:False|notes:['{note}']|batch_state:array([], dtype=uint8)|enabled:True"
    "|wants_pause:False]"
)

Settings = Sequence[tuple[str, object]]
Module = tuple[str, int, str, Settings]
"""Name, revision of its settings, note for the user, settings in order."""


def pipeline_text(
    images: Sequence[str], droplet_pixels: tuple[int, int], *, load_data: str, find_objects: bool
) -> str:
    """Return a pipeline that measures an exported folder.

    Parameters
    ----------
    images : sequence of str
        Names of the images in the LoadData table.
    droplet_pixels : tuple of int
        Smallest and largest diameter of a lipid droplet in pixels.
    load_data : str
        Name of the LoadData table in the default input folder.
    find_objects : bool
        True: CellProfiler grows cells from the nuclei masks and finds the lipid droplets, so that
        both can be tuned there. False: cells and droplets are loaded from masks as well.

    Returns
    -------
    str
        Contents of a ``.cppipe`` file.
    """
    modules = [_load_data(load_data)]
    if find_objects:
        modules += [_cell_image(), _cells(), _cytoplasm(), _droplets(droplet_pixels)]
    else:
        modules += [_relate("Nuclei", "Cells", means=False), _cytoplasm()]
    objects = "Nuclei, Cells, Cytoplasm, LipidDroplets"
    modules += [
        (
            "MeasureObjectSizeShape",
            3,
            "Shapes in pixels.",
            [
                ("Select object sets to measure", objects),
                ("Calculate the Zernike features?", "No"),
                ("Calculate the advanced features?", "Yes"),
            ],
        ),
        (
            "MeasureObjectIntensity",
            4,
            "Intensities as fractions of 65535 camera counts.",
            [
                ("Select images to measure", ", ".join(images)),
                ("Select objects to measure", objects),
            ],
        ),
        _relate("Cells", "LipidDroplets", means=True),
        (
            "MeasureImageIntensity",
            4,
            "",
            [
                ("Select images to measure", ", ".join(images)),
                ("Measure the intensity only from areas enclosed by objects?", "No"),
                ("Select input object sets", ""),
                ("Calculate custom percentiles", "No"),
                ("Specify percentiles to measure", "10,90"),
            ],
        ),
        _export(),
    ]
    return "\n".join(
        [
            _HEADER.format(count=len(modules)),
            *(_module_text(number, module) for number, module in enumerate(modules, 1)),
        ]
    )


def _module_text(number: int, module: Module) -> str:
    name, revision, note, settings = module
    lines = [_MODULE.format(name=name, number=number, revision=revision, note=note)]
    lines += [f"    {text}:{value}" for text, value in settings]
    return "\n".join(lines) + "\n"


def _load_data(name: str) -> Module:
    return (
        "LoadData",
        6,
        "Set the Default Input Folder to the folder of this pipeline.",
        [
            ("Input data file location", "Default Input Folder|"),
            ("Name of the file", name),
            ("Load images based on this data?", "Yes"),
            ("Base image location", "Default Input Folder|"),
            ("Process just a range of rows?", "No"),
            ("Rows to process", "1,100000"),
            ("Group images by metadata?", "No"),
            ("Select metadata tags for grouping", ""),
            ("Rescale intensities?", "Yes"),
        ],
    )


def _cell_image() -> Module:
    operand: list[tuple[str, object]] = []
    for order, stain in (("first", "lipids"), ("second", "cytoplasm")):
        operand += [
            ("Image or measurement?", "Image"),
            (f"Select the {order} image", IMAGE_NAMES[stain]),
            (f"Multiply the {order} image by", 1.0),
            ("Measurement", ""),
        ]
    return (
        "ImageMath",
        5,
        "Lipids and cytoplasm together show the whole cell.",
        [
            ("Operation", "Add"),
            ("Raise the power of the result by", 1.0),
            ("Multiply the result by", 1.0),
            ("Add to result", 0.0),
            ("Set values less than 0 equal to 0?", "Yes"),
            ("Set values greater than 1 equal to 1?", "Yes"),
            ("Replace invalid values with 0?", "Yes"),
            ("Ignore the image masks?", "No"),
            ("Name the output image", "CellBodies"),
            *operand,
        ],
    )


def _threshold(correction: float, smoothing: float) -> Settings:
    return [
        ("Threshold setting version", 12),
        ("Threshold strategy", "Global"),
        ("Thresholding method", "Minimum Cross-Entropy"),
        ("Threshold smoothing scale", smoothing),
        ("Threshold correction factor", correction),
        ("Lower and upper bounds on threshold", "0.0,1.0"),
        ("Manual threshold", 0.0),
        ("Select the measurement to threshold with", "None"),
        ("Two-class or three-class thresholding?", "Two classes"),
        ("Log transform before thresholding?", "No"),
        ("Assign pixels in the middle intensity class to the foreground or the background?",
         "Foreground"),
        ("Size of adaptive window", 50),
        ("Lower outlier fraction", 0.05),
        ("Upper outlier fraction", 0.05),
        ("Averaging method", "Mean"),
        ("Variance method", "Standard deviation"),
        ("# of deviations", 2.0),
        ("Thresholding method", "Minimum Cross-Entropy"),
    ]  # fmt: skip


def _cells() -> Module:
    return (
        "IdentifySecondaryObjects",
        10,
        "One cell for each nucleus.",
        [
            ("Select the input objects", "Nuclei"),
            ("Name the objects to be identified", "Cells"),
            ("Select the method to identify the secondary objects", "Watershed - Image"),
            ("Select the input image", "CellBodies"),
            ("Number of pixels by which to expand the primary objects", 10),
            ("Regularization factor", 0.05),
            ("Discard secondary objects touching the border of the image?", "No"),
            ("Discard the associated primary objects?", "No"),
            ("Name the new primary objects", "FilteredNuclei"),
            ("Fill holes in identified objects?", "Yes"),
            *_threshold(CELL_THRESHOLD_CORRECTION, 0.0),
        ],
    )


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
    return (
        "IdentifyPrimaryObjects",
        15,
        "Diameters are in pixels.",
        [
            ("Select the input image", IMAGE_NAMES["lipids"]),
            ("Name the primary objects to be identified", "LipidDroplets"),
            ("Typical diameter of objects, in pixel units (Min,Max)", f"{pixels[0]},{pixels[1]}"),
            ("Discard objects outside the diameter range?", "Yes"),
            ("Discard objects touching the border of the image?", "No"),
            ("Method to distinguish clumped objects", "Shape"),
            ("Method to draw dividing lines between clumped objects", "Shape"),
            ("Size of smoothing filter", 10),
            ("Suppress local maxima that are closer than this minimum allowed distance", 7.0),
            ("Speed up by using lower-resolution image to find local maxima?", "Yes"),
            ("Fill holes in identified objects?", "After both thresholding and declumping"),
            ("Automatically calculate size of smoothing filter for declumping?", "Yes"),
            ("Automatically calculate minimum allowed distance between local maxima?", "Yes"),
            ("Handling of objects if excessive number of objects identified", "Continue"),
            ("Maximum number of objects", 500),
            ("Use advanced settings?", "Yes"),
            *_threshold(1.0, 1.3488),
        ],
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


def _export() -> Module:
    return (
        "ExportToSpreadsheet",
        13,
        "Tables go to the Default Output Folder.",
        [
            ("Select the column delimiter", 'Comma (",")'),
            ("Add image metadata columns to your object data file?", "Yes"),
            ("Add image file and folder names to your object data file?", "No"),
            ("Select the measurements to export", "No"),
            ("Calculate the per-image mean values for object measurements?", "Yes"),
            ("Calculate the per-image median values for object measurements?", "No"),
            ("Calculate the per-image standard deviation values for object measurements?", "Yes"),
            ("Output file location", "Default Output Folder|"),
            ("Create a GenePattern GCT file?", "No"),
            ("Select source of sample row name", "Metadata"),
            ("Select the image to use as the identifier", "None"),
            ("Select the metadata to use as the identifier", "None"),
            ("Export all measurement types?", "Yes"),
            ("Press button to select measurements", ""),
            ("Representation of Nan/Inf", "NaN"),
            ("Add a prefix to file names?", "No"),
            ("Filename prefix", "MyExpt_"),
            ("Overwrite existing files without warning?", "Yes"),
            ("Data to export", "Do not use"),
            ("Combine these object measurements with those of the previous object?", "No"),
            ("File name", "DATA.csv"),
            ("Use the object name for the file name?", "Yes"),
        ],
    )
