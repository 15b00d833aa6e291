/**
 * Text that lies where a large binary file should be: the pointer that git leaves without Git LFS, the page or the short
 * answer that a server sends instead of a file. Readers ask here before they speak of damage, and load this
 * when they have met something else than they look for.
 */

/** What lies in the place of a file. */
export interface StandIn {
  /** Such as 'a Git LFS pointer in place of the file (3.4 GB)'. */
  readonly problem: string;
  /** How to get the file, a whole sentence. */
  readonly fix: string;
}

/** How many bytes of a file's beginning `standInOf` needs. */
export const STAND_IN_BYTES = 512;

const POINTER = /^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\/v\d/;
const ANNEX = /^(\.git\/|\/)annex\/objects\//;
const PAGE = /^\s*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?(-->|$)\s*)*<(!doctype\s+html|html|head|body)\b/i;
const DOWNLOAD = 'Download the file itself: the address was that of a page, or the server wanted a login or a token.';

/**
 * Tells by a file's first bytes whether a text stands in its place.
 * @param head the first STAND_IN_BYTES bytes, or all where the file is shorter
 * @returns undefined for anything that is not plainly text
 */
export function standInOf(head: Uint8Array): StandIn | undefined {
  const text = textOf(head);
  if (text === undefined) return undefined;
  const line = text.trim().split('\n', 1)[0]?.slice(0, 60) ?? '';
  const plain =
    line === '' ? undefined : { problem: `a text in place of the file, it begins "${line}"`, fix: DOWNLOAD };
  return standInOfText(text) ?? plain;
}

/**
 * Tells a pointer or a page from a text file that should be there.
 * @param text the file's beginning, STAND_IN_BYTES of it at least where it has so many
 * @returns undefined for any other text
 */
export function standInOfText(text: string): StandIn | undefined {
  if (POINTER.test(text)) {
    const size = /^size (\d+)$/m.exec(text)?.[1];
    const length = size === undefined ? '' : ` of ${size} bytes`;
    return {
      problem: `a Git LFS pointer in place of the file${length}`,
      fix: 'Run `git lfs install` and `git lfs pull` in the folder, or download the file itself.',
    };
  }
  if (ANNEX.test(text)) {
    return {
      problem: 'a git-annex pointer in place of the file',
      fix: 'Run `git annex get`, or download the file itself.',
    };
  }
  return PAGE.test(text) ? { problem: 'an HTML page in place of the file', fix: DOWNLOAD } : undefined;
}

/** The bytes as text, a byte order mark removed; undefined where a control character or broken UTF-8 shows that they are none. */
function textOf(head: Uint8Array): string | undefined {
  if (head.length === 0) return undefined;
  // The last character may be cut.
  const text = new TextDecoder().decode(head).replace(/\uFFFD$/, '');
  return /[^\t\n\f\r\x20-\x7e\u00a0-\ufffc]/.test(text.replace(/[\u{10000}-\u{10ffff}]/gu, '')) ? undefined : text;
}
