"""Goal: an operator sees how a node or a fleet is, on a phone and by keyboard too; nothing that a
node or a client says can do more than be shown; the page asks nobody but nodes.

Method: a real Chromium, driven through its driver, opens the page from stand-ins that serve its
files and made-up documents under the same policy, and from real nodes under load, one of which is
killed. After every test the browser's log, the violations of the policy and the addresses asked are
judged."""

import json
import pathlib
import random
import re

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import dashboard_stand_in as stand_in
import inlet
from dashboard_stand_in import StandIn
from wire import get, wait_until

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
DESK, PHONE = (1440, 1000), (360, 740)
WATCH = """
  window.seen = [];
  addEventListener("securitypolicyviolation", (e) => seen.push(`policy: ${e.violatedDirective}`));
  addEventListener("error", (e) => seen.push(`error: ${e.message}`));
  addEventListener("unhandledrejection", (e) => seen.push(`rejection: ${e.reason}`));
"""
# A browser logs every address that refuses; nothing else may be in its log.
REFUSED = ("net::ERR_CONNECTION_REFUSED", "net::ERR_EMPTY_RESPONSE", "net::ERR_CONNECTION_RESET")
HOSTILE = '<img src=x onerror="seen.push(1)"><script>seen.push(2)</script>\u202e"\'`${seen}'


@pytest.fixture(scope="module")
def driver():
    for program in (CHROMIUM, DRIVER):
        assert pathlib.Path(program).exists(), f"there is no {program}: install chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--no-first-run", "--disable-background-networking", "--disable-extensions",
                 "--disable-component-update", "--lang=en-GB"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(DRIVER))
    made.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    try:
        yield made
    finally:
        made.quit()


class Page:
    def __init__(self, driver):
        self.driver = driver
        self.hosts = set()     # That may be asked.
        self.excused = []      # What the browser's log may say besides.
        self.size(*DESK)
        self.media()

    def open(self, node, others=(), more=""):
        self.hosts |= {address.split("//")[1] for address in (node, *others)}
        query = f"?nodes={','.join(others)}{more}" if others else ""
        self.driver.get(f"{node}/{query}")
        self.wait(lambda: self.text("#level") != "Asking", "the page knows a level")
        return self

    def size(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})

    def media(self, scheme="light", motion="no-preference"):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion}]})

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script, *arguments):
        """`script` is the body of an async function."""
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{{script}}})(...arguments).then(done, e => done(String(e)));",
            *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        """With plain spaces; of the first."""
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''",
                        selector).replace("\u00a0", " ")

    def wait(self, condition, what, timeout_s=10):
        def tried():
            try:
                return condition()
            except StaleElementReferenceException:
                return False
        return wait_until(tried, what, timeout_s, 0.05)

    def table(self, name):
        """Rows by their first cell; each a dictionary by "group title", or "title"."""
        found = self.run("""
          const words = (cell) => cell.innerText.trim().replaceAll("\\u00a0", " ");
          const head = document.querySelector(`#${arguments[0]}-table thead`);
          const titles = [...head.rows[head.rows.length - 1].cells].map(words);
          const groups = head.rows.length < 2 ? [] : [...head.rows[0].cells].flatMap((cell) =>
            new Array(cell.colSpan).fill(words(cell)));
          const names = titles.map((title, i) => groups[i] ? `${groups[i]} ${title}` : title);
          return [...document.querySelectorAll(`#${arguments[0]}-table tbody tr`)].map((row) =>
            [...row.cells].map((cell, i) => [names[i], words(cell)]));
        """, name)
        return {row[0][1]: dict(row) for row in found}

    def link(self, name):
        """What chooses a node in the table of nodes."""
        links = self.driver.find_elements(By.CSS_SELECTOR, "#fleet-table .as-link")
        found = [each for each in links if each.text == name]
        assert len(found) == 1, f"{len(found)} links are named {name}"
        return found[0]

    def tiles(self):
        return {title.replace("\u00a0", " "): [value.replace("\u00a0", " ") for value in rest]
                for title, *rest in self.run("""
                  return [...document.querySelectorAll("#tiles > div")].map((tile) =>
                    [...tile.children].map((each) => each.textContent))""")}

    def rest(self):
        """Not about:blank: its stop is what ends the page's questions."""
        seen = self.run("return window.seen")
        self.driver.get("about:blank")
        return seen

    def judge(self):
        """What went wrong since the last judgement, as sentences."""
        wrong = [f"the page saw {each}" for each in self.rest()]
        for entry in self.driver.get_log("browser"):
            if not any(each in entry["message"] for each in self.excused):
                wrong.append(f"the browser logged {entry['message']}")
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] != "Network.requestWillBeSent":
                continue
            url = event["params"]["request"]["url"]
            if url.startswith(("data:", "about:")):
                continue
            if url.split("/")[2] not in self.hosts:
                wrong.append(f"the page asked {url}")
        return wrong


