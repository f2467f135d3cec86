#!/usr/bin/env python3
"""What systemd makes of OnCalendar= expressions and of time spans.

    oncalendar.py few   > oncalendar.tsv         about 600 rows: one zone for each expression
    oncalendar.py full  > oncalendar_full.tsv    5,000 expressions, each in five of the eight zones (not kept here)
    oncalendar.py spans > timespans.tsv          300 time spans

A second argument is the seed (1 unless told). The same seed, systemd and zone data make the same rows.

Expressions are all examples of systemd.time(7) and systemd.timer(5), random ones over the whole grammar, and broken
ones: some made by hand, most by changing one to three characters of good ones.

The answers are those of `systemd-analyze calendar`, read from its UTC lines. It prints whole seconds (a fraction is cut
off, though it reckons with it), so the microseconds are asked of the same code in the library that comes with it,
libsystemd-shared; the program stops where the two disagree about the second. Standard library only; Linux with systemd.

systemd 252 is not right everywhere near zone changes. It may loop (`gave_up`), answer with an instant before the base
(`backwards`), and, seldom, pass over hours or a day that match: against a plain count of minutes, 3 of 3,354 rows of
`full 1` do so, `*-*-* 0/2:00` and `2,06/9:00` in Africa/Casablanca and `MON,Sunday *-*~07/1 *:00` in Europe/Berlin. Its
answers in a fold depend on the base: from before it the second pass is passed over, from within it is not.
"""

import ctypes
import glob
import os
import random
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu",
         "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo"]
UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEXT = 5

MANUAL = """
Thu,Fri 2012-*-1,5 11:12:13
*-02~03
Mon *-05~07/1
*-*-* *:*:00
*-*-* *:00:00
*-*-* 00:00:00
*-*-01 00:00:00
Mon *-*-* 00:00:00
*-01-01 00:00:00
*-01,04,07,10-01 00:00:00
*-01,07-01 00:00:00
minutely
hourly
daily
monthly
weekly
yearly
quarterly
semiannually
Sat,Thu,Mon..Wed,Sat..Sun
Mon..Thu,Sat,Sun *-*-* 00:00:00
Mon,Sun 12-*-* 2,1:23
Mon,Sun 2012-*-* 01,02:23:00
Wed *-1
Wed *-*-01 00:00:00
Wed..Wed,Wed *-1
Wed, 17:48
Wed *-*-* 17:48:00
Wed..Sat,Tue 12-10-15 1:2:3
Tue..Sat 2012-10-15 01:02:03
*-*-7 0:0:0
*-*-07 00:00:00
10-15
*-10-15 00:00:00
monday *-12-* 17:00
Mon *-12-* 17:00:00
Mon,Fri *-*-3,1,2 *:30:45
Mon,Fri *-*-01,02,03 *:30:45
12,14,13,12:20,10,30
*-*-* 12,13,14:10,20,30:00
12..14:10,20,30
*-*-* 12..14:10,20,30:00
mon,fri *-1/2-1,3 *:30:45
Mon,Fri *-01/2-01,03 *:30:45
03-05 08:05:40
*-03-05 08:05:40
08:05:40
*-*-* 08:05:40
05:40
*-*-* 05:40:00
Sat,Sun 12-05 08:05:40
Sat,Sun *-12-05 08:05:40
Sat,Sun 08:05:40
Sat,Sun *-*-* 08:05:40
2003-03-05 05:40
2003-03-05 05:40:00
05:40:23.4200004/3.1700005
*-*-* 05:40:23.420000/3.170001
2003-02..04-05
2003-02..04-05 00:00:00
2003-03-05 05:40 UTC
2003-03-05 05:40:00 UTC
2003-03-05
2003-03-05 00:00:00
03-05
*-03-05 00:00:00
daily UTC
*-*-* 00:00:00 UTC
weekly Pacific/Auckland
Mon *-*-* 00:00:00 Pacific/Auckland
annually
*:2/3
*-*-* *:02/3:00
""".strip().split("\n")

