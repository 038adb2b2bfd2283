"""Write Silero's detector of speech with products of matrices in place of convolutions.

    python benchmarks/rewrite_silero.py

It reads `tests/audio/silero_vad_16k_sequence.onnx`, a file of the package silero-vad 6.2.3, and writes
`ser/audio/silero/silero_vad_16k_products.onnx`, which gives the same in a third of the time. The detector sees each
frame of sound apart, as four short spectra, and ONNX Runtime convolves over these four frame by frame: products too
small to be fast. Here the spectra of all frames are the rows of one matrix. The run fails where the two differ.
"""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from recordings import PROJECT

from ser.audio.silero import MODEL
from ser.data.files import write_bytes_atomically

ORIGINAL = PROJECT / "tests" / "audio" / "silero_vad_16k_sequence.onnx"
LARGEST_DIFFERENCE = 1e-5
"""As a fraction of the largest value, where that is over 1."""
_WINDOW, _HOP, _BINS = 256, 128, 129


class Graph:
    """The nodes and constants of a graph that is being made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[np.generic] | Sequence[int]) -> str:
        """Return the name of a new constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Return the name of what a new node makes."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def part(self, values: str, *, axis: int, start: int, stop: int, step: int = 1) -> str:
        """Return the name of a slice along an axis."""
        return self.add("Slice", values, *(self.constant([number]) for number in (start, stop, axis, step)))

    def layer(self, values: str, weight: NDArray[np.float32], bias: NDArray[np.float32], *, n: int, step: int) -> str:
        """Return the name of a rectified convolution of width three over `n` places, zeros around."""
        padded = self.add("Pad", values, self.constant([0, 1, 0, 0, 1, 0]))
        places = [self.part(padded, axis=1, start=tap, stop=tap + n, step=step) for tap in range(3)]
        rows = self.add("Concat", *places, axis=2)  # [frames, n', 3 * columns]
        matrix = weight.transpose(2, 1, 0).reshape(-1, len(weight))
        product = self.add("MatMul", rows, self.constant(np.ascontiguousarray(matrix)))
        return self.add("Relu", self.add("Add", product, self.constant(bias)))


def rewrite(original: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the inputs, outputs and recurrent layer of `original`."""
    weights = {one.name: numpy_helper.to_array(one) for one in original.graph.initializer}
    graph = Graph()
    mirrored = graph.add("Pad", "input", graph.constant([0, 0, 0, 64]), mode="reflect")  # [frames, 640]
    blocks = graph.add("Reshape", mirrored, graph.constant([0, 5, _HOP]))
    halves = [graph.part(blocks, axis=1, start=first, stop=first + 4) for first in range(2)]
    windows = graph.add("Concat", *halves, axis=2)  # [frames, 4, 256]
    basis = weights["stft.forward_basis_buffer"].reshape(2 * _BINS, _WINDOW).T
    parts = [
        graph.add("MatMul", windows, graph.constant(np.ascontiguousarray(basis[:, first : first + _BINS])))
        for first in (0, _BINS)
    ]
    squares = [graph.add("Mul", part, part) for part in parts]
    values = graph.add("Sqrt", graph.add("Add", *squares))
    for place, (n, step) in enumerate(((4, 1), (4, 2), (2, 2))):
        layer = weights[f"encoder.{place}.weight"], weights[f"encoder.{place}.bias"]
        values = graph.layer(values, *layer, n=n, step=step)
    # One place is left, beside which there are only zeros: the middle of the width counts.
    middle = np.ascontiguousarray(weights["encoder.3.weight"][:, :, 1].T)
    product = graph.add("MatMul", values, graph.constant(middle))
    values = graph.add("Relu", graph.add("Add", product, graph.constant(weights["encoder.3.bias"])))
    places = {node.op_type: place for place, node in enumerate(original.graph.node)}
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in original.graph.node[places["LSTM"] :]]
    rest[0].input[0] = values
    used = {name for node in rest for name in node.input}
    made = {name for node in rest for name in node.output}
    constants = [node for node in original.graph.node[: places["LSTM"]] if set(node.output) & (used - made)]
    assert all(node.op_type == "Constant" for node in constants), "the end of the graph needs more of its beginning"
    kept = [one for one in original.graph.initializer if one.name in used]
    whole = helper.make_graph(
        [*graph.nodes, *constants, *rest],
        "silero_vad_16k_products",
        list(original.graph.input),
        list(original.graph.output),
        [*graph.constants, *kept],
    )
    model = helper.make_model(whole, opset_imports=list(original.opset_import), ir_version=original.ir_version)
    onnx.checker.check_model(model)
    return model


def largest_difference(one: bytes, other: bytes) -> float:
    """Return the largest difference of anything that two models make of sound from quiet to loud."""
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((300, 576)) * np.geomspace(1e-4, 1, 300)[:, np.newaxis]
    state = np.zeros((1, 1, 128), dtype=np.float32)
    inputs = {"input": frames.astype(np.float32), "h": state, "c": state}
    sessions = (onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]) for model in (one, other))
    pairs = zip(*(session.run(["speech_probs", "hn", "cn"], inputs) for session in sessions), strict=True)
    return max(float(np.abs(mine - theirs).max() / max(1, np.abs(mine).max())) for mine, theirs in pairs)


def main() -> None:
    """Rewrite and compare."""
    original = ORIGINAL.read_bytes()
    written = rewrite(onnx.load_from_string(original)).SerializeToString()
    difference = largest_difference(original, written)
    assert difference <= LARGEST_DIFFERENCE, f"the two differ by {difference:.1e}"
    write_bytes_atomically(MODEL, written)
    print(f"{MODEL}: differs by {difference:.1e}")


if __name__ == "__main__":
    main()
