// The compose page: keeps what is written, shows it beside the editor, and says what is wrong with it.
import { onContent } from "../kit/content.js";

const SAVE_AFTER = 1200;
const SHOW_AFTER = 450;
const TRY_AGAIN_AFTER = 8000;

const body = (form) => new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string"));
const post = (url, form) => fetch(url, { method: "POST", body: body(form), headers: { Accept: "application/json" } });

function keep(form) {
  const state = document.querySelector("[data-save-state]");
  const conflict = document.querySelector("[data-conflict]");
  let timer, running = null, dirty = false, stopped = form.hasAttribute("data-conflicted");

  const say = (name) => { state.textContent = state.dataset[name]; state.dataset.now = name; };

  function problems(found) {
    form.querySelectorAll("[data-problem]").forEach((line) => {
      const words = found[line.dataset.problem];
      line.hidden = !words;
      line.querySelector("span").textContent = words ?? "";
      line.closest(".field")?.classList.toggle("has-error", Boolean(words));
    });
  }

  async function save() {
    clearTimeout(timer);
    if (running || stopped || !dirty) return running;
    dirty = false;
    say("saving");
    running = (async () => {
      try {
        const response = await post(form.dataset.save, form);
        const answer = response.headers.get("Content-Type")?.includes("json") ? await response.json() : {};
        if (response.ok) {
          form.elements.version.value = answer.version;
          document.getElementById("who-count")?.replaceChildren(document.createRange().createContextualFragment(answer.who));
          problems({});
          if (!dirty) say("saved");
        } else if (response.status === 409) {
          stopped = dirty = true;
          say("unsaved");
          conflict.hidden = false;
          conflict.scrollIntoView({ block: "center" });
        } else if (response.status === 422) {
          dirty = true;
          say("invalid");
          problems(answer.problems ?? {});
        } else throw new Error(String(response.status));
      } catch {
        dirty = true;
        say("failed");
        timer = setTimeout(save, TRY_AGAIN_AFTER);
      } finally {
        running = null;
      }
      if (dirty && state.dataset.now === "saving") timer = setTimeout(save, SAVE_AFTER);
    })();
    return running;
  }

  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-see]")) return;
    dirty = true;
    if (!stopped) say("unsaved");
    clearTimeout(timer);
    timer = setTimeout(save, SAVE_AFTER);
  });

  // A submit carries the version; one that is being saved just now would make it look like somebody else's change.
  form.addEventListener("submit", async (event) => {
    clearTimeout(timer);
    if (!running) { dirty = false; return; }
    event.preventDefault();
    event.stopPropagation();
    const { submitter } = event;
    await running;
    clearTimeout(timer);
    if (!stopped) form.requestSubmit(submitter);
  });

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
      event.preventDefault();
      save();
    }
  });
  document.querySelector("[data-discard]")?.addEventListener("click", () => { dirty = false; });
  addEventListener("pagehide", () => { if (dirty && !stopped && !running) navigator.sendBeacon(form.dataset.save, body(form)); });
  addEventListener("beforeunload", (event) => { if (dirty && (stopped || state.dataset.now === "invalid")) event.preventDefault(); });
}

function show(form) {
  const panel = form.querySelector("[data-preview-panel]");
  const mail = panel.querySelector("[data-mail]");
  const text = panel.querySelector("[data-text-part]");
  const found = form.querySelector("[data-problems]");
  const as = form.elements.as;
  let timer, asked = 0;

  // The mail is posted into a fresh frame each time: a frame's first page leaves no trace in the history, so that
  // Back leaves the editor, and the old picture stays until the new one is there.
  function draw(mine) {
    const frame = document.createElement("iframe");
    frame.name = `mail-${mine}`;
    frame.title = mail.querySelector("iframe").title;
    frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
    frame.className = "is-coming";
    mail.prepend(frame);
    const carrier = Object.assign(document.createElement("form"), { method: "post", action: `${form.dataset.preview}/frame`, target: frame.name });
    for (const [name, value] of body(form)) carrier.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    document.body.append(carrier);
    let submitted = false;
    frame.addEventListener("load", () => {
      if (!submitted) return;
      mail.querySelectorAll("iframe").forEach((other) => { if (other !== frame) other.remove(); });
      frame.classList.remove("is-coming");
    });
    submitted = true;
    carrier.submit();
    carrier.remove();
  }

  async function refresh() {
    const mine = ++asked;
    panel.setAttribute("aria-busy", "true");
    try {
      const response = await post(form.dataset.preview, form);
      if (mine !== asked || !response.ok) return;
      const answer = await response.json();
      for (const name of ["subject", "preheader"]) panel.querySelector(`[data-shows=${name}]`).textContent = answer[name];
      panel.querySelector("[data-shows=from]").textContent = form.elements.from_name.value || form.elements.from_local.value;
      text.textContent = answer.text;
      found.innerHTML = answer.problems;
      if (!as.value && answer.as) as.placeholder = answer.as;
      // With an error there is no new picture: the last good one stays, marked as old.
      mail.classList.toggle("is-old", answer.errors > 0);
      if (answer.errors === 0) draw(mine);
    } catch { /* the next change asks again */ } finally {
      if (mine === asked) panel.removeAttribute("aria-busy");
    }
  }

  const soon = (wait) => { clearTimeout(timer); timer = setTimeout(refresh, wait); };

  const width = () => {
    const chosen = form.querySelector("[data-width]:checked").value;
    mail.dataset.widthNow = chosen;
    text.hidden = chosen !== "text";
  };

  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-width]")) return width();
    if (event.target === as) suggest();
    soon(event.target.matches("[type=checkbox],select") ? 60 : SHOW_AFTER);
  });

  let asking;
  function suggest() {
    clearTimeout(asking);
    asking = setTimeout(async () => {
      const response = await fetch(`${form.dataset.people}?q=${encodeURIComponent(as.value)}`);
      if (!response.ok) return;
      const people = await response.json();
      document.getElementById("as-people").replaceChildren(...people.map((one) => new Option(one.name, one.address)));
    }, 180);
  }
  as.addEventListener("focus", suggest);
  form.addEventListener("variantchange", () => soon(0));
  width();
  refresh();
}

