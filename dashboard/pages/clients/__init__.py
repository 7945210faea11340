"""The list of clients with their invitations, and one client."""
