"""Scores as one web page that needs nothing but itself: no network, no scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from napari_fluorgen import __version__
from napari_fluorgen.workflow.evaluate_curve import curve_svg
from napari_fluorgen.workflow.evaluate_pictures import (
    BRIGHTER,
    DARKER,
    FALSE,
    FOUND,
    MISSED,
    RGB,
    Panels,
    PictureSource,
)

if TYPE_CHECKING:
    from napari_fluorgen.measurement import ImageScore, MeasuredFeatures, StainScore
    from napari_fluorgen.workflow.evaluation import Evaluation

_WORST_FEATURES = 12
_MAX_LISTED = 20

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;margin:2rem auto;
max-width:76rem;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.25rem;margin-top:2.2rem}
h3{font-size:1.05rem;margin:1.4rem 0 .3rem}
table{border-collapse:collapse;margin:.6rem 0}
caption{text-align:left;color:#444;padding-bottom:.3rem}
th,td{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child,td.text,th.text{text-align:left}
thead th{border-bottom:2px solid #888}
.scroll{overflow-x:auto}.note{border-left:4px solid #e69f00;padding:.2rem .8rem;background:#fdf6e7}
.panels{display:flex;flex-wrap:wrap;gap:.6rem}figure{margin:0 0 .8rem}
figure.panel{width:min(18rem,100%)}figure.panel img{width:100%;display:block}
figcaption{font-size:.9rem;color:#333}.key{display:inline-block;width:1em;height:1em;
vertical-align:-.15em;border:1px solid #666;margin:0 .2em 0 .6em}p{max-width:60rem}
small,.quiet{color:#555}
"""


def page_text(evaluation: Evaluation, source: PictureSource) -> str:
    """Return the page.

    Parameters
    ----------
    evaluation : Evaluation
    source : PictureSource
        Where the pictures come from.

    Raises
    ------
    InputError
        When an image cannot be read again.
    """
    fields = len(evaluation.fields)
    head = (
        f"{_count(fields, 'field')}; predictions from {escape(source.predicted.name)}, truth from "
        f"{escape(source.truth.name)}; napari-fluorgen {escape(__version__)}"
    )
    body = [
        "<h1>Predicted stains against true stains</h1>",
        f'<p class="quiet">{head}</p>',
        *(f'<p class="note">{escape(note)}</p>' for note in _notes(evaluation)),
        _official(evaluation),
        _stains(evaluation),
        _nuclei(evaluation),
        *(_pictures(evaluation, source, stain) for stain in evaluation.stains.stains),
        _features(evaluation.features),
        _by_field(evaluation),
        _left_out(evaluation),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>fluorgen evaluate: {escape(source.predicted.name)}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(filter(None, body)) + "\n</body>"
        "</html>\n"
    )


def _notes(evaluation: Evaluation) -> list[str]:
    notes = list(evaluation.notes)
    for names, what in (
        (evaluation.missing, "predicted fields have no true stain"),
        (evaluation.unpredicted, "fields with true stains have no prediction"),
    ):
        if names:
            notes.append(f"Not in the scores: {len(names)} {what} (listed at the end).")
    return notes


def _official(evaluation: Evaluation) -> str:
    feature = evaluation.feature_error
    rows = [
        ("pixel error", _number(evaluation.stains.pixel_error), _PIXEL_ERROR),
        ("feature error", "not measured" if feature is None else _number(feature), _FEATURE_ERROR),
        ("score", "-" if feature is None else _number(evaluation.score), _SCORE),
    ]
    return "<h2>Score of the Adipocyte Cell Challenge</h2>" + _table(
        ("", "value", "what it is"), rows, text=(2,)
    )


_PIXEL_ERROR = (
    "mean absolute difference of prediction and truth, as a part of the median true pixel of the "
    "stain; mean over the stains; 0 is perfect"
)
_SCORE = "mean of the two errors; 0 is perfect"
_FEATURE_ERROR = (
    "mean absolute difference of what CellProfiler measures on prediction and truth, as a part of "
    "the true median; mean over the features; 0 is perfect"
)


