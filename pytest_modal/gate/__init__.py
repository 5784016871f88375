"""The accuracy gate: per-item results, tested against a committed baseline.

`rows` reads what a test gives, `baseline` reads and writes files, `statistics` compares, `verdict` decides about
the gate and `update` about its baseline, `messages` says it. None of them knows of pytest. All but `errors` need
numpy, so they are imported when a gate is used and not before.
"""
