"""Everything that touches napari or Qt.

``presenters`` turn results into what is shown (layers, sentences, grids) without a display;
``docks`` hold layout and wiring; ``reader``, ``writer`` and ``sample`` are napari's other
entry points.
"""
