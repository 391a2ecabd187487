"""Modules of CellProfiler pipelines as text (format 5, which CellProfiler 4.2 reads)."""

from __future__ import annotations

from collections.abc import Sequence

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


def assemble(modules: Sequence[Module]) -> str:
    """Return the contents of a ``.cppipe`` file with these modules."""
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


def load_data(name: str) -> Module:
    """Read the images that the table `name` of the default input folder lists."""
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


def image_math(
    output: str, images: Sequence[str], note: str, *, operation: str = "Add", add: float = 0.0
) -> Module:
    """Combine images pixel by pixel; values are kept within 0 and 1."""
    operands: list[tuple[str, object]] = []
    for order, image in zip(("first", "second"), (*images, "None")[:2], strict=True):
        operands += [
            ("Image or measurement?", "Image"),
            (f"Select the {order} image", image),
            (f"Multiply the {order} image by", 1.0),
            ("Measurement", ""),
        ]
    return (
        "ImageMath",
        5,
        note,
        [
            ("Operation", operation),
            ("Raise the power of the result by", 1.0),
            ("Multiply the result by", 1.0),
            ("Add to result", add),
            ("Set values less than 0 equal to 0?", "Yes"),
            ("Set values greater than 1 equal to 1?", "Yes"),
            ("Replace invalid values with 0?", "Yes"),
            ("Ignore the image masks?", "No"),
            ("Name the output image", output),
            *operands,
        ],
    )


def threshold(
    correction: float,
    smoothing: float,
    *,
    window: int | None = None,
    method: str = "Minimum Cross-Entropy",
) -> Settings:
    """Return settings of a threshold by `method`, local where a window is given."""
    return [
        ("Threshold setting version", 12),
        ("Threshold strategy", "Global" if window is None else "Adaptive"),
        ("Thresholding method", method),
        ("Threshold smoothing scale", smoothing),
        ("Threshold correction factor", correction),
        ("Lower and upper bounds on threshold", "0.0,1.0"),
        ("Manual threshold", 0.0),
        ("Select the measurement to threshold with", "None"),
        ("Two-class or three-class thresholding?", "Two classes"),
        ("Log transform before thresholding?", "No"),
        ("Assign pixels in the middle intensity class to the foreground or the background?",
         "Foreground"),
        ("Size of adaptive window", window or 50),
        ("Lower outlier fraction", 0.05),
        ("Upper outlier fraction", 0.05),
        ("Averaging method", "Mean"),
        ("Variance method", "Standard deviation"),
        ("# of deviations", 2.0),
        ("Thresholding method", method),
    ]  # fmt: skip


def primary_objects(
    image: str,
    name: str,
    pixels: tuple[int, int],
    note: str,
    limits: Settings,
    *,
    smoothing: int | None = None,
    distance: float | None = None,
) -> Module:
    """Find objects of a diameter of `pixels`; touching ones are parted by shape."""
    return (
        "IdentifyPrimaryObjects",
        15,
        note,
        [
            ("Select the input image", image),
            ("Name the primary objects to be identified", name),
            ("Typical diameter of objects, in pixel units (Min,Max)", f"{pixels[0]},{pixels[1]}"),
            ("Discard objects outside the diameter range?", "Yes"),
            ("Discard objects touching the border of the image?", "No"),
            ("Method to distinguish clumped objects", "Shape"),
            ("Method to draw dividing lines between clumped objects", "Shape"),
            ("Size of smoothing filter", smoothing or 10),
            (
                "Suppress local maxima that are closer than this minimum allowed distance",
                distance or 7.0,
            ),
            ("Speed up by using lower-resolution image to find local maxima?", "Yes"),
            ("Fill holes in identified objects?", "After both thresholding and declumping"),
            (
                "Automatically calculate size of smoothing filter for declumping?",
                "No" if smoothing else "Yes",
            ),
            (
                "Automatically calculate minimum allowed distance between local maxima?",
                "No" if distance else "Yes",
            ),
            ("Handling of objects if excessive number of objects identified", "Continue"),
            ("Maximum number of objects", 500),
            ("Use advanced settings?", "Yes"),
            *limits,
        ],
    )


def secondary_objects(
    seeds: str,
    name: str,
    image: str,
    note: str,
    limits: Settings,
    *,
    method: str = "Watershed - Image",
) -> Module:
    """Grow an object from each of the seeds over the bright part of an image."""
    return (
        "IdentifySecondaryObjects",
        10,
        note,
        [
            ("Select the input objects", seeds),
            ("Name the objects to be identified", name),
            ("Select the method to identify the secondary objects", method),
            ("Select the input image", image),
            ("Number of pixels by which to expand the primary objects", 10),
            ("Regularization factor", 0.05),
            ("Discard secondary objects touching the border of the image?", "No"),
            ("Discard the associated primary objects?", "No"),
            ("Name the new primary objects", "FilteredNuclei"),
            ("Fill holes in identified objects?", "Yes"),
            *limits,
        ],
    )


