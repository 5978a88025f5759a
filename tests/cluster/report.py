"""The table."""

from collections import defaultdict

from .faults import FAULTS


def table(results):
    """One line for each fault: what was done, what it cost, what was wrong. Markdown."""
    by_fault = defaultdict(list)
    for result in results:
        by_fault[result.fault].append(result)
    lines = [
        "| fault | rounds | requests | failed, tried again | given up | no service (s) | slowest request (s) | use after revocation (s) | ciphertexts opened | violations |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in [name for name in FAULTS if name in by_fault]:
        lines.append(line(name, by_fault[name]))
    lines.append(line("all", results))
    return "\n".join(lines)


def line(name, results):
    late = [seconds for result in results for seconds in result.late.values()]
    cells = [
        name,
        len(results),
        sum(result.requests for result in results),
        sum(result.failed for result in results),
        sum(result.gave_up for result in results),
        spread([result.gap for result in results]),
        spread([result.slowest for result in results]),
        f"{max(late):.3f}" if late else "none",
        sum(result.opened for result in results),
        sum(len(result.violations) for result in results),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def spread(seconds):
    """The middle one and the worst one."""
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.2f}, at most {ordered[-1]:.2f}"


def legend(names):
    """What each fault is."""
    return "\n".join(f"- {name}: {FAULTS[name].what}" for name in FAULTS if name in names)


def codes(results):
    """How requests failed, and how often."""
    counts = defaultdict(int)
    for result in results:
        for code, count in result.codes.items():
            counts[code] += count
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items(), key=lambda pair: -pair[1])) or "none"
