// Calls back for the page and for everything htmx or a live stream puts into it later.
const callbacks = [];

export function onContent(callback) {
  callbacks.push(callback);
  if (document.readyState !== "loading") callback(document);
}

export const announce = (root) => callbacks.forEach((callback) => callback(root));

document.addEventListener("DOMContentLoaded", () => announce(document));
document.addEventListener("htmx:after:swap", () => announce(document));
