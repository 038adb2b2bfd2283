"""Metrics, calibration, intervals, reports and figures; robustness, publishing and the model card."""
