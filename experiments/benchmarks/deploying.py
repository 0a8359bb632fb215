"""What the parts of the deployment benchmark share: processes of their own, times of exports, bounds."""

import concurrent.futures
import multiprocessing
import os
import time

import numpy as np

from tfres.deploy.runtime.files import open_export

WARMUP, AT_ONCE = 5, 50  # calls before those that are timed; pictures per call where all are answered


def in_child(function, *args):
    """A function's result from a new process: TensorFlow takes a number of threads once per process."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def use_cores(count):
    """Let this process use so many cores, and runtimes that are loaded later as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def times(paths, signatures, sides, threads, rounds):
    """Median milliseconds of signatures of exports, one picture per call, all in turn and in alternating order; in a child.

    Args:
        paths: name -> path of the export.
        signatures: which; those that an export lacks are left out.
        sides: of the pictures of each signature.
        threads: of an operation.
        rounds: timed calls.

    Returns:
        (name, signature) -> ms.
    """
    exports = {name: open_export(path, threads) for name, path in paths.items()}
    generator = np.random.default_rng(0)
    images = {
        signature: generator.integers(0, 256, [1, side, side, 3], np.uint8)
        for signature, side in zip(signatures, sides, strict=True)
    }
    order = [(name, one) for one in signatures for name, export in exports.items() if one in export.backend.signatures]
    taken = {key: [] for key in order}
    for number in range(-WARMUP, rounds):
        for name, signature in order if number % 2 else order[::-1]:
            start = time.perf_counter()
            exports[name].backend.call(signature, {"images": images[signature]})
            if number >= 0:
                taken[name, signature].append(1000 * (time.perf_counter() - start))
    return {key: float(np.median(values)) for key, values in taken.items()}


def answers(paths, pictures, output="logits"):
    """What exports answer; in a child.

    Args:
        paths: name -> path of the export.
        pictures: signature -> uint8 pictures.
        output: name of the output that is wanted.

    Returns:
        name -> signature -> that output.
    """
    found = {}
    for name, path in paths.items():
        call = open_export(path).backend.call
        found[name] = {
            one: in_parts(lambda some, one=one, call=call: call(one, {"images": some})[output], images)
            for one, images in pictures.items()
        }
    return found


def in_parts(call, images):
    """A call's answers for many pictures."""
    return np.concatenate([call(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)])


def bounded(what, figure, bound):
    """A line of the acceptance.

    Args:
        what: was measured.
        figure: number.
        bound: such as "<= 1.05".
    """
    relation, limit = bound.split()
    holds = figure <= float(limit) if relation == "<=" else figure >= float(limit)
    return {"what": what, "figure": float(figure), "bound": bound, "holds": bool(holds)}


def different_norms(network, seed=0):
    """Give the norms of a network random values, others in every setting: equal ones would hide that kernels are copied."""
    generator = np.random.default_rng(seed)
    for variable in network.weights:
        if any(name in variable.name for name in ("gamma", "beta", "moving")):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return network
