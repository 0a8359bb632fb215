"""What leaving early saves when a network with exits is served.

Command: `make bench-ranet` (after `make results-ranet`, whose float network it takes; nothing else should run on the machine).
Early exit is set against two whole networks: the one with the last head alone, which is what serves without exits, and the
one that answers at all exits. For each, policies with a quarter, a half and three quarters of its multiply-adds are the
nearest of the published rule's family on the held-out pictures (a better policy may not want to spend so much). The export is
called with test pictures, one, 8 and 32 per call, all forms in turn, two threads: the time saved is set against the
multiply-adds that these pictures saved; where pictures that stay are gathered ("every" exit, "borders", "never") is compared
at 32. Then a policy for a latency budget on 200 single pictures, what budgets policies keep on the whole
test split, and bytes: the export with all its signatures against one with `serve_all` alone.
"""

import argparse
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from experiments.benchmarks.timing import report
from tfres.deploy.benching.measuring import bytes_of
from tfres.deploy.savedmodel import export_savedmodel
from tfres.evaluation.early_exit.finding import find_policies
from tfres.evaluation.opened import open_run
from tfres.models.exit_ways import COMPACTIONS
from tfres.policies import Policy
from tfres.recipe import PolicyOptions

SHARES, BATCHES = (0.25, 0.5, 0.75), {1: 200, 8: 40, 32: 12}
ROUNDS, CALLS, THREADS = 5, 200, 2


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.early_exit", description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="runs/results-ranet/float", help="folder of the run (default %(default)s)")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    opened = open_run(parser.parse_args().run)
    family = find_policies(opened, PolicyOptions(rule="reference", score="margin"))
    spent = np.array([entry["calibration"]["macs"] for entry in family.report["policies"]])
    policies = {
        (form, f"{share:.0%} of the multiply-adds"): family.policies[int(np.argmin(np.abs(spent - share * macs)))]
        for form, macs in whole_networks(opened.network).items()
        for share in SHARES
    }
    with tempfile.TemporaryDirectory() as folder:
        table, paths = opened.run.read_table(), {}
        for compact in COMPACTIONS:
            paths[compact] = export_savedmodel(opened.network, opened.task, folder, compact, table=table, compact=compact)
        path, *_ = paths.values()
        exports = {compact: tf.saved_model.load(str(place)) for compact, place in paths.items()}
        loaded, *_ = exports.values()
        figures = {f"batch {batch}": saved(opened, loaded, policies, batch, calls) for batch, calls in BATCHES.items()}
        gathering = compared(opened, exports, policies)
        latency = kept_latency(opened, loaded)
        sizes = {"all signatures": bytes_of(path), "serve_all alone": bytes_of(whole_network(opened, pathlib.Path(folder)))}
    budgets = find_policies(opened, PolicyOptions()).report["policies"]
    kept = {f"{one['budget_macs'] / 1e6:.1f} M": one["test"]["macs"] / one["budget_macs"] - 1 for one in budgets}
    sizes["ratio"] = sizes["all signatures"] / sizes["serve_all alone"]
    report(
        "bench_early_exit",
        "make bench-ranet",
        {
            "threads": THREADS,
            **figures,
            "gathering, batch 32": gathering,
            "latency": latency,
            "test split over budget": kept,
            "bytes": sizes,
        },
    )


