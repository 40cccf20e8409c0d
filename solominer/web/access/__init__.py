"""Who may use the web server: tokens, logins, roles, and what every request must keep to."""
