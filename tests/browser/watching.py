"""A browser's context that notes every fault of the pages in it, and axe as a judge of a page."""

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from tests.admin_house import PASSWORD, House

AXE = Path(__file__).parents[2] / "admin_ui" / "static" / "dist-tests" / "axe.min.js"


class Watched:
    """A context whose pages report script errors, dialogs, policy violations and requests that leave this server."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.context = context
        self.base = base
        self.faults: list[str] = []
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"{page.url}: dialog {dialog.message}"))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        # A page that does not exist and a form with mistakes are asked for on purpose.
        if message.type == "error" and "404 (Not Found)" not in message.text and "status of 422" not in message.text:
            self.faults.append(message.text)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.faults.append(f"a request left the server: {request.url}")

    async def page(self) -> Page:
        return await self.context.new_page()

    def assert_calm(self) -> None:
        assert self.faults == []


async def watched(chromium: Browser, house: House, **options: Any) -> Watched:
    base = str(house.server.make_url("/")).rstrip("/")
    return Watched(await chromium.new_context(base_url=base, **options), base)


async def log_in(page: Page, password: str = PASSWORD) -> None:
    await page.goto("/login")
    await page.fill("#email", "sri@melati.example")
    await page.fill("#password", password)
    await page.click("button[type=submit]")
    await page.wait_for_url(lambda url: "/login" not in url)


async def axe(page: Page, least: str = "serious") -> list[str]:
    """What axe finds serious or critical, one line each; with ``least`` "minor" whatever it finds at all."""
    await page.evaluate(AXE.read_text() + ";0")  # through the debugger: the policy would not let a page load it
    found = await page.evaluate("""async (least) => (await axe.run(document, {
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})).violations
        .filter((one) => least === "minor" || ["serious", "critical"].includes(one.impact))
        .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`))
        """, least)
    return [f"{page.url}: {line}" for line in found]
