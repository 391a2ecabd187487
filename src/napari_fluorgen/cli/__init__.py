"""The command line: one file a command, listed in `napari_fluorgen.cli.app`."""


def main() -> None:
    """Run `fluorgen`: exit 0 when done, 1 with a sentence on stderr, 2 for wrong usage."""
    from napari_fluorgen.cli.app import app

    app(prog_name="fluorgen")
