"""Random small models with ONNX Runtime's outputs, laid out as ONNX's own suite, so that the runner takes them as they are:

    python tools/conformance/random OUT --count 2000 --seed 1
    cargo run --release -p conformance -- OUT --engine planned --out random.csv

Needs numpy, onnx and onnxruntime. The same seed gives the same models.
"""

import argparse
import os
import pathlib
import random

import numpy as np

import blocks
import grow
import layers
import moves
import pointwise
import quantised
import recurrent
import reductions
import resampling

FAMILIES = [blocks, pointwise, moves, reductions, layers, resampling, recurrent, quantised]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="the folder to write to")
    parser.add_argument("--count", type=int, default=2000, help="models to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="operators to choose from, separated by commas")
    args = parser.parse_args()
    operators = [op for family in FAMILIES for op in family.OPERATORS]
    if args.only:
        wanted = set(args.only.split(","))
        operators = [op for op in operators if op.__name__ in wanted]
    written = tried = 0
    while written < args.count:
        folder = args.out / "random" / f"s{args.seed}_{tried:05}"
        written += in_child(lambda: one(f"{args.seed}/{tried}", operators, folder))
        tried += 1
    print(f"{written} models of {tried} tried")


def one(seed, operators, folder):
    """Writes the model that grows from a seed, so that each can be made again alone."""
    rng = random.Random(seed)
    np.random.seed(rng.randrange(2**32))
    model = grow.grow(rng, operators)
    return bool(model) and model.save(folder)


def in_child(work):
    """Whether the work succeeds in a process of its own: some models abort ONNX Runtime."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    os._exit(0 if work() else 1)


main()
