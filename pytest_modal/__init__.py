"""GPU-backed research tests: functions go to the GPU, data comes back, everything else stays local."""