@pytest.fixture
def page(driver):
    driver.get_log("browser")
    driver.get_log("performance")
    made = Page(driver)
    yield made
    wrong = made.judge()
    if wrong:
        pytest.fail("\n".join(sorted(set(wrong))), pytrace=False)


@pytest.fixture
def nodes():
    """Makes stand-ins; all end with the test. The first allows none, the others the first."""
    made = []

    def make(name="node-a", **more):
        seed = len(made) + 1
        allowed = more.pop("allowed", [made[0].url] if made else [])
        made.append(StandIn(name, seed, allowed, **more))
        return made[-1]

    yield make
    for node in made:
        node.stop()


def plain_us(value_us):
    """Microseconds as the page has them, to three digits."""
    for unit, factor in (("µs", 1), ("ms", 1e3), ("s", 1e6)):
        if value_us / factor < 999.5:
            digits = f"{value_us / factor:.3g}"
            return f"{float(digits):g} {unit}"
    raise AssertionError(value_us)


# ---- One node.

def test_a_node_is_shown_with_every_figure_of_the_set(nodes, page):
    node = nodes(level="Warning", causes=[("Warning", "sink archive is 340 s behind")], used=73.0,
                 full_in_s=420, lag_s=340)
    page.open(node.url)
    assert page.text("#level") == "Warning"
    assert page.text("#causes") == "Warningsink archive is 340 s behind"
    assert page.driver.title == "Warning · node-a · Inlet"
    last = node.status["last_10s"]
    requests = page.table("requests")["node-a"]
    for group, field in (("Latency of requests", "latency_us"),
                         ("Latency of commits", "commit_latency_us")):
        for percent in stand_in.PERCENTILES:
            assert requests[f"{group} p{percent}"] == plain_us(last[field][f"p{percent}"])
    assert requests["Requests"] == "1.84 k/s"
    assert [requests[f"Answers {kind}xx"] for kind in "2345"] == ["1.82 k/s", "0 /s", "20.2 /s",
                                                                  "0 /s"]
    host = page.table("hosts")["node-a"]
    assert [host[f"Load average {of}"] for of in ("1 min", "5 min", "15 min")] == [
        "1.42", "1.20", "0.97"]
    assert [host[f"CPU {kind}"] for kind in ("user", "nice", "system", "idle", "iowait")] == [
        "21 %", "0 %", "12 %", "63 %", "3.1 %"]
    assert (host["Memory used"], host["Disk used"]) == ("33 %", "43 %")
    assert (host["Network in"], host["Network out"]) == ("2.77 MB/s", "1.27 MB/s")
    journal = page.table("journal")["node-a"]
    assert (journal["Used"], journal["Full"]) == ("73 %", "in 7 min")
    assert page.find("#journal-table .meter").get_attribute("aria-valuenow") == "73.0"
    sinks = page.table("sinks")
    assert (sinks["archive"]["Behind"], sinks["archive"]["Bytes waiting"]) == ("6 min", "1.14 MB")
    assert (sinks["kafka"]["Behind"], sinks["kafka"]["Last error"]) == ("100 ms", "none")
    assert page.tiles()["Journal used"] == ["73 %", "full in 7 min"]
    assert list(page.table("tenants")) == ["acme", "globex", "initech"]


def test_the_figures_are_of_the_time_that_is_chosen(nodes, page):
    node = nodes()
    page.open(node.url)
    for window in ("last_minute", "totals", "last_10s"):
        page.run("document.querySelector(`#window input[value=${arguments[0]}]`).click()", window)
        expected = plain_us(node.status[window]["latency_us"]["p95"])
        page.wait(lambda want=expected:
                  page.table("requests")["node-a"]["Latency of requests p95"] == want,
                  f"p95 of {window} is {expected}")


