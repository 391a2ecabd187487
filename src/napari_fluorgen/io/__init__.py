"""Reading stacks and plates, writing and reading back results: one file a format."""

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.cellvoyager import is_plate_folder, read_plate
from napari_fluorgen.io.found import FieldSource, FoundFields
from napari_fluorgen.io.plate import FieldEntry, Plate
from napari_fluorgen.io.read import find_fields, read_stack
from napari_fluorgen.io.results import list_fields, read_field, write_field

__all__ = [
    "FieldEntry",
    "FieldSource",
    "FoundFields",
    "Plate",
    "atomic_path",
    "find_fields",
    "is_plate_folder",
    "list_fields",
    "read_field",
    "read_plate",
    "read_stack",
    "write_field",
]
