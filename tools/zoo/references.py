"""Computes again what the quantised models of a directory give, on CPUs where ONNX Runtime's products saturate.

x86 CPUs without VNNI multiply u8 by i8 in pairs whose sums saturate at 16 bits, and ONNX Runtime uses that: a
dynamically quantised classifier's 0.40 becomes 0.32. `session.x64quantprecision` keeps it from doing so, but as one of
its graph optimisations, so the outputs stored here are those of the optimised graph. Where the CPU has VNNI nothing
is to be done.

    python3 tools/zoo/references.py DIR     (laid out as make_zoo.py writes it; needs numpy, onnx and onnxruntime)
    python3 tools/zoo/references.py --needed        exits with 0 on such a CPU, with 1 on others
"""

import pathlib
import sys

INTEGER = {"MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm", "DynamicQuantizeMatMul"}


def saturates():
    try:
        cpu = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx2" in cpu and "vnni" not in cpu


def main():
    if sys.argv[1] == "--needed":
        sys.exit(not saturates())
    root = pathlib.Path(sys.argv[1])
    if not saturates():
        return print("this CPU's products of bytes do not saturate")
    import numpy
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    for path in sorted(root.glob("models/*.onnx")):
        graph = onnx.load(path, load_external_data=False).graph
        if not INTEGER & {node.op_type for node in graph.node}:
            continue
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        for case in sorted((root / "io" / path.stem).glob("case*")):
            with numpy.load(case / "inputs.npz") as inputs:
                outputs = session.run(names, dict(inputs))
            with numpy.load(case / "outputs.npz") as stored:
                apart = max(float(abs(y - stored[n]).max()) for n, y in zip(names, outputs) if y.size)
            numpy.savez(case / "outputs.npz", **dict(zip(names, outputs)))
            print(f"{path.stem} {case.name}: {apart:.3g} apart from what was stored")


if __name__ == "__main__":
    main()
