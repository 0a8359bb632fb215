"""What early exit costs and saves in exports: a network of four equal stages, as SavedModel and as LiteRT stages."""

import tempfile
import time

import numpy as np
import tensorflow as tf

from experiments.benchmarks import deploying
from experiments.benchmarks.deploying import bounded, in_child
from experiments.benchmarks.four_stages import STAGES, FourStages
from experiments.benchmarks.steps import classification
from tfres.deploy.litert import export_litert
from tfres.deploy.savedmodel import export_savedmodel
from tfres.policies import Policy

FULL = {"network": {}, "rounds": 30, "batches": 2}
SMOKE = {"network": {"resolutions": [16], "channels": 8, "convolutions": 1}, "rounds": 2, "batches": 1}
NEVER, BATCH, STATIC = 3e38, 16, f"exit{STAGES[-1]}"
LEAVING = (0.25, 0.5)  # share of the pictures that leave where they can


def measured(size):
    """Time and multiply-adds of every way to leave, of both forms, one thread.

    Args:
        size: `FULL` or `SMOKE`.
    """
    tf.keras.utils.set_random_seed(0)
    network = FourStages(classes=10, **size["network"])
    network.build()
    deploying.different_norms(network)
    side = network.input_size()[0]
    task = classification(side, 10)
    whole = network.costs_on_the_way(STAGES[-1])["macs"]
    shares = {number: network.costs_on_the_way(number)["macs"] / whole for number in STAGES}
    images = np.random.default_rng(0).integers(0, 256, [size["batches"], BATCH, side, side, 3], np.uint8)
    mixes = {share: mixed(network, task, images.reshape(-1, side, side, 3), share) for share in LEAVING}
    table = {"rows": [{"setting": f"exit{k}", "top1": k / 10, "macs": network.costs_on_the_way(k)["macs"]} for k in STAGES]}
    rows, acceptance = [], []
    with tempfile.TemporaryDirectory() as folder:
        for form, export in (("SavedModel", export_savedmodel), ("LiteRT stages", export_litert)):
            path = str(export(network, task, folder, "net", table=table))
            found = in_child(timed, path, folder, images, mixes, size["rounds"])
            acceptance.append({"form": form, **agreement(form, found["apart"])})
            for number, share in shares.items():
                took = found["single"][number] / found["static"]
                bound = f"<= {1.03 if number == STAGES[-1] else share + 0.05:.3f}"
                what = "nobody leaves" if number == STAGES[-1] else f"all leave at exit {number}"
                rows.append({"form": form, "pictures": 1, "who leaves": what, "multiply-adds": share, "time": took})
                acceptance.append({"form": form, **bounded(f"1 picture, {what}: share of the time", took, bound)})
            for leaving, (ms, exits) in found["mixed"].items():
                share = float(np.mean([shares[number] for number in exits]))
                took, what = ms / found["static of a batch"], f"{leaving:.0%} of those who can"
                rows.append({"form": form, "pictures": BATCH, "who leaves": what, "multiply-adds": share, "time": took})
                text = f"{BATCH} pictures, {what} leave: share of the time"
                acceptance.append({"form": form, **bounded(text, took, f"<= {share + 0.06:.3f}")})
    return {
        "network": f"four stages, {whole / 1e9:.2f} G multiply-adds, {side} x {side}",
        "shares": rows,
        "acceptance": acceptance,
    }


def agreement(form, apart):
    """The bound on how far logits are from those of the static graph."""
    return bounded("largest difference to the static graph", apart, "<= 0" if form == "SavedModel" else "<= 1e-4")


def mixed(network, task, images, share):
    """Thresholds with which a share of the pictures that are left leaves at every exit, but the last."""
    side = network.size()
    outputs = network.forward({side: task.resized(images, side)}, network.settings, training=False)
    left, thresholds = np.ones(len(images), bool), []
    for number in STAGES[:-1]:
        scores = task.confidence(outputs[network.resolve(f"exit{number}")], "margin", 1.0).numpy()
        thresholds.append(float(np.quantile(scores[left], 1 - share)))
        left &= scores < thresholds[-1]
    return thresholds


def timed(path, cache, images, mixes, rounds):
    """Medians of calls in turn; in a child."""
    deploying.use_cores(1)
    from tfres.deploy.runtime import AdaptiveModel

    model = AdaptiveModel(path, cache=cache)
    single = {k: [NEVER] * (k - 1) + [-NEVER] * (len(STAGES) - k) for k in STAGES}
    alone, last = turns(model, single, images[:1, :1], rounds)
    several, answers = turns(model, mixes, images, max(2, rounds // 3))
    exits = {share: [number for answer in answers[share] for number in answer.exit.tolist()] for share in mixes}
    apart = np.abs(last[STATIC][0].logits - last[STAGES[-1]][0].logits).max()
    return {
        "static": alone.pop(STATIC),
        "static of a batch": several.pop(STATIC),
        "single": alone,
        "mixed": {share: (ms, exits[share]) for share, ms in several.items()},
        "apart": float(apart),
    }


def turns(model, thresholds, batches, rounds):
    """Milliseconds of the static graph and of policies, all in turn: of each batch the median, their mean; and the answers."""
    policies = {name: Policy("margin", values, [1.0] * len(STAGES), STAGES) for name, values in thresholds.items()}
    calls = {STATIC: {"setting": STATIC}, **{name: {"policy": policy} for name, policy in policies.items()}}
    taken, answers = {name: np.zeros([rounds, len(batches)]) for name in calls}, {name: [] for name in calls}
    for number in range(-2, rounds):
        for place, batch in enumerate(batches):
            for name, how in calls.items():
                start = time.perf_counter()
                answer = model.predict(batch, **how)
                if number >= 0:
                    taken[name][number, place] = 1000 * (time.perf_counter() - start)
                elif number == -1:
                    answers[name].append(answer)
    return {name: float(np.median(values, 0).mean()) for name, values in taken.items()}, answers
