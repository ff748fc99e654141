// A form is sent once; what was typed is not lost by a stray click; file fields say what they hold.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "get" || form.hasAttribute("data-again")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  form.dataset.clean = "1";
  const button = event.submitter;
  if (button) setTimeout(() => { button.setAttribute("aria-disabled", "true"); button.dataset.wait = "1"; });
  setTimeout(() => { delete form.dataset.sent; button?.removeAttribute("aria-disabled"); }, 4000);
});

// Coming back by the Back button must find the form usable again.
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

const dirty = new Set();
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-guard]");
  if (form) { delete form.dataset.clean; dirty.add(form); }
});
addEventListener("beforeunload", (event) => {
  if ([...dirty].some((form) => form.isConnected && !form.dataset.clean)) event.preventDefault();
});

document.addEventListener("change", (event) => {
  const field = event.target;
  if (field.matches(".dropzone input[type=file]") && field.files.length) {
    field.closest(".dropzone").querySelector("[data-file-name]").textContent = field.files[0].name;
  }
  if (field.matches("[data-autosubmit]")) field.form.requestSubmit();
});
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => event.target.closest?.(".dropzone")?.classList.toggle("is-over", over));
}

// <button data-reveal="id"> shows or hides a password.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reveal]");
  if (!button) return;
  const field = document.getElementById(button.dataset.reveal);
  const shown = field.type === "text";
  field.type = shown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!shown));
});
