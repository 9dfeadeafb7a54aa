//! The published page in a browser: no script errors, no missing plots, no sideways scrolling on a
//! phone, readable in light and in dark; screenshots for people to judge.
//!
//! Needs a Chromium or Chrome (`CHROME`, or one on the `PATH`); without one the test says loudly that
//! nothing was checked. The page is shown in a frame, whose width and colour scheme are what a phone
//! or a desktop would have; a probe put into a copy of it reports what it sees. Screenshots are in
//! `target/tmp/browser`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a browser may be called.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "headless_shell",
];
/// A phone, and a desktop, in CSS pixels.
const WIDTHS: [u32; 2] = [400, 1240];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// The smallest text of a plot on a phone, in pixels.
const TEXT_MIN: f64 = 8.0;
/// Contrast of text that is small (WCAG 2.2, 1.4.3).
const CONTRAST_MIN: f64 = 4.5;

/// Collects errors from the very start.
const LISTENER: &str = "<script>window.faults=[];addEventListener('error',e=>faults.push(String(e.message||e.target.outerHTML||e.type)),true);addEventListener('unhandledrejection',e=>faults.push(String(e.reason)))</script>";

/// Reports to the page around it.
const PROBE: &str = r##"<script>addEventListener('load',()=>{
const root=document.documentElement,room=root.clientWidth;
const figures=[...document.querySelectorAll('figure')].map(f=>{
  const plots=[...f.querySelectorAll('svg')].map(s=>{
    const box=s.getBoundingClientRect();
    const name=(s.getAttribute('aria-label')||s.querySelector('title,desc')?.textContent||'').trim();
    const texts=[...s.querySelectorAll('text')].map(t=>parseFloat(getComputedStyle(t).fontSize)*box.width/(s.viewBox.baseVal.width||box.width));
    return {name,shapes:s.querySelectorAll('path,rect,circle,polygon,polyline,line').length,width:box.width,height:box.height,text:Math.min(...texts,99)};
  });
  return {title:f.querySelector('h3')?.textContent?.trim()||'',reading:f.querySelector('figcaption')?.textContent?.trim()||'',plots};
});
const scrolls=e=>e.closest('.wide,pre,svg');
const wide=[...document.querySelectorAll('body *')].filter(e=>!scrolls(e)&&e.getBoundingClientRect().right>room+1).slice(0,5).map(e=>e.tagName+' '+e.textContent.trim().slice(0,40));
const dead=[...document.querySelectorAll('a[href^="#"]')].map(a=>a.getAttribute('href')).filter(h=>!document.getElementById(h.slice(1)));
const light=c=>{const [r,g,b]=c.match(/[\d.]+/g).slice(0,3).map(Number).map(v=>{v/=255;return v<=.04045?v/12.92:((v+.055)/1.055)**2.4});return .2126*r+.7152*g+.0722*b};
const page=light(getComputedStyle(document.body).backgroundColor);
const contrast=e=>{const l=light(getComputedStyle(e).color);return (Math.max(l,page)+.05)/(Math.min(l,page)+.05)};
const texts=[...document.querySelectorAll('p,li,td,th,figcaption,h1,h2,h3,.faint,summary,a')];
const found={errors:window.faults,figures,wide,dead,scroll:root.scrollWidth,room,page,contrast:Math.min(...texts.map(contrast)),sections:document.querySelectorAll('section').length};
parent.postMessage(JSON.stringify(found).replace(/[<>&]/g,' '),'*');
})</script>"##;

fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("CHROME").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&paths)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    let found = named.or(in_path);
    if found.is_none() {
        let line = "*".repeat(78);
        eprintln!(
            "{line}\n*** SKIPPED: the page was NOT checked: no Chromium or Chrome; set CHROME\n{line}"
        );
    }
    found
}

/// A page in a folder of its own, and the browser.
struct Stage {
    browser: PathBuf,
    folder: PathBuf,
}

impl Stage {
    fn new(name: &str, page: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser").join(name);
        fs::create_dir_all(&folder).expect("a folder for screenshots");
        let listening = page.replacen("<head>", &format!("<head>{LISTENER}"), 1);
        let probed = listening.replacen("</body>", &format!("{PROBE}</body>"), 1);
        assert!(probed.len() > page.len() + LISTENER.len(), "the page has a head and a body");
        fs::write(folder.join("page.html"), probed).expect("a copy of the page");
        Some(Self { browser: browser()?, folder })
    }

    /// The page `width` pixels wide, in a page that writes down what the probe says.
    fn frame(&self, scheme: &str, width: u32, height: u32) -> String {
        let frame = format!(
            "<!doctype html><body style=\"margin:0\"><script>addEventListener('message',e=>document.getElementById('found').textContent=e.data)</script><iframe src=\"page.html\" style=\"width:{width}px;height:{height}px;border:0;color-scheme:{scheme}\"></iframe><pre id=\"found\"></pre></body>"
        );
        let path = self.folder.join(format!("{scheme}-{width}.html"));
        fs::write(&path, frame).expect("a frame around the page");
        format!("file://{}", path.display())
    }

