// Comma-separated values for spreadsheets.

/** @typedef {string | number} Cell */

/**
 * A cell. No spreadsheet takes a name for a formula.
 * @param {Cell} value
 */
export function quoted(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {Cell[][]} rows */
export const csv = (rows) => rows.map((row) => row.map(quoted).join(",")).join("\n");
