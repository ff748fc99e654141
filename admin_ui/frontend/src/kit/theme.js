// <button data-theme-choice="light|dark|system">: kept in a cookie, so that the next page is painted right at once.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (!button) return;
  const choice = button.dataset.themeChoice;
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  document.cookie = `merpati_theme=${choice}; path=/; max-age=${choice === "system" ? 0 : 31536000}; samesite=lax`;
  dispatchEvent(new Event("themechange"));
});
