"""Accuracy, cost and latency per setting: the query table and its plot."""
