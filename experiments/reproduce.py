"""Reproduces a table of a paper: `python -m experiments.reproduce TABLE`."""

import sys

from experiments.studies.papers.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
