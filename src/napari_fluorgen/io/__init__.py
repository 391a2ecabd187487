"""Reading stacks and plates, writing and reading back results: one file a format."""
