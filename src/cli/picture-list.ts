/** Which pictures a command line means: files, folders, globs and addresses. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convertPathToPattern, glob, isDynamicPattern } from 'tinyglobby';
import { InputError } from '../core/errors.ts';
import { isAddress } from '../io/sources.ts';

/** A picture that was named or found. */
export interface ListedPicture {
  /** A path, or an address. */
  readonly source: string;
  /** Below the folder that was named, with '/' between its parts; of others the file's name. */
  readonly name: string;
}

/** Kinds of pictures that are looked for in folders. */
const KINDS = ['png', 'jpg', 'jpeg', 'gif', 'bmp', 'webp', 'avif'];

/** Names as people count: a2 before a10. */
const NATURAL = new Intl.Collator('en', { numeric: true });

/** Whether a name on the command line stands for any number of pictures. */
export function namesSeveral(name: string): boolean {
  if (isAddress(name) || /^file:/i.test(name)) return false;
  return existsSync(name) ? isFolder(name) : isDynamicPattern(slashed(name));
}

/**
 * The pictures that names stand for, each once; folders are searched to their depth, in the order of names. Hidden files and the
 * folder of the results are left out.
 * @param names as typed
 * @param output folder of the results; '' where they go to none
 * @throws InputError for a name that stands for nothing, and for a search of the folder of the results
 */
export async function listPictures(names: readonly string[], output: string): Promise<ListedPicture[]> {
  const found = new Map<string, ListedPicture>();
  for (const name of names) {
    const listed = await picturesOf(name, output);
    if (listed.length === 0) throw nothingFound(name);
    for (const picture of listed) {
      const key = isAddress(picture.source) ? picture.source : resolve(picture.source);
      if (!found.has(key)) found.set(key, picture);
    }
  }
  return [...found.values()];
}

async function picturesOf(name: string, output: string): Promise<ListedPicture[]> {
  if (isAddress(name)) return [{ source: name, name: nameOfAddress(name) }];
  if (/^file:/i.test(name) && URL.canParse(name)) return picturesOf(fileURLToPath(name), output);
  if (!namesSeveral(name)) return existsSync(name) ? [{ source: name, name: basename(name) }] : [];
  const folder = isFolder(name);
  const base = folder ? name : steadyPart(name);
  if (output !== '' && realPath(base || '.') === realPath(output)) {
    const fix = 'Name another folder with -o, such as -o edited.';
    throw new InputError({ op: 'edit', problem: 'the results would lie among the pictures', path: output, fix });
  }
  const pattern = folder ? `**/*.{${KINDS.join(',')}}` : slashed(name).slice(base.length).replace(/^\//, '');
  const files = await glob(pattern, {
    cwd: base || '.',
    ignore: ignored(base || '.', output),
    caseSensitiveMatch: !folder,
    expandDirectories: false,
  });
  const pictures = files.filter(file => KINDS.includes(extname(file).slice(1).toLowerCase()));
  return pictures.sort(inOrder).map(file => ({ source: below(base, file), name: file }));
}

/** What leads to the first part of a pattern that is none of a path: `photos` of `photos/*.jpg`. */
function steadyPart(pattern: string): string {
  const parts = slashed(pattern).split('/');
  const first = parts.findIndex((_, i) => isDynamicPattern(parts.slice(0, i + 1).join('/')));
  const steady = parts.slice(0, first).join('/');
  return steady === '' && pattern.startsWith('/') ? '/' : steady;
}

function below(base: string, file: string): string {
  return base === '' || base === '.' ? file : `${base.replace(/[/\\]$/, '')}/${file}`;
}

/** Patterns for the results of earlier calls, where they lie below what is searched. */
function ignored(base: string, output: string): string[] {
  const path = relative(realPath(base), realPath(output));
  if (path === '' || path.startsWith('..') || resolve(path) === path) return [];
  return [`${convertPathToPattern(path)}/**`];
}

/** Of what may not be there yet, without the links on the way. */
function realPath(path: string): string {
  const absolute = resolve(path);
  if (existsSync(absolute)) return realpathSync(absolute);
  const folder = dirname(absolute);
  return folder === absolute ? absolute : join(realPath(folder), basename(absolute));
}

function inOrder(a: string, b: string): number {
  return NATURAL.compare(a, b) || (a < b ? -1 : 1);
}

/** On Windows a path may have been typed with its own separator. */
function slashed(name: string): string {
  return sep === '\\' ? name.replaceAll('\\', '/') : name;
}

/** What a picture is called where it stands alone. */
export function nameOfSource(source: string): string {
  if (isAddress(source)) return nameOfAddress(source);
  return basename(/^file:/i.test(source) && URL.canParse(source) ? fileURLToPath(source) : source);
}

/** How the manifest of a folder calls a picture: by the way there, so that both may move together. */
export function inputName(source: string, folder: string): string {
  if (isAddress(source)) return source;
  const path = /^file:/i.test(source) && URL.canParse(source) ? fileURLToPath(source) : source;
  return slashed(relative(resolve(folder), resolve(path)));
}

/** The last part of an address, without what is asked of it. */
function nameOfAddress(address: string): string {
  if (!URL.canParse(address) || !/^https?:/i.test(address)) return 'picture';
  const { pathname, hostname } = new URL(address);
  const [last = ''] = pathname.split('/').filter(Boolean).slice(-1);
  return decoded(last).replaceAll(/[\\/:*?"<>|\p{Cc}]/gu, '_') || hostname;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether a folder of this name is there. */
export function isFolder(name: string): boolean {
  return existsSync(name) && statSync(name).isDirectory();
}

function nothingFound(name: string): InputError {
  const several = namesSeveral(name);
  return new InputError({
    op: 'edit',
    problem: several ? 'no picture is found' : 'no such file or folder',
    path: name,
    fix: several ? `Name a folder or a pattern with ${KINDS.join(', ')}.` : 'Check the path.',
  });
}