def pictures(opened, count):
    """Test pictures as they are sent, uint8."""
    size = opened.network.size()
    batches = (batch["images"][size].numpy() for batch in opened.task.evaluation_batches(opened.source, [size]))
    return np.concatenate([next(batches) for _ in range(-(-count // opened.task.data.batch_size))])[:count]


def whole_networks(network):
    """Signatures that run the whole network, and the multiply-adds of a picture there."""
    last = network.settings[0]
    return {f"serve_{last}": network.cost(last).macs, "serve_all": network.more_costs(last)["macs_sequential"]}


def inputs_of(policy: Policy):
    """What `serve_adaptive` wants of a policy."""
    return {
        "thresholds": tf.constant([np.inf if value is None else value for value in policy.thresholds], tf.float32),
        "temperatures": tf.constant(policy.temperatures, tf.float32),
        "score": tf.constant(policy.score),
    }


def saved(opened, loaded, policies, batch, calls):
    """Time and multiply-adds saved by policies at a batch size; every form sees the same pictures in turn."""
    images = tf.constant(pictures(opened, batch * calls).reshape(calls, batch, *opened.network.input_size(), 3))
    wholes, adaptive = whole_networks(opened.network), loaded.signatures["serve_adaptive"]
    forms = {name: (loaded.signatures[name], {}) for name in wholes}
    forms |= {key: (adaptive, inputs_of(policy)) for key, policy in policies.items()}
    left = {key: [] for key in policies}

    def call(name, one):
        signature, further = forms[name]
        answer = {output: value.numpy() for output, value in signature(images=one, **further).items()}
        if name in left:
            left[name].append(answer["exit"])

    times = timed(forms, images, call)
    taken = {name: figures["ms"] for name, figures in times.items()}
    results = {name: {**times[name], "macs": macs} for name, macs in wholes.items()}
    for (whole, name), policy in policies.items():
        exits = np.concatenate(left[whole, name][: len(images)])
        skipped = [number for number, value in zip(policy.exits, policy.thresholds, strict=False) if value is None]
        spent = [opened.network.costs_on_the_way(int(number), skipped)["macs"] for number in exits]
        macs_saved = float(1 - np.mean(spent) / wholes[whole])
        time_saved = 1 - taken[whole, name] / taken[whole]
        results[whole][name] = {
            **times[whole, name],
            "macs_saved": macs_saved,
            "time_saved": time_saved,
            "ratio": time_saved / macs_saved,
            "shares": {f"exit{number}": float(np.mean(exits == number)) for number in opened.network.exits},
        }
    return results


def timed(names, images, call):
    """Milliseconds per picture (of each call the median over rounds; their mean), the 90th percentile of calls per picture,
    pictures per second; every name sees the same pictures in turn.
    """
    batch, times = images.shape[1], {name: np.zeros((ROUNDS, len(images))) for name in names}
    for number in range(-1, ROUNDS):  # the first round warms up
        for place, one in enumerate(images):
            for name in names:
                start = time.perf_counter()
                call(name, one)
                if number >= 0:
                    times[name][number, place] = 1000 * (time.perf_counter() - start) / batch
    found = {}
    for name, values in times.items():
        ms = float(np.median(values, 0).mean())
        found[name] = {"ms": ms, "ms_p90": float(np.quantile(values, 0.9)), "pictures_per_s": 1000 / ms}
    return found


def compared(opened, exports, policies):
    """Milliseconds per picture in batches of 32 by where pictures are gathered."""
    images = tf.constant(pictures(opened, 32 * BATCHES[32]).reshape(-1, 32, *opened.network.input_size(), 3))
    adaptive = {compact: export.signatures["serve_adaptive"] for compact, export in exports.items()}
    own = {name: inputs_of(policy) for (whole, name), policy in policies.items() if whole != "serve_all"}

    def call(name, one):
        for value in adaptive[name[1]](images=one, **own[name[0]]).values():
            value.numpy()

    found = {}
    for (name, compact), figures in timed([(name, compact) for name in own for compact in COMPACTIONS], images, call).items():
        found.setdefault(name, {})[compact] = figures["ms"]
    return found


def kept_latency(opened, loaded):
    """A policy for a budget in the middle of the widest gap between what exits take, and how many of the calls keep it."""
    quality = find_policies(opened, PolicyOptions(macs=[1e12]), repeats=CALLS).report["exits"]
    times = np.sort([entry["ms_sequential"] for entry in quality])
    widest = int(np.argmax(np.diff(times)))
    budget = float(times[widest : widest + 2].mean())
    (policy,) = find_policies(opened, PolicyOptions(ms=[budget]), repeats=CALLS).policies
    adaptive, further, within, exits = loaded.signatures["serve_adaptive"], inputs_of(policy), [], []
    for one in tf.constant(pictures(opened, CALLS))[:, None]:
        start = time.perf_counter()
        answer = {name: value.numpy() for name, value in adaptive(images=one, **further).items()}
        within.append(1000 * (time.perf_counter() - start) <= budget)
        exits.append(int(answer["exit"][0]))
    shares = {f"exit{number}": exits.count(number) / CALLS for number in opened.network.exits}
    return {"budget_ms": budget, "calls": CALLS, "within": float(np.mean(within)), "shares": shares}


def whole_network(opened, folder):
    """An export that gives the answers of all exits and nothing else."""
    served, task, root = opened.network.served(), opened.task, tf.Module()
    size = served.size(served.settings[0])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def everything(images):
        outputs = served.ways.each(task.resized(images, size), served.exits)
        answers = [task.answer(z) for _, z in outputs]
        return {name: tf.stack([answer[name] for answer in answers], 1) for name in answers[0]}

    root.weights = served.weights
    tf.saved_model.save(root, str(folder / "whole"), {"serve_all": everything})
    return folder / "whole"
