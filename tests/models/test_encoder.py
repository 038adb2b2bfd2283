"""Encoders of transformers' real classes: their states against direct calls, and what is refused."""

import json
import sys

import numpy as np
import pytest
import torch

from ser.errors import CheckpointError, SettingsError
from ser.features.extract import extract
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain, read_settings
from ser.models.encoder import Encoder, FrozenEncoder, LayerMix
from ser.models.encoder_files import WEIGHTS, load_encoder, load_named_encoder
from ser.models.encoder_metadata import EncoderMetadata, check_features
from tests.encoders import save_encoder, tiny_encoder

WAVEFORM = FeatureSettings(sample_rate=16_000, hop_length=320, groups=("waveform",), max_length=90)
ENCODERS = {
    "wavlm": ("WavLM", {}, False),
    "wavlm-large": ("WavLM", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}, True),
    "hubert": ("Hubert", {}, True),
    "wav2vec2": ("Wav2Vec2", {"feat_extract_norm": "layer", "conv_bias": True}, True),
    "whisper": ("Whisper", {}, False),
}


@pytest.fixture(scope="module")
def models():
    return {name: tiny_encoder(kind, **config) for name, (kind, config, _) in ENCODERS.items()}


@pytest.fixture(scope="module")
def folders(models, tmp_path_factory):
    below = tmp_path_factory.mktemp("encoders")
    return {name: save_encoder(model, below / name, do_normalize=ENCODERS[name][2]) for name, model in models.items()}


@pytest.fixture(scope="module")
def wavlm(folders):
    return load_encoder(folders["wavlm"])


def sound(seconds, seed=0):
    noise = np.random.default_rng(seed).normal(scale=0.1, size=round(16_000 * seconds))
    return noise.astype(np.float32)


def batch_of(*waveforms):
    features = [extract(waveform, WAVEFORM) for waveform in waveforms]
    lengths = torch.tensor([each.shape[1] for each in features])
    padded = torch.zeros(len(features), 320, int(lengths.max()))
    for row, each in zip(padded, features, strict=True):
        row[:, : each.shape[1]] = torch.from_numpy(each.copy())
    return padded, lengths


