"""The augmentations compared with PyTorch's on the same device."""

# pyright: reportMissingImports=false
# PyTorch is installed only where it is measured.

import importlib.util
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.accelerator.item import Item, ItemError, Options
from experiments.accelerator.speed.augmentations import arguments, host_batch, repeated_contenders, repeated_programs
from experiments.accelerator.speed.programs import compiled_in_threads, error_text, failures
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.turns import Contender, Times, ratio, rounded, times_in_turns
from experiments.benchmark import torch_peers
from experiments.benchmark.operations import OPERATIONS, function
from experiments.benchmark.torch_network import torch_device

ABSENT = "PyTorch is not installed"


def items(options: Options) -> list[Item]:
    """Returns an item for each size; then the policies; then what torch.compile makes of some of them."""
    size = sizes(options.scale)

    def item(what: str, seconds: float, run: Callable[[Sizes, int], dict[str, Any]], place: int, note: str) -> Item:
        batch, side = size.batches[place]
        settings = {"batch": batch, "side": side, "dtype": "float32", "repeats": size.repeats[place], "note": note}
        return Item("speed", f"augment {batch} x {side}, {what}", seconds, lambda: run(size, place), settings)

    graphs = "torch: plain batched PyTorch in a CUDA graph; called: one call after another; torchvision: a draw a batch"
    part = f"torchvision image by image, timed on {size.policy_images} images and scaled"
    compiled = "torch.compile in its default mode, in a CUDA graph"
    return [
        item("torch", 14.0, against_torch, 0, graphs),
        item("torch", 9.0, against_torch, 1, graphs),
        item("torchvision policies", 5.0, against_policies, 0, part),
        item("torchvision policies", 6.0, against_policies, 1, part),
        item("torch.compile", 40.0, against_compiled, 1, compiled),
        item("torch.compile", 35.0, against_compiled, 0, compiled),
    ]


def torch_is_here() -> bool:
    """Returns whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def waited(_: Any) -> None:
    """Waits for PyTorch's device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def recorded(call: Callable[[], Any], repeats: int) -> Contender:
    """Returns the call as a CUDA graph that holds it many times, so that the device waits for no host; else itself."""
    import torch

    if not torch.cuda.is_available():
        return Contender(call, wait=waited)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # a call before a recording allocates what is allocated once
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # Other threads, of JAX, may allocate meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(repeats):
            call()
    return Contender(graph.replay, repeats, waited)


def against_torch(size: Sizes, place: int) -> dict[str, Any]:
    """Returns seconds of each operation, ours and PyTorch's, as the device takes them and as a host calls them."""
    outcomes = repeated_programs(size, place, size.compared)
    ours = repeated_contenders(size, place, outcomes)
    # Of large images, the device takes longer than the host, however it is called.
    called = compiled_in_threads(
        {name: (function(name, size.batches[place][1]), arguments(size, place, name)) for name in ours if place == 0}
    )
    tables = _tables() if torch_is_here() else {}
    rows, errors = {}, failures(outcomes)
    for name, contender in ours.items():
        contenders = {"ours": contender}
        if name in called and not isinstance(called[name], Exception):
            contenders["ours called"] = Contender(_call(called[name], arguments(size, place, name)))
        for library, table in tables.items():
            _add(contenders, errors, library, table, OPERATIONS[name], size, place)
        rows[name] = compared(contenders, size)
    return _result(rows, errors, outcomes)


def against_policies(size: Sizes, place: int) -> dict[str, Any]:
    """Returns seconds of RandAugment and TrivialAugment, ours and torchvision's."""
    outcomes = repeated_programs(size, place, size.policies)
    rows, errors = {}, failures(outcomes)
    images, labels = host_batch(*size.batches[place])
    part = min(size.policy_images, len(images))
    table = torch_peers.torchvision(torch_device()) if _has("torchvision") else {}
    for name, contender in repeated_contenders(size, place, outcomes).items():
        contenders = {"ours": contender}
        if table:
            call = table[OPERATIONS[name]](images[:part], labels[:part])
            contenders["torchvision"] = Contender(call, part / len(images), waited)
        rows[name] = compared(contenders, size)
    return _result(rows, errors, outcomes)


def against_compiled(size: Sizes, place: int) -> dict[str, Any]:
    """Returns seconds of some operations, ours and what torch.compile makes of PyTorch's."""
    outcomes = repeated_programs(size, place, size.compiled)
    rows, errors = {}, failures(outcomes)
    table = {}
    if torch_is_here():
        import torch

        table = torch_peers.torch(torch_device(), torch.compile, every=True)
    for name, contender in repeated_contenders(size, place, outcomes).items():
        contenders = {"ours": contender}
        _add(contenders, errors, "torch compiled", table, OPERATIONS[name], size, place)
        rows[name] = compared(contenders, size)
    return _result(rows, errors, outcomes)


def compared(contenders: dict[str, Contender], size: Sizes) -> dict[str, Any]:
    """Returns the row of an operation: seconds of each contender, the fastest other, and our speed to its."""
    times = times_in_turns(contenders, size.turns, size.turn_seconds)
    cells: dict[str, Any] = {name: rounded(statistics.median(each.seconds)) for name, each in times.items()}
    others: dict[str, Times] = {name: each for name, each in times.items() if not name.startswith("ours")}
    if others:
        fastest = min(others, key=lambda name: statistics.median(others[name].seconds))
        cells |= {"fastest": fastest, "speedup": ratio(others[fastest].seconds, times["ours"].seconds)}
        if "torch called" in times and "ours called" in times:
            cells["speedup called"] = ratio(times["torch called"].seconds, times["ours called"].seconds)
    return cells


def _has(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _tables() -> dict[str, dict[str, torch_peers.Maker]]:
    """Returns the operations of every library that is installed and works on the device."""
    device = torch_device()
    plain = torch_peers.torch(device, every=True)
    tables = {"torch": plain, "torch called": plain}
    for library, table in (
        ("torchvision", torch_peers.torchvision_batches),
        ("kornia", torch_peers.kornia),
        ("timm", torch_peers.timm),
    ):
        if _has(library):
            tables[library] = table(device)
    return tables


def _call(program: Any, given: Sequence[jax.Array]) -> Callable[[], Any]:
    return lambda: program(*given)


def _add(
    contenders: dict[str, Contender],
    errors: dict[str, str],
    library: str,
    table: dict[str, torch_peers.Maker],
    operation: str,
    size: Sizes,
    place: int,
) -> None:
    """Adds a library's contender if it has the operation and can run it; else notes why not."""
    if operation not in table:
        return
    try:
        call = table[operation](*host_batch(*size.batches[place]))
        graph = library in ("torch", "torch compiled")
        contender = recorded(call, size.repeats[place]) if graph else Contender(call, wait=waited)
        contender.wait(contender.call())
        contenders[library] = contender
    except Exception as error:
        errors[f"{operation}, {library}"] = error_text(error)


def _result(rows: dict[str, dict[str, Any]], errors: dict[str, str], outcomes: dict[str, Any]) -> dict[str, Any]:
    speedups = {name: row["speedup"] for name, row in rows.items() if "speedup" in row}
    result: dict[str, Any] = {
        "smallest_speedup": min(speedups.values(), default=None),
        "behind": [f"{name} {each:.3g}" for name, each in speedups.items() if each < 1] or None,
        "operations": rows,
    }
    if not torch_is_here():
        result = {"without": ABSENT, **result}
    if errors:
        result["errors"] = errors
    if failed := failures(outcomes):  # of ours; what another library cannot do is a finding
        raise ItemError("; ".join(f"{name}: {error}" for name, error in failed.items()), result)
    return result
