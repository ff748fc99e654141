// Ctrl K: screens at once, people and campaigns from the server as one types.
import { onContent } from "./content.js";

let dialog, field, list, asked = 0, timer;

const links = () => [...list.querySelectorAll("a")];

async function ask() {
  const mine = ++asked;
  const response = await fetch(`/search?q=${encodeURIComponent(field.value)}`, { headers: { "HX-Request": "true" } });
  if (mine === asked && response.ok) {
    list.innerHTML = await response.text();
    select(links()[0]);
  }
}

function select(link) {
  links().forEach((other) => other.removeAttribute("aria-selected"));
  if (!link) return;
  link.setAttribute("aria-selected", "true");
  link.scrollIntoView({ block: "nearest" });
}

function open() {
  if (!dialog || dialog.open || document.querySelector("dialog[open]:not(.is-drawer)")) return;
  document.querySelectorAll("dialog.is-drawer[open]").forEach((drawer) => drawer.close());
  dialog.showModal();
  field.select();
  ask();
}

onContent(() => {
  dialog = document.getElementById("palette");
  field = dialog?.querySelector("input");
  list = dialog?.querySelector("[data-results]");
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-palette]")) open();
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    open();
  } else if (dialog?.open && event.key === "Escape") {
    event.preventDefault(); // a search field would only empty itself
    dialog.close();
  } else if (dialog?.open && event.target === field) {
    const all = links();
    const at = all.findIndex((link) => link.getAttribute("aria-selected"));
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      select(all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]);
    } else if (event.key === "Enter" && all[at]) {
      event.preventDefault();
      all[at].click();
    }
  }
});

document.addEventListener("input", (event) => {
  if (event.target !== field) return;
  clearTimeout(timer);
  timer = setTimeout(ask, 120);
});
