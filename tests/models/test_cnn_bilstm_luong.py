"""The network against the recipe written with tensors alone: no layer of `torch.nn` is used below."""

import pytest
import torch

from ser.errors import SettingsError
from ser.features.validation import read_settings
from ser.models.networks.cnn_bilstm_luong import CnnBiLstmLuong, CnnBiLstmLuongSettings

HIDDEN = 128
IGNORED = torch.zeros(1)  # lengths: this network treats padding as sound


def convolve(features, weight, bias):
    """Kernel 3, padding 1: three shifted products, features [channels, frames] of one sample."""
    edge = features.new_zeros(features.shape[0], 1)
    padded = torch.cat([edge, features, edge], dim=1)
    frames = features.shape[1]
    return sum(weight[:, :, tap] @ padded[:, tap : tap + frames] for tap in range(3)) + bias[:, None]


def normalise(batch, parameters, layer, *, training):
    """Batch normalisation over samples and frames, [batch, channels, frames]."""
    if training:
        mean = batch.mean(dim=(0, 2))
        variance = ((batch - mean[:, None]) ** 2).mean(dim=(0, 2))
    else:
        mean, variance = parameters[f"{layer}.running_mean"], parameters[f"{layer}.running_var"]
    scaled = (batch - mean[:, None]) / torch.sqrt(variance + 1e-5)[:, None]
    return scaled * parameters[f"{layer}.weight"][:, None] + parameters[f"{layer}.bias"][:, None]


def run_direction(inputs, parameters, suffix, *, backward):
    """One direction of one LSTM layer, [frames, inputs] -> states [frames, hidden], final state [hidden]."""
    weight_in, weight_state, bias_in, bias_state = (
        parameters[f"lstm.{name}_{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = cell = inputs.new_zeros(weight_state.shape[1])
    states = [None] * len(inputs)
    for frame in reversed(range(len(inputs))) if backward else range(len(inputs)):
        gates = weight_in @ inputs[frame] + bias_in + weight_state @ state + bias_state
        enter, forget, candidate, leave = gates.chunk(4)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        state = torch.sigmoid(leave) * torch.tanh(cell)
        states[frame] = state
    return torch.stack(states), state


def attend(states, query):
    """Luong's dot score for one sample, written frame by frame."""
    scores = torch.stack([(state * query).sum() for state in states])
    exponentials = torch.exp(scores - scores.max())
    weights = exponentials / exponentials.sum()
    return sum(weight * state for weight, state in zip(weights, states, strict=True)), weights


def reference(parameters, features, *, training):
    """The baseline network: logits [batch, classes] and attention weights [batch, frames // 2]."""
    maps = features
    for convolution, normalisation in (("convolutions.0", "convolutions.1"), ("convolutions.3", "convolutions.4")):
        weight, bias = parameters[f"{convolution}.weight"], parameters[f"{convolution}.bias"]
        maps = torch.stack([convolve(sample, weight, bias) for sample in maps])
        maps = normalise(maps, parameters, normalisation, training=training).clamp(min=0)
    even = maps.shape[2] // 2 * 2
    pooled = torch.maximum(maps[:, :, 0:even:2], maps[:, :, 1:even:2])
    logits, weights = [], []
    for sample in pooled:
        states = sample.T
        for layer in range(2):
            ahead, ahead_final = run_direction(states, parameters, f"l{layer}", backward=False)
            behind, behind_final = run_direction(states, parameters, f"l{layer}_reverse", backward=True)
            states = torch.cat([ahead, behind], dim=1)
        query = torch.cat([ahead_final, behind_final])
        context, weight = attend(states, query)
        joined = torch.cat([context, query])
        logits.append(parameters["classify.weight"] @ joined + parameters["classify.bias"])
        weights.append(weight)
    return torch.stack(logits), torch.stack(weights)


def baseline(*, dropout=0.5, dtype=torch.float32):
    """The network at the sizes of the reference implementation, after its batch normalisation has seen a batch."""
    torch.manual_seed(1)
    settings = CnnBiLstmLuongSettings(dropout=dropout, lstm_dropout=dropout)
    network = CnnBiLstmLuong(settings, n_features=187, n_classes=8).to(dtype)
    with torch.no_grad():
        for layer in (1, 4):
            network.convolutions[layer].weight.uniform_(0.5, 1.5)
            network.convolutions[layer].bias.normal_(0, 0.1)
        network.train()(3 * torch.randn(16, 187, 30, dtype=dtype) + 1, IGNORED)
    return network


def test_outputs_are_the_reference_implementations():
    network = baseline().eval()
    features = torch.randn(3, 187, 216)
    with torch.no_grad():
        logits, weights = network(features, IGNORED)
        expected_logits, expected_weights = reference(network.state_dict(), features, training=False)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-4, atol=1e-6)
    assert logits.std(dim=0).min() > 1e-4  # the samples differ, so the comparison can fail


def test_gradients_are_the_reference_implementations():
    network = baseline(dropout=0.0, dtype=torch.float64).train()
    features = torch.randn(4, 187, 25, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 7, 3, 3])
    copies = {name: value.detach().clone().requires_grad_() for name, value in network.named_parameters()}
    copied_features = features.detach().clone().requires_grad_()

    torch.nn.functional.cross_entropy(network(features, IGNORED)[0], labels).backward()
    logits, _ = reference(copies, copied_features, training=True)
    (-torch.log(torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True))[range(4), labels].mean()).backward()

    torch.testing.assert_close(features.grad, copied_features.grad, rtol=1e-6, atol=1e-9)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, copies[name].grad, rtol=1e-6, atol=1e-9, msg=name)
        assert name in ("convolutions.0.bias", "convolutions.3.bias") or parameter.grad.abs().max() > 1e-6


