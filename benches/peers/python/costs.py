"""What schedulers of Python's take: `costs.py MODULE WHAT JOBS`.

For each line that comes in, a figure in nanoseconds goes out, or what went wrong: for `idle` of a poll, for `fire` and `register`
of a job.
"""

import logging
import sys
import time

fired = 0


def job():
    global fired
    fired += 1


class Schedule:
    """schedule"""

    def __init__(self):
        import schedule

        self.scheduler = schedule.Scheduler()

    def fill(self, jobs, often):
        for _ in range(jobs):
            if often:
                self.scheduler.every().second.do(job)
            else:
                self.scheduler.every(52).weeks.do(job)

    def poll(self):
        self.scheduler.run_pending()


class APScheduler:
    """APScheduler, as one who brings a loop of their own derives it; jobs run on the thread that polls."""

    def __init__(self):
        from apscheduler.executors.debug import DebugExecutor
        from apscheduler.schedulers.base import BaseScheduler

        class Polled(BaseScheduler):
            def wakeup(self):
                pass

            def shutdown(self, wait=True):
                super().shutdown(wait)

        logging.disable(logging.CRITICAL)
        self.scheduler = Polled(executors={"default": DebugExecutor()}, timezone="UTC")
        self.scheduler.start()

    def fill(self, jobs, often):
        for _ in range(jobs):
            period = {"seconds": 1} if often else {"weeks": 52}
            self.scheduler.add_job(job, "interval", misfire_grace_time=None, coalesce=True, **period)

    def poll(self):
        self.scheduler._process_jobs()


PEERS = {"schedule": Schedule, "apscheduler": APScheduler}


def nanos(work):
    began = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - began


def idle(peer, jobs):
    peer.fill(jobs, often=False)
    calls = max(1, 10_000 // jobs)
    while True:
        before = fired
        took = nanos(lambda: [peer.poll() for _ in range(calls)]) / calls
        yield took if fired == before else "it ran while idle"


def fire(peer, jobs):
    peer.fill(jobs, often=True)
    last = time.monotonic()
    while True:
        time.sleep(max(0.0, last + 1.005 - time.monotonic()))
        before = fired
        took = nanos(peer.poll)
        last = time.monotonic()
        ran = fired - before
        yield took / jobs if ran == jobs else f"ran {ran} of {jobs}"


def register(make, jobs):
    while True:
        yield nanos(lambda: make().fill(jobs, often=False)) / jobs


def main(module, what, jobs):
    make, jobs = PEERS[module], int(jobs)
    if what == "register":
        figures = register(make, jobs)
    else:
        figures = {"idle": idle, "fire": fire}[what](make(), jobs)
    for _ in sys.stdin:
        print(next(figures), flush=True)


main(*sys.argv[1:])
