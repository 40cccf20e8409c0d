"""Sends one message with Apprise: a JSON object with url, title and body on stdin; exit code 0 if it is sent."""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Send it; returns the exit code."""
    try:
        from apprise import Apprise
    except ImportError:
        return 3
    letter = json.load(sys.stdin)
    service = Apprise()
    return 0 if service.add(letter["url"]) and service.notify(letter["body"], letter["title"]) else 1


if __name__ == "__main__":
    sys.exit(main())
