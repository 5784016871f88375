"""Records of runs: collected while pytest runs, written at its end, found again later."""
