"""Groups of commands, each a module that registers its own on the program's typer app. Thin, importing lazily."""
