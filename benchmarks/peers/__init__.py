"""The servers that are measured: one small file for each, run as ``python -m benchmarks.peers.NAME``."""
