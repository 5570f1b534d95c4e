"""How quickly the app answers, in a real Chromium, and what memory it takes with all shipped networks.

    python benchmarks/app.py [--rounds 5] [--write]       # benchmarks/app.{md,json}; about 3 minutes on two cores

The first picture: from the page's opening until every network's column stands, networks warm. A move: from a key on the slider until
the figures are others. Both as a visitor sees them, with pictures drawn and sent. Memory: of the server's process, at its largest.
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
FOUR = "max+nearest,blur-3+bilinear,lift+lift,lift+lift@adaptive"
MOVES = 8
PATIENCE = 120_000
ARRIVED = """([before, where]) => document.querySelector('#columns').innerText !== before
    && document.querySelector('#sight').innerText.includes(where)"""
TARGETS = {"first picture": 3.0, "move, four variants": 1.0, "move, five variants": None}


def opened(page: Page, address: str) -> float:
    """Seconds until all columns stand."""
    begun = time.perf_counter()
    page.goto(address)
    page.wait_for_selector('[data-variant="lift+lift@adaptive"]', timeout=PATIENCE)
    return time.perf_counter() - begun


def moved(page: Page, key: str) -> float:
    """Seconds from a key on the slider until the picture stands where the slider says, and every answer with it."""
    slider = page.locator("#dx input[type=range]")
    page.wait_for_timeout(3_000)  # what is still under way from before ends
    before = page.locator("#columns").inner_text()
    begun = time.perf_counter()
    slider.press(key)
    where = f"{float(slider.input_value()):g} px right"
    page.wait_for_function(ARRIVED, arg=[before, where], timeout=PATIENCE)
    return time.perf_counter() - begun


def measure(address: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each thing, over and over."""
    found: dict[str, list[float]] = {name: [] for name in TARGETS}
    with sync_playwright() as playwright:
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            found["first picture"].append(opened(page, address))
            context.close()
        for name, query in (("move, four variants", f"?variants={FOUR}".replace("+", "%2B")), ("move, five variants", "")):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            opened(page, address + query)
            page.wait_for_selector("#plot img, #plot svg", timeout=PATIENCE)
            page.wait_for_timeout(15_000)  # the curve behind it is drawn to its end
            found[name] += [moved(page, "ArrowRight") for _ in range(MOVES)]
            context.close()
        browser.close()
    return found


def report(found: dict) -> str:
    lines = ["# The app's speed", "", *__doc__.splitlines(), "", "| | median s | largest s | target s |", "|---|---:|---:|---:|"]
    for name, target in TARGETS.items():
        seconds = found["seconds"][name]
        lines.append(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {target or '-'} |")
    memory = f"Memory: {found['peak'] / 2**20:.0f} MiB at most (target 2048)."
    lines += ["", f"From the start of the process to the address: {found['start']:.1f} s. {memory}"]
    return "\n".join([*lines, "", ", ".join(f"{key} {value}" for key, value in found["versions"].items()) + "."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    server = subprocess.Popen([sys.executable, str(ROOT / "app.py")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = re.search(r"http://[\d.:]+/", server.stdout.readline())[0]
        start = time.perf_counter() - begun
        seconds = measure(address, arguments.rounds)
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[1]) * 1024
    finally:
        server.terminate()
        server.wait()
    versions = {name: version(name) for name in ("gradio", "torch")} | {"python": platform.python_version(), "system": platform.platform()}
    found = {"seconds": seconds, "start": start, "peak": peak, "versions": versions}
    print(text := report(found))
    if arguments.write:
        (ROOT / "benchmarks" / "app.json").write_text(json.dumps(found, indent=1) + "\n")
        (ROOT / "benchmarks" / "app.md").write_text(text)


if __name__ == "__main__":
    main()
