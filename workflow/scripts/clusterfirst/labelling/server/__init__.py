"""The app as a web server: routes, sessions, security."""
