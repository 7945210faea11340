// Light and dark. Charts draw themselves again on `themechange`.

export function startTheme() {
  const announce = () => dispatchEvent(new Event("themechange"));
  // Paper is light.
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", announce);
}

export function switchTheme() {
  const root = document.documentElement;
  const isChosen = Boolean(root.dataset.theme);
  const isDark = isChosen ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing in Firefox
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; SameSite=Lax`;
  dispatchEvent(new Event("themechange"));
}