def _stains(evaluation: Evaluation) -> str:
    rows = [
        (
            name,
            _number(score.pixel_error),
            _number(score.mean_absolute_error, 1),
            _number(score.truth_median, 0),
            _number(score.pearson),
            _number(score.ssim),
            str(score.fields),
        )
        for name, score in evaluation.stains.stains.items()
    ]
    head = (
        "stain", "pixel error", "mean absolute error (counts)", "median of truth (counts)",
        "Pearson r", "SSIM", "fields",
    )  # fmt: skip
    caption = "Counts are camera counts (0 to 65535). r and SSIM are means over fields; 1 is best."
    return "<h2>Stains</h2>" + _table(head, rows, caption=caption)


def _nuclei(evaluation: Evaluation) -> str:
    title = "<h2>Nuclei found</h2>"
    if not evaluation.curve:
        return title + (
            "<p>Not scored: no field has labels of its true nuclei (labels/&lt;field&gt;_nuclei.tif"
            ") and predicted ones.</p>"
        )
    rows = [
        (f"{m.iou:.2f}", *map(_number, (m.f1, m.precision, m.recall)), m.tp, m.fp, m.fn)
        for m in evaluation.curve
    ]
    head = ("IoU at least", "F1", "precision", "recall", "found", "false", "missed")
    first = evaluation.curve[0]
    caption = (
        f"{first.tp + first.fn} true nuclei and {first.tp + first.fp} predicted ones in "
        f"{_count(len(evaluation.nuclei_by_field), 'field')}. A nucleus is found where it covers a "
        "true one with at least this IoU (shared area over joint area)."
    )
    curve = curve_svg(evaluation.curve, tuple(evaluation.nuclei_by_field.values()))
    return (
        title
        + '<div class="panels">'
        + _table(head, rows, caption=caption)
        + f"<figure>{curve}<figcaption>All fields together; grey: F1 of each field.</figcaption>"
        "</figure></div>"
    )


def _pictures(evaluation: Evaluation, source: PictureSource, stain: str) -> str:
    score = evaluation.stains.stains[stain]
    chosen = choose_fields(score)
    blocks = []
    panels = None
    for rank, image in chosen:
        name = evaluation.fields[image.field]
        panels = source.panels(name, stain)
        blocks.append(_field_block(rank, name, image, panels))
    assert panels is not None
    legend = (
        "Black to white is 1st to 99.7th percentile of the true stain of the field, the same for "
        "prediction and truth. Difference = prediction − truth: "
        + _key(DARKER, "too dark")
        + _key((255, 255, 255), "equal")
        + _key(BRIGHTER, "too bright")
        + "."
    )
    if stain == "nuclei" and evaluation.curve:
        legend += (
            " Outlines, matched at IoU 0.5: "
            + _key(FOUND, "found")
            + _key(FALSE, "false (in the prediction only)")
            + _key(MISSED, "missed (in the truth only)")
            + "."
        )
    return f"<h2>Pictures: {escape(stain)}</h2><p>{legend}</p>" + "".join(blocks)


