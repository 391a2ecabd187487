"""What is asked of the engine, frozen: the widget, the command line and Python build the same."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_fluorgen.errors import ConfigError, first_problem

DEFAULT_MODEL = "adipocyte-20x"


class StainRequest(BaseModel):
    """Settings of one staining run.

    Serialised it is part of the provenance record of every result, and two equal requests on
    equal input give equal results.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(DEFAULT_MODEL, description="Name of an installed model, or its folder.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the networks run; auto takes the fastest that exists."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic; auto is what the device is fastest in."
    )
    focus: Literal["auto", "as-is", "flipped"] = Field(
        "auto", description="Order of the planes: known or guessed, as they stand, or reversed."
    )
    pixel_size_um: float | None = Field(
        None, gt=0, lt=1000, description="Micrometres a pixel, overriding what the file says."
    )
    significance: float = Field(
        0.05, gt=0, lt=1, description="Significance of the prediction regions."
    )
    fdr: float = Field(
        0.1, gt=0, lt=1, description="Tolerated share of wrong nuclei among the accepted ones."
    )
    intervals: bool = Field(
        False, description="Whether to give the width of the intervals of lipids and cytoplasm."
    )
    tile_px: int | None = Field(
        None, ge=64, le=65536, description="Side of a tile in pixels; None fits it to the memory."
    )

    @classmethod
    def build(cls, **settings: Any) -> StainRequest:
        """Return a request, or say in one sentence which setting is wrong.

        Raises
        ------
        ConfigError
            When a setting is unknown or out of range.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            raise ConfigError(describe_validation_error(error)) from None

    def engine_settings(self) -> dict[str, Any]:
        """Return what of the request goes to `stain_arrays`."""
        return self.model_dump(include={"device", "precision", "focus", "pixel_size_um", "tile_px"})

    def to_record(self) -> dict[str, Any]:
        """Return the request as JSON-ready values."""
        return self.model_dump(mode="json")


def describe_validation_error(error: ValidationError) -> str:
    """Return the first problem of a pydantic error as one sentence."""
    where, found, said = first_problem(error)
    if not where:
        return f"{said[0].upper()}{said[1:]}."
    return f"Setting '{where}' is {found}: {said}." if found else f"Setting '{where}': {said}."