def size_shape(objects: str, *, advanced: bool = True) -> Module:
    """Measure the shape of objects, named in one text with commas."""
    return (
        "MeasureObjectSizeShape",
        3,
        "Shapes in pixels.",
        [
            ("Select object sets to measure", objects),
            ("Calculate the Zernike features?", "No"),
            ("Calculate the advanced features?", "Yes" if advanced else "No"),
        ],
    )


def object_intensity(images: str, objects: str) -> Module:
    """Measure the intensity of objects in images, both named in one text with commas."""
    return (
        "MeasureObjectIntensity",
        4,
        "Intensities as fractions of 65535 camera counts.",
        [("Select images to measure", images), ("Select objects to measure", objects)],
    )


def export_tables(measurements: Sequence[str] = ()) -> Module:
    """Write tables: of everything, or the image table with the chosen ``object|feature`` alone."""
    return (
        "ExportToSpreadsheet",
        13,
        "Tables go to the Default Output Folder.",
        [
            ("Select the column delimiter", 'Comma (",")'),
            ("Add image metadata columns to your object data file?", "Yes"),
            ("Add image file and folder names to your object data file?", "No"),
            ("Select the measurements to export", "Yes" if measurements else "No"),
            ("Calculate the per-image mean values for object measurements?", "Yes"),
            ("Calculate the per-image median values for object measurements?", "No"),
            ("Calculate the per-image standard deviation values for object measurements?", "Yes"),
            ("Output file location", "Default Output Folder|"),
            ("Create a GenePattern GCT file?", "No"),
            ("Select source of sample row name", "Metadata"),
            ("Select the image to use as the identifier", "None"),
            ("Select the metadata to use as the identifier", "None"),
            ("Export all measurement types?", "No" if measurements else "Yes"),
            ("Press button to select measurements", ",".join(measurements)),
            ("Representation of Nan/Inf", "NaN"),
            ("Add a prefix to file names?", "No"),
            ("Filename prefix", "MyExpt_"),
            ("Overwrite existing files without warning?", "Yes"),
            ("Data to export", "Image" if measurements else "Do not use"),
            ("Combine these object measurements with those of the previous object?", "No"),
            ("File name", "DATA.csv"),
            ("Use the object name for the file name?", "Yes"),
        ],
    )


def insert_before_last(text: str, modules: Sequence[Module]) -> str:
    """Return a pipeline with modules added before its last one."""
    head, *present = text.rstrip("\n").split("\n\n")
    number = len(present)
    total = number + len(modules)
    added = [_module_text(place, module) for place, module in enumerate(modules, number)]
    last = present[-1].replace(f"[module_num:{number}|", f"[module_num:{total}|", 1)
    head = head.replace(f"ModuleCount:{number}\n", f"ModuleCount:{total}\n", 1)
    return "\n\n".join([head, *present[:-1], *(x.rstrip("\n") for x in added), last]) + "\n"


def save_masks(objects: str, image: str, folder: str) -> list[Module]:
    """Write the labels of objects as 16-bit TIFF, named by the file of an image."""
    picture = f"{objects}Labels"
    return [
        (
            "ConvertObjectsToImage",
            1,
            "",
            [
                ("Select the input objects", objects),
                ("Name the output image", picture),
                ("Select the color format", "uint16"),
                ("Select the colormap", "Default"),
            ],
        ),
        (
            "SaveImages",
            16,
            "Pixel values are object numbers.",
            [
                ("Select the type of image to save", "Image"),
                ("Select the image to save", picture),
                ("Select method for constructing file names", "From image filename"),
                ("Select image name for file prefix", image),
                ("Enter single file name", "OrigBlue"),
                ("Number of digits", 4),
                ("Append a suffix to the image file name?", "Yes"),
                ("Text to append to the image name", f"_{objects}"),
                ("Saved file format", "tiff"),
                ("Output file location", f"Default Output Folder sub-folder|{folder}"),
                ("Image bit depth", "16-bit integer"),
                ("Overwrite existing files without warning?", "Yes"),
                ("When to save", "Every cycle"),
                ("Record the file and path information to the saved image?", "No"),
                ("Create subfolders in the output folder?", "No"),
                ("Base image folder", "Elsewhere...|"),
                ("How to save the series", "T (Time)"),
                ("Save with lossless compression?", "Yes"),
            ],
        ),
    ]
