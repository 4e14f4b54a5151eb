//! What must be true of a page in a browser.

use serde_json::{Value, json};

use crate::Pages;
use crate::chromium::Browser;

/// Numbers of attempts that are seen, and of all.
const SEEN: &str = "[[...document.querySelectorAll('.attempt')].filter(a => a.checkVisibility()).length,
    document.querySelectorAll('.attempt').length]";

/// Text nodes whose contrast with what is behind them is less than 4.5 (large ones: 3), as WCAG counts.
const FAINT: &str = r"(() => {
  const parse = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let seen = 0;
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.textContent.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName) || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)} ${node.textContent.trim().slice(0, 40)}`);
  }
  return [seen, faint];
})()";

pub fn no_complaints(browser: &mut Browser, pages: &Pages) {
    for file in [&pages.several, &pages.one, &pages.none] {
        browser.open(file, "");
        browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        assert_eq!(browser.complaints(), [""; 0], "{}", file.display());
    }
    let outside =
        "performance.getEntriesByType('resource').map((r) => r.name).filter((n) => !n.startsWith('data:'))";
    assert_eq!(browser.evaluate(outside), json!([]), "the page loads something");
}

pub fn filter_by_mouse(browser: &mut Browser, pages: &Pages) {
    browser.open(&pages.several, "");
    let all = browser.evaluate(SEEN);
    assert!(all[0] == all[1] && all[1].as_u64() > Some(5), "all are seen at first: {all}");
    browser.click(".legend a[href='#cause=slow-body']");
    assert_eq!(seen_once_it_is(browser, 1), 1);
    assert_eq!(browser.evaluate("document.activeElement.id"), "attempts");
    assert_eq!(
        browser.evaluate("document.querySelector('.attempt:not([hidden])').dataset.cause"),
        "slow-body"
    );
    assert_eq!(browser.evaluate("document.querySelector('.attempt:not([hidden])').open"), true);
    let said = browser.evaluate("document.getElementById('matches').textContent");
    assert_eq!(said, format!("1 of {} shown", all[1]));
    browser.click(".matrix tbody a[href*='port-refused']");
    assert_eq!(seen_once_it_is(browser, 2), 2);
    browser.click("#filter button");
    assert_eq!(json!(seen_once_it_is(browser, all[1].as_u64().unwrap())), all[1]);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The number of attempts that are seen, once it is that or does not become that.
fn seen_once_it_is(browser: &mut Browser, number: u64) -> u64 {
    let mut seen = 0;
    for _ in 0..100 {
        seen = browser.evaluate(SEEN)[0].as_u64().unwrap();
        if seen == number {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    seen
}

pub fn filter_by_choice_and_text(browser: &mut Browser, pages: &Pages) {
    browser.open(&pages.several, "");
    let choose = |browser: &mut Browser, field: &str, value: &str| {
        browser.evaluate(&format!(
            "(() => {{ const f = document.getElementById('filter').elements[{field:?}]; f.value = {value:?};
             f.dispatchEvent(new Event('input', {{bubbles: true}})); return f.value; }})()"
        ))
    };
    assert_eq!(choose(browser, "host", "slow-response-tcp4.zst"), "slow-response-tcp4.zst");
    assert_eq!(browser.evaluate(SEEN)[0], 1);
    assert_eq!(choose(browser, "confidence", "proven"), "proven");
    assert_eq!(browser.evaluate(SEEN)[0], 0);
    choose(browser, "host", "");
    choose(browser, "confidence", "");
    browser.click("#filter input[type=search]");
    browser.write("NETFILTER_drop");
    assert_eq!(seen_once_it_is(browser, 1), 1);
    assert_eq!(browser.evaluate("location.hash"), "#text=NETFILTER_drop");
}

pub fn filter_by_address(browser: &mut Browser, pages: &Pages) {
    browser.open(&pages.several, "#cause=port-refused&host=port-refused-tcp4.zst");
    assert_eq!(browser.evaluate(SEEN)[0], 1);
    // An address of another page, or one that somebody made up.
    browser.open(&pages.several, "#cause=no-such-cause&upstream=%3Cimg%20src=x%20onerror=alert(1)%3E");
    let seen = browser.evaluate(SEEN);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(browser.complaints(), [""; 0]);
}

pub fn keyboard(browser: &mut Browser, pages: &Pages) {
    browser.open(&pages.several, "");
    browser.press("Tab", 9);
    assert_eq!(browser.evaluate("document.activeElement.className"), "skip");
    browser.press("Enter", 13);
    assert_eq!(browser.evaluate("document.activeElement.id"), "attempts");
    let mut reached = Vec::new();
    for _ in 0..12 {
        browser.press("Tab", 9);
        reached.push(browser.evaluate("document.activeElement.name || document.activeElement.tagName"));
    }
    for part in ["cause", "upstream", "host", "confidence", "text", "SUMMARY"] {
        assert!(reached.contains(&json!(part)), "{part} is not reached with Tab: {reached:?}");
    }
    browser.press("Enter", 13);
    assert_eq!(
        browser.evaluate("document.activeElement.parentElement.open"),
        true,
        "Enter unfolds an attempt"
    );
}

pub fn narrow_screens(browser: &mut Browser, pages: &Pages) {
    for width in [320, 390, 768] {
        browser.screen(width, 740);
        for file in [&pages.several, &pages.one, &pages.none] {
            browser.open(file, "");
            browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
            let needed = browser.evaluate("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(needed <= u64::from(width), "{} needs {needed} of {width}", file.display());
        }
    }
}

pub fn contrast(browser: &mut Browser, pages: &Pages) {
    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        browser.open(&pages.several, "");
        browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        let found = browser.evaluate(FAINT);
        assert!(found[0].as_u64() > Some(200), "{found}");
        assert_eq!(found[1], json!([]), "{scheme}: too faint");
        let dark =
            browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)";
        assert_eq!(dark, scheme == "dark");
    }
}

pub fn names_for_everything(browser: &mut Browser, pages: &Pages) {
    browser.open(&pages.several, "");
    let check = |browser: &mut Browser, what: &str, wrong: &str| {
        assert_eq!(browser.evaluate(wrong), json!([]), "{what}");
    };
    check(
        browser,
        "pictures without words",
        "[...document.querySelectorAll('svg')].filter((s) => s.getAttribute('role') !== 'img' || !s.ariaLabel).map((s) => s.outerHTML.slice(0, 80))",
    );
    check(
        browser,
        "fields without a label",
        "[...document.querySelectorAll('select, input')].filter((f) => !f.labels.length).map((f) => f.name)",
    );
    check(
        browser,
        "links without words, or that lead out",
        "[...document.querySelectorAll('a')].filter((a) => !a.textContent.trim() || !a.getAttribute('href').startsWith('#')).map((a) => a.outerHTML)",
    );
    check(
        browser,
        "names used twice",
        "[...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)",
    );
    check(
        browser,
        "headings that skip a level",
        "[...document.querySelectorAll('h1, h2, h3')].map((h) => +h.tagName[1]).filter((level, i, all) => i && level > all[i - 1] + 1)",
    );
    let said: Value =
        browser.evaluate("[document.documentElement.lang, document.querySelectorAll('h1').length]");
    assert_eq!(said, json!(["en", 1]));
}

pub fn policy_and_no_scripts(browser: &mut Browser, pages: &Pages) {
    browser.open(&pages.several, "");
    browser.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s);
         document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = true\">'); })()",
    );
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(browser.evaluate("window.ran === undefined"), true, "a program from outside runs");
    assert!(!browser.complaints().is_empty(), "and the browser says that it does not");
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(&pages.several, "");
    let seen = browser.evaluate(SEEN);
    assert!(seen[0] == seen[1] && seen[1].as_u64() > Some(5), "without scripts all are seen: {seen}");
    assert_eq!(browser.evaluate("document.getElementById('filter').checkVisibility()"), false);
}
