"""`python -m tests.chaos --minutes 10 --seed 7 [--inject-fault NAME]`: non-zero if any is lost, twice or wrong."""

import argparse
import asyncio
import logging
import shutil
import sys
import time

from rich.console import Console

from shared.runtime.fault_injection import INJECTABLE_FAULTS
from tests.chaos.report import print_report
from tests.chaos.run import PROJECT, Options, run, write_summary
from tests.chaos.schedule import KINDS, KINDS_OF_INJECTED_FAULT

BUILD = PROJECT / "build"


def main() -> None:
    """Run, print, write build/chaos.json."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults, and a checker of what is left.")
    parser.add_argument("--minutes", type=float, default=None, help="10 by default, 1.5 with an injected fault")
    parser.add_argument("--seed", type=int, default=None, help="of schedule and watches; a new one by default")
    parser.add_argument("--watches", type=int, default=50)
    parser.add_argument("--period", type=float, default=2.0, metavar="S", help="between two uploads of a watch")
    parser.add_argument("--workers", type=int, default=2, help="of features, and of inference")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="3: two in-sync replicas at least")
    parser.add_argument("--grace", type=float, default=45.0, metavar="S")
    parser.add_argument("--inject-fault", choices=INJECTABLE_FAULTS, default="", help="inject it into the services")
    parser.add_argument("--only", choices=KINDS, nargs="*", default=(), help="only these kinds of faults")
    arguments = parser.parse_args()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    folder = BUILD / "chaos"
    shutil.rmtree(folder, ignore_errors=True)
    inject_fault = arguments.inject_fault
    minutes = arguments.minutes or (1.5 if inject_fault else 10.0)
    options = Options(
        seconds=minutes * 60,
        seed=seed,
        folder=folder,
        watches=arguments.watches,
        period_s=arguments.period,
        workers=arguments.workers,
        brokers=arguments.brokers,
        grace_s=arguments.grace,
        inject_fault=inject_fault,
        only=tuple(arguments.only) or KINDS_OF_INJECTED_FAULT.get(inject_fault, ()),
    )
    # What the run's own consumer meets is no finding.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console()
    console.print(f"seed {seed}: {options.watches} watches, {options.seconds:.0f} s")
    result = asyncio.run(run(options))
    write_summary(result, BUILD / "chaos.json")
    print_report(result, console)
    # Kept for whoever looks for the cause.
    shutil.rmtree(folder / "kafka", ignore_errors=True)
    sys.exit(1 if result.failures else 0)


if __name__ == "__main__":
    main()
