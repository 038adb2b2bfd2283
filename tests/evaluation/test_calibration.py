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
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def calibrated():
    """Logits [20,000, 5] and a truth that is drawn from their softmax: perfectly calibrated by construction."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=(20_000, 5))
    draws = rng.uniform(size=(len(logits), 1))
    return logits, (softmax(logits).cumsum(axis=1) < draws).sum(axis=1)


def test_the_log_loss_is_scikit_learns():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.5), size=50)
    truth = rng.integers(4, size=50)
    assert log_loss(probabilities, truth) == pytest.approx(sklearn_log_loss(truth, probabilities, labels=range(4)))


def test_the_log_loss_of_a_hand_made_case():
    assert log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 0]) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_a_probability_of_zero_costs_much_but_not_everything():
    assert 80 < log_loss([[1.0, 0.0]], [1]) < 110


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(2).normal(scale=3, size=(30, 8))
    np.testing.assert_allclose(apply_temperature(softmax(logits), 2.5), softmax(logits / 2.5), rtol=1e-9)


def test_a_temperature_of_one_changes_nothing_and_no_temperature_the_order():
    probabilities = np.random.default_rng(3).dirichlet(np.ones(6), size=40)
    np.testing.assert_allclose(apply_temperature(probabilities, 1.0), probabilities, rtol=1e-12)
    order = probabilities.argsort(axis=1)
    for temperature in (0.3, 4.0):
        assert (apply_temperature(probabilities, temperature).argsort(axis=1) == order).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(ValueError, match="temperature is"):
        apply_temperature([[0.5, 0.5]], temperature)


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(calibrated, wrong_by):
    logits, truth = calibrated
    assert fit_temperature(softmax(logits * wrong_by), truth) == pytest.approx(wrong_by, rel=0.03)


def test_the_temperature_is_where_an_independent_search_finds_the_least_loss():
    rng = np.random.default_rng(4)
    probabilities, truth = rng.dirichlet(np.full(3, 0.4), size=60), rng.integers(3, size=60)
    probabilities[:30, 0] += truth[:30] == 0  # not quite noise
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    def loss(temperature):
        powers = probabilities ** (1 / temperature)
        return sklearn_log_loss(truth, powers / powers.sum(axis=1, keepdims=True), labels=range(3))

    least = minimize_scalar(loss, bounds=TEMPERATURE_RANGE, method="bounded", options={"xatol": 1e-7}).x
    assert TEMPERATURE_RANGE[0] < least < TEMPERATURE_RANGE[1]
    assert fit_temperature(probabilities, truth) == pytest.approx(least, rel=1e-4)


def test_a_temperature_stays_in_its_range():
    assert fit_temperature([[0.6, 0.4], [0.3, 0.7]], [0, 1]) == pytest.approx(TEMPERATURE_RANGE[0])
    assert fit_temperature([[0.6, 0.4], [0.3, 0.7]], [1, 0]) == pytest.approx(TEMPERATURE_RANGE[1])


def test_a_calibrated_set_has_no_error_and_overconfidence_is_corrected(calibrated):
    logits, truth = calibrated
    assert expected_calibration_error(softmax(logits), truth) < 0.02
    overconfident = softmax(logits * 3)
    assert expected_calibration_error(overconfident, truth) > 0.1
    mended = apply_temperature(overconfident, fit_temperature(overconfident, truth))
    assert expected_calibration_error(mended, truth) < 0.02


def binary(confidences):
    return [[confidence, 1 - confidence] for confidence in confidences]


def test_the_threshold_of_a_hand_made_case():
    # From the top: right, right, wrong, right, wrong: kept accuracies 1, 1, 2/3, 3/4, 3/5.
    probabilities, truth = binary([0.7, 0.95, 0.6, 0.9, 0.8]), [0, 0, 1, 0, 1]
    assert fit_rejection_threshold(probabilities, truth, accuracy=0.6) == 0.0
    assert fit_rejection_threshold(probabilities, truth, accuracy=0.7) == 0.7
    assert fit_rejection_threshold(probabilities, truth, accuracy=0.76) == 0.9
    assert fit_rejection_threshold(probabilities, truth, accuracy=1.0) == 0.9


def test_no_threshold_where_the_surest_answer_is_wrong():
    assert fit_rejection_threshold(binary([0.9, 0.8]), [1, 0], accuracy=0.6) is None


def test_equal_confidences_are_not_told_apart():
    # Cut after the first of the two at 0.9, all kept answers would be right; but the threshold keeps both.
    assert fit_rejection_threshold(binary([0.9, 0.9, 0.6]), [0, 1, 1], accuracy=0.9) is None
    assert fit_rejection_threshold(binary([0.9, 0.9, 0.6]), [0, 1, 1], accuracy=0.5) == 0.9


@pytest.mark.parametrize("wanted", [0.5, 0.7, 0.9])
def test_the_threshold_keeps_what_was_asked_for_and_no_lower_one_would(calibrated, wanted):
    logits, truth = calibrated
    probabilities, truth = softmax(logits)[:500], truth[:500]
    threshold = fit_rejection_threshold(probabilities, truth, accuracy=wanted)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    reach = [value for value in np.append(confidence, 0.0) if right[confidence >= value].mean() >= wanted]
    assert threshold == min(reach)


@pytest.mark.parametrize(
    "function", [log_loss, fit_temperature, lambda p, t: fit_rejection_threshold(p, t, accuracy=0.5)]
)
def test_shapes_that_do_not_match_are_refused(function):
    with pytest.raises(ValueError, match="shape"):
        function([[0.5, 0.5]], [0, 1])
    with pytest.raises(ValueError, match="shape"):
        function(np.empty((0, 2)), np.empty(0, dtype=int))