BY_HAND = """
*/15
*:*/15
*-*-*/2
0/15
12
2024
Mon..
..Fri
Mon,,Tue
Mon..Wed..Fri
Mon/2
Fri..Mon
Sat..Mon 12:00
Mon-Fri
Mon-Fri 09:00
Mon - Fri 09:00
Mon .. Fri 09:00
Mon, Fri 09:00
Mon , Fri 09:00
Tues 09:00
Mo 09:00
Weds
25:00
24:00
23:60
23:59:60
23:59:59.9999999
*-13-*
*-0-1
*-*-0
*-*-32
*-02-30
*-02-31
*-04-31
*-*~0
*-*~31
*-*~32
*-02~29
*-02~30
*-*~1/7
*~1
~1
*-*~*
*-*-*~1
2024~02~01
2024~02-01
02~03
02~1..5
*-*~5..1
*-*-5..1
*-*-1/0
*-*-1..5/0
*:0/0
*:*:0/0
*:*:*/2
*:*:0.1/0
10..5:00
10..10:00
1-2-3-4
1:2:3:4
1:2:3.
1:2:.5
1:2:3.5.5
1.5:00
*:0.5
*-*-1.5
*:*:*.5
*:*:1..2.5
*:*:0.5..2.5
*:*:0.5..2.5/0.25
*:*:1..30/7
*:*:59.999999
*:*:0/0.000001
*:*:0/0.0000001
-1:00
*:-5
+1:00
1: 30
1 :30
1:30 2024-01-01
12:00 Mon
2024-01-01T12:00
2024-01-01T12:00:00Z
2024-01-01 12:00Z
2024/01/01
01.02.2024
1969-12-31
1970-01-01
69-01-01
70-01-01
99-01-01
100-01-01
00-01-01
0000-01-01
2199-12-31
2200-01-01
2024..2026-01-01
2024/2-02-29
2025/4-02-29
24/4-02-29
*-*-29..31
*-02-29
Mon *-02-29
Fri *-*-13
*-1..12/5-1..31/10
*-*-1,1,1
*-*-3..5,4..6
*-*-* *:*:*
*-*-*
*-*
*
*:*
*:*:*
* *:*
**:00
*-*-* *
*-*-* *:
:00
00:
-
--
,
/
..
@
@0
@1
@-1
@1700000000
@1700000000.5
@1700000000 12:00
@1700000000 UTC
@1700000000 Europe/Berlin
@4102444800
@7258118400
@99999999999
@99999999999999999999
@abc
@ 1700000000
Mon @1700000000
fortnightly
reboot
@daily
@reboot
never
now
tomorrow
today
secondly
Daily
DAILY
daily daily
daily 12:00
Mon daily
daily utc
daily Utc
daily GMT
daily Z
daily +01:00
daily EST
daily EDT
daily est
daily CET
daily CEST
daily +1030
daily +0545
daily Mars/City
daily Europe
daily Europe/
daily europe/berlin
daily Europe/Berlin/
daily ../etc
daily Europe/Berlin UTC
daily UTC Europe/Berlin
UTC
Europe/Berlin
 Europe/Berlin
anually
biannually
bi-annually
semi-annually
semi annually
half-yearly
 daily
daily 
  12:00  
Mon  12:00
Mon   *-*-*   12:00   UTC
12:00utc
12:00 UTC+1
0:0:0.0000004
0:0:0.0000005
0:0:0.0000015
99999999999:00
4294967296:00
*-*-4294967297
*:0/4294967296
*:0/59
*:0/60
*:0/61
*:7/100
*:5..10/100
*-*-31/1
*-*-31..31
0x10:00
1e1:00
१:00
""".strip("\n").split("\n") + ["", " "]

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SHORT = ["minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually"]
SUFFIX = ["UTC"] * 6 + ZONES[1:] * 2 + ["Pacific/Auckland", "Europe/London", "America/Havana", "Asia/Tehran",
                                        "Antarctica/Troll", "EST", "EDT", "CET", "CEST", "GMT", "Etc/GMT-14"]


# Random expressions.

def weekday(r):
    name = r.choice(DAYS)
    if r.random() < 0.75:
        name = name[:3]
    kind = r.random()
    if kind < 0.1:
        return name.upper()
    if kind < 0.2:
        return name.lower()
    if kind < 0.25:
        return "".join(c.upper() if r.random() < 0.5 else c.lower() for c in name)
    return name


