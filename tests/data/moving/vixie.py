#!/usr/bin/env python3
"""What cronsim, which mimics Debian's cron, makes of five-field expressions.

    vixie.py few   > vixie.tsv         500 rows: one zone for each expression
    vixie.py full  > vixie_full.tsv    5,000 expressions, each in four zones where that can be (not kept here)

A second argument is the seed (1 unless told). Needs `pip install cronsim`; nothing else.

Random expressions over the grammar of crontab(5) as Vixie's cron reads it: names, lists, ranges, steps after `*` and
ranges (also larger than the field), `*` beside others in a list, day fields that begin with `*`, 7 as Sunday. One in
twenty has a character changed, so that some are refused. Left out, as crontab(5) has none of it: `#`, `L`, `W`, steps
after a single value (`5/15`), a sixth field.

Three things are left out because cronsim's answers to them are not cron's:
- steps after a range of one value: it takes `3-3/7` for `3/7`, so 3,10,17;
- answers that do not come strictly after their base, in order: it forgets which of two equal local times a base in the
  second pass of a fold is;
- in Australia/Lord_Howe, whose changes are of half an hour, answers across or near a change if the minute or the hour begins
  with `*`: it steps by whole hours there and passes over half an hour of matching minutes.
In place of such a base another is drawn, often shortly before a zone change like all of them.
"""

import random
import sys
from datetime import timedelta, timezone
from importlib.metadata import version
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from oncalendar import base_time, changes, versions

ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"]
UTC = timezone.utc
NEXT = 5
DAY = timedelta(days=1)
DAYS = "SUN MON TUE WED THU FRI SAT".split()
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def cased(r, name):
    return r.choice([name, name.lower(), name.capitalize()])


def element(r, low, high, names, star):
    kind = r.random()
    if kind < star:
        return "*" + (f"/{r.choice([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, high, high + 1, high + 40, 7])}"
                      if r.random() < 0.65 else "")
    a = r.randint(low, high)
    if r.random() < 0.3 and a < high:
        b = r.randint(a + (r.random() < 0.9), high)
        if names and r.random() < 0.4 and b - low < len(names):
            text = cased(r, names[a - low]) + "-" + cased(r, names[b - low])
        else:
            text = f"{a}-{b}"
        step = a < b and r.random() < 0.4
        return text + (f"/{r.choice([1, 2, 3, 4, 5, 7, 10, 20, high + 1])}" if step else "")
    if names and r.random() < 0.4 and a - low < len(names):
        return cased(r, names[a - low])
    return f"{a:02}" if r.random() < 0.15 else str(a)


def field(r, low, high, names=None, any_of=0.4, star=0.2):
    if r.random() < any_of:
        return "*"
    return ",".join(element(r, low, high, names, star) for _ in range(r.choice([1, 1, 1, 1, 2, 2, 3, 4])))


def expression(r):
    # Most zone changes are in the small hours.
    kind = r.random()
    hour = field(r, 0, 3, None, 0.0, 0.1) if kind < 0.45 else field(r, 0, 23, None, 0.25)
    minute = r.choice(["0", "30", "15", "*", field(r, 0, 59, None, 0.1), field(r, 0, 59, None, 0.1)])
    if r.random() < 0.55:
        days = ["*", "*", "*"]
    else:
        days = [field(r, 1, 31, None, 0.45), field(r, 1, 12, MONTHS, 0.6), field(r, 0, 7, DAYS, 0.45)]
    text = (" " if r.random() < 0.95 else r.choice(["  ", "\\t", " \\t "])).join([minute, hour, *days])
    if r.random() < 0.05:
        i = r.randrange(len(text))
        text = text[:i] + r.choice("09-,*/x ") + text[i + r.choice([0, 1]):]
    return text


def crontab_has_it(text):
    """False for what cronsim takes and crontab(5) has not."""
    fields = text.replace("\\t", " ").split()
    steps = [e for f in fields for e in f.split(",") if "/" in e]
    return len(fields) != 6 and all(e.startswith("*") or len(set(e.split("/")[0].split("-"))) > 1 for e in steps)


def answer(text, zone, base, near):
    """The answers, as a list of instants with `never` where it ends, or None if they are not to be trusted."""
    local = base if zone == "UTC" else base.astimezone(ZoneInfo(zone))
    try:
        found = CronSim(text.replace("\\t", "\t"), local)
    except CronSimError:
        return ["refused"]
    before, out = base, []
    for _ in range(NEXT):
        try:
            at = next(found).astimezone(UTC)
        except StopIteration:
            return out + ["never"]
        if at <= before:
            return None
        out.append(at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        before = at
    starred = any(f.startswith("*") for f in text.replace("\\t", " ").split()[:2])
    if zone == "Australia/Lord_Howe" and starred and any(base - DAY < c <= at + DAY for c in near):
        return None
    return out


def main(mode, seed):
    r = random.Random(seed)
    near = {z: changes(z) for z in ZONES}
    _, zones = versions()
    print(f"""# vixie: five-field expressions and their next {NEXT} occurrences, as cronsim {version("cronsim")} answers; zone data {zones}
# made by `vixie.py {mode} {seed}`; see there. The answer is strictly after base; all instants are in UTC.
# `never` = no (further) occurrence within 50 years; `refused` = not parsed. \\t in an expression is a tab.
expr\tzone\tbase\tnext""")
    count = {"few": 500, "full": 5000}[mode]
    while count:
        text = expression(r)
        if not crontab_has_it(text):
            continue
        count -= 1
        for zone in ([r.choice(ZONES)] if mode == "few" else ZONES):
            for _ in range(100):
                base = base_time(r, near[zone]).replace(microsecond=0)
                found = answer(text, zone, base, near[zone])
                if found:
                    print("\t".join([text, zone, base.strftime("%Y-%m-%dT%H:%M:%SZ"), ",".join(found)]))
                    break


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
