"""The search plan: how header space is divided and in which order it is searched. Pure."""
