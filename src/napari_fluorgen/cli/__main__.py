"""``python -m napari_fluorgen.cli`` is `fluorgen`."""

from napari_fluorgen.cli import main

if __name__ == "__main__":
    main()
