"""Pages, the fragments that they are made of, and acts. A view reads the request, calls one service and answers."""
