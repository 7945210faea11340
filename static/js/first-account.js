// The code stands behind the # of the link. It goes into the form, and out of the address and the history.
const code = location.hash.slice(1);
const input = document.querySelector("#id_code");
if (code && input instanceof HTMLInputElement) {
  input.value = code;
  document.querySelector("#code-field")?.setAttribute("hidden", "");
  history.replaceState(null, "", location.pathname);
}
