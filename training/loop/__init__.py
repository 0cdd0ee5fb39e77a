"""How a loop runs: processes, devices, optimizers, its state on disk and what it shows."""
