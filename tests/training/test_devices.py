"""The number of devices and processes changes nothing but the rounding of sums: real processes, simulated devices."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaug.training import data_mesh, shard_batch
from jaxaug.training.sharding import batch_sharding, device_put_global, replicate, replicated

SCRIPT = pathlib.Path(__file__).with_name("trained_on_devices.py")


def started(devices: int, *arguments: str) -> subprocess.Popen:
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


def found(process: subprocess.Popen) -> dict:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    # The collectives of several processes print too.
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def on_one_device() -> dict:
    return found(started(1))


def on_two_processes() -> list[dict]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [started(4, address, "2", str(place)) for place in range(2)]
    return [found(process) for process in processes]


def numbers(tree) -> list[float]:
    """All numbers of nested dicts and lists, in order."""
    if isinstance(tree, dict):
        return [number for name in sorted(tree) for number in numbers(tree[name])]
    if isinstance(tree, list):
        return [number for entry in tree for number in numbers(entry)]
    return [float("nan") if tree is None else float(tree)]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_eight_devices_compute_what_one_does(on_one_device, processes):
    runs = [found(started(8))] if processes == 1 else on_two_processes()
    for run in runs:
        assert (run["devices"], run["processes"]) == (8, processes)
        assert run["results"].keys() == on_one_device["results"].keys()
        for name, result in run["results"].items():
            expected = on_one_device["results"][name]
            for what in ("records", "table", "params"):
                np.testing.assert_allclose(numbers(result[what]), numbers(expected[what]), rtol=1e-4, atol=1e-5)
            # An eighth of the momentum, where that was asked for.
            assert result["held"] == (1 / 8 if name == "sharded optimizer" else 1)
        # Two copies of the batch are scored and one is trained on, an eighth of each on a device.
        assert on_one_device["convolved"] == [32, 64]
        assert run["convolved"] == [4, 8]


def test_outside_a_mesh_everything_stays_where_it_is():
    x = jnp.arange(6.0)
    assert shard_batch(x) is x
    assert replicate(x) is x


def test_one_device_is_a_mesh_like_any_other():
    mesh = data_mesh()
    assert batch_sharding(mesh, 5).spec == jax.sharding.PartitionSpec("data")
    tree = device_put_global({"a": np.arange(3), "key": jax.random.key(1)}, replicated(mesh))
    assert tree["a"].sharding == replicated(mesh)
    assert device_put_global(tree, replicated(mesh))["a"] is tree["a"]
    with jax.set_mesh(mesh):
        np.testing.assert_array_equal(jax.jit(lambda x: shard_batch(x) + 1)(tree["a"]), [1, 2, 3])
