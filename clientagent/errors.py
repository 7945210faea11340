"""What can end a piece of work, or the agent. str(error) is a sentence for a person."""


class Dropped(Exception):
    """The server no longer needs this work: continue without it."""


class Failed(Exception):
    """This agent cannot do this work: give the seat up and say why."""


class Ends(Exception):
    """The agent ends, with this exit status."""

    status = 2


class Misconfigured(Ends):
    """A wrong option, or a state folder that cannot be used."""


class Refused(Ends):
    """The server does not let this client in, or does not fit this version."""


class TokenRefused(Ends):
    """The token was valid once and no longer is."""

    status = 3


class HeldElsewhere(Ends):
    """Another agent acts for this client."""

    status = 4
