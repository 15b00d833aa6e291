/** Names that come with a job: they stay below the folder that results go to, on every system, and take the place of nothing else. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../core/errors.ts';

/** What no system's names hold, on one or another. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const FORBIDDEN = /[\u0000-\u001f\u007f<>:"|?*\\]/;
/** What Windows takes for a device, whatever stands behind the first dot. */
const DEVICE = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)\s*(\.|$)/i;
/** Bytes that a file system has for a name; what is put behind it (`.mask.png`, `.part`) has room. */
const MOST_BYTES = 200;
const OP = 'name';

/**
 * Checks a relative name with `/` between its parts.
 * @param op the function that was called, for messages
 * @param name of a file or folder, as a job gives it
 * @returns it, in Unicode's composed form
 * @throws InputError for what leads out of its folder, or cannot be a name on Windows, macOS or Linux
 */
export function safeRelativeName(op: string, name: string): string {
  const whole = String(name).normalize('NFC');
  const fail = (problem: string): never => {
    const fix = 'Give a relative name of letters, digits, spaces, ".", "-" and "_".';
    throw new InputError({ op, problem, value: name, fix });
  };
  if (whole === '' || whole.length > 1000) fail(whole === '' ? 'an empty name' : 'a name that is too long');
  if (whole.startsWith('/') || /^[a-z]:/i.test(whole)) fail('a name that begins at a root');
  for (const part of whole.split('/')) {
    if (part === '' || part === '.' || part === '..') fail('a name that leads elsewhere');
    if (FORBIDDEN.test(part)) fail('a character that names cannot have everywhere');
    if (/[. ]$/.test(part) || part.startsWith(' ')) fail('a space or dot at the end of a name');
    if (DEVICE.test(part)) fail('a name that Windows keeps for a device');
    if (Buffer.byteLength(part) > MOST_BYTES) fail('a name that is too long');
  }
  return whole;
}

/**
 * Checks that nothing on the way to a name is another name that some file systems hold for the same, or a link that leads elsewhere.
 * @param root folder of the results
 * @param name as {@link safeRelativeName} returned it
 * @throws InputError naming what is in the way
 */
export async function checkNameFree(root: string, name: string): Promise<void> {
  let folder = root;
  for (const part of name.split('/')) {
    const entries = await readdir(folder).catch(() => []);
    const other = entries.find(entry => entry !== part && sameName(entry, part));
    if (other !== undefined) {
      const fix = 'Use one spelling for one name.';
      throw new InputError({
        op: OP,
        problem: 'a name that differs only by case',
        received: part,
        path: join(folder, other),
        fix,
      });
    }
    folder = join(folder, part);
    const stats = await lstat(folder).catch(() => undefined);
    if (stats?.isSymbolicLink()) throw new InputError({ op: OP, problem: 'a link in place of a name', path: folder });
    if (!stats) return;
  }
}

/** Whether a file system without case, or with another form of Unicode, holds two names for one. */
export function sameName(a: string, b: string): boolean {
  return foldedName(a) === foldedName(b);
}

/** One text for all names that some file system holds for the same. */
export function foldedName(name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase();
}
