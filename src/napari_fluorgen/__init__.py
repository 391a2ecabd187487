"""Virtual staining of brightfield stacks."""
__version__ = "0.1.0"
