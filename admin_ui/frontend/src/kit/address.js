// <form data-address="q list">: after a search as one types, the address names these fields, so that Back, a reload and
// a link handed on show the same. htmx's own history stays off: it would take over the browser's Back on every page.
document.addEventListener("htmx:after:swap", (event) => {
  const form = event.detail.ctx?.sourceElement;
  if (!form?.dataset?.address) return;
  const typed = new FormData(form);
  const shown = form.dataset.address.split(" ").filter((name) => typed.get(name)).map((name) => [name, typed.get(name)]);
  const query = new URLSearchParams(shown).toString();
  history.replaceState(history.state, "", form.getAttribute("action") + (query && `?${query}`));
});
