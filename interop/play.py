"""Plays one test: `play.py NAME`, its place as JSON on standard input.

What happened goes to standard output, the last line being the verdict. Ends with 0 if the test
passed, 77 if it cannot be run here, 1 if it failed.
"""

import json
import sys
import traceback

import browsers
import matrix
import tests
import upstream
from book import TESTS
from stage import Skipped, Stage

SKIPPED = 77


def main():
    test = TESTS[sys.argv[1]]
    stage = Stage(json.load(sys.stdin))
    try:
        test.function(stage, *test.arguments)
        verdict = (0, "ok")
    except Skipped as reason:
        verdict = (SKIPPED, str(reason))
    except Exception as failure:  # whatever it was, it failed the test
        traceback.print_exc(file=sys.stdout)
        verdict = (1, str(failure) or repr(failure))
    try:
        stage.close()
    except Exception as failure:
        traceback.print_exc(file=sys.stdout)
        if verdict[0] == 0:
            verdict = (1, f"at the end: {failure}")
    print(verdict[1])
    sys.exit(verdict[0])


if __name__ == "__main__":
    main()