def weekdays(r):
    parts = []
    for _ in range(r.choice([1, 1, 1, 2, 2, 3])):
        if r.random() < 0.35:
            parts.append(weekday(r) + r.choice(["..", "..", "..", "-"]) + weekday(r))
        else:
            parts.append(weekday(r))
    return ",".join(parts) + ("," if r.random() < 0.04 else "")


def number(r, n, digits):
    return str(n).zfill(digits) if r.random() < 0.7 else str(n)


def one(r, low, high, digits=2):
    """One element of a list: a value or a range, either with a step or without."""
    if r.random() < 0.01:
        return number(r, r.choice([low - 1 if low else high + 1, high + 1, high + 7]), digits)
    a = r.randint(low, high)
    text = number(r, a, digits)
    step = r.random() < 0.25
    if r.random() < 0.25:
        b = r.randint(a, high) if r.random() < 0.97 else r.randint(low, high)
        text += ".." + number(r, b, digits)
    elif step and r.random() < 0.95:
        # A step that leads out of the field at once is refused, but for ranges.
        a = r.randint(low, (low + high) // 2)
        return number(r, a, digits) + "/" + str(r.choice([1, 2, 3, 5, 7, 10, 15, 20, 30, high - a, r.randint(1, high - a)]
                                                         if high - a >= 30 else [1, 2, r.randint(1, high - a)]))
    if step:
        text += "/" + str(r.choice([1, 2, 3, 4, 5, 6, 7, 10, 12, 13, 15, 20, 25, 30, r.randint(1, high + 5)]))
    return text


def listed(r, low, high, any_of=0.0, digits=2):
    if r.random() < any_of:
        return "*"
    return ",".join(one(r, low, high, digits) for _ in range(r.choice([1, 1, 1, 1, 2, 2, 3, 4])))


def year(r):
    kind = r.random()
    if kind < 0.72:
        return "*"
    if kind < 0.80:
        return number(r, r.choice([r.randint(0, 45), r.randint(0, 99)]), 2)
    if kind < 0.98:
        a = r.choice([r.randint(2000, 2045), r.randint(2000, 2045), r.randint(1970, 2199)])
        form = r.random()
        if form < 0.35:
            return f"{a}..{a + r.randint(0, 40)}" + (f"/{r.randint(1, 5)}" if r.random() < 0.3 else "")
        if form < 0.6:
            return f"{a}/{r.randint(1, 9)}"
        if form < 0.8:
            return f"{a},{a + r.randint(0, 9)},{a + r.randint(1, 30)}"
        return str(a)
    return listed(r, 1970, 2199, digits=4)


def date(r):
    month = listed(r, 1, 12, 0.5)
    if r.random() < 0.25:
        day = r.choice([listed(r, 1, 7, 0.02), listed(r, 1, 7, 0.02), listed(r, 1, 31, 0.02), "07/1", "1", "01", "3",
                        "7..1", "1..7", "14/1", "28", "31"])
        tail = month + "~" + day
    else:
        tail = month + "-" + listed(r, 1, 31, 0.45)
    return tail if r.random() < 0.2 else year(r) + "-" + tail


def fraction(r, whole):
    digits = r.choice([1, 1, 2, 3, 3, 6, 6, 7, 9])
    return f"{whole}.{r.randint(0, 10 ** digits - 1):0{digits}}"


def second(r):
    if r.random() < 0.65:
        return listed(r, 0, 59, 0.15)
    parts = []
    for _ in range(r.choice([1, 1, 1, 2])):
        a = r.randint(0, 59)
        text = fraction(r, number(r, a, 2)) if r.random() < 0.8 else number(r, a, 2)
        if r.random() < 0.3:
            b = r.randint(a + 1, 70) if r.random() < 0.05 else r.randint(min(a + 1, 59), 59)
            text += ".." + (fraction(r, b) if r.random() < 0.5 else str(b))
        if r.random() < 0.5:
            step = r.randint(0, 20) if r.random() < 0.2 else r.randint(0, max(0, 57 - a))
            text += "/" + (fraction(r, step) if r.random() < 0.7 else str(step + 1))
        parts.append(text)
    return ",".join(parts)


def time_of_day(r):
    kind = r.random()
    # Most zone changes are in the small hours.
    hour = listed(r, 0, 3) if kind < 0.4 else listed(r, 0, 23, 0.3)
    minute = r.choice(["00", "00", "30", "*", listed(r, 0, 59), listed(r, 0, 59)])
    return hour + ":" + minute + (":" + second(r) if r.random() < 0.5 else "")


def expression(r):
    kind = r.random()
    if kind < 0.05:
        text = r.choice(SHORT)
        text = text.upper() if r.random() < 0.1 else text.capitalize() if r.random() < 0.1 else text
    elif kind < 0.08:
        return f"@{r.randint(0, 2 ** 31 + 2 ** 29)}"
    else:
        while True:
            parts = [weekdays(r)] if r.random() < 0.35 else []
            parts += [date(r)] if r.random() < 0.65 else []
            parts += [time_of_day(r)] if r.random() < 0.75 else []
            if parts:
                break
        text = (" " if r.random() < 0.96 else r.choice(["  ", "   "])).join(parts)
    if r.random() < 0.2:
        text += r.choice([" "] * 19 + ["  "]) + r.choice(SUFFIX)
    if r.random() < 0.01:
        text = r.choice([" " + text, text + " "])
    return text


def broken(r):
    """A good expression with one to three characters changed: often, not always, one that is refused."""
    text = list(expression(r))
    for _ in range(r.choice([1, 1, 2, 3])):
        i = r.randrange(len(text) + 1)
        c = r.choice("0123456789*,-./:~@ MTuaUx+")
        kind = r.random()
        if kind < 0.3 and i < len(text):
            del text[i]
        elif kind < 0.6:
            text.insert(i, c)
        elif kind < 0.9 and i < len(text):
            text[i] = c
        elif 0 < i < len(text):
            text[i - 1], text[i] = text[i], text[i - 1]
        if not text:
            break
    return "".join(text)


# Base times.

def changes(zone):
    """Instants, 2000 to 2040, at which the offset of a zone changes."""
    info, found = ZoneInfo(zone), []
    at, end = datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 12, 31, tzinfo=UTC)

    def offset(t):
        return t.astimezone(info).utcoffset()

    while at < end:
        after = at + timedelta(days=1)
        if offset(at) != offset(after):
            low, high = at, after
            while high - low > timedelta(seconds=1):
                mid = low + timedelta(seconds=(high - low).total_seconds() // 2)
                low, high = (mid, high) if offset(mid) == offset(low) else (low, mid)
            found.append(high)
        at = after
    return found


def base_time(r, near):
    if near and r.random() < 0.6:
        at = r.choice(near)
        kind = r.random()
        if kind < 0.1:
            pass
        elif kind < 0.5:
            at += timedelta(minutes=r.randint(-180, 90))
        elif kind < 0.8:
            at += timedelta(seconds=r.randint(-2 * 86400, 7200))
        else:
            at += timedelta(days=-r.randint(1, 40), seconds=r.randint(0, 86399))
    else:
        at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=r.randrange(41 * 365 * 86400))
        kind = r.random()
        if kind < 0.15:
            at = at.replace(hour=0, minute=0, second=0)
        elif kind < 0.3:
            at = at.replace(minute=0, second=0)
        elif kind < 0.35:
            at = at.replace(month=1, day=1, hour=0, minute=0, second=0)
    kind = r.random()
    if kind < 0.25:
        at += timedelta(microseconds=r.randrange(1_000_000))
    elif kind < 0.35:
        at -= timedelta(microseconds=1)
    return at


