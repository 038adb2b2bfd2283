"""From a model's file, run or name to the model on its backend. Imports torch only where the model needs it."""

from pathlib import Path
from typing import TYPE_CHECKING

from ser.errors import CheckpointError, SettingsError, missing_package
from ser.inference.metadata_file import ONNX, SAFETENSORS, fingerprint_of
from ser.inference.onnx_backend import load_onnx_scorer
from ser.inference.pretrained import check_own, find_model
from ser.inference.run_folder import find_checkpoint
from ser.inference.scorer import Scorer
from ser.models.metadata import FeatureGroups, ModelMetadata

if TYPE_CHECKING:
    from ser.inference.checkpoint import Networks


def load_scorer(
    source: Path | str,
    *,
    networks: "Networks | None" = None,
    feature_groups: FeatureGroups | None = None,
    encoder: Path | str | None = None,
) -> tuple[Scorer, ModelMetadata, str]:
    """Return a model on its backend, its metadata and its fingerprint; parameters and errors as of `Predictor.load`."""
    check_own(networks=networks, feature_groups=feature_groups)
    path = find_model(source)
    if path.suffix == ONNX:
        if encoder is not None:
            raise SettingsError(f"encoder is {str(encoder)!r}, but {path} was trained without one; leave it out.")
        onnx_scorer, metadata = load_onnx_scorer(path, feature_groups=feature_groups)
        return onnx_scorer, metadata, fingerprint_of(path)
    try:
        # torch takes a second to import, and need not be installed.
        import safetensors.torch  # noqa: F401 - of which the next reads its files

        from ser.inference.torch_backend import load_torch_scorer
    except ModuleNotFoundError as error:
        export = f"export {path} --format onnx"
        command = "publish <run> --name <name>" if path.suffix == SAFETENSORS else export
        remedy = f"where it is, write a model that does without: `ser {command}`"
        raise CheckpointError(f"{missing_package(error, str(path))}; or, {remedy}.") from error
    path = find_checkpoint(path)
    scorer, metadata = load_torch_scorer(path, networks=networks, feature_groups=feature_groups, encoder=encoder)
    return scorer, metadata, fingerprint_of(path)
