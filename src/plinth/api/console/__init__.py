"""The console: pages for people with a browser, rendered here, over what the API answers."""
