"""Random changes of a batch of log-mel spectrograms: what is drawn, how often, and what stays as it was."""

from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.errors import SettingsError
from ser.features.validation import read_settings

CONF = Path(__file__).parents[2] / "conf"
RATE, N_BANDS = 22050, 64
SIZES = {"sample_rate": RATE, "hop_seconds": 0.02, "max_length": 150}
OFF = SpectrogramAugmentSettings()
CENTRES = librosa.mel_frequencies(N_BANDS + 2, fmax=RATE / 2)[1:-1]


def from_file(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        values = OmegaConf.to_container(compose(f"spectrogram/{name}").spectrogram)
    return read_settings(SpectrogramAugmentSettings, values, where="spectrogram")


STRONG = from_file("strong")
ONE_EACH = {"vtlp": replace(OFF, vtlp=0.1), "speed": replace(OFF, speed=0.15)} | {
    key: replace(OFF, **{key: 1.0}) for key in ("rir", "eq", "telephone", "noise")
}
SOME = ONE_EACH | {"strong": STRONG}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def change(features, lengths, settings, *, seed=0, n_bands=None):
    return change_sound(features, lengths, settings, generator=generator(seed), n_bands=n_bands, **SIZES)


def change_flat(n, n_frames, *, quiet=slice(0, 0), **settings):
    """float32 [n, bands, frames] of -20 dB but for the frames `quiet`, of -90 dB; and the same, changed."""
    features = torch.full((n, N_BANDS, n_frames), -20.0)
    features[:, :, quiet] = -90.0
    return features, change(features, torch.full((n,), n_frames), replace(OFF, **settings))[0]


def pad(recordings):
    """A batch, 0 in the padding, and the lengths."""
    lengths = torch.tensor([recording.shape[1] for recording in recordings])
    features = torch.zeros(len(recordings), recordings[0].shape[0], int(lengths.max()))
    for row, recording in zip(features, recordings, strict=True):
        row[:, : recording.shape[1]] = recording
    return features, lengths


def babble(n_frames, *, seed):
    """float32 [bands, frames]: as uneven as speech, within 60 dB."""
    random = np.random.default_rng(seed)
    spectrum = random.uniform(-20, 0, N_BANDS)[:, None] + random.uniform(-40, 0, n_frames)
    return torch.from_numpy(spectrum + random.normal(scale=3, size=(N_BANDS, n_frames)) - 10).float().clamp(-80, -1)


@pytest.fixture
def batch():
    return pad([babble(n_frames, seed=n_frames) for n_frames in (100, 37, 140, 61, 80, 23, 150, 90)])


def levels(recording):
    """Levels of a recording's frames in dB, float64 [frames]."""
    return 10 * np.log10((10 ** (recording.double().numpy() / 10)).sum(axis=0))


def gains(after, before):
    """What was added in every band, one number each: it is the same in all frames."""
    added = after - before
    assert added.std(dim=-1).max() < 1e-3
    return added.mean(dim=-1)


def test_the_files_hold_what_their_names_promise():
    assert from_file("none") == OFF
    assert OmegaConf.load(CONF / "spectrogram" / "none.yaml").keys() == OFF.__dataclass_fields__.keys()
    assert not any((OFF.changes_sound, OFF.masks, OFF.mixes, OFF.changes_anything))
    light = from_file("light")
    assert all((settings.changes_sound, settings.masks, settings.mixes) == (True,) * 3 for settings in (light, STRONG))
    assert all(getattr(light, key) < getattr(STRONG, key) for key in ("rir", "eq", "telephone", "noise"))


BAD = {"vtlp": -0.1, "speed": 1.5, "rir": 1.2, "eq": -0.5, "telephone": 2.0, "noise": -1.0, "mixup_probability": 1.01}
BAD |= {"eq_db": -3.0, "n_masks": -1, "freq_mask": -8, "time_mask": -12, "mixup": -0.2, "t60_low": 0.0}
BAD |= {"t60_high": 0.1, "snr_low": 41.0, "snr_high": 4.0}


@pytest.mark.parametrize(("key", "value"), BAD.items())
def test_errors_name_the_key_and_the_value(key, value):
    with pytest.raises(SettingsError, match=rf"^spectrogram\..*{key}.*{value}"):
        read_settings(SpectrogramAugmentSettings, {key: value}, where="spectrogram")


def test_nothing_drawn_changes_nothing(batch):
    features, lengths = batch
    random = generator()
    state = random.get_state()
    changed, changed_lengths = change_sound(features, lengths, OFF, generator=random, **SIZES)
    assert torch.equal(changed, features)
    assert torch.equal(changed_lengths, lengths)
    assert torch.equal(random.get_state(), state)


@pytest.mark.parametrize("settings", SOME.values(), ids=SOME)
def test_the_level_stays_padding_is_zero_and_no_frame_is(batch, settings):
    features, lengths = batch
    changed, changed_lengths = change(features, lengths, settings)
    assert changed.dtype == torch.float32
    assert changed_lengths.dtype == torch.int64
    assert not torch.equal(changed[:, :, :20], features[:, :, :20])
    assert changed.shape[2] == changed_lengths.max() <= SIZES["max_length"]
    assert torch.equal((changed == 0).all(dim=1), torch.arange(changed.shape[2]) >= changed_lengths[:, None])
    for before, n_before, after, n_after in zip(features, lengths, changed, changed_lengths, strict=True):
        typical = np.percentile(levels(after[:, :n_after]), 90)
        assert typical == pytest.approx(np.percentile(levels(before[:, :n_before]), 90), abs=1e-3)


def test_eighty_decibels_are_the_most_between_values(batch):
    features, lengths = batch
    features[:, :, 5:9] -= 90
    changed, lengths = change(features, lengths, replace(OFF, eq=1.0))
    for recording, n in zip(changed, lengths, strict=True):
        assert recording[:, :n].min() == pytest.approx(float(recording[:, :n].max()) - 80, abs=1e-4)


@pytest.mark.parametrize("settings", [replace(STRONG, rir=1.0, noise=1.0), STRONG])
def test_neighbours_do_not_matter(batch, settings):
    """The same recordings with the same draws, once beside short ones, once beside long ones."""
    features, lengths = batch
    own = [features[row, :, : lengths[row]] for row in (0, 1, 3)]
    short, short_lengths = change(*pad([*own, babble(12, seed=1)]), settings)
    long, long_lengths = change(*pad([*own, babble(150, seed=2)]), settings)
    assert short.shape[2] < long.shape[2]
    assert torch.equal(short_lengths[:3], long_lengths[:3])
    for row, n in enumerate(short_lengths[:3]):
        torch.testing.assert_close(short[row, :, :n], long[row, :, :n], rtol=0, atol=1e-3)


def test_chance_comes_from_the_generator_alone_and_the_input_stays(batch):
    state, before = torch.get_rng_state(), [values.clone() for values in batch]
    first, again, other = (change(*batch, STRONG, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(*values) for values in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(*values) for values in zip(before, batch, strict=True))


@pytest.mark.parametrize("key", ["rir", "eq", "telephone", "noise"])
def test_as_many_recordings_as_the_probability_says(key):
    features = babble(20, seed=0).expand(1000, -1, -1)
    changed, _ = change(features, torch.full((1000,), 20), replace(OFF, **{key: 0.3}))
    n_changed = int(((changed - features).abs().amax(dim=(1, 2)) > 0.01).sum())
    assert n_changed == pytest.approx(300, abs=60)  # four standard deviations


def test_rates_fill_their_range():
    lengths = torch.full((500,), 100)
    _, changed = change(torch.full((500, 4, 100), -30.0), lengths, replace(OFF, speed=0.15))
    logarithms = np.log(100 / changed.double().numpy())
    assert -0.155 < logarithms.min() < -0.13
    assert 0.13 < logarithms.max() < 0.155
    assert logarithms.mean() == pytest.approx(0, abs=0.02)


def test_a_tone_goes_as_far_as_vtlp_allows():
    tone = 2000.0
    features = -30 - (librosa.hz_to_mel(CENTRES) - librosa.hz_to_mel(tone))[:, None].repeat(20, axis=1) ** 2
    features = torch.from_numpy(features).float().expand(500, -1, -1)
    changed, _ = change(features, torch.full((500,), 20), replace(OFF, vtlp=0.1))
    frequencies = CENTRES[changed[:, :, 10].argmax(dim=1)]
    assert np.log(frequencies.min() / tone) == pytest.approx(-0.1, abs=0.04)  # a band is 0.05 wide there
    assert np.log(frequencies.max() / tone) == pytest.approx(0.1, abs=0.04)


def test_noise_is_as_far_below_as_its_range_says():
    _, changed = change_flat(400, 100, quiet=slice(50), noise=1.0, snr_low=5.0, snr_high=40.0)
    power = (10 ** (changed.double() / 10)).sum(dim=1)
    below = 10 * torch.log10(power[:, 50:].mean(dim=1) / power[:, :50].mean(dim=1))
    assert 5 < below.min() < 7  # the noise is in the loud part too: 6.2 dB for 5
    assert 38.5 < below.max() < 40.5


def test_noises_differ_in_colour():
    _, changed = change_flat(200, 60, quiet=slice(30), noise=1.0, snr_low=10.0, snr_high=10.0)
    spectra = 10 * torch.log10((10 ** (changed[:, :, :30] / 10)).mean(dim=2))
    tilt = spectra[:, -10:].mean(dim=1) - spectra[:, :10].mean(dim=1)
    assert tilt.min() < -12
    assert tilt.max() > 0
    assert (spectra[:, 1:] - spectra[:, :-1]).abs().max() < 6  # smooth, but for what chance leaves in 30 frames


def test_a_telephone_passes_its_band():
    features, changed = change_flat(200, 20, telephone=1.0)
    gain = gains(changed, features).numpy()
    passed = (CENTRES > 400) & (CENTRES < 3000)
    assert np.ptp(gain[:, passed], axis=1).max() < 1e-3
    lost = gain[:, passed][:, :1] - gain
    for band, edges, slopes in ((0, (150, 400), (12, 36)), (-1, (5000, 3000), (24, 60))):
        least, most = (abs(np.log2(CENTRES[band] / edge)) * slope for edge, slope in zip(edges, slopes, strict=True))
        outside = lost[:, band]
        assert least - 0.01 <= outside.min() < outside.max() <= min(most, 80) + 0.01
        assert np.ptp(outside) > 0.4 * (min(most, 80) - least)


def test_a_microphone_tilts_and_bumps():
    features, changed = change_flat(300, 20, eq=1.0, eq_db=5.0)
    gain = gains(changed, features)
    spread = gain.amax(dim=1) - gain.amin(dim=1)
    assert spread.max() < 2 * (5 + 5 + 5)
    assert spread.median() > 3
    assert gain.diff(dim=1).abs().max() < 5 * (2 / 63 + 2 * 0.61 / (0.05 * 63))  # the steepest slopes there can be


def test_rooms_ring_for_the_drawn_time():
    _, changed = change_flat(60, 100, quiet=slice(40, 100), rir=1.0, t60_low=0.4, t60_high=0.4)
    assert changed[:, 0, 41:50].diff(dim=1) == pytest.approx(-60 * SIZES["hop_seconds"] / 0.4, abs=0.01)
    # The sound lasted until the room was full: what is left a frame later is the late energy.
    late = 10 ** ((changed[:, 0, 40] - changed[:, 0, 39]).double() / 10)
    late = late / (1 - late)
    assert 0.019 < late.min() < 0.03
    assert 0.4 < late.max() < 0.51


def test_everything_but_the_draws_is_done_where_the_batch_is(batch):
    """The meta device refuses tensors of another one, as a GPU does."""
    features, lengths = batch
    changed, changed_lengths = change(features.to("meta"), lengths, STRONG)
    on_cpu, lengths_on_cpu = change(features, lengths, STRONG)
    assert changed.device.type == "meta"
    assert changed.shape == on_cpu.shape
    assert torch.equal(changed_lengths, lengths_on_cpu)


def with_pitch(batch):
    """The batch with a pitch of 7 octaves that rises to 8, and a voicing of 0.5, in two rows more."""
    features, lengths = batch
    rows = torch.zeros(len(features), 2, features.shape[2])
    for row, length in zip(rows, lengths.tolist(), strict=True):
        row[:, :length] = torch.stack([torch.linspace(7, 8, length), torch.full((length,), 0.5)])
    return torch.cat([features, rows], dim=1), lengths


def test_the_bands_are_changed_the_same_whatever_rows_follow(batch):
    alone, lengths = change(*batch, STRONG)
    features, lengths_too = change(*with_pitch(batch), STRONG, n_bands=N_BANDS)
    torch.testing.assert_close(features[:, :N_BANDS], alone)
    assert lengths_too.tolist() == lengths.tolist()


def test_pitch_goes_with_the_voice_and_voicing_does_not(batch):
    before, lengths = with_pitch(batch)
    after, _ = change(before, lengths, ONE_EACH["vtlp"], n_bands=N_BANDS)
    alpha = torch.exp(0.2 * torch.rand(len(lengths), generator=generator()) - 0.1)
    for row, length in enumerate(lengths.tolist()):
        moved = (after - before)[row, N_BANDS]
        # A band now holds what lay at alpha times its frequency, so all frequencies are divided by it.
        torch.testing.assert_close(moved[:length], -torch.log2(alpha[row]).expand(length), rtol=1e-4, atol=1e-5)
        assert not moved[length:].any()
    torch.testing.assert_close(after[:, N_BANDS + 1], before[:, N_BANDS + 1])


def test_pitch_and_voicing_follow_the_speed_and_get_no_noise(batch):
    before, lengths = with_pitch(batch)
    after, new_lengths = change(before, lengths, ONE_EACH["speed"], n_bands=N_BANDS)
    for row, length in zip(after, new_lengths.tolist(), strict=True):
        torch.testing.assert_close(row[N_BANDS, :length], torch.linspace(7, 8, length), rtol=0, atol=0.01)
        torch.testing.assert_close(row[N_BANDS + 1, :length], torch.full((length,), 0.5))
        assert not row[N_BANDS:, length:].any()
    noisy, _ = change(before, lengths, ONE_EACH["noise"], n_bands=N_BANDS)
    torch.testing.assert_close(noisy[:, N_BANDS:], before[:, N_BANDS:])


@pytest.mark.parametrize("name", [name for name in SOME if name != "noise"])
def test_recordings_alike_are_changed_alike(name):
    settings = replace(SOME[name], noise=0.0)
    features = (-40 + 12 * torch.randn(1, N_BANDS, 150, generator=generator())).repeat(4, 1, 1)
    lengths = torch.full((4,), 150)
    like = torch.tensor([0, 0, 2, 2])
    changed, of_changed = change_sound(features, lengths, settings, **SIZES, generator=generator(1), like=like)
    for pair in ((0, 1), (2, 3)):
        torch.testing.assert_close(changed[pair[0]], changed[pair[1]])
    own, _ = change_sound(features, lengths, settings, **SIZES, generator=generator(1), like=torch.arange(4))
    same, _ = change_sound(features, lengths, settings, **SIZES, generator=generator(1))
    torch.testing.assert_close(own, same, rtol=0, atol=0)
    assert of_changed[0] == of_changed[1]
