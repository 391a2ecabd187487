"""The *Train* dock: a model for one's own cells, from a folder of pairs or from loaded layers.

``pairs``, ``record``, ``report``, ``picture`` and ``work`` compute without Qt; the others show.
"""
