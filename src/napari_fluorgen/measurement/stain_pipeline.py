"""The example of a pipeline that stains inside CellProfiler, with the module VirtualStain."""

from __future__ import annotations

from napari_fluorgen.measurement.cppipe import Module, assemble
from napari_fluorgen.measurement.names import IMAGE_NAMES
from napari_fluorgen.measurement.objects import DropletSettings
from napari_fluorgen.measurement.pipeline import cell_modules, measuring_modules
from napari_fluorgen.measurement.pixel_size import DEFAULT_PIXEL_SIZE_UM

EXAMPLE = "virtualstain_example.cppipe"
"""Name of the example in the folder of the module."""

BRIGHTFIELD = "Brightfield"
PLANE_RULE = 'and (file does contain "Z01C04")'
FILE_NAME = (
    "^(?P<Plate>.+)_(?P<Well>[A-P][0-9]{2})_T(?P<Timepoint>[0-9]{4})F(?P<Site>[0-9]{3})"
    "L[0-9]{2}A[0-9]{2}Z[0-9]{2}C[0-9]{2}"
)
_DROPLETS = DropletSettings()
_DROPLET_PIXELS = (
    round(_DROPLETS.min_diameter_um / DEFAULT_PIXEL_SIZE_UM),
    round(_DROPLETS.max_diameter_um / DEFAULT_PIXEL_SIZE_UM),
)


def stain_pipeline() -> str:
    """Return a pipeline that stains a CellVoyager plate and measures it.

    The first plane of each field stands for the field; VirtualStain finds the others on disk.

    Returns
    -------
    str
        Contents of a ``.cppipe`` file.
    """
    return assemble(
        [
            *input_modules(),
            virtual_stain(BRIGHTFIELD),
            *cell_modules(_DROPLET_PIXELS),
            *measuring_modules(tuple(IMAGE_NAMES.values())),
        ]
    )


def virtual_stain(
    image: str,
    *,
    where: str = "In the files of one image",
    planes: str = "",
    z_step_um: float = 0.0,
    pixel_size_um: float = 0.0,
    model: str = "adipocyte-20x",
    program: str = "Automatic",
) -> Module:
    """Predict the stains and nuclei of a field.

    Parameters
    ----------
    image : str
        A plane of the field or, with ``where="In one 3D image"``, all of them.
    where : str
        One of the module's ways to find the planes.
    planes : str
        Images of the planes, with commas, for ``where="In several images, one a plane"``.
    z_step_um, pixel_size_um : float
        Micrometres between planes and a pixel; 0 where files or the model say it.
    model, program : str
        The model, and the program of fluorgen.
    """
    return (
        "VirtualStain",
        1,
        "Predicts three stains and the nuclei from all brightfield planes of the field.",
        [
            ("Where are the brightfield planes?", where),
            ("Select a brightfield image", image),
            ("Select the brightfield planes", planes),
            ("Distance between planes in micrometres", z_step_um),
            ("Pixel size in micrometres", pixel_size_um),
            ("Name the image of nuclei", IMAGE_NAMES["nuclei"]),
            ("Name the image of lipids", IMAGE_NAMES["lipids"]),
            ("Name the image of cytoplasm", IMAGE_NAMES["cytoplasm"]),
            ("Name the nuclei", "Nuclei"),
            ("Model", model),
            ("Tolerated share of wrong nuclei", 0.1),
            ("Significance", 0.05),
            ("Order of the planes", "auto"),
            ("Device", "auto"),
            ("Program of fluorgen", program),
        ],
    )


def input_modules() -> list[Module]:
    """Take the first brightfield plane of each field of a CellVoyager plate."""
    return [
        (
            "Images",
            2,
            "Drop the folder of the plate here; the rule keeps one plane a field.",
            [
                ("", ""),
                ("Filter images?", "Custom"),
                ("Select the rule criteria", PLANE_RULE),
            ],
        ),
        (
            "Metadata",
            6,
            "Plate, well and site from the names that CellVoyager gives.",
            [
                ("Extract metadata?", "Yes"),
                ("Metadata data type", "Choose for each"),
                ("Metadata types", '{"Site": "integer", "Timepoint": "integer"}'),
                ("Extraction method count", 1),
                ("Metadata extraction method", "Extract from file/folder names"),
                ("Metadata source", "File name"),
                ("Regular expression to extract from file name", FILE_NAME),
                ("Regular expression to extract from folder name", "(?P<Folder>.*)$"),
                ("Extract metadata from", "All images"),
                ("Select the filtering criteria", 'and (file does contain "")'),
                ("Metadata file location", "Elsewhere...|"),
                ("Match file and image metadata", "[]"),
                ("Use case insensitive matching?", "No"),
                ("Metadata file name", ""),
                ("Does cached metadata exist?", "No"),
            ],
        ),
        (
            "NamesAndTypes",
            8,
            "",
            [
                ("Assign a name to", "All images"),
                ("Select the image type", "Grayscale image"),
                ("Name to assign these images", BRIGHTFIELD),
                ("Match metadata", "[]"),
                ("Image set matching method", "Order"),
                ("Set intensity range from", "Image metadata"),
                ("Assignments count", 1),
                ("Single images count", 0),
                ("Maximum intensity", 255.0),
                ("Process as 3D?", "No"),
                ("Relative pixel spacing in X", 1.0),
                ("Relative pixel spacing in Y", 1.0),
                ("Relative pixel spacing in Z", 1.0),
                ("Select the rule criteria", 'and (file does contain "")'),
                ("Name to assign these images", BRIGHTFIELD),
                ("Name to assign these objects", "Cell"),
                ("Select the image type", "Grayscale image"),
                ("Set intensity range from", "Image metadata"),
                ("Maximum intensity", 255.0),
            ],
        ),
        (
            "Groups",
            2,
            "",
            [
                ("Do you want to group your images?", "No"),
                ("grouping metadata count", 1),
                ("Metadata category", "None"),
            ],
        ),
    ]
