/* Sign-up forms: a little work before sending, which a person does not notice and a robot pays for; and, on another
   website, the answer in place. Served by the sender's own server; nothing else is loaded and nothing is stored. */
(() => {
  "use strict";
  const K = new Uint32Array(64), START = new Uint32Array(8);
  for (let found = 0, n = 2; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (!prime) continue;
    if (found < 8) START[found] = (Math.sqrt(n) % 1) * 4294967296;
    K[found++] = (Math.cbrt(n) % 1) * 4294967296;
  }
  const W = new Uint32Array(64);
  /* The first 32 bits of SHA-256; crypto.subtle is missing on plain http and waits for every single hash. */
  function firstWord(bytes) {
    const length = bytes.length, blocks = (length + 8 >> 6) + 1, words = new Uint32Array(blocks * 16), H = START.slice();
    for (let i = 0; i < length; i++) words[i >> 2] |= bytes[i] << (24 - (i & 3) * 8);
    words[length >> 2] |= 128 << (24 - (length & 3) * 8);
    words[blocks * 16 - 1] = length * 8;
    for (let at = 0; at < words.length; at += 16) {
      let [a, b, c, d, e, f, g, h] = H;
      for (let i = 0; i < 64; i++) {
        if (i < 16) W[i] = words[at + i];
        else {
          const x = W[i - 15], y = W[i - 2];
          W[i] = W[i - 16] + W[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
            + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
        }
        const one = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + ((e & f) ^ (~e & g)) + K[i] + W[i];
        const two = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g; g = f; f = e; e = d + one | 0; d = c; c = b; b = a; a = one + two | 0;
      }
      H[0] += a; H[1] += b; H[2] += c; H[3] += d; H[4] += e; H[5] += f; H[6] += g; H[7] += h;
    }
    return H[0];
  }
  const encoder = new TextEncoder();
  function work(challenge, email, bits) {
    return new Promise((resolve) => {
      let nonce = 0;
      const some = () => {
        const until = Date.now() + 12;
        do {
          if (bits === 0 || firstWord(encoder.encode(challenge + ":" + email + ":" + nonce)) >>> (32 - bits) === 0) return resolve(String(nonce));
          nonce++;
        } while (Date.now() < until);
        setTimeout(some, 0);
      };
      some();
    });
  }
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  function say(form, text, harm) {
    let place = form.querySelector("[data-merpati-says]");
    if (!place) {
      place = document.createElement("p");
      place.setAttribute("data-merpati-says", "");
      place.setAttribute("role", "status");
      form.append(place);
    }
    place.textContent = text;
    place.toggleAttribute("data-merpati-problem", harm);
  }
  /* On the hosted page: do the work, then let the browser send the form as ever. */
  async function hosted(form) {
    const email = form.elements.email.value.trim();
    form.elements.proof.value = await work(form.elements.token.value, email, Number(form.dataset.bits));
    form.submit();
  }
  async function challenge(form) {
    const given = await (await fetch(form.action + "/token")).json();
    given.at = Date.now();
    return given;
  }
  /* On another website: ask for a token, work, send as JSON, and say the answer where the form stands. */
  async function elsewhere(form) {
    const fields = {};
    for (const [name, value] of new FormData(form)) (fields[name] = fields[name] || []).push(value);
    const email = (fields.email || [""])[0].trim();
    let given = await (form.merpatiToken || challenge(form));
    for (let tries = 0; tries < 3; tries++) {
      const proof = await work(given.token, email, given.bits);
      await pause(Math.max(0, (given.wait || 0) - (Date.now() - (given.at || Date.now()))));
      const answer = await fetch(form.action, { method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...fields, email, token: given.token, proof, source: location.origin + location.pathname }) });
      const said = await answer.json();
      if (said.status === "again") { given = said; given.at = Date.now(); continue; }
      form.merpatiToken = null;
      if (said.status === "ok") form.reset();
      return say(form, said.message, said.status !== "ok");
    }
    throw new Error("no answer");
  }
  function adopt(form) {
    if (form.merpati) return;
    form.merpati = true;
    const own = "bits" in form.dataset;
    if (!own) form.addEventListener("focusin", () => {
      form.merpatiToken = challenge(form);
      form.merpatiToken.catch(() => { form.merpatiToken = null; /* once more at sending */ });
    }, { once: true });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button, [type=submit]");
      if (button && button.getAttribute("aria-disabled") === "true") return;
      const label = button && button.textContent;
      if (button) { button.setAttribute("aria-disabled", "true"); if (form.dataset.working) button.textContent = form.dataset.working; }
      try { await (own ? hosted(form) : elsewhere(form)); }
      catch { form.submit(); /* as without script: the hosted page takes over */ }
      if (button) { button.removeAttribute("aria-disabled"); if (!own) button.textContent = label; }
    });
  }
  const all = () => document.querySelectorAll("form[data-merpati]").forEach(adopt);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all); else all();
})();
