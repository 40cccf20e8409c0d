"""Everything that takes jobs and finds shares."""
