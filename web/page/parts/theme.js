// Light or dark: as the computer says, or as the person chose.
import { signal, effect } from "@preact/signals";

const media = matchMedia("(prefers-color-scheme: dark)");
export const chosen = signal(localStorage.getItem("verglas-theme") || "system");
export const theme = signal("light");

function settle() {
  theme.value = chosen.value === "system" ? (media.matches ? "dark" : "light") : chosen.value;
  document.documentElement.dataset.theme = theme.value;
}
media.addEventListener("change", settle);
effect(() => { localStorage.setItem("verglas-theme", chosen.value); settle(); });
