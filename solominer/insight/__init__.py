"""Statistics: rates with intervals, luck, mismatch, uniformity, forecasts. Pure: no I/O, no clock."""
