// <button data-dialog="id"> opens <dialog id>; data-close closes; a click on the backdrop closes.
// <button data-dialog-src="/url"> fills #remote-dialog from the server and opens it.
import htmx from "htmx.org";
import { onContent } from "./content.js";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    event.preventDefault();
    opener.closest("dialog")?.close();
    opener.closest("details")?.removeAttribute("open");
    document.getElementById(opener.dataset.dialog).showModal();
    return;
  }
  const remote = event.target.closest("[data-dialog-src]");
  if (remote) {
    event.preventDefault();
    const dialog = document.getElementById("remote-dialog");
    htmx.ajax("GET", remote.dataset.dialogSrc, { target: dialog, swap: "innerHTML" }).then(() => dialog.showModal());
    return;
  }
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog")?.close();
  if (event.target.matches?.("dialog:not([data-keep])")) event.target.close();
});

// A form that came back with problems reopens the dialog it lives in.
onContent((root) => root.querySelectorAll("dialog[data-open]:not([open])").forEach((dialog) => {
  delete dialog.dataset.open;
  dialog.showModal();
}));