    fn call(&self, arguments: &[&str]) -> String {
        let profile = tempfile::tempdir().expect("a folder for the browser");
        let output = Command::new(&self.browser)
            // The page is our own file, and continuous integration runs as root.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("--virtual-time-budget=10000")
            .args(arguments)
            .output()
            .expect("the browser can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the probe found.
    fn look(&self, scheme: &str, width: u32) -> Value {
        let dom = self.call(&["--dump-dom", &self.frame(scheme, width, 900)]);
        let found =
            dom.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let (found, _) = found.unwrap_or_else(|| panic!("the probe did not report: {dom}"));
        let found = found.replace("&nbsp;", " ");
        serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"))
    }

    fn screenshot(&self, scheme: &str, width: u32) -> PathBuf {
        let picture = self.folder.join(format!("{scheme}-{width}.png"));
        let height = 4000;
        let (file, size) = (picture.display(), format!("--window-size={width},{height}"));
        let frame = self.frame(scheme, width, height);
        self.call(&[&format!("--screenshot={file}"), &size, &frame]);
        picture
    }
}

/// What is wrong with a page, in words; empty when nothing is.
fn complaints(found: &Value) -> Vec<String> {
    let list = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let mut wrong: Vec<String> =
        list("errors").iter().map(|error| format!("error: {error}")).collect();
    wrong.extend(list("dead").iter().map(|link| format!("a link to nothing: {link}")));
    if number(&found["scroll"]) > number(&found["room"]) {
        wrong.push(format!("scrolls sideways: {:?}", list("wide")));
    }
    if number(&found["contrast"]) < CONTRAST_MIN {
        wrong.push(format!("text with a contrast of {}", found["contrast"]));
    }
    if list("figures").is_empty() {
        wrong.push("no figure".into());
    }
    for figure in list("figures") {
        let title = figure["title"].as_str().unwrap_or_default().to_owned();
        let plots = figure["plots"].as_array().cloned().unwrap_or_default();
        if plots.is_empty() || title.is_empty() || figure["reading"] == "" {
            wrong.push(format!("{title:?} lacks its plot, title or sentence"));
        }
        for plot in plots {
            let empty = number(&plot["width"]) < 100.0 || number(&plot["height"]) < 50.0;
            if empty || number(&plot["shapes"]) < 3.0 {
                wrong.push(format!("an empty plot in {title:?}: {plot}"));
            }
            if plot["name"] == "" {
                wrong.push(format!("a plot without a description in {title:?}"));
            }
            if number(&plot["text"]) < TEXT_MIN {
                wrong.push(format!("text of {} pixels in {title:?}", plot["text"]));
            }
        }
    }
    wrong
}

#[test]
fn the_published_page_is_whole_on_a_phone_and_a_desktop_in_light_and_dark() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/report/index.html");
    let page = fs::read_to_string(page).expect("a report is published");
    let Some(stage) = Stage::new("published", &page) else { return };
    let mut brightness = Vec::new();
    for scheme in SCHEMES {
        for width in WIDTHS {
            let found = stage.look(scheme, width);
            assert_eq!(found["room"].as_u64(), Some(u64::from(width)), "the frame's width");
            let wrong = complaints(&found);
            assert!(wrong.is_empty(), "{scheme}, {width} pixels wide: {wrong:#?}");
            brightness.push(found["page"].as_f64().expect("a brightness"));
            let picture = fs::metadata(stage.screenshot(scheme, width)).unwrap();
            assert!(picture.len() > 10_000, "a screenshot of {} bytes", picture.len());
        }
    }
    assert!(brightness[0] > 0.5 && brightness[2] < 0.2, "light and dark differ: {brightness:?}");
}

#[test]
fn a_broken_page_is_found_out() {
    let plot = "<svg viewBox=\"0 0 400 300\" aria-label=\"a plot\"><path d=\"M0 0L9 9\"/><rect width=\"9\" height=\"9\"/><circle r=\"5\"/><text style=\"font-size:13px\">x</text></svg>";
    let figure =
        |svg: &str| format!("<figure><h3>Title</h3><figcaption>Words</figcaption>{svg}</figure>");
    let page = |body: &str| {
        format!(
            "<!doctype html><html><head></head><body style=\"background:#fff;color:#000\">{body}</body></html>"
        )
    };
    let defects = [
        (String::new(), ""),
        ("<script>missing.call()</script>".into(), "error"),
        ("<img src=\"no-such-file.png\">".into(), "error"),
        (figure("<svg viewBox=\"0 0 400 300\" aria-label=\"none\"></svg>"), "an empty plot"),
        (figure(&plot.replace("a plot", "")), "without a description"),
        (figure(""), "lacks its plot"),
        (figure(&plot.replace("13px", "5px")), "pixels in"),
        ("<div style=\"width:900px\">wide</div>".into(), "scrolls sideways"),
        ("<p style=\"color:#bbb\">pale</p>".into(), "contrast"),
        ("<a href=\"#nowhere\">x</a>".into(), "a link to nothing"),
    ];
    for (place, (defect, complaint)) in defects.iter().enumerate() {
        let sound = figure(plot);
        let Some(stage) = Stage::new(&format!("broken-{place}"), &page(&(sound + defect))) else {
            return;
        };
        let wrong = complaints(&stage.look("light", 400));
        let expected = if complaint.is_empty() { 0 } else { 1 };
        assert_eq!(wrong.len(), expected, "{defect}: {wrong:?}");
        assert!(wrong.iter().all(|words| words.contains(complaint)), "{defect}: {wrong:?}");
    }
}
