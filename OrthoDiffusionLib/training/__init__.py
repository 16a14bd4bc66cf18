"""Training: pre-training, fine-tuning, fusion and calibration."""
