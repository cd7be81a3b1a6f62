"""Evaluation of a model: unknown people and devices, calibration, broken sensors, new users, a baseline of trees."""