def test_the_charts_show_the_last_hour_and_the_last_minute(nodes, page):
    node = nodes()
    page.open(node.url)
    page.wait(lambda: page.text(".legend-figure") not in ("", "–"), "the charts have figures")
    titles = page.run("return [...document.querySelectorAll('.chart h3')].map(e => e.textContent)")
    assert {"Requests", "Latency", "CPU", "Load average", "Journal", "Sink lag", "Network",
            "Bytes in", "Commit latency"} <= set(titles)
    spans = {}
    for range_, points in (("hour", 60), ("minute", 60)):
        page.run("document.querySelector(`#range input[value=${arguments[0]}]`).click()", range_)
        spans[range_] = page.wait(lambda want=points: page.run("""
          return [...document.querySelectorAll(".plot canvas")].map((canvas) => {
            const chart = Chart.getChart(canvas);
            const { data } = chart.data.datasets[0];
            return data.length === arguments[0] && [data[0].x, data[data.length - 1].x,
              data.filter((point) => Number.isFinite(point.y)).length];
          })""", want), f"the {range_} is drawn")
    for first, last, drawn in spans["hour"]:
        assert last - first == 59 * 60 and drawn == 60
    page.wait(lambda: page.run("""
      const { data } = Chart.getChart(document.querySelector(".plot canvas")).data.datasets[0];
      return data[data.length - 1].x - data[0].x === 59"""), "the last minute has seconds")
    inked = page.run("""
      return [...document.querySelectorAll(".plot canvas")].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value !== 0);
      })""")
    assert inked == [True] * len(titles)


def test_a_document_with_nothing_in_it_or_the_wrong_things_is_shown_as_far_as_it_goes(nodes, page):
    node = nodes()
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    odd = [None, "", "x", -1, 1e308, [], {}, [None], True, {"toString": 1}]

    def spoil(value, share):
        if chance.random() < share:
            return chance.choice(odd)
        if isinstance(value, dict):
            return {key: spoil(each, share) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each, share) for each in value]
        return value

    page.open(node.url)
    good, past = node.status, node.history
    for share in (0.02, 0.1, 0.3, 1):
        spoilt = {key: spoil(each, share) for key, each in good.items()}
        node.status = {**spoilt, "schema": 2} if share < 1 else {"schema": 2}
        if share < 1:
            node.history = {"schema": 1, "minutes": spoil(past["minutes"], share),
                            "seconds": []}
            node.history_now = lambda: node.history
        asked = len(node.asked)
        page.wait(lambda before=asked: len(node.asked) >= before + 3, "the page asked again")
    assert page.text("#level") == "Asking" and "–" in page.text("#requests-table tbody")
    node.status = {"schema": 99}
    page.wait(lambda: "another version" in page.text("#causes"), "another version is said")
    node.status = good
    page.wait(lambda: page.text("#level") == "Ok", "the page recovers")


def test_what_strangers_named_stays_text(nodes, page):
    node = nodes(name=HOSTILE, level="Degraded", causes=[("Degraded", HOSTILE)])
    node.status["version"] = HOSTILE
    node.status["sinks"][0].update(name=HOSTILE, last_error=HOSTILE, last_error_at=HOSTILE)
    tenants = [HOSTILE, "__proto__", "constructor"]
    node.status["tenants"] = [stand_in.tenant(name) for name in tenants]
    node.status["keys"].update(stale=True, reason=HOSTILE)
    page.open(node.url)
    assert HOSTILE in page.text("#where") and page.text("#causes").endswith(HOSTILE)
    assert HOSTILE in page.text("#version")
    assert HOSTILE in page.text("#sinks-table tbody th")
    assert HOSTILE in page.text("#sinks-table .words span")
    assert set(tenants) == set(page.run(
        "return [...document.querySelectorAll('#tenants-table tbody th')].map(e => e.textContent)"))
    assert page.run("return document.querySelectorAll('main img, main script').length") == 0
    assert page.run("return window.seen.length") == 0


