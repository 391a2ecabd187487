"""A window with the card of a model."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QTextBrowser, QVBoxLayout, QWidget

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks.job import report


def show_card(parent: QWidget, name: str | None) -> QDialog | None:
    """Open the model card beside the dock; the window stays usable."""
    from napari_fluorgen.models import load_model

    if name is None:
        return None
    try:
        card = load_model(name).card
    except FluorgenError as error:
        report(error)
        return None
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(f"Model {name}")
    browser = QTextBrowser()
    browser.setOpenExternalLinks(True)
    browser.setMarkdown(card)
    QVBoxLayout(dialog).addWidget(browser)
    dialog.resize(560, 640)
    dialog.show()
    return dialog
