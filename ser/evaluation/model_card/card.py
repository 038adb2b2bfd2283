"""The card itself: the template's sections, filled from a model and the results of its recipe, and two pictures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from ser.data.files import write_text_atomically
from ser.errors import CheckpointError, SettingsError
from ser.evaluation.cross_validation.record import run_folder
from ser.evaluation.cross_validation.report import class_table, group_table
from ser.evaluation.figures import confusion_figure, reliability_figure, save_figure
from ser.evaluation.model_card.results import Results, read_folder, scores, temperatures
from ser.evaluation.robustness.report import robustness_table
from ser.evaluation.tables import decimal, percent
from ser.inference.checkpoint import load_recogniser
from ser.inference.metadata_file import ONNX, SAFETENSORS, digest_of, metadata_path
from ser.inference.pretrained import find_model
from ser.inference.run_folder import find_checkpoint
from ser.inference.torch_backend import load_torch_scorer
from ser.models.metadata import ModelMetadata

PICTURES = Path("docs", "model_card")
CONFUSION, RELIABILITY = "confusion_matrix.png", "reliability.png"
_TEMPLATE = Path(__file__).with_name("template.md")
_COLOURS = 128


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model of a card.

    Attributes
    ----------
    name : its file's name without suffix.
    files : of the model, weights first.
    parameters : the number of learnt parameters, those of an utterance-level head included.
    """

    name: str
    files: tuple[Path, ...]
    parameters: int
    metadata: ModelMetadata

    @property
    def is_pretrained(self) -> bool:
        return self.files[0].suffix == SAFETENSORS


def read_model_file(source: str) -> Model:
    """Read the model of a name, a .safetensors file, a checkpoint or a run's folder.

    Raises
    ------
    CheckpointError : it cannot be used, or is an .onnx file, which holds no count of parameters.
    """
    path = find_model(source)
    if path.suffix == ONNX:
        raise CheckpointError(f"model is {source}, an {ONNX} file; name its {SAFETENSORS} file or checkpoint instead.")
    if path.suffix != SAFETENSORS:
        path = find_checkpoint(path)
    scorer, metadata = load_torch_scorer(path)
    recogniser, head = scorer.recogniser, scorer.recogniser.utterance_head
    learnt = [*recogniser.parameters(), *([head.weight, head.bias] if head is not None else [])]
    beside = (path.with_suffix(ONNX), metadata_path(path)) if path.suffix == SAFETENSORS else ()
    return Model(
        name=path.stem,
        files=(path, *(each for each in beside if each.is_file())),
        parameters=sum(numbers.numel() for numbers in learnt),
        metadata=metadata,
    )


def write_card(
    model: Model,
    *,
    cross_validation: Path,
    others: Mapping[str, Path],
    command: str,
    output: Path,
) -> list[Path]:
    """Write the card and, beside it in `docs/model_card/`, its pictures; return their paths.

    Parameters
    ----------
    cross_validation : the folder of the finished cross-validation of the model's recipe.
    others : title -> folder of a cross-validation under another protocol, in the card's order.
    command : that writes this card.

    Raises
    ------
    CheckpointError : a folder holds no results, or those of another network or other features than the model's.
    SettingsError : `cross_validation` is of a random split.
    OSError : a file cannot be written.
    """
    results = read_folder(cross_validation)
    _check_recipe(model, results, cross_validation)
    other_results = {title: read_folder(folder) for title, folder in others.items()}
    pictures = [output.parent / PICTURES / name for name in (CONFUSION, RELIABILITY)]
    title = f"{results.values['protocol'].partition(';')[0]}.\n{results.part.capitalize()} recordings of all folds"
    matrix = confusion_figure(results.confusion, results.class_names, title=title)
    save_figure(matrix, pictures[0], colours=_COLOURS)
    save_figure(reliability_figure(results.reliability, title=title), pictures[1], colours=_COLOURS)
    write_text_atomically(output, format_card(model, results, others=other_results, command=command))
    return [output, *pictures]


