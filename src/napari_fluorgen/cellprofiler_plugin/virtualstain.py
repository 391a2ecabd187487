"""
VirtualStain
============

**VirtualStain** predicts nuclei, lipid droplets and cytoplasm from a brightfield focus series: it
gives three stain images in camera counts, the nuclei as objects, and for each nucleus how far to
trust it. The images are predictions, not measured fluorescence.

The work is done by *fluorgen* (the Python package napari-fluorgen), which has an installation of
its own. It is found by the setting *Program of fluorgen*, by the environment variable
FLUORGEN_COMMAND, beside this file, or on PATH, and ends with CellProfiler.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          planes only  NO
============ ============ ===============

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

**Nuclei:** *Fluorgen_Decision* (2 accept, 1 review, 0 reject), *Fluorgen_Confidence* (0 to 1: how
firmly background is ruled out), *Fluorgen_PValue* (small where a wrong nucleus is unlikely),
*Fluorgen_Probability*, and *Location*, *Number*. Keep nuclei to trust with **FilterObjects**,
*Fluorgen_Decision* of at least 2. A value is NaN where the model has no calibration.

**Image:** *Count*, *Fluorgen_Accepted* (nuclei to trust), *Fluorgen_Verdict* (one sentence when the
image does not look like what the model was calibrated on, else empty) and *Fluorgen_Warning* (1
where there is a verdict; use it in **FlagImage**).
"""

# Runs in CellProfiler's Python 3.8 or 3.9: newer syntax must not be used here.

import logging
import os
import re

import numpy
from _fluorgen_worker import (
    AUTOMATIC,
    VirtualStainError,
    close_workers,
    find_command,
    worker_of,
)
from cellprofiler_core.constants.measurement import (
    COLTYPE_FLOAT,
    COLTYPE_INTEGER,
    COLTYPE_VARCHAR_FORMAT,
)
from cellprofiler_core.image import Image
from cellprofiler_core.module.image_segmentation import ImageSegmentation
from cellprofiler_core.object import Objects
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.subscriber import ImageListSubscriber, ImageSubscriber
from cellprofiler_core.setting.text import Float, ImageName, LabelName, Text

COUNTS = 65535.0
FROM_FILES = "In the files of one image"
FROM_IMAGES = "In several images, one a plane"
FROM_VOLUME = "In one 3D image"

CATEGORY = "Fluorgen"
DECISIONS = {"reject": 0.0, "review": 1.0, "accept": 2.0}
OBJECT_FEATURES = {
    "Confidence": "confidence",
    "PValue": "p_value",
    "Decision": "decision",
    "Probability": "probability_mean",
}
IMAGE_FEATURES = {
    "Accepted": COLTYPE_INTEGER,
    "Warning": COLTYPE_INTEGER,
    "Verdict": COLTYPE_VARCHAR_FORMAT % 512,
    "Model": COLTYPE_VARCHAR_FORMAT % 128,
}


