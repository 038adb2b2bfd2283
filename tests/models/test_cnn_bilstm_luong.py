"""The network against the recipe written with tensors alone: no layer of `torch.nn` is used in the reference."""

import pytest
import torch

from ser.models.networks.cnn_bilstm_luong import CnnBiLstmLuong

HIDDEN = 128
IGNORED = torch.zeros(1)  # lengths: this network treats padding as sound


def convolve(batch, weight, bias):
    """Kernel 3, padding 1: three shifted products, [batch, channels, frames]."""
    edge = batch.new_zeros(*batch.shape[:2], 1)
    padded, frames = torch.cat([edge, batch, edge], dim=2), batch.shape[2]
    return sum(weight[:, :, tap] @ padded[:, :, tap : tap + frames] for tap in range(3)) + bias[:, None]


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


def reference(parameters, features, *, training):
    """The baseline network: logits [batch, classes] and attention weights [batch, frames // 2], sample by sample."""
    maps = features
    for convolution, normalisation in (("convolutions.0", "convolutions.1"), ("convolutions.3", "convolutions.4")):
        maps = convolve(maps, parameters[f"{convolution}.weight"], parameters[f"{convolution}.bias"])
        maps = normalise(maps, parameters, normalisation, training=training).clamp(min=0)
    even = maps.shape[2] // 2 * 2
    logits, weights = [], []
    for sample in torch.maximum(maps[:, :, 0:even:2], maps[:, :, 1:even:2]):
        states = sample.T
        for layer in range(2):
            ahead, ahead_final = run_direction(states, parameters, f"l{layer}", backward=False)
            behind, behind_final = run_direction(states, parameters, f"l{layer}_reverse", backward=True)
            states = torch.cat([ahead, behind], dim=1)
        query = torch.cat([ahead_final, behind_final])
        exponentials = torch.exp(states @ query)  # Luong's dot score
        weights.append(exponentials / exponentials.sum())
        joined = torch.cat([weights[-1] @ states, query])
        logits.append(parameters["classify.weight"] @ joined + parameters["classify.bias"])
    return torch.stack(logits), torch.stack(weights)


def baseline(*, dropout=0.5, dtype=torch.float32):
    """The network at the sizes of the reference implementation, after its batch normalisation has seen a batch."""
    torch.manual_seed(1)
    network = CnnBiLstmLuong(187, 8, dropout=dropout, lstm_dropout=dropout).to(dtype)
    with torch.no_grad():
        for layer in (1, 4):
            network.convolutions[layer].weight.uniform_(0.5, 1.5)
            network.convolutions[layer].bias.normal_(0, 0.1)
        network.train()(3 * torch.randn(16, 187, 30, dtype=dtype) + 1, IGNORED)
    return network


@pytest.mark.parametrize("frames", [2, 3, 215, 216])
def test_outputs_are_the_reference_implementations(frames):
    network = baseline().eval()
    features = torch.randn(3, 187, frames)
    with torch.no_grad():
        logits, weights = network(features, IGNORED)
        expected_logits, expected_weights = reference(network.state_dict(), features, training=False)
    assert (logits.shape, weights.shape) == ((3, 8), (3, frames // 2))
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


def test_there_are_as_many_weights_as_the_reference_has():
    convolutions = 187 * 64 * 3 + 64 + 2 * 64 + 64 * 128 * 3 + 128 + 2 * 128
    first, second = (2 * 4 * HIDDEN * (inputs + HIDDEN + 2) for inputs in (128, 256))
    linear = 512 * 8 + 8
    assert sum(weight.numel() for weight in baseline().parameters()) == convolutions + first + second + linear


def test_dropout_is_the_references_and_only_in_training():
    network, features = baseline(), torch.randn(2, 187, 40)
    assert network.lstm.dropout == network.dropout.p == 0.5
    assert not torch.equal(network.train()(features, IGNORED)[0], network(features, IGNORED)[0])
    assert torch.equal(network.eval()(features, IGNORED)[0], network(features, IGNORED)[0])


def test_one_layer_gives_no_warning_about_dropout(recwarn):
    network = CnnBiLstmLuong(n_features=6, n_classes=2, conv_channels=(3, 5), lstm_hidden=4, lstm_layers=1)
    assert network(torch.randn(2, 6, 9), IGNORED)[0].shape == (2, 2)
    assert not recwarn.list
