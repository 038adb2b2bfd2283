"""Two processes prepare into one cache at the same moment; and an entry with a flipped bit is made again.

    python soak/shared_cache.py [--count 20] [--seed 0] [--json FILE]

Each round begins with an empty cache. Both matrices and all entries must be those of one process alone, byte by byte,
with nothing half-written beside them. Then a random bit of a random entry is flipped: the next preparation must notice,
and leave the cache as it was.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/benchmarks")

import numpy as np
from recordings import one_thread

from ser.corpora.progress import track
from ser.corpora.synthetic import SyntheticSettings, write_synthetic_corpus
from soak.figures import PROJECT, Figure, conclude, parser_of
from soak.killing import PATIENCE, contents_of

ROUNDS = 20
VOICES = SyntheticSettings(n_actors=2, n_statements=1, n_repetitions=1)


def prepare_together(corpus: Path, cache: Path, outputs: list[Path]) -> None:
    """Prepare `corpus` into `cache` by as many processes as there are outputs, which begin at the same moment.

    Raises
    ------
    RuntimeError : one failed.
    """
    folder = outputs[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    go = folder / "go"
    go.unlink(missing_ok=True)
    readies = [output.with_suffix(".ready") for output in outputs]
    script = str(PROJECT / "soak" / "prepare_corpus.py")
    processes = []
    for output, ready in zip(outputs, readies, strict=True):
        ready.unlink(missing_ok=True)
        arguments = [sys.executable, script, *map(str, (corpus, cache, output, 1, ready, go))]
        processes.append(subprocess.Popen(arguments, env=one_thread()))  # noqa: S603 - our own command
    while not all(ready.exists() for ready in readies) and all(one.poll() is None for one in processes):
        time.sleep(0.001)
    go.touch()
    statuses = [one.wait(timeout=PATIENCE) for one in processes]
    if any(statuses):
        raise RuntimeError("a preparation failed; it said why")


def rounds(count: int, *, seed: int, folder: Path) -> Iterator[dict[str, bool]]:
    """Yield for each round whether the result was the same, and whether the flipped bit was noticed and mended."""
    rng = np.random.default_rng(seed)
    corpus = write_synthetic_corpus(folder / "corpus", VOICES)
    prepare_together(corpus, folder / "alone" / "cache", [folder / "alone" / "one.npy"])
    entries, features = contents_of(folder / "alone" / "cache"), (folder / "alone" / "one.npy").read_bytes()
    for number in range(count):
        place = folder / str(number)
        cache, outputs = place / "cache", [place / "one.npy", place / "two.npy"]
        prepare_together(corpus, cache, outputs)
        same = contents_of(cache) == entries and all(output.read_bytes() == features for output in outputs)
        spoilt = cache / sorted(entries)[int(rng.integers(len(entries)))]
        content = bytearray(spoilt.read_bytes())
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        spoilt.write_bytes(content)
        prepare_together(corpus, cache, outputs[:1])
        mended = contents_of(cache) == entries and outputs[0].read_bytes() == features
        yield {"same": same, "mended": mended}
        shutil.rmtree(place)


def main() -> int:
    """Run the rounds and report."""
    options = parser_of(__doc__, count=ROUNDS).parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = rounds(options.count, seed=options.seed, folder=Path(name))
        done = list(track(made, total=options.count, description="Shared caches", unit="rounds"))
    same, mended = (sum(one[key] for one in done) for key in ("same", "mended"))

    def figure(title: str, must: str, held: int) -> Figure:
        return Figure(
            figure=title,
            must=f"{options.count} rounds, {must}",
            measured=f"{held} of {len(done)}",
            held=held == options.count,
            command="python soak/shared_cache.py",
        )

    figures = [
        figure("Two processes preparing into one cache", "result identical to one alone, nothing lost", same),
        figure("A flipped bit in an entry of the cache", "noticed, and the entry made again", mended),
    ]
    return conclude(figures, {"rounds": done}, options.json)


if __name__ == "__main__":
    sys.exit(main())