@pytest.mark.parametrize("n_samples", [2560, 16_000, 16_001, 16_319])
def test_the_waveform_comes_back_from_its_frames(n_samples):
    waveform = sound(n_samples / 16_000)
    features = extract(waveform, WAVEFORM)
    assert features.shape == (320, 1 + n_samples // 320)
    samples = features.T.ravel()
    np.testing.assert_array_equal(samples[:n_samples], waveform)
    assert not samples[n_samples:].any()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_states_are_those_of_a_direct_call(name, models, folders):
    import transformers

    waveform = sound(1.1)
    padded = np.pad(waveform, (0, 320 - len(waveform) % 320))  # to whole frames
    if name == "whisper":
        prepared = transformers.WhisperFeatureExtractor(feature_size=80, chunk_length=2)(
            padded, sampling_rate=16_000, return_tensors="pt"
        )["input_features"]
        model = models[name].encoder
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=ENCODERS[name][2])
        values = extractor(padded, sampling_rate=16_000, return_tensors="pt")["input_values"]
        prepared, model = torch.nn.functional.pad(values, (0, 80)), models[name]
    with torch.inference_mode():
        output = model(prepared, output_hidden_states=True)
        expected = torch.stack([*output.hidden_states[:-1], output.last_hidden_state])[
            :, 0, :56
        ]  # [layers, 56, hidden]
        states = load_encoder(folders[name])(*batch_of(waveform))
    assert expected.shape[0] == 3
    mean, deviation = expected.mean(dim=2, keepdim=True), expected.std(dim=2, keepdim=True, correction=0)
    expected = ((expected - mean) / (deviation**2 + 1e-5).sqrt()).transpose(1, 2).flatten(0, 1)
    assert states.shape == (1, 3 * 16, 56)
    torch.testing.assert_close(states[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_states_do_not_depend_on_the_batch(name, folders):
    encoder = load_encoder(folders[name])
    sounds = sound(1.1), sound(0.5, seed=1), sound(1.1, seed=2)
    with torch.inference_mode():
        together = encoder(*batch_of(*sounds))
        for row, one in zip(together, sounds, strict=True):
            alone = encoder(*batch_of(one))[0]
            n_frames = alone.shape[1]
            torch.testing.assert_close(row[:, :n_frames], alone, rtol=0, atol=1e-4)
            assert not row[:, n_frames:].any()


def test_a_frozen_encoder_is_not_trained_and_has_halves(wavlm):
    frozen = FrozenEncoder(wavlm.train())
    features, lengths = (each.numpy() for each in batch_of(sound(0.5)))
    states = frozen(features, lengths)
    assert states.dtype == np.float16
    assert not wavlm.training
    assert not any(weight.requires_grad for weight in wavlm.parameters())
    np.testing.assert_array_equal(states, frozen(features, lengths))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_trained_one_gets_gradients_but_for_its_convolutions(name, folders):
    encoder = load_encoder(folders[name], trainable=True).train()
    torch.manual_seed(0)
    mix = LayerMix(encoder.metadata.n_layers)
    (mix(encoder(*batch_of(sound(0.5), sound(0.6))))[:, 0]).square().sum().backward()
    without = {key for key, weight in encoder.named_parameters() if weight.grad is None}
    expected = {key for key, _ in encoder.named_parameters() if ".feature_extractor." in key}
    assert without == expected | {key for key in without if "embed_positions" in key}
    assert mix.scores.grad is not None


def test_random_numbers_come_from_torch_alone(folders):
    """What a resumed run draws must follow from torch's seed: dropout does, masks of NumPy's generator would not."""
    encoder = load_encoder(folders["wavlm"], trainable=True).train()
    batch, results = batch_of(sound(0.5)), []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(encoder(*batch))
        np.random.rand(5)  # noqa: NPY002 - the global generator is the point
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_the_mix_is_a_mean_with_softmax_weights():
    mix = LayerMix(3)
    states = torch.randn(2, 3 * 4, 5, generator=torch.Generator().manual_seed(0))
    layers = states.reshape(2, 3, 4, 5)
    torch.testing.assert_close(mix(states), layers.mean(dim=1))
    with torch.no_grad():
        mix.scores.copy_(torch.tensor([0.0, 1.0, -2.0]))
    weights = torch.tensor([1.0, np.e, np.exp(-2.0)], dtype=torch.float32) / float(1 + np.e + np.exp(-2.0))
    torch.testing.assert_close(mix(states), torch.einsum("l,blhf->bhf", weights, layers))
    half = mix(states.half())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, mix(states), rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_metadata_alone_rebuild_the_module(name, folders):
    loaded = load_encoder(folders[name], trainable=True)
    metadata = read_settings(EncoderMetadata, json.loads(json.dumps(as_plain(loaded.metadata))), where="encoder")
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Encoder(metadata).state_dict().items()}
    assert shapes == {key: value.shape for key, value in loaded.state_dict().items()}
    rebuilt = Encoder(metadata).eval()
    rebuilt.load_state_dict(loaded.state_dict())
    batch = batch_of(sound(0.5))
    with torch.inference_mode():
        torch.testing.assert_close(rebuilt(*batch), loaded(*batch), rtol=0, atol=0)


def copy_of(folder, tmp_path, **config):
    import shutil

    copied = shutil.copytree(folder, tmp_path / "copy")
    values = json.loads((copied / "config.json").read_text(encoding="utf-8"))
    (copied / "config.json").write_text(json.dumps(values | config), encoding="utf-8")
    return copied


def test_the_very_same_encoder_is_wanted(folders, wavlm, tmp_path):
    wanted = wavlm.metadata
    assert load_named_encoder(folders["wavlm"], wanted, of="m.ckpt").metadata == wanted
    with pytest.raises(CheckpointError, match=r"m\.ckpt was trained on the encoder wavlm, whose model.* SHA-256"):
        load_named_encoder(folders["hubert"], wanted, of="m.ckpt")
    other = copy_of(folders["wavlm"], tmp_path, num_buckets=64)
    with pytest.raises(CheckpointError, match=r"from which .* differs in its config"):
        load_named_encoder(other, wanted, of="m.ckpt")


def test_no_code_and_no_pickle_of_a_folder_is_run(folders, tmp_path):
    """A configuration may name code of its own, kernels of the hub, or a pickle beside it; none is looked at."""
    hostile = {"auto_map": {"AutoModel": "evil.Evil"}, "attn_implementation": "evil/kernel", "use_cache": "evil"}
    folder = copy_of(folders["wavlm"], tmp_path, **hostile)
    (folder / "evil.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    assert load_encoder(folder).model.config._attn_implementation == "eager"
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"copy has no model\.safetensors, .* a pickle may hold code"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").write_text("{", encoding="utf-8"), "config.json is damaged: it is not JSON"),
        (lambda f: (f / "config.json").write_text("[]", encoding="utf-8"), "it should be a JSON object"),
        (lambda f: (f / "config.json").write_text(" " * 2**21, encoding="utf-8"), "should have 1,048,576 at most"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "lacks preprocessor_config.json"),
        (lambda f: (f / WEIGHTS).write_bytes(b"spoilt"), "cannot be read as a wavlm encoder"),
    ],
)
def test_a_spoilt_folder_is_one_sentence(spoil, sentence, folders, tmp_path):
    folder = copy_of(folders["wavlm"], tmp_path)
    spoil(folder)
    with pytest.raises(CheckpointError, match=sentence):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_type": "t5"}, "has the model_type 't5'; known are wav2vec2"),
        ({"model_type": "wavllm"}, "did you mean 'wavlm'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers holds 1000000000, but should hold whole numbers from 1 to"),
        ({"conv_stride": []}, r"encoder\.config is refused by transformers: .*convolutional layers"),
        ({"hidden_size": "big"}, "refused by transformers|should hold whole numbers"),
    ],
)
def test_a_configuration_that_is_none_of_ours_is_refused(config, sentence, folders, tmp_path):
    with pytest.raises(SettingsError, match=sentence):
        load_encoder(copy_of(folders["wavlm"], tmp_path, **config))


