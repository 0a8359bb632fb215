"""Exports in all their forms: what the deployment's acceptance asks, part by part.

Command: `make bench-deploy ARGS="--flowers-run RUN --float-run RUN --cifar-run RUN --mutualnet-run RUN"` (nothing else should
run on the machine). Every part writes `docs/results/bench_deploy_<part>.json`; those whose run is not given are left out.

- forms: ResNet-18 with random weights and other norms in every setting, float and with 2/2 bits: bytes, times, differences of
  logits; packed against plain; files with one setting alone beside them. That every LiteRT file runs here shows that no
  operation of TensorFlow is in it.
- exits: early exit of a network of four equal stages, as SavedModel and as LiteRT stages. (Of a trained RANet: `make
  bench-ranet`.)
- trained: float runs and one of 2/2 bits, evaluated and timed in all forms at every setting, one thread.
- adaptive: `AdaptiveModel` on the LiteRT export of a run, in processes without TensorFlow.

Times are medians of calls in turn. The runs of the committed figures: flowers is `experiments/rsnet/flowers5.yaml` with 12
passes; float `experiments/rsnet/cifar10_w2a2.yaml` with `--mode float` and 2 passes; 2/2 bits that recipe with 4 passes, and 6
more from there with `--load` and a rate of 0.03; MutualNet `experiments/mutualnet/cifar10.yaml` with 1 pass.
"""

import argparse

from experiments.benchmarks.timing import report

PARTS = ("forms", "exits", "trained", "adaptive")
COMMAND = "make bench-deploy"


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.deployment", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which (default all)")
    parser.add_argument("--flowers-run", help="trained float network")
    parser.add_argument("--flowers", help="its pictures, if they have moved: folder with train/ and val/")
    parser.add_argument("--float-run", help="trained float network, CIFAR-10: as many test pictures as small differences need")
    parser.add_argument("--cifar-run", help="trained network with 2/2 bits")
    parser.add_argument("--mutualnet-run", help="trained and evaluated network of several widths")
    arguments = parser.parse_args(argv)
    for part in arguments.parts:
        found = {"forms": forms, "exits": exits, "trained": trained, "adaptive": adaptive}[part](arguments)
        if found:
            report(f"bench_deploy_{part}", COMMAND, found)


def forms(_):
    from experiments.benchmarks import deployment_forms

    return deployment_forms.measured(deployment_forms.FULL)


def exits(_):
    from experiments.benchmarks import deployment_exits

    return deployment_exits.measured(deployment_exits.FULL)


def trained(arguments):
    from experiments.benchmarks import deployment_trained

    runs = {
        "float, flowers": (arguments.flowers_run, arguments.flowers),
        "float, CIFAR-10": (arguments.float_run, None),
        "2/2, CIFAR-10": (arguments.cifar_run, None),
    }
    rows, acceptance = [], []
    for name, (run, data) in runs.items():
        if run is not None:
            own, lines = deployment_trained.measured(name, run, data)
            rows += own
            acceptance += lines
    return {"threads": 1, "forms": rows, "acceptance": acceptance} if rows else None


def adaptive(arguments):
    from experiments.benchmarks import deployment_adaptive

    return deployment_adaptive.measured(arguments.mutualnet_run) if arguments.mutualnet_run else None


if __name__ == "__main__":
    main()
