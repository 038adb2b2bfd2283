"""A network that takes speaker context: what depends on the context, what does not, and by how much."""

import math

import pytest
import torch

from ser.models.context import context_of, no_context
from ser.models.functionals import N_FUNCTIONALS, functionals
from ser.models.networks.context_bilstm import ContextBiLstm

N_BANDS = 16


def network():
    torch.manual_seed(0)
    net = ContextBiLstm(
        n_features=N_BANDS + 2,
        n_classes=3,
        channels=(4, 6),
        lstm_hidden=5,
        functionals_hidden=7,
        functionals_in_context=0.65,
    )
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(module.running_mean)
    draws = torch.Generator().manual_seed(1)
    ones, rows = torch.rand(N_BANDS, generator=draws) + 1, torch.rand(3, N_FUNCTIONALS, generator=draws) + 1
    net.set_statistics(-40 * ones, 10 * ones, rows[0], rows[1], rows[2], torch.tensor([0.5, 0.3, 0.2]))
    return net.eval()


def recordings(n=6, *, frames=60, seed=0):
    draws = torch.Generator().manual_seed(seed)
    bands = -40 + 10 * torch.randn(n, N_BANDS, frames, generator=draws)
    pitch = torch.stack([7 + torch.rand(n, frames, generator=draws), torch.rand(n, frames, generator=draws)], dim=1)
    return torch.cat([bands, pitch], dim=1), torch.full((n,), frames)


def test_a_summary_is_functionals_embedding_and_answer_whatever_the_context():
    net, (features, lengths) = network(), recordings()
    assert net.n_summary == N_FUNCTIONALS + 20 + 3
    alone, weights, summary = net(features, lengths, no_context(6, net.n_summary))
    assert (alone.shape, weights.shape, summary.shape) == ((6, 3), (6, 15), (6, net.n_summary))
    limited = net.limit(features, lengths)
    torch.testing.assert_close(summary[:, :N_FUNCTIONALS], functionals(limited, lengths, n_bands=N_BANDS))
    torch.testing.assert_close(summary[:, -3:], (1.75 * alone).softmax(dim=1))  # before the doubt
    others = context_of(summary, ~torch.eye(6, dtype=torch.bool))
    told, _, same = net(features, lengths, others)
    torch.testing.assert_close(same, summary)
    assert (told - alone).abs().max() > 1e-3


def test_the_answer_is_that_of_the_formula():
    """Of plain numbers, one recording at a time: shrunk by n / (n + prior), the variance by n - 1; and corrected."""
    net, (features, lengths) = network(), recordings(5)
    with torch.no_grad():
        net.log_prior.copy_(torch.tensor([2.0, 3.0, 5.0]).log())
        summary = net(features, lengths, no_context(5, net.n_summary))[2]
        found = net(features[:1], lengths[:1], context_of(summary[1:], torch.ones(1, 4).bool()))[0][0]
        values, embedding = summary[0, :N_FUNCTIONALS], summary[0, N_FUNCTIONALS:-3]
        others = summary[1:].double()
        mean, variance = others.mean(dim=0), others.var(dim=0, unbiased=False)
        a, b, c = 4 / (4 + 2), 4 / (4 + 3), 3 / (3 + 5)
        of_embedding = torch.cat([embedding, (a * (embedding - mean[N_FUNCTIONALS:-3])).float(), torch.tensor([a])])
        centre = b * mean[:N_FUNCTIONALS] + (1 - b) * net.mean
        spread = (c * variance[:N_FUNCTIONALS] + (1 - c) * net.within).sqrt()
        rows = [((values - net.mean) / net.scale).clamp(-5, 5), ((values - centre) / spread).clamp(-5, 5).float()]
        logits = net.classify(of_embedding), net.of_functionals(torch.cat([*rows, torch.tensor([b])]))
        shares = (4 * mean[-3:] + 5 * net.class_shares) / (4 + 5)
        weight = 0.5 + (0.65 - 0.5) * 4 / (4 + 5)
        fused = (1 - weight) * logits[0].log_softmax(dim=0) + weight * logits[1].log_softmax(dim=0)
        expected = fused + (net.class_shares / shares).log().float()
        expected = expected / (1 + 0.75 * 5 / (4 + 5))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 8, 61, 120])
def test_padding_and_neighbours_change_nothing(length):
    net, (features, _) = network(), recordings(2, frames=120)
    context = no_context(2, net.n_summary)
    features[1, :, length:] = 0
    alone = net(features[1:, :, :length], torch.tensor([length]), context[1:])
    together = net(features, torch.tensor([120, length]), context)
    for one, both in zip((alone[0], alone[2]), (together[0], together[2]), strict=True):
        torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-4)


