"""The server image's health check: status 0 if this container's web process answers."""

import sys
import urllib.request

ADDRESS = "http://127.0.0.1:8000/healthz"
PATIENCE_SECONDS = 5

if __name__ == "__main__":
    try:
        urllib.request.urlopen(ADDRESS, timeout=PATIENCE_SECONDS).close()
    except OSError as error:
        sys.exit(f"{ADDRESS} does not answer: {error}")
