// The admin's behaviour. Every page works as plain HTML; this adds comfort, by data attributes only.
import htmx from "htmx.org";
import "./kit/address.js";
import "./kit/copy.js";
import "./kit/dialogs.js";
import "./kit/forms.js";
import "./kit/live.js";
import "./kit/menus.js";
import "./kit/palette.js";
import "./kit/selection.js";
import "./kit/theme.js";
import "./kit/times.js";
import "./kit/toasts.js";
import "./screens/compose.js";
import { onContent } from "./kit/content.js";

window.htmx = htmx;

onContent((root) => {
  const charts = [...root.querySelectorAll("[data-chart]:not([data-drawn])")];
  charts.forEach((chart) => { chart.dataset.drawn = "1"; }); // now, for the script that draws comes later
  if (charts.length) import("./charts.js").then(({ draw }) => charts.forEach(draw));
});
