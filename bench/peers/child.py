"""The child process of `tensor-bench peers`: one library, one workload, one line of JSON an answer.

    child.py list                                             every peer with its version, null when not installed
    child.py run WORKLOAD PEER --input DIR --threads N        prepares, then obeys the lines of stdin:
        sample       runs once:                               {"wall_s": ..., "cpu_s": ...}
        answer FILE  writes the last result to FILE, flat little-endian f64: {"values": ...}

Threads are pinned by the caller through the environment before the libraries load, and again here
for those that have a switch of their own. The clock starts after the inputs are in memory.
"""

import argparse
import json
import sys
import time
import traceback

import numpy as np

import clusters  # noqa: F401 (registers its peers)
import int8  # noqa: F401
import pairs  # noqa: F401
import search  # noqa: F401
import sparse  # noqa: F401
from registry import PEERS, Inputs


def say(**fields) -> None:
    print(json.dumps(fields), file=OUT, flush=True)


def list_peers() -> None:
    peers = [{"workload": p.workload, "peer": p.name, "version": p.version()} for p in PEERS]
    say(peers=peers)


def run(workload: str, name: str, directory: str, threads: int) -> None:
    found = [p for p in PEERS if (p.workload, p.name) == (workload, name)]
    prepared = found[0].prepare(Inputs(directory), threads)
    result = prepared.run()
    say(ready=True, version=found[0].version(), isa=prepared.isa)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "sample":
            del result
            wall, cpu = time.perf_counter(), time.process_time()
            result = prepared.run()
            say(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)
        elif command == "answer":
            values = np.ascontiguousarray(prepared.answer(result), dtype="<f8").reshape(-1)
            values.tofile(argument)
            say(values=len(values))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    case = commands.add_parser("run")
    case.add_argument("workload")
    case.add_argument("peer")
    case.add_argument("--input", required=True)
    case.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    try:
        if arguments.command == "list":
            list_peers()
        else:
            run(arguments.workload, arguments.peer, arguments.input, arguments.threads)
    except Exception as error:  # whatever a library throws is reported, not lost
        traceback.print_exc()
        say(error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    # Libraries that print to stdout must not break the protocol.
    OUT = sys.stdout
    sys.stdout = sys.stderr
    sys.exit(main())