def test_a_large_context_counts_fully_and_one_recording_little():
    net, (features, lengths) = network(), recordings()
    summary = net(features, lengths, no_context(6, net.n_summary))[2]
    context = context_of(summary, ~torch.eye(6, dtype=torch.bool))
    far = context.clone()
    far[:, 1:] = 0  # as if others were all zeros
    differences = []
    for number in (1.0, 10.0, 1000.0):
        context[:, 0] = far[:, 0] = number
        with torch.no_grad():
            of_embedding = [net.logits(summary[:, : net.n_representation], one)[0] for one in (context, far)]
        differences.append(float((of_embedding[0] - of_embedding[1]).abs().max()))
    assert differences == sorted(differences)
    assert math.isclose(differences[2] / differences[0], 1000 / 1004 * 5, rel_tol=0.01)


@pytest.mark.parametrize(("capability", "in_training"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32)])
def test_convolutions_have_16_bits_in_training_alone_and_where_the_processor_can(monkeypatch, capability, in_training):
    """Without the processor's instructions for it, an epoch took four times as long as with 32 bits."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    net, (features, lengths) = network(), recordings()
    net.bf16 = True
    seen = []
    net.project.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    net.embed(net.normalise(features, lengths), lengths)
    net.train()
    embedding, _ = net.embed(net.normalise(features, lengths), lengths)
    assert seen == [torch.float32, in_training]
    assert embedding.dtype == torch.float32


def test_a_microphone_changes_bands_half_as_much_as_without_their_own_statistics():
    net, (features, lengths) = network(), recordings()
    through = features.clone()
    through[:, :N_BANDS] += torch.linspace(-6, 6, N_BANDS)[:, None]
    differences = []
    for weight in (0.0, 0.5):
        net.own_statistics = weight
        one, other = (net.normalise(each, lengths) * net.band_scale[:, None] for each in (features, through))
        differences.append(float((one - other).abs().mean()))
    assert 0.4 < differences[1] / differences[0] < 0.6


def test_what_is_far_below_the_loudest_band_is_cut_off():
    net, (features, lengths) = network(), recordings(2)
    lengths[1] = 40
    features[1, 0, 50] = 100.0  # in the padding, where nothing counts
    limited = net.limit(features, lengths)
    for before, after, length in zip(features, limited, lengths.tolist(), strict=True):
        bands = before[:N_BANDS, :length]
        torch.testing.assert_close(after[:N_BANDS, :length], bands.clamp(min=float(bands.max()) - 50))
        torch.testing.assert_close(after[N_BANDS:], before[N_BANDS:])
    assert (limited[:, :N_BANDS] != features[:, :N_BANDS]).any()


def test_an_answer_that_all_of_a_speakers_recordings_get_counts_for_less_the_more_there_are():
    """Of recordings that are all taken for the first class, whose expected share is 1/2."""
    net = network()
    net.doubt = 0.0
    same = torch.tensor([[0.7, 0.2, 0.1]]).log()
    found = []
    for number in (0, 1, 10, 10000):
        context = no_context(1, net.n_summary)
        context[0, 0], context[0, 1 + net.n_representation] = number, 1.0
        found.append(net.correct(same, context).softmax(dim=1)[0])
    torch.testing.assert_close(found[0], same[0].exp())  # no context changes nothing
    of_first = [float(one[0]) for one in found]
    assert of_first == sorted(of_first, reverse=True)
    shares = torch.tensor([12.5, 1.5, 1.0]) / 15  # of ten recordings, and five as expected
    expected = same[0].exp() * torch.tensor([0.5, 0.3, 0.2]) / shares
    torch.testing.assert_close(found[2], expected / expected.sum())


def test_the_less_is_known_of_a_speaker_the_less_sure_is_the_answer():
    net = network()
    same = torch.tensor([[0.7, 0.2, 0.1]]).log()
    context = no_context(1, net.n_summary)
    context[0, 1 + net.n_representation :][:3] = net.class_shares  # answers as expected, so that nothing is divided out
    for number, divisor in ((0, 1.75), (5, 1.375), (95, 1.0375)):
        context[0, 0] = number
        torch.testing.assert_close(net.correct(same, context), same / divisor)


def test_the_more_is_known_of_a_speaker_the_more_the_functionals_count():
    net = network()
    torch.manual_seed(1)
    of_embedding, of_functionals = torch.randn(2, 4, 3)
    first, second = of_embedding.log_softmax(dim=1), of_functionals.log_softmax(dim=1)
    torch.testing.assert_close(net.fuse(of_embedding, of_functionals), (first + second) / 2)
    context = no_context(4, net.n_summary)
    context[:, 0] = torch.tensor([0.0, 5.0, 45.0, 1e9])
    weights = torch.tensor([0.5, 0.575, 0.635, 0.65])[:, None]
    found = net.fuse(of_embedding, of_functionals, net.known(context))
    torch.testing.assert_close(found, (1 - weights) * first + weights * second)
