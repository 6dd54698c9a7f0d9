"""Random cases of one operator each, in every version of it, laid out as ONNX's own suite:

    python tools/conformance/single OUT --count 4000 --seed 1
    cargo run --release -p conformance -- OUT --engine planned --list

What is expected comes from ONNX Runtime and from onnx.reference. The folder of a case says from which: `both` where they
agree, `ort` or `ref` where one of them alone runs it, `differ` where they do not agree (ONNX Runtime's results are stored;
the text of the operator decides). Needs numpy, ml_dtypes, onnx and onnxruntime. The same seed gives the same cases.
"""

import argparse
import os
import pathlib
import random

import numpy as np

import draw
import elementwise
import layers
import learning
import microsoft
import moving
import quantising
import reducing
import sequences
import signals

FAMILIES = [elementwise, moving, reducing, layers, quantising, signals, sequences, learning, microsoft]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="the folder to write to")
    parser.add_argument("--count", type=int, default=4000, help="cases to try")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="operators to choose from, separated by commas")
    args = parser.parse_args()
    drawers = {}
    for family in FAMILIES:
        drawers.update(draw.collect(vars(family)))
    if args.only:
        drawers = {key: f for key, f in drawers.items() if key[1] in args.only.split(",")}
    # Operators come in turns, and so do their versions, so that even a small run has seen each.
    versions = [(key, v) for key in sorted(drawers) for v in draw.versions(*key)]
    random.Random(args.seed).shuffle(versions)
    missing = dict.fromkeys(versions, 0)
    for tried in range(args.count):
        key, version = versions[tried % len(versions)]
        made = in_child(lambda: one(f"{args.seed}/{tried}", key, version, drawers[key], args.out, args.seed, tried))
        missing[key, version] += made
    for (key, version), n in sorted(missing.items()):
        if not n:
            print("no case:", *key, version)
    print(f"{sum(missing.values())} cases of {args.count} tried")


def one(seed, key, version, drawer, out, number, tried):
    """Writes the case that a seed draws, so that each can be made again alone."""
    rng = random.Random(seed)
    np.random.seed(rng.randrange(2**32))
    case = draw.Draw(rng, *key, version)
    name = f"{key[1]}_{version}_s{number}_{tried:05}"
    try:
        return draw.write(case, drawer(case), out, name)
    except draw.Unfit:
        return False


def in_child(work):
    """Whether the work succeeds in a process of its own: some models abort ONNX Runtime."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        os._exit(0 if work() else 1)
    except Exception:
        if os.environ.get("VERBOSE"):
            import traceback

            traceback.print_exc()
        os._exit(1)


main()
