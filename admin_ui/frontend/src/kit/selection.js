// <form data-select>: [data-select-all] ticks all, [data-bulk] appears while something is ticked.
document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-select]");
  if (!form || event.target.type !== "checkbox") return;
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  const all = form.querySelector("[data-select-all]");
  if (event.target === all) boxes.forEach((box) => { box.checked = all.checked; });
  const ticked = boxes.filter((box) => box.checked).length;
  if (all) {
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
  const bar = form.querySelector("[data-bulk]");
  bar.hidden = ticked === 0;
  const count = bar.querySelector("[data-bulk-count]");
  if (count) count.textContent = String(ticked);
});
