// Runs before the first paint, so that a chosen theme never flashes.
const chosen = document.cookie.match(/(?:^|; )merpati_theme=(light|dark)/);
if (chosen) document.documentElement.dataset.theme = chosen[1];
