"""The card of a fine-tuned model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_fluorgen.models import Model, ModelSpec
from napari_fluorgen.workflow.fine_tuning_request import FineTuneScores, figures

_CALIBRATED = {
    "pairs": "Confidence maps are calibrated on the held-out fields, which were used for nothing "
    "but this and the figures below; their guarantee holds for fields like these only.",
    "strips": "Confidence maps are calibrated on held-out strips of the same fields that the "
    "networks learned from, with a gap between: a weaker promise than with other fields, so "
    "calibrate again with `fluorgen calibrate` once there are four fields or more.",
    "start": "Confidence maps keep the calibration of the start model, whose nuclei network is "
    "unchanged; it may not hold for these cells.",
    "none": "The model is not calibrated: it gives no confidence maps.",
}


def write_card(
    spec: ModelSpec,
    start: Model,
    before: FineTuneScores,
    after: FineTuneScores,
    *,
    fields: Mapping[str, Sequence[str]],
    whole_fields: bool,
    trained: Sequence[str],
    steps: Mapping[str, int],
    minutes: float,
    device: str,
    stopped: bool,
    simulated_pairs: bool,
    calibrated: str,
    notes: Sequence[str],
) -> str:
    """Markdown card; its first line says what it was trained on."""
    first = start.spec
    origin = "simulated data" if first.simulated else "real data"
    pairs = "simulated pairs" if simulated_pairs else "real pairs"
    kept = [stain for stain in spec.stains if stain not in trained]
    unit = "fields" if whole_fields else "strips of the same fields, 5 µm apart,"
    parts = ", ".join(f"{len(names)} for {part}" for part, names in fields.items())
    lengths = ", ".join(f"{stain} {steps[stain]} steps" for stain in trained)
    if calibrated == "pairs" and not whole_fields:
        calibrated = "strips"
    rows = "\n".join(f"| {name} | {one} | {two} |" for name, one, two in figures(before, after))
    unchanged = f"- Unchanged from {first.name} ({origin}): {', '.join(kept)}.\n" if kept else ""
    remarks = "\n".join(f"- {note}" for note in notes)
    planes = ", ".join(f"{z:g}" for z in spec.z_um)
    return f"""Fine-tuned on {pairs}, from {first.name} {first.version}, trained on {origin}.

# {spec.name} {spec.version}

It suits cells, stains and a microscope like those of its pairs. Check its results against a real
stain of your own cells before you rely on them.

- Start: {first.name} {first.version}, weights sha256:{start.digest}.
- Trained: {lengths}; {minutes:.1f} minutes on {device}{", stopped by the user" if stopped else ""}.
{unchanged}- Pairs: {parts} ({unit} none in two parts).
- Input: {spec.planes} brightfield planes at {planes} µm around focus, {spec.pixel_size_um:g} µm a
  pixel, {_scaling(spec)}.
- Output: {", ".join(spec.stains)} in the counts of the pairs' camera where the pairs have that
  stain, and the probability of nucleus.
- {_CALIBRATED[calibrated]}

# Validation

On the held-out parts, which no network learned from:

| figure | before | after |
| --- | --- | --- |
{rows}

# Notes

{remarks or "- None."}

# Limits

- The figures hold for fields like the pairs; few held-out fields make them uncertain.
- Other cells, another stain, magnification or contrast than in the pairs: train again.
"""


def _scaling(spec: ModelSpec) -> str:
    if spec.input.kind == "background":
        return "divided by their own background"
    return "scaled by fixed ranges of camera counts"
