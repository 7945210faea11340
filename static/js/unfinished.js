// Which upload of this tab has not ended: a page that was reloaded has lost the file, and knows its name still.

const KEY = "unfinished-upload";

/**
 * @typedef {object} Unfinished
 * @property {string} location of the upload on the server
 * @property {string} name of the file
 * @property {number} size
 * @property {number} lastModified
 */

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Memory a tab's own, which outlives a reload */

/**
 * @param {Memory} memory
 * @param {string} location
 * @param {{ name: string, size: number, lastModified: number }} file
 */
export function remember(memory, location, { name, size, lastModified }) {
  attempt(() => memory.setItem(KEY, JSON.stringify({ location, name, size, lastModified })));
}

/** @param {Memory} memory */
export function forget(memory) {
  attempt(() => memory.removeItem(KEY));
}

/**
 * @param {Memory} memory
 * @returns {Unfinished | null}
 */
export function recalled(memory) {
  const kept = attempt(() => JSON.parse(memory.getItem(KEY) ?? "null"));
  return kept?.location?.startsWith?.("/") && kept.size > 0 ? kept : null;
}

/**
 * Whether a file that was chosen is the one whose upload has not ended.
 * @param {Unfinished | null} unfinished
 * @param {{ name: string, size: number, lastModified: number }} file
 */
export function isOf(unfinished, file) {
  if (!unfinished) return false;
  const { name, size, lastModified } = unfinished;
  return file.name === name && file.size === size && file.lastModified === lastModified;
}

/**
 * A browser may keep nothing at all: then a reload loses the upload, and nothing else.
 * @template T
 * @param {() => T} act
 * @returns {T | null}
 */
function attempt(act) {
  try {
    return act();
  } catch {
    return null;
  }
}
