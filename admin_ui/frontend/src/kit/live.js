// <div data-live="/url">: server-sent events; each message is the new inside of the element as HTML.
// An event named "done" ends it (and, with data-live-then="reload", shows the finished page).
import htmx from "htmx.org";
import { announce, onContent } from "./content.js";

onContent((root) => root.querySelectorAll("[data-live]:not([data-live-on])").forEach((element) => {
  element.dataset.liveOn = "1";
  const source = new EventSource(element.dataset.live);
  source.onmessage = (event) => {
    if (!element.isConnected) return source.close();
    // Whoever walks through it with the keyboard stays where they are.
    const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    element.innerHTML = event.data;
    if (focused) element.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    htmx.process(element);
    announce(element);
  };
  source.addEventListener("done", () => {
    source.close();
    if (element.dataset.liveThen === "reload") location.reload();
  });
  // From the click on a link on, not only once the page is gone: a reload in between would take the reader back here.
  for (const leaving of ["beforeunload", "pagehide"]) addEventListener(leaving, () => source.close(), { once: true });
}));