# systemd.

def iso(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def environment(zone):
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": zone, "SYSTEMD_COLORS": "0"}


def analyze(expressions, zone, base):
    """For each expression: None if it is refused, or its normalized form and its next whole seconds (None: it gave up)."""
    stamp = base.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    done = subprocess.run(
        ["systemd-analyze", "calendar", f"--iterations={NEXT}", f"--base-time={stamp}", "--", *expressions],
        env=environment(zone), capture_output=True, text=True, check=False)
    tables = [t for t in re.split(r"\n\s*\n", done.stdout.strip("\n")) if t.strip()]
    answers = []
    for text in expressions:
        if f"specification '{text}': " in done.stderr:
            answers.append(None)
            continue
        if f"next elapse for '{text}': " in done.stderr:
            answers.append(("-", None))
            continue
        table = tables.pop(0).split("\n")
        fields = [(k.strip(), v) for k, v in (line.split(": ", 1) for line in table)]
        normal = dict(fields)["Normalized form"]
        wanted = ("Next elapse", "Iter. #") if zone == "UTC" else ("(in UTC)",)
        seconds = []
        for key, value in fields:
            if key.startswith(wanted) and value != "never":
                seconds.append(datetime.strptime(value, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC))
        answers.append((normal, seconds))
    if tables:
        sys.exit(f"more answers than questions: {expressions} {done.stdout} {done.stderr}")
    return answers


class Library:
    """The same, in microseconds, of the library that systemd-analyze is made of."""

    def __init__(self):
        paths = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob("/usr/lib/systemd/libsystemd-shared-*.so")
        self.lib = ctypes.CDLL(paths[0])
        self.lib.calendar_spec_from_string.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]
        self.lib.calendar_spec_next_usec.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]
        self.lib.calendar_spec_free.argtypes = [ctypes.c_void_p]
        self.lib.calendar_spec_free.restype = ctypes.c_void_p

    def next(self, text, zone, base):
        """The next instants, or None if the expression is refused."""
        os.environ["TZ"] = zone
        time.tzset()
        spec, at, found = ctypes.c_void_p(), ctypes.c_uint64((base - EPOCH) // timedelta(microseconds=1)), []
        if self.lib.calendar_spec_from_string(text.encode(), ctypes.byref(spec)) < 0:
            return None
        while len(found) < NEXT and self.lib.calendar_spec_next_usec(spec, at, ctypes.byref(at)) >= 0:
            found.append(EPOCH + timedelta(microseconds=at.value))
        self.lib.calendar_spec_free(spec)
        return found


def rows(jobs, r, batch_size):
    """jobs: (expression, zone) pairs. Those of one zone are asked about together, from one base time a batch."""
    library, near = Library(), {z: changes(z) for z in ZONES}
    out = [None] * len(jobs)
    for zone in ZONES:
        mine = [i for i, (_, z) in enumerate(jobs) if z == zone]
        for start in range(0, len(mine), batch_size):
            batch, base = mine[start:start + batch_size], base_time(r, near[zone])
            for i, answer in zip(batch, analyze([jobs[i][0] for i in batch], zone, base)):
                text = jobs[i][0]
                exact = library.next(text, zone, base)
                if answer is None:
                    assert exact is None, text
                    normal, answers = "-", "refused"
                else:
                    normal, seconds = answer
                    if seconds is not None:
                        assert [t.replace(microsecond=0) for t in exact] == seconds, (text, zone, base, exact, seconds)
                    end = [] if len(exact) == NEXT else ["gave_up" if seconds is None else "never"]
                    answers = ",".join([iso(t) for t in exact] + end)
                    if any(b <= a for a, b in zip([base] + exact, exact)):
                        answers = "backwards"
                out[i] = "\t".join([text or "(empty string)", zone, iso(base), normal, answers])
    return out


def versions():
    first = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    try:
        with open("/usr/share/zoneinfo/tzdata.zi", encoding="ascii") as f:
            zones = f.readline().split()[-1]
    except OSError:
        zones = "unknown"
    return re.search(r"\((.*?)\)", first.split("\n")[0]).group(1), zones


def header(seed, mode):
    systemd, zones = versions()
    print(f"""# oncalendar: OnCalendar= expressions and their next {NEXT} occurrences, as systemd {systemd} answers; zone data {zones}
# made by `oncalendar.py {mode} {seed}`; see there. First the manual's examples, then random expressions, then broken ones.
# zone: TZ of the process that asks, so the zone of an expression that names none. base: the answer is strictly after it.
# next: in UTC, in order; `never` = no (further) occurrence, which systemd also says of everything after 2199; `refused` = not parsed;
# `gave_up` = it says "Infinite loop in calendar calculation" after 1,000 steps; `backwards` = it answers with an instant
# that is not after its base (in the second pass of a fold): both are faults of its own, not answers.
# Fractions: systemd-analyze cuts them off its output but reckons with them; here they are to the microsecond, from the
# same code in libsystemd-shared, and agree with systemd-analyze about every second.
# Leading and trailing spaces of an expression count; (empty string) = zero characters.
expr\tzone\tbase\tnormalized\tnext""")


def calendars(mode, seed):
    r = random.Random(seed)
    wanted = {"few": 350, "full": 5000 - len(MANUAL) - len(BY_HAND) - 300}[mode]
    texts = MANUAL + [expression(r) for _ in range(wanted)]
    if mode == "few":
        texts += BY_HAND + [broken(r) for _ in range(60)]
        jobs = [(text, r.choice(ZONES)) for text in texts]
    else:
        texts += BY_HAND + [broken(r) for _ in range(300)]
        jobs = [(text, zone) for text in texts for zone in r.sample(ZONES, 5)]
    header(seed, mode)
    print("\n".join(rows(jobs, r, 5 if mode == "few" else 25)))


# Time spans.

UNITS = ["usec", "us", "µs", "μs", "msec", "ms", "seconds", "second", "sec", "s", "minutes", "minute", "min", "m",
         "hours", "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w", "months", "month", "M",
         "years", "year", "y"]
SPANS = """
2 h
2hours
48hr
1y 12month
55s500ms
300ms20s 5day
5h 30min
50
2h 30min
1.5h
0
0s
0.000001s
0.0000001s
0.0000009s
.5s
5.s
1.
1..5
.
1.5.5s
1,5s
infinity
Infinity
infinity s
infinity 5s
 infinity 
5 infinity
inf
never
 5s
5s 
5 s
5  s
5 s 3 m
5s3m
5s,3m
5s;3m
5s-3m
5m5
5 5
5m 5
5 m5
1M
1m
1mon
1months
1H
1D
1S
1MS
1Min
1ns
1nsec
1000ns
1fortnight
1hrs
1mins
1secs
1weekss
1quarter
1 year
1years
-5s
- 5s
+5s
+ 5
5-3
0x10
1e3
1e3s
١s
1 hour 30 minutes
1 hour, 30 minutes
1 hour and 30 minutes
1h1h1h
3s 2s
1us
1.5us
1.999999us
0.5ms
0.0005ms
1.0000001s
123456789.123456789s
99999999999999
18446744073709
18446744073710
18446744073709551615us
18446744073709551614us
18446744073709551616us
9223372036854775807us
9223372036854775808us
584542y
584541y
600000y
99999999999999999999
1y1M1w1d1h1m1s1ms1us
1us1ms1s1m1h1d1w1M1y
5 sec 5
s
h5
5 h h
5hh
5x
OnBootSec=5
5min # five
"5min"
12:30
PT5M
P1D
""".strip("\n").split("\n") + ["", " "]


def span(r):
    parts = []
    for _ in range(r.choice([1, 1, 2, 2, 3, 4])):
        n = str(r.choice([r.randint(0, 9), r.randint(0, 99), r.randint(0, 5000)]))
        if r.random() < 0.3:
            digits = r.choice([1, 2, 3, 6, 8])
            n += f".{r.randint(0, 10 ** digits - 1):0{digits}}"
        parts.append(n + r.choice(["", "", " "]) + r.choice(UNITS if r.random() < 0.95 else [""]))
    return r.choice(["", " "]).join(parts)


def spans(seed):
    r = random.Random(seed)
    texts = SPANS + [span(r) for _ in range(300 - 40 - len(SPANS))]
    for _ in range(40):
        text = list(span(r))
        i = r.randrange(len(text))
        text[i:i + r.choice([0, 1])] = r.choice(["x", ".", "-", "+", ",", "S", "N", " ", ":", "5"])
        texts.append("".join(text))
    systemd, _ = versions()
    print(f"""# timespans: time spans in microseconds, as `systemd-analyze timespan` of systemd {systemd} answers; a number without unit is seconds
# made by `oncalendar.py spans {seed}`. `refused` = not parsed; 18446744073709551615 = infinity.
# Leading and trailing spaces of a span count; (empty string) = zero characters.
span\tmicroseconds""")
    todo = list(texts)
    while todo:
        # It stops at the first that it refuses.
        done = subprocess.run(["systemd-analyze", "timespan", "--", *todo], env=environment("UTC"),
                              capture_output=True, text=True, check=False)
        answers = re.findall(r"^ *(?:μs|µs|us): (\d+)$", done.stdout, re.M)
        for text, answer in zip(todo, answers + ["refused"]):
            print(f"{text or '(empty string)'}\t{answer}")
        todo = todo[len(answers) + 1:]


if __name__ == "__main__":
    MODE, SEED = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    if MODE == "spans":
        spans(SEED)
    else:
        calendars(MODE, SEED)
