"""What `tools/serve_bars.py` measures: each module starts from a running `icnet serve` and gives figures with their bars."""
