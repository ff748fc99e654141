// <details class="menu">: closes on a click elsewhere and on Escape, arrows walk through it.
// <button data-what> shows the definition that follows it, in the top layer, where no table can cut it off.
const close = (menu, focus) => {
  menu.removeAttribute("open");
  if (focus) menu.querySelector("summary").focus();
};

document.addEventListener("click", (event) => {
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (!menu.contains(event.target)) close(menu, false);
  });
});

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  if (event.key === "Escape") return close(menu, true);
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const items = [...menu.querySelectorAll(".menu-items :is(a, button)")];
  if (!items.length) return;
  event.preventDefault();
  const at = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
  items[(at + items.length) % items.length].focus();
});

// A table that scrolls sideways would cut its rows' menus off; fixed to the window they stay whole.
document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!menu.matches?.("details.menu") || !menu.open || !menu.closest(".table-wrap")) return;
  const items = menu.querySelector(".menu-items");
  const place = menu.getBoundingClientRect();
  items.style.position = "fixed";
  items.style.right = `${document.documentElement.clientWidth - place.right}px`;
  const below = place.bottom + 6;
  items.style.top = `${below + items.offsetHeight > innerHeight ? Math.max(8, place.top - items.offsetHeight - 6) : below}px`;
}, true);
addEventListener("scroll", () => {
  document.querySelectorAll(".table-wrap details.menu[open]").forEach((menu) => close(menu, false));
}, { passive: true });

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-what]");
  if (!button) return;
  const text = button.nextElementSibling;
  text.showPopover();
  const place = button.getBoundingClientRect();
  text.style.left = `${Math.max(16, Math.min(place.left - 12, document.documentElement.clientWidth - text.offsetWidth - 16))}px`;
  const below = place.bottom + 6;
  text.style.top = `${below + text.offsetHeight > innerHeight ? place.top - text.offsetHeight - 6 : below}px`;
});
