"""What is generated of the documentation: `python -m experiments.docs`."""