def test_weights_that_are_missing_are_not_made_up(models, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_encoder(models["hubert"], tmp_path / "hubert")
    tensors = load_file(folder / WEIGHTS)
    save_file({key: value for key, value in tensors.items() if "layers.1.attention" not in key}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"lacks \d+ tensors of the encoder, such as"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("name", "task"), [("wav2vec2", "Wav2Vec2ForCTC"), ("whisper", "WhisperForConditionalGeneration")]
)
def test_the_encoder_of_a_model_with_a_task_is_taken(name, task, models, tmp_path):
    """Its tensors have another prefix, and others lie beside them."""
    import transformers

    torch.manual_seed(1)
    whole = getattr(transformers, task)(models[name].config).eval()
    folder = save_encoder(whole, tmp_path / "whole")
    part = whole.wav2vec2 if name == "wav2vec2" else whole.model.encoder
    loaded = load_encoder(folder).model.state_dict()
    assert loaded
    for key, tensor in part.state_dict().items():
        if key != "masked_spec_embed":
            torch.testing.assert_close(loaded[key], tensor, rtol=0, atol=0)


def test_a_name_of_the_hub_is_fetched_or_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="no-one/nothing: there is no such folder, and it cannot be fetched"):
        load_encoder("no-one/nothing")
    with pytest.raises(CheckpointError, match="there is no such folder, and it is no name of an encoder on the hub"):
        load_encoder("/nowhere/at/all")


def test_what_the_hub_gives_is_named_by_its_commit(folders, tmp_path, monkeypatch):
    import shutil

    commit = shutil.copytree(folders["wavlm"], tmp_path / "0123abcd")
    asked = []

    def fetch(name, *, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    metadata = load_encoder("someone/wavlm", revision="refs/pr/1").metadata
    assert (metadata.name, metadata.revision) == ("someone/wavlm", "0123abcd")
    load_named_encoder("someone/wavlm", metadata, of="m.ckpt")  # by the commit of the training
    files = ["config.json", "preprocessor_config.json", "model.safetensors"]
    assert asked == [("someone/wavlm", "refs/pr/1", files), ("someone/wavlm", "0123abcd", files)]


def test_a_folder_has_no_revision(folders):
    with pytest.raises(SettingsError, match=r"encoder_revision is 'main', but .* is a folder, which has none"):
        load_encoder(folders["wavlm"], revision="main")


def test_without_transformers_the_extra_is_named(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SettingsError, match=r'An encoder needs transformers, .*pip install "ser\[encoders\]"'):
        load_encoder(folders["wavlm"])


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (
            FeatureSettings(),
            r"takes a waveform at 16000 Hz, but features\.groups is .* give model=encoder, or features=waveform",
        ),
        (FeatureSettings(groups=("waveform",)), "at 22050 Hz"),
        (FeatureSettings(groups=("waveform",), sample_rate=16_000), "features.hop_length is 512, but .* every 320"),
    ],
)
def test_other_features_are_refused(features, sentence, wavlm):
    with pytest.raises(SettingsError, match=sentence):
        check_features(features, wavlm.metadata)


def test_whisper_takes_no_more_than_its_window(folders):
    metadata = load_encoder(folders["whisper"]).metadata
    check_features(FeatureSettings(groups=("waveform",), sample_rate=16_000, hop_length=320, max_length=100), metadata)
    longer = FeatureSettings(groups=("waveform",), sample_rate=16_000, hop_length=320, max_length=101)
    with pytest.raises(SettingsError, match="max_length is 101, but whisper takes 100 frames at most"):
        check_features(longer, metadata)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"conv_stride": []}, r"config\.conv_stride should be a list of 1 to"),
        ({"conv_kernel": [10, True]}, r"config\.conv_kernel holds True"),
        ({"evil": 1}, "config of a wavlm encoder lacks 'evil', or has it and should not"),
        ({"hidden_size": 2**40}, "config.hidden_size holds 1099511627776"),
        ({"num_attention_heads": 3}, "makes no wavlm encoder"),
    ],
)
def test_a_strangers_metadata_build_nothing_of_their_own(entries, sentence, wavlm):
    values = as_plain(wavlm.metadata)
    with pytest.raises(SettingsError, match=sentence):
        Encoder(read_settings(EncoderMetadata, values | {"config": values["config"] | entries}, where="encoder"))