def test_many_tenants_are_shown_when_asked_for(nodes, page):
    node = nodes()
    node.status["tenants"] = [stand_in.tenant(f"t{i}", i) for i in range(1, 41)]
    page.open(node.url)
    assert list(page.table("tenants"))[0] == "t40" and len(page.table("tenants")) == 10
    page.find("#all-tenants").click()
    page.wait(lambda: len(page.table("tenants")) == 40, "all tenants are shown")


def test_a_hidden_page_asks_nothing(nodes, page):
    node = nodes()
    page.open(node.url)

    def hide(hidden):
        page.run("""
          Object.defineProperty(document, "hidden", { value: arguments[0], configurable: true });
          document.dispatchEvent(new Event("visibilitychange"))""", hidden)

    def let_pass(milliseconds):
        page.run_async("await new Promise((done) => setTimeout(done, given[0]));", milliseconds)
    node.hangs.set()
    asked = len(node.asked)
    page.wait(lambda: len(node.asked) > asked, "a question is under way")
    hide(True)
    node.hangs.clear()
    let_pass(500)
    before = len(node.asked)
    let_pass(2500)
    assert len(node.asked) == before
    hide(False)
    page.wait(lambda: len(node.asked) > before, "a page that is seen again asks at once")


def test_only_a_change_of_level_is_announced(nodes, page):
    node = nodes()
    page.open(node.url)
    page.run("""
      window.spoken = 0;
      new MutationObserver(() => spoken++).observe(document.getElementById("announcement"),
        { childList: true, characterData: true, subtree: true })""")
    asked = len(node.asked)
    node.status["last_10s"]["requests_per_s"] = 17.0
    page.wait(lambda: page.tiles()["Requests"][0] == "17 /s", "new figures are shown")
    page.wait(lambda: len(node.asked) > asked + 2, "the page asked again")
    assert page.run("return spoken") == 0 and page.text("#announcement") == ""
    node.status["health"] = {"level": "Severe", "causes": [
        {"level": "Severe", "text": "the journal is full"}]}
    page.wait(lambda: page.text("#announcement")
              == "node-a: Severe, was Ok: the journal is full", "the change is announced")
    assert page.run("return spoken") == 1
    assert page.find("#announcement").get_attribute("aria-live") == "polite"
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "[aria-live]")) == 1


# ---- Fleets.

def test_a_fleet_is_merged_exactly_with_the_aggregate_first(nodes, page):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    fleet = [nodes("node-a"), nodes("node-b", level="Warning", causes=[("Warning", "slow disk")]),
             nodes("node-c")]
    values = []
    for node, median in zip(fleet, (300, 4000, 90_000)):
        count = chance.randrange(50, 900)
        some = [int(chance.lognormvariate(0, 1.2) * median) for _ in range(count)]
        values += some
        node.status["last_10s"]["latency_us"] = stand_in.histogram_of(some)
    page.open(fleet[0].url, [node.url for node in fleet[1:]])
    page.wait(lambda: page.text("#headline").startswith("3 of 3"), "all nodes are shown")
    rows = page.table("requests")
    assert list(rows) == ["All nodes", "node-a", "node-b", "node-c"]
    merged = stand_in.histogram_of(values)
    for percent in stand_in.PERCENTILES:
        assert rows["All nodes"][f"Latency of requests p{percent}"] == plain_us(
            merged[f"p{percent}"])
    assert rows["All nodes"]["Requests"] == "5.52 k/s"
    health = {name: (row["Health"], row["Why"]) for name, row in page.table("fleet").items()}
    assert health == {"All nodes": ("Warning", "1 of 3 needs a look"), "node-a": ("Ok", ""),
                      "node-b": ("Warning", "slow disk"), "node-c": ("Ok", "")}
    colours = page.run("""
      return [...document.querySelectorAll("#fleet-table .pill")].map((pill) =>
        getComputedStyle(pill).backgroundColor)""")
    assert colours[0] == colours[2] != colours[1] == colours[3]


