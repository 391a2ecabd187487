"""What the docks show, computed without Qt and tested without a display."""