function variants(form) {
  const all = [...form.querySelectorAll("[data-variant]")];
  const tabs = [...form.querySelectorAll("[data-variant-tab]")];
  const at = form.elements.at;

  function choose(number) {
    all.forEach((one, index) => { one.hidden = index !== number; });
    tabs.forEach((tab, index) => (index === number ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current")));
    at.value = String(number);
    form.dispatchEvent(new CustomEvent("variantchange"));
  }

  if (tabs.length) {
    tabs.forEach((tab, index) => tab.addEventListener("click", (event) => {
      event.preventDefault();
      history.replaceState(history.state, "", tab.hash);
      choose(index);
    }));
    choose(Math.max(0, tabs.findIndex((tab) => tab.hash === location.hash)));
  }

  for (const variant of all) {
    const content = variant.querySelector("[data-content]");
    const shared = variant.querySelector("[data-content-of]");
    const apply = () => content.toggleAttribute("data-shared", shared?.value === "A");
    shared?.addEventListener("change", apply);
    apply();
    fields(variant);
    lines(variant);
  }
}

// The field picker puts a merge field where the cursor was last, be it the subject, the preheader or the content.
function fields(variant) {
  const picker = variant.querySelector("[data-insert-field]");
  let target = variant.querySelector("textarea");
  picker.hidden = false;
  variant.addEventListener("focusin", (event) => { if (event.target.matches("[data-takes-field]")) target = event.target; });
  picker.addEventListener("change", () => {
    if (picker.value) target.setRangeText(picker.value, target.selectionStart, target.selectionEnd, "end");
    picker.value = "";
    target.focus();
    target.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

// Numbers beside the lines of code, and Tab that indents; Escape then Tab leaves the editor, as in other editors.
function lines(variant) {
  const area = variant.querySelector("textarea");
  const gutter = variant.querySelector(".gutter");
  const kind = variant.querySelector("[data-kind]");
  const editor = variant.querySelector("[data-editor]");
  let leaving = false;

  const number = () => {
    const code = ["mjml", "html"].includes(kind.value);
    editor.classList.toggle("is-numbered", code);
    area.wrap = code ? "off" : "soft";
    const count = area.value.split("\n").length;
    if (code && gutter.dataset.count !== String(count)) {
      gutter.dataset.count = String(count);
      gutter.textContent = Array.from({ length: count }, (_line, index) => index + 1).join("\n");
    }
  };
  area.addEventListener("input", number);
  kind.addEventListener("change", number);
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leaving = true;
    else if (event.key === "Tab" && !event.shiftKey && !leaving && area.wrap === "off") {
      event.preventDefault();
      area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    } else if (event.key !== "Tab") leaving = false;
  });
  number();
}

function goToLine(form, line) {
  const variant = form.querySelector("[data-variant]:not([hidden])");
  const shares = variant.querySelector("[data-content][data-shared]");
  const area = (shares ? form.querySelector("[data-variant]") : variant).querySelector("textarea");
  const start = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const end = area.value.indexOf("\n", start);
  area.focus();
  area.setSelectionRange(start, end < 0 ? area.value.length : end);
  area.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(area).lineHeight));
  area.scrollIntoView({ block: "nearest" });
}

onContent((root) => root.querySelectorAll("[data-compose]:not([data-on])").forEach((form) => {
  form.dataset.on = "1";
  document.querySelectorAll("[data-by-hand]").forEach((button) => { button.hidden = true; });
  keep(form);
  variants(form);
  show(form);
  form.addEventListener("click", (event) => {
    const jump = event.target.closest("[data-go-to-line]");
    if (jump) goToLine(form, Number(jump.dataset.goToLine));
  });
}));
