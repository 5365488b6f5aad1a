"""What a training step of each arm of a block costs, relative to the first arm's."""

import statistics

import jax

from experiments.benchmark.steps import step_call
from experiments.benchmark.timing import keep_freed_memory, seconds_in_turns
from experiments.run.build import built_augmentation, built_model, built_strategy
from experiments.studies.recipe import arm_options, job_config
from experiments.studies.study import Job, Measured
from experiments.studies.train_population import measure_config, whole_of
from jaxaug.training import device_split, gathered_batch

TURNS = 15


def measure_timed(job: Job) -> Measured:
    """Returns what a population of the job's seeds measured, and the cost of a step."""
    ratios = step_ratios(job)
    found = measure_config(job, job_config(job))
    return found._replace(metrics=found.metrics | ratio_metrics(job, ratios))


def ratio_metrics(job: Job, ratios: dict[str, float]) -> dict[str, object]:
    """Returns the metrics that keep the cost of a step: the arm's, and all, for the arms that follow."""
    return {"step_ratio": ratios[job.arm.name], "step_ratios": ratios}


def step_ratios(job: Job) -> dict[str, float]:
    """Returns the cost of a step of each arm of the block: recorded with another arm, or measured in turns."""
    for line in job.lines:
        if line["block"] == job.block.name and job.arm.name in line["metrics"].get("step_ratios", {}):
            return line["metrics"]["step_ratios"]
    job.announce("cost of a step")
    keep_freed_memory()
    configs = {
        arm.name: job_config(job._replace(options=arm_options(job.study, job.block, arm, job.scale, job.extra)))
        for arm in job.block.arms
    }
    first = next(iter(configs.values()))
    dataset = whole_of(first)
    index = jax.numpy.arange(first.batch_size)
    batch = gathered_batch(device_split(dataset.train), index, dataset.num_classes)
    calls = {
        name: step_call(
            built_model(config, dataset.num_classes),
            built_strategy(config, built_augmentation(config, dataset)),
            None,
            batch,
        )
        for name, config in configs.items()
    }
    seconds = seconds_in_turns(calls, TURNS)
    base = seconds[next(iter(configs))]
    return {name: statistics.median(a / b for a, b in zip(each, base, strict=True)) for name, each in seconds.items()}
