"""A real Chromium, and a visit to the page that asks no other host for anything and complains about nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

REQUIRED = os.environ.get("UNETLIFT_REQUIRE_BROWSER") == "1"
if REQUIRED:
    from playwright import sync_api
else:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing; install it with: pip install -e '.[test]'")

SCREENSHOTS = os.environ.get("UNETLIFT_SCREENSHOTS", "")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The rest of the list keeps Chromium's own calls home (updates, sync, field trials) out of the page's account.
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # a camera that shows a clock
]
PATIENCE = 120_000
"""Milliseconds; a loaded machine takes its time, and a passing test never waits this long."""


@contextmanager
def started() -> Iterator["sync_api.Browser"]:
    """A Chromium; without one the test is skipped, unless the environment requires it."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sentence = "No Chromium is on this machine; install Debian's package chromium to run this test."
        if REQUIRED:
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A browser's tab, with what it asked for and complained about."""

    tab: "sync_api.Page"
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def shift(self) -> "sync_api.Locator":
        """The first tab."""
        return self.tab.locator("#shift")

    def figure(self, variant: str) -> str:
        """The large figure of a variant, as read by people."""
        return self.tab.locator(f'[data-variant="{variant}"] .psnr').inner_text()

    def wait_for_another(self, variant: str, before: str) -> str:
        """The figure once it is no longer `before`."""
        shown = self.tab.locator(f'[data-variant="{variant}"] .psnr')
        sync_api.expect(shown).not_to_have_text(before, timeout=PATIENCE)
        return shown.inner_text()

    def narrow(self) -> bool:
        """Whether nothing is beside the screen."""
        return self.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    def choose(self, button: "sync_api.Locator", *files: Path | dict[str, object]) -> None:
        """Gives files to a button that asks for them."""
        with self.tab.expect_file_chooser() as chooser:
            button.click()
        chooser.value.set_files(list(files))


@contextmanager
def opened(browser: "sync_api.Browser", address: str, width: int = 1280) -> Iterator[Visit]:
    """The page freshly loaded; at the end nobody else was asked and nothing was complained about."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    visit = Visit(context.new_page())
    visit.tab.set_default_timeout(PATIENCE)
    context.on("request", lambda request: visit.asked.append(request.url))
    visit.tab.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    visit.tab.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.tab.on("filechooser", lambda chooser: None)  # asked for only when it is needed, it could come too late to a key's press
    visit.tab.goto(address)
    yield visit
    hosts = {urlsplit(url).hostname for url in visit.asked if not url.startswith(("data:", "blob:"))}
    context.close()
    assert hosts == {"127.0.0.1"}
    assert visit.complaints == []
