"""The dock widgets: layout and wiring only."""
