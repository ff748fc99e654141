// Short messages in a corner. From the server: <template data-toast="good">words</template> or the header
// HX-Trigger: {"toast": {"text": "...", "kind": "good"}}.
import { onContent } from "./content.js";

export function toast(text, kind = "good", time = 6000) {
  const region = document.getElementById("toasts");
  const model = document.getElementById("toast-model");
  if (!region || !model) return;
  const item = model.content.firstElementChild.cloneNode(true);
  item.classList.add(`is-${kind}`);
  item.querySelector("p").textContent = text;
  const use = item.querySelector("use");
  if (kind !== "good") use.setAttribute("href", use.getAttribute("href").replace(/#.*/, "#triangle-alert"));
  region.append(item);
  // A popover lies in the top layer, so a message is seen above an open dialog too.
  if (region.matches(":popover-open")) region.hidePopover();
  region.showPopover?.();
  const end = () => { item.remove(); if (!region.children.length) region.hidePopover?.(); };
  item.querySelector("button").addEventListener("click", end);
  if (kind === "good") setTimeout(end, time);
}

onContent((root) => root.querySelectorAll("template[data-toast]").forEach((template) => {
  toast(template.content.textContent.trim(), template.dataset.toast);
  template.remove();
}));

document.addEventListener("toast", (event) => toast(event.detail.text, event.detail.kind));
document.addEventListener("htmx:error", () => toast("The server did not answer. Nothing was changed; try again.", "harm"));
