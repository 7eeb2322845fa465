"""Tables, sessions, and one repository for each aggregate."""