def test_histograms_are_merged_and_read_as_the_program_does(nodes, page):
    node = nodes()
    page.open(node.url)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    edges = [1, 2, 63, 64, 65, 66, 127, 128, 129, (1 << 32) - 1, 1 << 32, (1 << 32) + 5]
    for _ in range(20):
        parts = [[int(2 ** chance.uniform(0, 32)) for _ in range(chance.randrange(1, 60))]
                 + chance.sample(edges, 3) for _ in range(chance.randrange(1, 5))]
        found = page.run_async(
            "const { mergeHistograms } = await import('/figures.js');"
            "return mergeHistograms(given[0]);", [stand_in.histogram_of(part) for part in parts])
        expected = stand_in.histogram_of([value for part in parts for value in part])
        for percent in stand_in.PERCENTILES:
            assert found[f"p{percent}"] == expected[f"p{percent}"], (percent, parts)
        assert found["count"] == expected["count"]


def test_a_node_that_is_killed_or_hangs_is_shown_as_such_and_stalls_no_other(nodes, page):
    first, killed, hung = nodes("node-a"), nodes("node-b"), nodes("node-c")
    page.excused += REFUSED
    page.open(first.url, [killed.url, hung.url])
    page.wait(lambda: page.text("#headline").startswith("3 of 3"), "all answer")
    killed.stop()
    hung.hangs.set()
    page.wait(lambda: [row["Health"] for row in page.table("fleet").values()]
              == ["Degraded", "Ok", "No answer", "No answer"], "both are shown silent", 5)
    rows = page.table("fleet")
    assert "does not answer" in rows["node-b"]["Why"] and rows["node-b"]["Requests"] == "–"
    assert rows["All nodes"]["Requests"] == "1.84 k/s"
    assert "node-c: does not answer" in page.text("#causes")
    first.status["last_10s"]["requests_per_s"] = 321.0
    page.wait(lambda: page.table("fleet")["node-a"]["Requests"] == "321 /s",
              "the others go on meanwhile", 2.5)
    hung.hangs.clear()
    page.wait(lambda: page.table("fleet")["node-c"]["Health"] == "Ok", "it comes back")


def test_a_node_that_does_not_allow_the_page_says_what_to_do(nodes, page):
    first, strict = nodes("node-a"), nodes("node-b", allowed=[])
    page.excused += ["has been blocked by CORS policy", "net::ERR_FAILED"]
    page.open(first.url, [strict.url])
    page.wait(lambda: f"add {first.url} to its server.admin_origins" in page.text("#causes"),
              "the reader is told")


def test_a_node_reached_by_two_addresses_counts_once(nodes, page):
    first, twin = nodes("node-a"), nodes("node-a")
    twin.status["journal"]["id"] = first.status["journal"]["id"]
    page.open(first.url, [twin.url])
    page.wait(lambda: f"the same node as node-a (127.0.0.1:{first.port})" in page.text("#causes"),
              "the twin is found")
    assert page.text("#headline").startswith("1 of 1")
    assert page.tiles()["Requests"][0] == "1.84 k/s"


def test_a_node_is_added_chosen_and_removed_and_the_address_remembers_it(nodes, page):
    first, second = nodes("node-a"), nodes("node-b")
    page.hosts.add(second.url.split("//")[1])
    page.open(first.url)
    page.find("#nodes-panel summary").click()
    for wrong, said in (("ftp://x", "no address"), (first.url, "already"),
                        ("http://", "no address"), ("http://user:secret@host", "no address")):
        page.find("#address").clear()
        page.find("#address").send_keys(wrong + Keys.ENTER)
        page.wait(lambda want=said: want in page.text("#add-problem"), f"{wrong} is refused")
    page.find("#address").clear()
    page.find("#address").send_keys(second.url.removeprefix("http://") + Keys.ENTER)
    page.wait(lambda: page.text("#where") == "2 nodes", "two nodes are shown")
    assert page.driver.current_url == f"{first.url}/?nodes={second.url}"
    page.wait(lambda: "node-b" in page.table("fleet"), "the second has a row")
    page.find("#nodes-panel summary").click()
    page.link("node-b").click()
    page.wait(lambda: page.text("#where") == "node-b", "it is looked at")
    assert not page.find("#fleet").is_displayed()
    assert list(page.table("requests")) == ["node-b"]
    page.driver.refresh()
    page.wait(lambda: page.text("#where") == "node-b", "the address remembers it")
    page.driver.back()
    page.wait(lambda: page.text("#where") == "2 nodes", "back is the fleet")
    page.find("#nodes-panel summary").click()
    page.wait(lambda: page.find("#nodes button").is_displayed(), "the panel is open")
    page.find("#nodes button").click()
    page.wait(lambda: page.text("#where") == "node-a", "one node is left")
    assert page.driver.current_url == f"{first.url}/"


