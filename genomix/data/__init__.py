"""Labelled records to datasets on disk, and datasets to batches."""
