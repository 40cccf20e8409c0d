"""Reports: an hour's sums, longer periods, as text and as a page."""