def test_every_stage_has_the_reference_shape():
    network = baseline()
    shapes = {}

    def remember(name):
        def hook(module, inputs, output):
            first = output[0] if isinstance(output, tuple) else output
            shapes[name] = (tuple(inputs[0].shape), tuple(first.shape))

        return hook

    for name in ("convolutions", "lstm", "attention", "dropout", "classify"):
        getattr(network, name).register_forward_hook(remember(name))
    logits, weights = network(torch.randn(2, 187, 216), IGNORED)
    assert shapes == {
        "convolutions": ((2, 187, 216), (2, 128, 108)),
        "lstm": ((2, 108, 128), (2, 108, 256)),
        "attention": ((2, 256), (2, 256)),
        "dropout": ((2, 512), (2, 512)),
        "classify": ((2, 512), (2, 8)),
    }
    assert logits.shape == (2, 8)
    assert weights.shape == (2, 108)


def test_there_are_as_many_weights_as_the_reference_has():
    convolutions = 187 * 64 * 3 + 64 + 2 * 64 + 64 * 128 * 3 + 128 + 2 * 128
    first, second = (2 * 4 * HIDDEN * (inputs + HIDDEN + 2) for inputs in (128, 256))
    linear = 512 * 8 + 8
    assert sum(weight.numel() for weight in baseline().parameters()) == convolutions + first + second + linear


def test_logits_do_not_depend_on_the_rest_of_the_batch():
    network = baseline().eval()
    features = torch.randn(5, 187, 40)
    with torch.no_grad():
        together, _ = network(features, IGNORED)
        alone = torch.cat([network(sample[None], IGNORED)[0] for sample in features])
        torch.testing.assert_close(
            network(features, IGNORED)[0], together, rtol=0, atol=0
        )  # eval: no dropout, nothing learnt
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_dropout_is_the_references_and_only_in_training():
    network = baseline()
    assert network.lstm.dropout == 0.5
    assert network.dropout.p == 0.5
    features = torch.randn(2, 187, 40)
    assert not torch.equal(network.train()(features, IGNORED)[0], network(features, IGNORED)[0])


@pytest.mark.parametrize("frames", [2, 3, 215])
def test_any_number_of_frames_from_two_on_is_taken(frames):
    network = baseline().eval()
    logits, weights = network(torch.randn(1, 187, frames), IGNORED)
    assert logits.shape == (1, 8)
    assert weights.shape == (1, frames // 2)


def test_one_layer_gives_no_warning_about_dropout(recwarn):
    settings = CnnBiLstmLuongSettings(conv_channels=(3, 5), lstm_hidden=4, lstm_layers=1)
    network = CnnBiLstmLuong(settings, n_features=6, n_classes=2)
    assert network(torch.randn(2, 6, 9), IGNORED)[0].shape == (2, 2)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"conv_channels": [64]}, r"network.conv_channels is \[64\]"),
        ({"conv_channels": [64, 0]}, r"network.conv_channels\[1\] is 0"),
        ({"lstm_hidden": 0}, "network.lstm_hidden is 0"),
        ({"lstm_layers": 0}, "network.lstm_layers is 0"),
        ({"lstm_layers": 10**9}, "network.lstm_layers is 1000000000"),
        ({"dropout": 1.0}, "network.dropout is 1.0"),
        ({"lstm_dropout": -0.1}, "network.lstm_dropout is -0.1"),
        ({"hidden": 3}, "network.hidden is not a setting"),
    ],
)
def test_bad_sizes_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        read_settings(CnnBiLstmLuongSettings, values, where="network")
