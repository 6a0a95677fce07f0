"""What is measured: one small file for each question, with a ``QUESTION`` and a ``run(bench)``."""
