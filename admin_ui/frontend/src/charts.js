// <figure data-chart="#json">: a line chart of {times: [unix seconds], series: [{name, values, unit?}], unit}.
// The same figures stand in a table beside it; a chart is never the only way to read them.
import uPlot from "uplot";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

// Custom properties hold light-dark(); only a used value is a colour that a canvas understands.
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const number = new Intl.NumberFormat(document.documentElement.lang || "en", { maximumFractionDigits: 1 });

// Steps of the axes: people are whole, and the clock shows minutes, so that no label stands twice or at a broken number.
const minutes = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200].map((step) => step * 60);
const wholes = Array.from({ length: 9 }, (_none, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

// Times as the workspace's clock shows them, whatever the reader's own clock says.
function clock(zone) {
  const language = document.documentElement.lang || "en";
  const parts = (options) => new Intl.DateTimeFormat(language, { timeZone: zone, hourCycle: "h23", ...options });
  const day = parts({ day: "numeric", month: "short" });
  const hour = parts({ hour: "2-digit", minute: "2-digit" });
  const at = (seconds) => new Date(seconds * 1000);
  return {
    ticks: (_self, ticks, _axis, _space, step) => ticks.map((tick, index) => {
      const date = day.format(at(tick));
      if (step >= 86400) return date;
      const first = index === 0 || day.format(at(ticks[index - 1])) !== date;
      return hour.format(at(tick)) + (first ? `\n${date}` : "");
    }),
    moment: (seconds) => `${day.format(at(seconds))}, ${hour.format(at(seconds))}`,
  };
}

export function draw(element) {
  const data = JSON.parse(document.querySelector(element.dataset.chart).textContent);
  const times = clock(data.zone || "UTC");
  let chart;
  const paint = () => {
    chart?.destroy();
    const font = `500 12px ${token("--font")}`;
    const axis = { stroke: colour("--text-3"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, labelFont: font, labelSize: 20 };
    chart = new uPlot({
      width: element.clientWidth, height: 264, padding: [8, 24, 0, 0],
      cursor: { points: { size: 7 }, y: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), data.zone || "UTC"),
      scales: { y: { range: (_self, _low, high) => [0, Math.max(1, high * 1.08)] } },
      axes: [{ ...axis, incrs: minutes, space: 64, values: times.ticks }, { ...axis, incrs: wholes, size: 56, label: data.unit, values: (_self, ticks) => ticks.map((tick) => number.format(tick)) }],
      series: [{ label: data.time || "Time", value: (_self, at) => (at == null ? "" : times.moment(at)) }, ...data.series.map((line, index) => {
        const stroke = colour(`--series-${(index % 4) + 1}`);
        return {
          label: line.name, stroke, width: 2, dash: [[], [6, 4], [2, 3], [10, 3, 2, 3]][index % 4], points: { show: data.times.length < 3 },
          fill: index === 0 ? stroke.replace("rgb(", "rgba(").replace(")", ", 0.08)") : undefined,
          value: (_self, value) => (value == null ? "" : number.format(value)),
        };
      })],
    }, [data.times, ...data.series.map((line) => line.values)], element);
  };
  paint();
  addEventListener("themechange", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: 264 })).observe(element);
}
