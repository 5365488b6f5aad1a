"""Runs a benchmark: the first argument is its name."""

import importlib
import pkgutil
import sys

import experiments.benchmark
from jaxaug.checks import nearest

HELPERS = {
    "__main__",
    "fit_in_turns",
    "members",
    "operations",
    "peers",
    "prior_layers",
    "steps",
    "timing",
    "torch_batched",
    "torch_network",
    "torch_peers",
}


def main() -> int:
    """Runs the named benchmark with the remaining arguments."""
    modules = [module.name for module in pkgutil.iter_modules(experiments.benchmark.__path__)]
    names = sorted(name for name in modules if name not in HELPERS)
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: python -m experiments.benchmark NAME [options]; NAME is one of: {', '.join(names)}")
        return 0 if len(sys.argv) > 1 else 2
    name = sys.argv.pop(1)
    if name not in names:
        print(f"error: {nearest(name, names, 'benchmark')}", file=sys.stderr)
        return 2
    importlib.import_module(f"experiments.benchmark.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
