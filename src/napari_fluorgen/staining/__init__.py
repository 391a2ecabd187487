"""staining."""
