"""The page in a real Chromium: live, usable without script, and by everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from tests.browser.chromium import Browser, chromium, needs_chromium
from tests.browser.serving import below, site
from tests.unit.web.statuses import HOUR, KINDS, NOW, agent, cluster, many, runs, storage

from raft_snapshot_agent.core.state.storage_status import OngoingFailure
from raft_snapshot_agent.servers.process import until

pytestmark = [pytest.mark.soak, needs_chromium]

AXE = Path(__file__).parents[2] / ".venv/axe/node_modules/axe-core/axe.min.js"
TEXT = "return document.body.innerText"
LIVE = "return document.getElementById('live').textContent"
LATER = "const now = performance.now(); performance.now = () => now + 41000"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def test_a_change_is_seen_without_loading_and_nothing_else_is_asked(browser: Browser) -> None:
    browser.requests()
    browser.complaints()
    with site(agent()) as web:
        browser.open(web.address)
        browser.run("document.querySelector('summary').click(); window.kept = 1")
        assert "All is well" in browser.run(TEXT)
        bad = OngoingFailure("connection refused", NOW)
        broken = (storage(), storage("s3", "s3", failing=bad))
        web.change("", lambda one: replace(one, storages=broken))
        until(lambda: "connection refused" in browser.run(TEXT), "it is seen", within=60)
        assert "Failing" in browser.run("return document.title")
        assert browser.run("return window.kept") == 1  # it was not loaded anew
        assert browser.run("return document.querySelectorAll('details[open]').length") == 1
        asked = browser.requests()
        assert asked
        assert [one for one in asked if not one.startswith((web.address, "data:,"))] == []
        assert browser.complaints() == []


def test_the_countdown_goes_by_the_clock_of_the_agent(browser: Browser) -> None:
    with site(agent()) as web:
        browser.open(web.address)
        due = "return document.querySelector('time[data-due]').textContent"
        until(lambda: browser.run(due).startswith("in 39m"), "it counts", within=60)


def test_below_a_path_of_a_proxy_it_is_the_same(browser: Browser) -> None:
    browser.complaints()
    with site(many(60)) as web, below(web.address, "/backup/") as address:
        browser.open(address)
        until(lambda: "live" in browser.run(TEXT), "it is live", within=60)
        size = "return parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)"
        assert browser.run(size) >= 40
        browser.run("document.querySelector('tr[data-name] a').click()")
        until(lambda: "cluster=" in browser.run("return location.href"), "it is open", within=60)
        assert browser.run("return location.href").startswith(address)
        browser.run("document.querySelector('form.filter a').click()")
        until(lambda: browser.run("return location.href") == address, "it is back", within=60)
        assert browser.complaints() == []


def test_a_long_name_is_broken_into_lines(browser: Browser) -> None:
    long = "n" * 180
    with site(agent(cluster(long, storages=(storage(long),)))) as web:
        browser.look(360, 800, "light", phone=True)
        browser.open(web.address)
        assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0


def test_one_whose_agent_is_gone_says_that_it_is_not_live(browser: Browser) -> None:
    with site(agent()) as web:
        browser.open(web.address)
        until(lambda: "live" in browser.run(TEXT), "it is live", within=60)
    until(lambda: "not live" in browser.run(TEXT), "it says so", within=60)


def test_one_whose_agent_hangs_says_so_and_is_live_again(browser: Browser) -> None:
    hangs = Event()
    with (
        site(agent()) as web,
        below(web.address, "/", passes=lambda _: not hangs.is_set()) as address,
    ):
        browser.open(address)
        until(lambda: browser.run(LIVE) == "live", "it is live", within=60)
        hangs.set()
        browser.run(LATER)
        until(lambda: "not live" in browser.run(LIVE), "it says so", within=60)
        hangs.clear()
        browser.run(LATER)
        until(lambda: browser.run(LIVE) == "live", "it is live again", within=60)


def test_where_a_proxy_holds_events_back_it_loads_itself_anew_while_it_is_seen(
    browser: Browser,
) -> None:
    bad = OngoingFailure("connection refused", NOW)
    hidden = (
        "window.away = true; window.looks = 0; Object.defineProperty(document, 'hidden',"
        " {get: () => { window.looks += 1; return window.away; }})"
    )
    with (
        site(agent()) as web,
        below(web.address, "/backup/", passes=lambda path: "events" not in path) as address,
    ):
        browser.open(address)
        web.change("", lambda one: replace(one, storages=(storage("s3", "s3", failing=bad),)))
        browser.run(hidden)
        browser.requests()
        browser.run(LATER)
        until(lambda: browser.run("return window.looks") > 2, "it looks around", within=60)
        assert browser.requests() == []
        browser.run("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        until(lambda: "connection refused" in browser.run(TEXT), "it is seen", within=60)
        assert browser.run(LIVE).startswith("updated every 40s")
        (page,) = [one for one in browser.requests() if one == address]
        assert page


def test_500_clusters_are_filtered_by_keyboard(browser: Browser) -> None:
    shown = (
        "return [...document.querySelectorAll('tr[data-name]')].filter(one => !one.hidden).length"
    )
    with site(many(500)) as web:
        browser.open(web.address)
        assert browser.run(shown) == 500
        first = "return document.querySelector('tr[data-name] .badge').textContent"
        assert browser.run(first) == "Failing"
        browser.press("/team-04")
        until(lambda: browser.run(shown) == 10, "ten are left", within=60)
        browser.press("\ue007")  # Enter
        until(lambda: "q=team-04" in browser.run("return location.href"), "sent", within=60)
        assert browser.run(shown) == 10


def test_without_script_the_page_is_the_same_and_loads_itself_anew(browser: Browser) -> None:
    with site(many(60)) as web:
        browser.tell("Emulation.setScriptExecutionDisabled", value=True)
        try:
            browser.open(f"{web.address}?q=team-01")
            root = browser.tell("DOM.getDocument", depth=0)["root"]["nodeId"]
            html = browser.tell("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        finally:
            browser.tell("Emulation.setScriptExecutionDisabled", value=False)
        assert html.count("<tr id=") == 10
        assert '<meta http-equiv="refresh" content="30">' in html


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_shut_out_and_nothing_is_cut_off(browser: Browser, kind: str) -> None:
    with site(KINDS[kind]()) as web:
        for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")):
            browser.look(width, 800, scheme, phone=width < 500)
            browser.open(web.address)
            wide = "return document.documentElement.scrollWidth - innerWidth"
            assert browser.run(wide) <= 0, (width, scheme)
            if not AXE.exists():
                continue
            browser.run(AXE.read_text())
            found = browser.wait("axe.run().then(one => arguments[0](one.violations))")
            told = [(one["id"], one["nodes"][0]["html"]) for one in found]
            assert told == [], (width, scheme)


def test_a_word_is_read_at_three_metres(browser: Browser) -> None:
    with site(agent(cluster(runs=runs()), cluster("b", next_due=NOW + HOUR))) as web:
        browser.look(1280, 800, "light")
        browser.open(web.address)
        size = "return parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)"
        assert browser.run(size) >= 96