class VirtualStain(ImageSegmentation):
    category = "Image Processing"
    module_name = "VirtualStain"
    variable_revision_number = 1

    def create_settings(self):
        self.source = Choice(
            "Where are the brightfield planes?",
            [FROM_FILES, FROM_IMAGES, FROM_VOLUME],
            doc=f"""\
-  *{FROM_FILES}:* choose any one plane; the others are found on disk beside it by the file names of
   CellVoyager, with heights and pixel size where the instrument wrote them. A file that is a whole
   z-stack works too. Modules before this one have no effect on the planes.
-  *{FROM_IMAGES}:* choose the image of each plane, named so that their sorted names run from
   the lowest plane to the highest (for example Brightfield01 to Brightfield07).
-  *{FROM_VOLUME}:* an image loaded with "Process as 3D".
""",
        )
        self.x_name = ImageSubscriber("Select a brightfield image", doc="A plane, or the stack.")
        self.planes = ImageListSubscriber(
            "Select the brightfield planes", [], doc="They are taken in the order of their names."
        )
        self.z_step = Float(
            "Distance between planes in micrometres",
            0.0,
            minval=0.0,
            doc="0 where it is unknown: the planes then stand for those of the model in turn.",
        )
        self.pixel_size = Float(
            "Pixel size in micrometres",
            0.0,
            minval=0.0,
            doc="0 takes what the files say, or the pixel size of the model.",
        )
        self.nuclei_name = ImageName("Name the image of nuclei", "Hoechst")
        self.lipids_name = ImageName("Name the image of lipids", "Bodipy")
        self.cytoplasm_name = ImageName("Name the image of cytoplasm", "CellTrackerRed")
        self.y_name = LabelName("Name the nuclei", "Nuclei")
        self.model = Text(
            "Model",
            "adipocyte-20x",
            doc="A name that `fluorgen models list` shows, or the folder of a model.",
        )
        self.fdr = Float(
            "Tolerated share of wrong nuclei",
            0.1,
            minval=0.001,
            maxval=0.999,
            doc="Among those with the decision 'accept', on average over fields like the model's.",
        )
        self.significance = Float(
            "Significance",
            0.05,
            minval=0.001,
            maxval=0.999,
            doc="Decides by pixels, where the model's calibration knows no whole nuclei.",
        )
        self.focus = Choice(
            "Order of the planes",
            ["auto", "as-is", "flipped"],
            doc="auto: told from positions and contrast. as-is: lowest first. flipped: reversed.",
        )
        self.device = Choice(
            "Device", ["auto", "cpu", "cuda", "mps"], doc="auto takes the fastest that exists."
        )
        self.program = Text(
            "Program of fluorgen",
            AUTOMATIC,
            doc=f"""\
*{AUTOMATIC}* looks for FLUORGEN_COMMAND, beside this module and on PATH. Else the path of the
program fluorgen (fluorgen.exe), or of the python that napari-fluorgen is installed in.""",
        )

    def settings(self):
        return [
            self.source,
            self.x_name,
            self.planes,
            self.z_step,
            self.pixel_size,
            self.nuclei_name,
            self.lipids_name,
            self.cytoplasm_name,
            self.y_name,
            self.model,
            self.fdr,
            self.significance,
            self.focus,
            self.device,
            self.program,
        ]

    def visible_settings(self):
        shown = [self.source]
        shown.append(self.planes if self.source.value == FROM_IMAGES else self.x_name)
        if self.source.value != FROM_FILES:
            shown.append(self.z_step)
        return shown + self.settings()[4:]

    def validate_module(self, pipeline):
        if self.source.value == FROM_IMAGES and len(self.planes.value) < 2:
            raise _invalid("Select the image of every brightfield plane.", self.planes)
        try:
            find_command(self.program.value)
        except VirtualStainError as error:
            raise _invalid(str(error), self.program)

    def prepare_run(self, workspace):
        """Start the worker and look for the model before the first image set."""
        request = {"command": "check", "settings": self.request_settings()}
        try:
            worker_of(self.program.value).ask(request)
        except VirtualStainError as error:
            logging.getLogger(__name__).error(str(error))  # headless, nobody else shows it
            workspace.pipeline.report_prepare_run_error(self, str(error))
            return False
        return True

    def post_run(self, workspace):
        close_workers()

    def request_settings(self):
        return {
            "model": self.model.value,
            "device": self.device.value,
            "focus": self.focus.value,
            "fdr": self.fdr.value,
            "significance": self.significance.value,
            "pixel_size_um": self.pixel_size.value or None,
        }

    def run(self, workspace):
        worker = worker_of(self.program.value)
        request = {"command": "stain", "settings": self.request_settings()}
        parent = None
        if self.source.value == FROM_FILES:
            request["path"] = file_of(workspace.measurements, self.x_name.value)
        else:
            data, parent = self.read_planes(workspace.image_set)
            request["array"] = worker.write("planes", data)
            request["z_step_um"] = self.z_step.value or None
        answer = worker.ask(request)
        images = {
            name.value: worker.read(answer["images"][stain]).astype(numpy.float32) / COUNTS
            for name, stain in (
                (self.nuclei_name, "nuclei"),
                (self.lipids_name, "lipids"),
                (self.cytoplasm_name, "cytoplasm"),
            )
        }
        for name, pixels in images.items():
            image = Image(pixels, parent_image=parent, convert=False, scale=COUNTS)
            workspace.image_set.add(name, image)
        nuclei = Objects()
        nuclei.segmented = worker.read(answer["labels"])
        if parent is not None:
            nuclei.parent_image = parent
        workspace.object_set.add_objects(nuclei, self.y_name.value)
        self.add_measurements(workspace)
        self.add_confidence(workspace.measurements, answer, nuclei.count)
        if self.show_window:
            workspace.display_data.images = images
            workspace.display_data.labels = nuclei.segmented

    def read_planes(self, image_set):
        """Stack the planes in camera counts; return them and an image that outputs descend from."""
        if self.source.value == FROM_VOLUME:
            volume = image_set.get_image(self.x_name.value)
            if volume.pixel_data.ndim != 3 or not volume.volumetric:
                raise VirtualStainError(
                    f"Image {self.x_name.value} has the shape {volume.pixel_data.shape}: a 3D "
                    "image of planes, rows and columns is needed; "
                    f'switch on "Process as 3D" in NamesAndTypes, or choose "{FROM_FILES}".'
                )
            return counts(volume), None
        names = sorted(self.planes.value, key=natural)
        images = [image_set.get_image(name, must_be_grayscale=True) for name in names]
        shapes = sorted({image.pixel_data.shape for image in images})
        if len(shapes) > 1:
            raise VirtualStainError(
                "The brightfield planes differ in shape ({}): choose the planes of one "
                "field.".format(" and ".join(map(str, shapes)))
            )
        return numpy.stack([counts(image) for image in images]), images[len(images) // 2]

    def add_confidence(self, measurements, answer, count):
        columns = answer["objects"]
        for feature, column in OBJECT_FEATURES.items():
            values = columns.get(column, [None] * count)
            if column == "decision":
                values = [DECISIONS.get(value) for value in values]
            values = numpy.array([numpy.nan if v is None else v for v in values], dtype=float)
            name = f"{CATEGORY}_{feature}"
            measurements.add_measurement(self.y_name.value, name, values)
        image_values = {
            "Accepted": columns.get("decision", []).count("accept"),
            "Warning": int(bool(answer["verdict"])),
            "Verdict": answer["verdict"] or "",
            "Model": answer["model"],
        }
        for feature, value in image_values.items():
            measurements.add_image_measurement(self.image_feature(feature), value)

    def image_feature(self, feature):
        return f"{CATEGORY}_{feature}_{self.y_name.value}"

    def get_measurement_columns(self, pipeline):
        name = self.y_name.value
        columns = super().get_measurement_columns(pipeline)
        columns += [(name, f"{CATEGORY}_{feature}", COLTYPE_FLOAT) for feature in OBJECT_FEATURES]
        return columns + [
            ("Image", self.image_feature(feature), kind) for feature, kind in IMAGE_FEATURES.items()
        ]

    def get_categories(self, pipeline, object_name):
        categories = super().get_categories(pipeline, object_name)
        return [*categories, CATEGORY] if categories else []

    def get_measurements(self, pipeline, object_name, category):
        if category != CATEGORY:
            return super().get_measurements(pipeline, object_name, category)
        if object_name == "Image":
            return [self.image_feature(feature).split("_", 1)[1] for feature in IMAGE_FEATURES]
        return list(OBJECT_FEATURES) if object_name == self.y_name.value else []

    def display(self, workspace, figure):
        figure.set_subplots((2, 2))
        for index, (name, pixels) in enumerate(workspace.display_data.images.items()):
            figure.subplot_imshow_grayscale(index % 2, index // 2, pixels, title=name)
        labels = workspace.display_data.labels
        figure.subplot_imshow_labels(1, 1, labels, title=self.y_name.value)

    def volumetric(self):
        return True


def file_of(measurements, image_name):
    """Return the path of the file that an image was loaded from."""
    parts = []
    for feature in ("PathName", "FileName"):
        name = f"{feature}_{image_name}"
        if not measurements.has_feature("Image", name):
            raise VirtualStainError(
                f"Image {image_name} comes from no file: choose an image of NamesAndTypes or "
                f'LoadData, or "{FROM_IMAGES}".'
            )
        parts.append(str(measurements.get_current_image_measurement(name)))
    return os.path.join(*parts)


def counts(image):
    """Return the pixels as they were on disk, as far as CellProfiler says how it scaled them."""
    return numpy.asarray(image.pixel_data, numpy.float32) * numpy.float32(image.scale or COUNTS)


def natural(name):
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]


def _invalid(sentence, setting):
    from cellprofiler_core.setting import ValidationError

    return ValidationError(sentence, setting)
