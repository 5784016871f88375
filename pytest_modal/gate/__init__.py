"""The accuracy gate: per-item results, tested against a committed baseline.

`judge` decides and knows nothing of pytest: `rows` reads the rows of a test, `baseline_file` the baseline, `statistics`
compares, `verdict` decides about the gate and `update` about its baseline, `messages` words it. All but `errors` need
numpy, so they are imported only when a gate is used. The other modules connect it with pytest.
"""
