"""Recurrent layers with their options."""

import numpy as np

from grow import collect, operator

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@operator(times=3)
def recurrent(m):
    op = m.rng.choice(list(GATES))
    steps, batch, width, hidden = m.extent(), m.rng.choice([1, 1, 2, 3]), m.extent(), m.rng.choice([1, 3, 8, 16])
    direction = m.rng.choice(["forward", "reverse", "bidirectional"])
    d, gates = 1 + (direction == "bidirectional"), GATES[op]
    small = lambda shape: m.constant(0.5 * m.random(shape))
    fits = [v for v in m.values if v.rank == 3 and v.dtype == np.float32]
    x = m.rng.choice(fits) if fits and m.maybe() else m.input(m.random([steps, batch, width]))
    steps, batch, width = x.shape
    bias = small([d, 2 * gates * hidden]) if m.maybe(0.7) else None
    lens = m.constant(np.random.randint(1, steps + 1, batch).astype(np.int32)) if m.maybe(0.25) else None
    h0 = m.fresh([d, batch, hidden]) if m.maybe(0.4) else None
    operands = [x, small([d, gates * hidden, width]), small([d, gates * hidden, hidden]), bias, lens, h0]
    attributes = {"hidden_size": hidden, "direction": direction if direction != "forward" or m.maybe() else None}
    if op == "LSTM":
        operands.append(m.fresh([d, batch, hidden]) if h0 and m.maybe(0.8) else None)
        operands.append(small([d, 3 * hidden]) if m.maybe(0.2) else None)
        attributes["input_forget"] = m.rng.choice([None, None, 1])
    if op == "GRU":
        attributes["linear_before_reset"] = m.rng.choice([None, 0, 1])
    if m.maybe(0.2):
        attributes["clip"] = 0.8
    if m.maybe(0.2):
        names = {"RNN": ["Relu"], "GRU": ["HardSigmoid", "Tanh"], "LSTM": ["Sigmoid", "Softsign", "Tanh"]}[op]
        attributes["activations"] = names * d
    m.node(op, operands, 3 if op == "LSTM" else 2, **attributes)


OPERATORS = collect(globals())
