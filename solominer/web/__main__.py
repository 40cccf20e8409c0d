"""Entry point of the process."""

import json
import sys

try:
    from solominer.web.process import main
except ImportError as error:
    todo = 'install it: pip install "solominer[web]"'
    sys.stdout.write(json.dumps({"error": f"the web server needs {error.name}", "todo": todo}) + "\n")
    sys.exit(1)

sys.exit(main())
