"""Record and replay: one file a call, made to be reviewed, read without trusting it.

A recording is JSON, with its arrays in an ``.npz`` beside it: ``recordings/<test module>/<fixture>[<params>].json``.
Nothing in it is executed or unpickled, and neither values of environment variables nor secrets get in.
"""
