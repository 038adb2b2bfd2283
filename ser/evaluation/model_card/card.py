"""The card itself: the template's sections, filled from a model and the results of its recipe, and two pictures."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ser.data.files import write_text_atomically
from ser.errors import CheckpointError, SettingsError
from ser.evaluation.cross_validation.record import read_results, run_folder
from ser.evaluation.cross_validation.report import class_table, group_table, last_part
from ser.evaluation.figures import confusion_figure, reliability_figure, save_figure
from ser.evaluation.robustness.report import read_robustness, robustness_table
from ser.evaluation.tables import decimal, interval, percent, spread, table
from ser.inference.checkpoint import load_recogniser
from ser.inference.metadata_file import ONNX, SAFETENSORS, digest_of, metadata_path
from ser.inference.pretrained import find_model
from ser.inference.run_folder import find_checkpoint
from ser.inference.torch_backend import load_torch_scorer
from ser.models.metadata import ModelMetadata

PICTURES = ("confusion_matrix.png", "reliability.png")
_TEMPLATE = Path(__file__).with_name("template.md")
_SCORES = {"uar": "UAR", "accuracy": "accuracy"}
_PROBABILITIES = {"network": "without temperature", "calibrated": "with temperature"}


def write_card(
    model: str, *, cross_validation: Path, others: Mapping[str, Path], command: str, output: Path | None
) -> list[Path]:
    """Write the card and, beside it in `<stem>_files`, its pictures; return their paths.

    A section without results is left out.

    Parameters
    ----------
    model : the name of a pretrained one, a .safetensors file, a checkpoint or a run's folder.
    cross_validation : the folder of the finished cross-validation of the model's recipe.
    others : title -> folder of a cross-validation under another protocol, in the card's order.
    command : that writes this card.
    output : the card; None: `<name of the model>.md`.

    Raises
    ------
    CheckpointError : the model cannot be used, or is an .onnx file, which holds no count of parameters; or a folder
        holds no results, or those of another network or other features than the model's.
    SettingsError : `cross_validation` is of a random split.
    OSError : a file cannot be written.
    """
    files, n_parameters, metadata = _read_model(model)
    output = output or Path(f"{files[0].stem}.md")
    results = read_results(cross_validation)
    robustness = read_robustness(cross_validation, results)
    _check_recipe(files[0], metadata, results, cross_validation)
    other_scores = {title: _scores(read_results(folder)) for title, folder in others.items()}
    part = last_part(results)
    summary = results["summary"][part]
    pooled = summary["pooled"]
    title = f"{results['protocol'].partition(';')[0]}.\n{part.capitalize()} recordings of all folds"
    bins = {label: pooled["reliability"][kind] for kind, label in _PROBABILITIES.items()}
    matrix = confusion_figure(pooled["all_seeds"]["confusion_matrix"], results["class_names"], title=title)
    pictures = [output.with_name(f"{output.stem}_files") / name for name in PICTURES]
    for figure, path in zip((matrix, reliability_figure(bins, title=title)), pictures, strict=True):
        save_figure(figure, path, colours=128)
    values = {
        "name": files[0].stem,
        "page_command": command,
        "command": _command_of(results),
        "metadata": metadata,
        "n_classes": len(metadata.class_names),
        "classes": ", ".join(metadata.class_names),
        "n_parameters": n_parameters,
        "scores": _scores(results),
        "mean": summary["mean_over_folds"],
        "pooled": pooled,
        "class_table": class_table(pooled),
        "group_table": group_table(pooled),
        "target": results["target_selective_accuracy"],
        "selective_accuracy": percent(summary["mean_over_folds"]["selective_accuracy"]["mean"]),
        "model_calibration": _model_calibration(metadata, results),
        "pictures": [quote(path.relative_to(output.parent).as_posix()) for path in pictures],
        "files": "\n".join(
            f"| `{path.name}` | {path.stat().st_size:,} | `{digest_of(path.read_bytes())}` |" for path in files
        ),
        "making": " ".join([*_training(metadata), *_publishing(files[0], metadata), f"This page: `{command}`."]),
    }
    _, *parts = re.split(r"<!-- section: (\w+) -->\n", _TEMPLATE.read_text(encoding="utf-8"))
    templates = {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
    sections = [templates["model"].format(**values)]
    if robustness is not None:
        sections.append(_robustness(templates["robustness"], robustness))
    if other_scores:
        sections.append(templates["others"])
    sections += [f"### {title}\n\n{text}" for title, text in other_scores.items()]
    sections.append(templates["making"].format(**values))
    write_text_atomically(output, "\n\n".join(sections) + "\n")
    return [output, *pictures]


def _read_model(source: str) -> tuple[list[Path], int, ModelMetadata]:
    """Return its files, weights first, the number of learnt parameters, those of a head included, and its metadata."""
    path = find_model(source)
    if path.suffix == ONNX and path.with_suffix(SAFETENSORS).is_file():
        path = path.with_suffix(SAFETENSORS)  # of the same model, and its parameters can be counted
    if path.suffix == ONNX:
        raise CheckpointError(f"model is {source}, an {ONNX} file; name its {SAFETENSORS} file or checkpoint instead.")
    if path.suffix != SAFETENSORS:
        path = find_checkpoint(path)
    scorer, metadata = load_torch_scorer(path)
    recogniser, head = scorer.recogniser, scorer.recogniser.utterance_head
    learnt = [*recogniser.parameters(), *([head.weight, head.bias] if head is not None else [])]
    beside = (path.with_suffix(ONNX), metadata_path(path)) if path.suffix == SAFETENSORS else ()
    return [path, *(each for each in beside if each.is_file())], sum(each.numel() for each in learnt), metadata


def _check_recipe(model: Path, metadata: ModelMetadata, results: Mapping[str, Any], folder: Path) -> None:
    if results["folds"] == ["random"]:
        raise SettingsError(f"--cross-validation is {folder}, of a random split; give it as --random-split instead.")
    run = run_folder(folder, results["folds"][0], results["seeds"][0])
    recipe = load_recogniser(find_checkpoint(run))[1]
    if any(one.configuration.get("data", {}).get("corpus") == "synthetic" for one in (metadata, recipe)):
        raise CheckpointError(f"{model} or {folder} is of synthetic voices; a model card reports RAVDESS.")
    keys = ("architecture", "network", "utterance_head", "fusion_weight", "features", "class_names")
    if different := [key for key in keys if getattr(metadata, key) != getattr(recipe, key)]:
        raise CheckpointError(
            f"{model} and the networks of {folder} differ in {', '.join(different)}: its scores are of another recipe."
        )


def _command_of(results: Mapping[str, Any]) -> str:
    return results["command"] or "ser cross-validate ckpt_path=<its folder>"


def _scores(results: Mapping[str, Any]) -> str:
    """Return protocol, command, and UAR and accuracy: over folds, pooled, of the ensemble, seed by seed."""
    part, seeds = last_part(results), results["seeds"]
    summary, several = results["summary"][part], len(results["folds"]) > 1
    pooled, ensemble, by_seed = summary["pooled"], summary["ensemble_pooled"], summary["mean_over_folds_by_seed"]
    columns = [["", *_SCORES.values()]]
    if several:
        columns.append(["mean over folds", *(spread(summary["mean_over_folds"][key]) for key in _SCORES)])
    columns.append(["all folds pooled" if several else f"{part} part", *(spread(pooled[key]) for key in _SCORES)])
    columns.append(["95% interval", *(interval(pooled["interval_95"][key]) for key in _SCORES)])
    if ensemble:
        head = f"ensemble of {len(seeds)}{', pooled' if several else ''}"
        columns.append([head, *(percent(ensemble[key]["mean"]) for key in _SCORES)])
        columns.append(["95% interval", *(interval(ensemble["interval_95"][key]) for key in _SCORES)])
    tables = [table(list(zip(*columns, strict=True)))]
    if len(seeds) > 1:
        rows = [["seed", *(f"{label}{', mean over folds' if several else ''}" for label in _SCORES.values())]]
        rows += [[str(seed), *(percent(by_seed[str(seed)][key]) for key in _SCORES)] for seed in seeds]
        tables.append(table(rows))
    chose = part == "validation" and not results["keeps_last"]
    optimistic = " These recordings chose the checkpoint, so the scores are optimistic." if chose else ""
    per_seed = pooled["all_seeds"]["n_recordings"] // len(seeds)
    means = f"Means ± standard deviations over {len(seeds)} seeds; intervals" if len(seeds) > 1 else "Intervals"
    notes = (
        f"Scored: {per_seed:,} {part} recordings.{optimistic} UAR is the mean recall of the classes. {means} are of a "
        f"bootstrap over actors. `{_command_of(results)}`"
    )
    return "\n\n".join([results["protocol"], *tables, notes])


def _robustness(template: str, values: Mapping[str, Any]) -> str:
    count, total = values["n_recordings"], values["of_recordings"]
    some = count < total
    return template.format(
        **values,
        recordings=f"{count:,} of {total:,}" if some else f"{count:,}",
        count=" --count <n>" if some else "",
        table=robustness_table(values),
    )


def _model_calibration(metadata: ModelMetadata, results: Mapping[str, Any]) -> str:
    found = [run["temperature"] for run in results["runs"] if run["seed"] != "ensemble"]
    runs = f"The temperatures of the runs are {decimal(min(found))} to {decimal(max(found))}."
    if not _is_calibrated(metadata):
        if not metadata.rejection_threshold:
            return f"{runs} This model has no temperature and rejects no prediction."
        threshold = percent(metadata.rejection_threshold)
        return f"{runs} This model has no temperature; its rejection threshold is a confidence of {threshold}."
    return (
        f"{runs} This model divides its logits by {decimal(metadata.temperature)}; its rejection threshold is a "
        f"confidence of {percent(metadata.rejection_threshold)}."
    )


def _is_calibrated(metadata: ModelMetadata) -> bool:
    """Whether a cross-validation has calibrated it: a training run chooses a rejection threshold alone."""
    return metadata.temperature != 1


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


def _publishing(model: Path, metadata: ModelMetadata) -> list[str]:
    if model.suffix != SAFETENSORS:
        return []
    folder = " --cross-validation <its folder>" if _is_calibrated(metadata) else ""
    return [f"Published by `ser publish <run> --name {model.stem}{folder}`."]
