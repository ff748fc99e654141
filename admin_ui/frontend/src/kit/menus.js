// <details class="menu">: closes on a click elsewhere and on Escape, arrows walk through it.
const close = (menu, focus) => {
  menu.removeAttribute("open");
  if (focus) menu.querySelector("summary").focus();
};

document.addEventListener("click", (event) => {
  document.querySelectorAll("details.menu[open], details.what[open]").forEach((menu) => {
    if (!menu.contains(event.target)) close(menu, false);
  });
});

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open], details.what[open]");
  if (!menu) return;
  if (event.key === "Escape") return close(menu, true);
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const items = [...menu.querySelectorAll(".menu-items :is(a, button)")];
  if (!items.length) return;
  event.preventDefault();
  const at = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
  items[(at + items.length) % items.length].focus();
});
