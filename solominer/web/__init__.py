"""The web server: page, API and metrics, from the daemon's control socket and the records. A process of its own."""
