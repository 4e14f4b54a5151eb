"use strict";
// Filters the list of attempts. What is chosen stands in the address, so that a link can choose, too.
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const attempts = Array.from(document.querySelectorAll(".attempt"));
  const texts = attempts.map((attempt) => attempt.textContent.toLowerCase());
  const matches = document.getElementById("matches");
  const fields = Array.from(form.elements).filter((field) => field.name);

  function apply() {
    let shown = 0;
    const text = form.elements.text.value.trim().toLowerCase();
    attempts.forEach((attempt, index) => {
      const fits = fields.every((field) =>
        field.name === "text" ? texts[index].includes(text) : !field.value || attempt.dataset[field.name] === field.value);
      attempt.hidden = !fits;
      if (fits) shown += 1;
    });
    matches.textContent = shown === attempts.length ? `All ${shown} shown` : `${shown} of ${attempts.length} shown`;
  }

  function remember() {
    const chosen = new URLSearchParams();
    fields.forEach((field) => field.value && chosen.set(field.name, field.value));
    history.replaceState(null, "", `#${chosen.toString() || "attempts"}`);
  }

  function recall() {
    const chosen = new URLSearchParams(location.hash.slice(1));
    if (!fields.some((field) => chosen.has(field.name))) return;
    fields.forEach((field) => {
      field.value = chosen.get(field.name) || "";
    });
    apply();
    const first = attempts.find((attempt) => !attempt.hidden);
    if (first) first.open = true;
    const heading = document.getElementById("attempts");
    heading.scrollIntoView();
    heading.focus({ preventScroll: true });
  }

  form.addEventListener("input", () => {
    apply();
    remember();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    // The fields are empty only after this event.
    setTimeout(() => {
      apply();
      remember();
    });
  });
  addEventListener("hashchange", recall);
  // On paper all is unfolded.
  addEventListener("beforeprint", () => attempts.forEach((attempt) => { attempt.open = true; }));
  form.hidden = false;
  apply();
  recall();
})();