def choose_fields(score: StainScore) -> list[tuple[str, ImageScore]]:
    """Return the field with the lowest, the median and the highest pixel error, with its rank."""
    ordered = sorted(score.images, key=lambda image: image.pixel_error)
    if len(ordered) == 1:
        return [("The field", ordered[0])]
    ranks = {0: "Best field", (len(ordered) - 1) // 2: "Median field"}
    ranks |= {0: "Best field", len(ordered) - 1: "Worst field"}
    return [(ranks[place], ordered[place]) for place in sorted(ranks)]


def _field_block(rank: str, name: str, image: ImageScore, panels: Panels) -> str:
    rows, columns = panels.size_px
    part = "whole field" if panels.whole else "central part"
    size = f"{columns} × {rows} px"
    if panels.size_um is not None:
        size += f" = {panels.size_um[1]:.0f} × {panels.size_um[0]:.0f} µm"
    if panels.bar_um is not None:
        size += f", white bar {panels.bar_um} µm"
    low, high = panels.counts
    figures = (
        f"pixel error {_number(image.pixel_error)}, r {_number(image.pearson)}; {part}, {size}; "
        f"black {low}, white {high} counts; full colour at ±{(high - low) / 2:.0f} counts"
    )
    shown = "".join(
        f'<figure class="panel"><img src="{address}" alt="{escape(title)}, {escape(name)}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
        for title, address in panels.pictures.items()
    )
    return (
        f'<h3>{rank}: {escape(name)}</h3><p class="quiet">{figures}</p>'
        f'<div class="panels">{shown}</div>'
    )


def _features(measured: MeasuredFeatures | None) -> str:
    if measured is None:
        return ""
    scores = measured.scores
    groups: dict[str, list[float]] = {}
    for name, error in scores.columns.items():
        groups.setdefault(_group(name), []).append(error)
    worst = sorted(scores.columns.items(), key=lambda item: -item[1])[:_WORST_FEATURES]
    own = " (comes with fluorgen)" if measured.pipeline == "challenge-style" else ""
    text = (
        f"<h2>Features</h2><p>Pipeline {escape(measured.pipeline)}{own}, run in CellProfiler on "
        f"the predicted and on the true stains of {_count(scores.images, 'field')}; "
        f"{len(scores.columns)} features count. Figures of different pipelines do not compare.</p>"
    )
    rows = [(name, len(errors), _number(float(np.mean(errors)))) for name, errors in groups.items()]
    text += '<div class="panels">'
    text += _table(("group", "features", "mean error"), sorted(rows), caption="Error by group")
    text += _table(
        ("feature", "error"),
        [(name, _number(error)) for name, error in worst],
        caption="Features with the largest error (1 = as large as the true median)",
    )
    text += "</div>"
    if scores.excluded:
        text += _details(
            f"{len(scores.excluded)} features left out of the mean",
            [f"{name}: {reason}" for name, reason in scores.excluded.items()],
        )
    if scores.incomplete:
        text += _details(
            f"{len(scores.incomplete)} features compared in fewer fields, because one side has no "
            "value",
            [f"{name}: {n} fields left out" for name, n in scores.incomplete.items()],
        )
    return text


def _group(name: str) -> str:
    first, _, rest = name.partition("_")
    if first in ("Mean", "StDev", "Median"):
        objects, _, _ = rest.partition("_AreaShape_")
        kind = "shape"
        if "_Intensity_" in rest:
            objects, kind = rest.partition("_Intensity_")[0], "intensity"
        return f"{objects.replace('_', ' ')}: {kind}"
    return {"Count": "counts", "Granularity": "granularity"}.get(first, first.lower())


def _by_field(evaluation: Evaluation) -> str:
    rows = []
    stains = evaluation.stains.stains
    for index, name in enumerate(evaluation.fields):
        row: list[object] = [name]
        for score in stains.values():
            found = [image for image in score.images if image.field == index]
            row += [_number(found[0].pixel_error), _number(found[0].pearson)] if found else ["", ""]
        matches = evaluation.nuclei_by_field.get(name)
        if evaluation.curve:
            if matches:
                first = matches[0]
                row += [first.tp + first.fn, first.tp + first.fp, _number(first.f1)]
            else:
                row += ["", "", ""]
        rows.append(row)
    head = ["field"]
    for stain in stains:
        head += [f"{stain}: pixel error", f"{stain}: r"]
    if evaluation.curve:
        head += ["true nuclei", "predicted nuclei", "F1 at IoU 0.5"]
    return "<h2>Field by field</h2>" + _table(head, rows)


def _left_out(evaluation: Evaluation) -> str:
    text = ""
    for title, names in (
        ("Predicted fields without a true stain", evaluation.missing),
        ("True fields without a prediction", evaluation.unpredicted),
    ):
        if names:
            text += f"<h2>{title}</h2>" + _details(f"{len(names)} fields", names)
    return text


def _details(summary: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    state = " open" if len(lines) <= _MAX_LISTED else ""
    return f"<details{state}><summary>{escape(summary)}</summary><ul>{items}</ul></details>"


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    text: tuple[int, ...] = (),
) -> str:
    def cell(tag: str, column: int, value: object) -> str:
        kind = ' class="text"' if column in text else ""
        return f"<{tag}{kind}>{escape(str(value))}</{tag}>"

    top = "".join(cell("th", column, value) for column, value in enumerate(head))
    lines = "".join(
        "<tr>" + "".join(cell("td", column, value) for column, value in enumerate(row)) + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{title}<thead><tr>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _key(colour: RGB, meaning: str) -> str:
    return f'<span class="key" style="background:rgb{colour}"></span>{escape(meaning)}'


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or not np.isfinite(value):
        return "not known"
    return f"{value:.{digits}f}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
