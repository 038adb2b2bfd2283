"""Time and memory of a speech encoder of `base` size on a recording of 4 s, one thread: frozen, and fine-tuned.

    python benchmarks/encoders.py [--seconds 4] [--batch-size 8] [--repeats 5]

The sizes are those of microsoft/wavlm-base-plus, the weights are random: neither the time nor the memory depends on
them. Each line is measured in a process of its own. Times are of the processor, which other programs beside do not
lengthen as they do those of a clock.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import hardware, state

PROJECT = Path(__file__).parents[1]
HOP, RATE = 320, 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", choices=("frozen", "fine-tuned"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measured = measure(given.measure, given.seconds, given.batch_size, given.repeats)
        print(json.dumps(measured))
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = os.environ | threads | {"PYTHONPATH": path}
    print(f"{hardware()}; {state('ser', 'benchmarks')}; one thread; random weights of the sizes of WavLM base plus")
    for one in ("frozen", "fine-tuned"):
        command = [sys.executable, *sys.argv, "--measure", one]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{one}: {found['what']}: {found['seconds']:.2f} s (median of {given.repeats}), ", end="")
        print(f"peak memory {found['peak_mib']:.0f} MiB, of which {found['imported_mib']:.0f} are of the imports")
        if "cache_mib" in found:
            print(
                f"  {found['cache_mib']:.2f} MiB of states in the cache, {found['n_weights'] / 1e6:.1f} million weights"
            )


def measure(kind: str, seconds: float, batch_size: int, repeats: int) -> dict[str, Any]:
    """Return the time of one pass or step, the peak of memory, and the sizes."""
    import torch
    from transformers import WavLMConfig

    from ser.features.settings import FeatureSettings
    from ser.models.encoder import Encoder, FrozenEncoder
    from ser.models.encoder_metadata import CONFIG_KEYS, EncoderMetadata
    from ser.models.metadata import ModelMetadata
    from ser.models.registry import build_recogniser

    torch.set_num_threads(1)
    torch.manual_seed(0)
    imported = peak_mib()
    config = WavLMConfig()  # that of base sizes
    values = {key: getattr(config, key) for key in CONFIG_KEYS["wavlm"]}
    metadata = EncoderMetadata(name="random", sha256="0" * 64, kind="wavlm", config=values, trainable=kind != "frozen")
    n_frames = 1 + int(seconds * RATE) // HOP
    features, lengths = 0.1 * torch.randn(batch_size, HOP, n_frames), torch.full((batch_size,), n_frames)
    if kind == "frozen":
        encoder = FrozenEncoder(Encoder(metadata))
        one, length = features[:1].numpy(), lengths[:1].numpy()
        times = [timed(lambda: encoder(one, length)) for _ in range(repeats + 1)][1:]
        found: dict[str, Any] = {
            "what": f"one recording of {seconds:g} s",
            "cache_mib": encoder(one, length).nbytes / 2**20,
            "n_weights": sum(weight.numel() for weight in encoder.encoder.parameters()),
        }
    else:
        settings = FeatureSettings(sample_rate=RATE, hop_length=HOP, groups=("waveform",), max_length=n_frames)
        model = ModelMetadata(
            architecture="encoder_pooling",
            network={},
            encoder=metadata,
            class_names=tuple("abcdefgh"),
            features=settings,
            protocol="Random weights: nothing was learnt.",
        )
        recogniser = build_recogniser(model).train()
        optimiser = torch.optim.AdamW(recogniser.parameters(), lr=1e-5)
        labels = torch.arange(batch_size) % 8

        def step() -> None:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(recogniser(features, lengths)[0], labels).backward()
            optimiser.step()

        times = [timed(step) for _ in range(repeats + 1)][1:]
        found = {"what": f"a step of {batch_size} recordings of {seconds:g} s"}
    return found | {"seconds": statistics.median(times), "peak_mib": peak_mib(), "imported_mib": imported}


def timed(act: Any) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
