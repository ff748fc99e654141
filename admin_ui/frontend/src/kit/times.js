// <time datetime data-ago>: "3 minutes ago", kept fresh; the exact time is in its title.
import { onContent } from "./content.js";

const format = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto" });
const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7], ["week", 4.345], ["month", 12], ["year", Infinity]];

function refresh(root) {
  root.querySelectorAll("time[data-ago]").forEach((element) => {
    let amount = (new Date(element.dateTime) - Date.now()) / 1000;
    for (const [unit, size] of steps) {
      if (Math.abs(amount) < size) {
        element.textContent = unit === "second" && Math.abs(amount) < 45 ? format.format(0, "second") : format.format(Math.round(amount), unit);
        return;
      }
      amount /= size;
    }
  });
}

onContent(refresh);
setInterval(() => refresh(document), 30000);