def format_card(model: Model, results: Results, *, others: Mapping[str, Results], command: str) -> str:
    """Return the card as Markdown; a section without results is left out."""
    metadata = model.metadata
    mean, pooled = results.summary["mean_over_folds"], results.summary["pooled"]
    sections: list[tuple[str, dict[str, str]]] = [
        (
            "head",
            {
                "name": model.name,
                "command": command,
                "n_classes": str(len(metadata.class_names)),
                "classes": ", ".join(metadata.class_names),
                "parameters": f"{model.parameters:,}",
                "architecture": f"`{metadata.architecture}`",
                "n_features": str(metadata.features.n_features),
                "protocol": metadata.protocol,
            },
        ),
        ("recipe", {"scores": scores(results)}),
        (
            "groups",
            {
                "command": results.command,
                "class_table": class_table(pooled),
                "group_table": group_table(pooled),
                "confusion": str(PICTURES / CONFUSION),
            },
        ),
        (
            "calibration",
            {
                "command": results.command,
                "pooled_ece": percent(pooled["calibration_error"]["mean"]),
                "pooled_calibrated_ece": percent(pooled["calibrated_calibration_error"]["mean"]),
                "ece": percent(mean["calibration_error"]["mean"]),
                "calibrated_ece": percent(mean["calibrated_calibration_error"]["mean"]),
                "target": f"{results.values['target_selective_accuracy']:.0%}",
                "coverage": percent(mean["coverage"]["mean"]),
                "selective_accuracy": percent(mean["selective_accuracy"]["mean"]),
                "model_calibration": _model_calibration(metadata, results),
                "reliability": str(PICTURES / RELIABILITY),
            },
        ),
    ]
    if results.robustness is not None:
        sections.append(("robustness", _robustness(results.robustness)))
    if others:
        sections.append(("others", {}))
    sections += [("other", {"title": title, "scores": scores(one)}) for title, one in others.items()]
    sections.append(
        (
            "making",
            {
                "name": model.name,
                "files": "\n".join(
                    f"| `{path.name}` | {path.stat().st_size:,} | `{digest_of(path.read_bytes())}` |"
                    for path in model.files
                ),
                "making": " ".join([*_training(metadata), *_publishing(model), f"This page: `{command}`."]),
            },
        )
    )
    templates = _templates()
    return "\n".join(templates[name].substitute(values) for name, values in sections)


def _check_recipe(model: Model, results: Results, folder: Path) -> None:
    if results.values["folds"] == ["random"]:
        raise SettingsError(f"cross_validation is {folder}, of a random split; give it as random_split instead.")
    run = run_folder(folder, results.values["folds"][0], results.values["seeds"][0])
    recipe = load_recogniser(find_checkpoint(run))[1]
    if any(one.configuration.get("data", {}).get("corpus") == "synthetic" for one in (model.metadata, recipe)):
        raise CheckpointError(f"{model.files[0]} or {folder} is of synthetic voices; a model card reports RAVDESS.")
    keys = ("architecture", "network", "features", "class_names")
    if different := [key for key in keys if getattr(model.metadata, key) != getattr(recipe, key)]:
        raise CheckpointError(
            f"{model.files[0]} and the networks of {folder} differ in {', '.join(different)}: its scores are of "
            "another recipe."
        )


def _templates() -> dict[str, Template]:
    """Return the template's sections by name."""
    _, *parts = re.split(r"<!-- section: (\w+) -->\n", _TEMPLATE.read_text(encoding="utf-8"))
    return {name: Template(text.strip() + "\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _robustness(values: Mapping[str, Any]) -> dict[str, str]:
    count, part = values["n_recordings"], values["part"]
    some = count < values["of_recordings"]
    return {
        "protocol": values["protocol"],
        "recordings": f"{count:,} of {values['of_recordings']:,}" if some else f"{count:,}",
        "part": part,
        "command": f"python -m ser robustness cross_validation=<its folder> part={part}{' count=<n>' if some else ''}",
        "table": robustness_table(values),
    }


def _model_calibration(metadata: ModelMetadata, results: Results) -> str:
    runs = f"The temperatures of the runs are {temperatures(results)}."
    if metadata.temperature == 1 and metadata.rejection_threshold == 0:
        return f"{runs} This model has no temperature and rejects no prediction."
    return (
        f"{runs} This model divides its logits by {decimal(metadata.temperature)}; its rejection threshold is a "
        f"confidence of {percent(metadata.rejection_threshold)}."
    )


def _training(metadata: ModelMetadata) -> list[str]:
    """Return the sentence on the training settings in the metadata; none without them."""
    configuration = metadata.configuration
    named = [f"`{key}={configuration[key]}`" for key in ("run_name", "seed") if key in configuration]
    if "max_epochs" in configuration.get("trainer", {}):
        named.append(f"`trainer.max_epochs={configuration['trainer']['max_epochs']}`")
    if not named:
        return []
    versions = ", ".join(f"{name} {metadata.versions[name]}" for name in sorted(metadata.versions))
    return [f"Trained by `train.py` with {', '.join(named)}; its metadata holds all settings. Versions: {versions}."]


def _publishing(model: Model) -> list[str]:
    if not model.is_pretrained:
        return []
    metadata = model.metadata
    calibrated = metadata.temperature != 1 or metadata.rejection_threshold != 0
    folder = " cross_validation=<its folder>" if calibrated else ""
    return [f"Published by `python -m ser publish checkpoint=<run> name={model.name}{folder}`."]
