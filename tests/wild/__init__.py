"""What wild answers do: every peer's every field with every kind of JSON in it."""
