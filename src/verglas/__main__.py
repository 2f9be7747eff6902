"""``python -m verglas`` is the ``verglas`` command."""

from verglas.cli.main import main

if __name__ == "__main__":
    main()
