"""``python -m relmp``."""

from relmp.cli import main

if __name__ == "__main__":
    main()
