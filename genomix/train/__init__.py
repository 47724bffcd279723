"""Training: a dataset in, a run folder with a trained model out. Read `run.py` first, then `loop.py`."""
