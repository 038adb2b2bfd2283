from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss as sklearn_log_loss

from ser.evaluation.calibration import (
    TEMPERATURE_RANGE,
    apply_temperature,
    fit_rejection_threshold,
    fit_temperature,
    log_loss,
)
from ser.evaluation.metrics import expected_calibration_error


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_log_loss_is_scikit_learns():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.5), size=50)
    truth = rng.integers(4, size=50)
    assert log_loss(probabilities, truth) == pytest.approx(sklearn_log_loss(truth, probabilities, labels=range(4)))


def test_a_probability_of_zero_costs_much_but_not_everything():
    assert 80 < log_loss([[1.0, 0.0]], [1]) < 110


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_a_temperature_divides_the_logits(temperature):
    logits = np.random.default_rng(2).normal(scale=3, size=(30, 8))
    found = apply_temperature(softmax(logits), temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature), rtol=1e-9)
    np.testing.assert_array_equal(found.argsort(axis=1), logits.argsort(axis=1))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(ValueError, match="temperature is"):
        apply_temperature([[0.5, 0.5]], temperature)


@pytest.mark.parametrize(("wrong_by", "least_error"), [(0.4, 0.1), (1.0, 0.0), (3.0, 0.1)])
def test_a_known_temperature_is_found_again_and_corrects_the_confidence(wrong_by, least_error):
    """The truth is drawn from the softmax of the logits, which is perfectly calibrated by construction."""
    rng = np.random.default_rng(0)
    logits, draws = rng.normal(scale=2.0, size=(20_000, 5)), rng.uniform(size=(20_000, 1))
    truth = (softmax(logits).cumsum(axis=1) < draws).sum(axis=1)
    probabilities = softmax(logits * wrong_by)
    temperature = fit_temperature(probabilities, truth)
    assert temperature == pytest.approx(wrong_by, rel=0.03)
    assert expected_calibration_error(probabilities, truth) > least_error
    assert expected_calibration_error(apply_temperature(probabilities, temperature), truth) < 0.02


def test_the_temperature_is_where_an_independent_search_finds_the_least_loss():
    rng = np.random.default_rng(4)
    probabilities, truth = rng.dirichlet(np.full(3, 0.4), size=60), rng.integers(3, size=60)
    probabilities[:30, 0] += truth[:30] == 0  # not quite noise
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    def loss(temperature):
        return sklearn_log_loss(truth, softmax(np.log(probabilities) / temperature), labels=range(3))

    least = minimize_scalar(loss, bounds=TEMPERATURE_RANGE, method="bounded", options={"xatol": 1e-7}).x
    assert TEMPERATURE_RANGE[0] < least < TEMPERATURE_RANGE[1]
    assert fit_temperature(probabilities, truth) == pytest.approx(least, rel=1e-4)


def test_a_temperature_stays_in_its_range():
    assert fit_temperature([[0.6, 0.4], [0.3, 0.7]], [0, 1]) == pytest.approx(TEMPERATURE_RANGE[0])
    assert fit_temperature([[0.6, 0.4], [0.3, 0.7]], [1, 0]) == pytest.approx(TEMPERATURE_RANGE[1])


def test_the_threshold_is_the_lowest_that_reaches_the_accuracy():
    """By brute force on small sets; predictions of equal confidence are accepted or rejected together."""
    rng = np.random.default_rng(6)
    found = set()
    for _ in range(300):
        confidence, right = rng.integers(6, 10, size=5) / 10, rng.uniform(size=5) < 0.6
        accuracy = rng.choice([0.5, 0.6, 0.7, 0.76, 1.0])
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        threshold = fit_rejection_threshold(probabilities, (~right).astype(int), accuracy=accuracy)
        reach = [value for value in (0.0, *confidence) if right[confidence >= value].mean() >= accuracy]
        assert threshold == min(reach, default=None)
        found.add(threshold)
    assert found == {None, 0.0, 0.7, 0.8, 0.9}


@pytest.mark.parametrize("function", [log_loss, fit_temperature, partial(fit_rejection_threshold, accuracy=0.5)])
@pytest.mark.parametrize(("probabilities", "truth"), [([[0.5, 0.5]], [0, 1]), (np.empty((0, 2)), [])])
def test_shapes_that_do_not_match_are_refused(function, probabilities, truth):
    with pytest.raises(ValueError, match="shape"):
        function(probabilities, truth)