# ---- Readers of all kinds.

def tab(page, times=1):
    for _ in range(times):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)


def test_everything_can_be_done_with_the_keyboard(nodes, page):
    first, second = nodes("node-a"), nodes("node-b")
    page.open(first.url, [second.url])
    page.wait(lambda: page.text("#headline").startswith("2 of 2"), "both answer")
    reached = page.run("document.activeElement.blur(); return []")
    wanted = page.run("""
      let n = 0;
      const radios = new Set();
      for (const each of document.querySelectorAll(
          "a[href], button, summary, input, [tabindex='0']")) {
        if (each.offsetParent === null && !each.matches(".skip")) continue;
        if (each.closest("details:not([open])") && !each.matches("summary")) continue;
        if (each.type === "radio") {
          if (radios.has(each.name)) continue;
          radios.add(each.name);
        }
        each.dataset.wanted = each.type === "radio" ? each.name : String(n++);
      }
      return [...document.querySelectorAll("[data-wanted]")].map((each) => each.dataset.wanted)""")
    page.find("body").send_keys(Keys.TAB)
    for _ in range(len(wanted) + 5):
        found = page.run("""
          const at = document.activeElement;
          const shown = at.matches("input[type=radio]") ? at.nextElementSibling : at;
          const { outlineStyle, outlineWidth } = getComputedStyle(shown);
          return [at.dataset.wanted ?? null, outlineStyle, parseFloat(outlineWidth),
                  at.outerHTML]""")
        if found[0] is not None:
            assert found[1] != "none" and found[2] >= 1, f"the focus is not seen on {found[3]}"
            reached.append(found[0])
        tab(page)
    assert set(reached) >= set(wanted)

    page.link("node-b").send_keys(Keys.ENTER)
    page.wait(lambda: page.text("#where") == "node-b", "Enter looks at the node")
    page.run("document.querySelector('#to-fleet').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait(lambda: page.text("#where") == "2 nodes", "and goes back")
    page.run("document.querySelector('#nodes-panel summary').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait(lambda: page.find("#address").is_displayed(), "Enter opens the panel")
    page.find("#address").send_keys(Keys.ESCAPE)
    page.wait(lambda: not page.find("#address").is_displayed(), "Escape closes it")


def test_a_chart_is_read_with_the_arrow_keys(nodes, page):
    node = nodes()
    page.open(node.url)
    page.wait(lambda: ":" in (page.find(".plot").get_attribute("aria-valuetext") or ""),
              "the chart has figures")
    plot = page.find(".plot")
    latest = plot.get_attribute("aria-valuetext")
    assert re.fullmatch(r"\d\d:\d\d: 2xx .*/s, 3xx 0\s/s, 4xx .*, 5xx .*", latest), latest
    top = page.run("scrollTo(0, 200); return scrollY")
    assert top > 0
    plot.send_keys(Keys.HOME)
    assert page.run("return scrollY") == top, "the page stays where it is"
    first = plot.get_attribute("aria-valuetext")
    assert first != latest and plot.get_attribute("aria-valuenow") == "0"
    assert page.text(".chart-time") == first[:5]
    plot.send_keys(Keys.ARROW_RIGHT)
    assert plot.get_attribute("aria-valuenow") == "1"
    times = page.run("return [...document.querySelectorAll('.chart-time')].map(e => e.textContent)")
    assert len(set(times)) == 1, "all charts look at the same moment"
    plot.send_keys(Keys.ESCAPE)
    assert page.text(".chart-time") == ""


def test_a_line_can_be_taken_out_of_a_chart(nodes, page):
    node = nodes()
    page.open(node.url)
    page.wait(lambda: page.text(".legend-figure") != "", "the charts have figures")
    button = page.find(".legend button")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.run("return Chart.getChart(document.querySelector('.plot canvas'))"
                    ".data.datasets[0].hidden") is True


def test_what_is_read_aloud_has_names(nodes, page):
    first, second = nodes("node-a"), nodes("node-b")
    page.open(first.url, [second.url])
    nameless = page.run("""
      const named = (each) => each.getAttribute("aria-label") || each.textContent.trim()
        || each.labels?.length > 0 || each.getAttribute("aria-labelledby");
      return [...document.querySelectorAll("button, a, input, summary, [role]")]
        .filter((each) => each.offsetParent !== null && !named(each)
          && !each.matches("[role=status]"))
        .map((each) => each.outerHTML)""")
    assert nameless == []
    assert page.run("""
      return [...document.querySelectorAll("table")].filter((table) => table.caption === null
        || [...table.querySelectorAll("th")].some((cell) => !cell.scope)).length""") == 0
    assert page.run("return document.documentElement.lang") == "en"
    assert page.run("return document.querySelectorAll('h1').length") == 1


def contrasts(page):
    """The lowest contrast of text to what is behind it, and where."""
    return page.run("""
      const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
      const linear = (value) => {
        const part = value / 255;
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      };
      const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
      const behind = (each) => {
        for (let at = each; at !== null; at = at.parentElement) {
          const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
          if (a > 0) return [r, g, b];
        }
        return [255, 255, 255];
      };
      let worst = [21, ""];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const each = walker.currentNode.parentElement;
        if (walker.currentNode.data.trim() === "" || each.offsetParent === null) continue;
        if (each.closest(".unseen, noscript")) continue;
        const [a, b] = [light(parse(getComputedStyle(each).color)), light(behind(each))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, each.outerHTML];
      }
      return worst""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_at_every_level_in_light_and_dark(nodes, page, scheme):
    page.media(scheme)
    page.excused += REFUSED
    first = nodes("node-a", level="Severe", causes=[(level, f"{level} of something")
                                                   for level in stand_in.LEVELS[1:]])
    dead = nodes("node-b")
    dead.stop()
    page.open(first.url, [dead.url])
    page.wait(lambda: "No answer" in page.text("#causes"), "the silent node is shown")
    levels = set(page.run("return [...document.querySelectorAll('.pill')].map(e => e.textContent)"))
    assert levels >= {"Info", "Warning", "Degraded", "Severe", "No answer"}
    ratio, where = contrasts(page)
    assert ratio >= 4.5, f"{ratio:.2f} in {where}"  # WCAG 2.2, 1.4.3.


def test_the_theme_follows_the_system_until_one_is_chosen(nodes, page):
    node = nodes()
    page.open(node.url)
    page.wait(lambda: page.text(".legend-figure") != "", "the charts have figures")

    def ground():
        return page.run("return getComputedStyle(document.body).backgroundColor")

    def line():
        return page.run("return Chart.getChart(document.querySelector('.plot canvas'))"
                        ".data.datasets[0].borderColor")
    light, light_line = ground(), line()
    page.media("dark")
    page.wait(lambda: ground() != light and line() != light_line, "the system's dark is followed")
    dark = ground()
    page.find("#theme").click()
    assert page.text("#theme") == "Theme: light" and ground() == light
    page.wait(lambda: line() == light_line, "the charts follow")
    page.driver.refresh()
    page.wait(lambda: page.text("#theme") == "Theme: light", "it is remembered")
    page.find("#theme").click()
    page.media("light")
    assert page.text("#theme") == "Theme: dark" and ground() == dark
    page.find("#theme").click()
    assert page.text("#theme") == "Theme: auto" and ground() == light


def test_nothing_moves_for_those_who_do_not_want_it(nodes, page):
    page.media(motion="reduce")
    node = nodes()
    page.open(node.url)
    assert page.run("""
      return [...document.querySelectorAll("*")].filter((each) => {
        const { transitionDuration, animationName } = getComputedStyle(each);
        return parseFloat(transitionDuration) > 0 || animationName !== "none";
      }).length""") == 0
    assert page.run("return Chart.getChart(document.querySelector('.plot canvas'))"
                    ".options.animation") is False


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_never_scrolls_sideways(nodes, page, width):
    page.size(width, 740)
    long = "sehr-langer-name-" * 8
    first = nodes(name=long, level="Severe", causes=[("Severe", "x" * 400)])
    first.status["sinks"][0].update(name=long, last_error="y" * 900)
    first.status["tenants"] = [stand_in.tenant(long)]
    second = nodes("node-b")
    for others in ([], [second.url]):
        page.open(first.url, others)
        page.find("#nodes-panel summary").click()
        page.wait(lambda: page.find("#address").is_displayed(), "the panel is open")
        assert page.run("return document.documentElement.scrollWidth") <= width
        box = page.run("const b = document.querySelector('.panel').getBoundingClientRect();"
                       "return [b.left, b.right]")
        assert box[0] >= 0 and box[1] <= width, "the panel is on the page"
    assert page.run("""
      return [...document.querySelectorAll("button, summary, .choice span")].filter((each) =>
        each.offsetParent !== null && each.getBoundingClientRect().height < 24)
        .map((each) => each.outerHTML)""") == []  # WCAG 2.2, 2.5.8.


# ---- Real nodes.

def fleet_of(make_node, count):
    """Nodes of which each but the first allows the page of the first."""
    first = make_node({"node": {"name": "node-a"}}, "node-a")
    origin = f"http://127.0.0.1:{first.admin_port}"
    others = [make_node({"server": {"admin_origins": [origin]}, "node": {"name": name}}, name)
              for name in ("node-b", "node-c", "node-d")[:count - 1]]
    return [node.start() for node in (first, *others)]


def admin_url(node):
    return f"http://127.0.0.1:{node.admin_port}"


def load_on(node):
    return inlet.load(f"{node.url}/ingest/demo", "--rate", "200", "--connections", "4",
                      "--duration", "10m")


def is_busy(row):
    return row["Requests"] not in ("–", "0 /s") and row["p50"] != "–"


def test_a_real_node_serves_the_page_and_its_figures(make_node, page):
    node = make_node().start()
    answer = get(node.admin, "/")
    assert answer.headers["content-security-policy"] == stand_in.POLICY
    assert answer.body == (stand_in.FILES / "index.html").read_bytes()
    name = node.status()["node"]
    sending = load_on(node)
    try:
        page.open(admin_url(node))
        assert page.text("#where") == name
        page.wait(lambda: page.table("requests")[name]["Answers 2xx"] not in ("–", "0 /s"),
                  "the load is seen")
        page.run("document.querySelector('#range input[value=minute]').click()")
        page.wait(lambda: page.run("""
          return [0, 1, 2, 3, 4, 9, 10].every((i) => {
            const chart = Chart.getChart(document.querySelectorAll(".plot canvas")[i]);
            return chart?.data.datasets.some((each) =>
              each.data.filter((point) => Number.isFinite(point.y)).length > 5);
          })"""), "the seconds are drawn", 30)
        row = page.table("requests")[name]
        assert "–" not in row.values()
        assert page.table("journal")[name]["Used"].endswith("%")
        assert page.table("sinks")["archive"]["Last error"] == "none"
        host = page.table("hosts")[name]
        assert "–" not in {host["CPU user"], host["Load average 1 min"], host["Memory used"],
                           host["Disk used"]}
        assert page.table("processes")[name]["Threads"] != "–"
    finally:
        sending.kill()
        sending.wait()


def test_of_three_real_nodes_under_load_the_killed_one_is_shown_within_ten_seconds(make_node, page):
    fleet = fleet_of(make_node, 3)
    sending = [load_on(node) for node in fleet]
    page.excused += REFUSED
    try:
        page.open(admin_url(fleet[0]), [admin_url(node) for node in fleet[1:]])

        def rows():
            return list(page.table("fleet").values())
        page.wait(lambda: len(rows()) == 4 and all(is_busy(row) for row in rows()),
                  "all three are busy", 30)
        assert page.text("#headline") == "3 of 3 nodes answer; all take records."
        killed = fleet[2]
        killed.deaths_expected = True
        killed.kill()
        page.wait(lambda: rows()[3]["Health"] == "No answer", "the killed node is shown", 10)
        assert rows()[0]["Health"] in ("Degraded", "Severe")
        assert is_busy(rows()[1]) and is_busy(rows()[2])
        killed.start()
        page.wait(lambda: page.text("#headline").startswith("3 of 3"), "it is back", 20)
    finally:
        for each in sending:
            each.kill()
            each.wait()
