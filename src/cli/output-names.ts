/** What the results of many pictures are called: no two alike, on any file system. */
import { InputError } from '../core/errors.ts';
import { foldedName, safeRelativeName } from '../node/safe-name.ts';

/** What a result is named after. */
export interface Unnamed {
  /** How the manifest calls the picture. */
  readonly input: string;
  /** Of the picture, below the folder that was named. */
  readonly name: string;
  /** As a line of a jobs file wants it, with its extension. */
  readonly output?: string | undefined;
  /** Where that stands, for messages. */
  readonly place?: string | undefined;
  /** Pictures that are made of it. */
  readonly count: number;
  /** Whether its mask is written. */
  readonly mask: boolean;
}

/** Files of a result, relative to the folder, with '/' between parts: `image`, or `image1` and so on, and `mask`. */
export type ResultFiles = Readonly<Record<string, string>>;

/** A result's name, and the files that it has. */
export interface NamedResult {
  /** What its files are named after, such as `photos/a.png`. */
  readonly name: string;
  readonly files: ResultFiles;
}

const KINDS = /\.(png|jpe?g)$/i;

/**
 * Names the files of each result. A picture keeps its place and its name; where two would meet, they get their extension too, and then a
 * number.
 * @param jobs in their order
 * @param known names that the manifest has already, by input, in their order
 * @param kept files of pictures that are still there: no new name takes their place
 * @returns for each job its name and its files
 * @throws InputError for a name that leads out of the folder, whose kind is unknown, or that two jobs want
 */
export function nameResults(
  jobs: readonly Unnamed[],
  known: ReadonlyMap<string, readonly string[]>,
  kept: Iterable<string> = [],
): NamedResult[] {
  const taken = new Taken();
  const named: (NamedResult | undefined)[] = jobs.map(job => {
    if (job.output === undefined) return undefined;
    return claim(checked(job.output, job.place ?? ''), taken, job, true);
  });
  const turns = new Map<string, number>();
  const seen = jobs.map(({ input, output }) => {
    if (output !== undefined) return 0;
    const turn = turns.get(input) ?? 0;
    turns.set(input, turn + 1);
    return turn;
  });
  const asked = new Set(named.flatMap(result => (result ? [foldedName(result.name)] : [])));
  // Those that have a name keep it, before new ones choose theirs; what a line asks for is none of theirs.
  for (const [i, job] of jobs.entries()) {
    const own = named[i] ? [] : (known.get(job.input) ?? []).filter(name => !asked.has(foldedName(name)));
    const name = own[seen[i] ?? 0];
    if (name !== undefined) named[i] = claim(name, taken, job, false);
  }
  for (const file of kept) taken.add(foldedName(file), '');
  const numbers = new Map<string, number>();
  const meeting = meetingStems(jobs.filter((_, i) => !named[i]));
  return jobs.map((job, i) => named[i] ?? claimFirst(job, meeting, taken, seen[i] ?? 0, numbers));
}

/** Files that have their names, and the folders that these are in: a name is that of one or of the other. */
class Taken {
  readonly #files = new Map<string, string>();
  readonly #folders = new Map<string, string>();

  /** @param place where the name stands, for messages */
  add(file: string, place: string): void {
    this.#files.set(file, place);
    for (const folder of foldersOf(file)) this.#folders.set(folder, place);
  }

  /** Where the name stands that is in the way of a file; undefined where there is none. */
  placeOf(file: string): string | undefined {
    const above = foldersOf(file).find(folder => this.#files.has(folder));
    return this.#files.get(above ?? file) ?? this.#folders.get(file);
  }

  /** The name, in other folders where a file has the name of one of its own. */
  beside(name: string): string {
    const parts = name.split('/');
    for (let i = 0; i < parts.length - 1; i++) {
      while (this.#files.has(foldedName(parts.slice(0, i + 1).join('/')))) parts[i] += '-2';
    }
    return parts.join('/');
  }
}

/** `a` and `a/b` of `a/b/c.png`. */
function foldersOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}

/** Stems that more than one picture has. */
function meetingStems(jobs: readonly Unnamed[]): ReadonlySet<string> {
  const names = new Map<string, Set<string>>();
  for (const { name } of jobs) {
    const stem = foldedName(stemOf(name));
    names.set(stem, (names.get(stem) ?? new Set()).add(name));
  }
  return new Set([...names].filter(([, of]) => of.size > 1).map(([stem]) => stem));
}

/**
 * The first name that is free: of `a.jpg` a.png, then a.jpg.png, then a-2.png.
 * @param turn how many jobs before it are of the same picture: that has no second extension
 * @param numbers the next one to try, by name
 */
function claimFirst(
  job: Unnamed,
  meeting: ReadonlySet<string>,
  taken: Taken,
  turn: number,
  numbers: Map<string, number>,
): NamedResult {
  const name = taken.beside(job.name);
  const stem = stemOf(name);
  const short = meeting.has(foldedName(stemOf(job.name))) ? name : stem;
  const key = foldedName(short);
  const once = turn > 0 ? [] : [short, name];
  let found: NamedResult | undefined;
  for (const first of once) found ??= claim(`${first}.png`, taken, job, false);
  for (let n = numbers.get(key) ?? 2; !found; n++) {
    found = claim(`${short}-${n}.png`, taken, job, false);
    numbers.set(key, n + 1);
  }
  return found;
}

/** The files where all of them are free. @throws InputError where they must be and are not */
function claim(name: string, taken: Taken, job: Unnamed, must: boolean): NamedResult | undefined {
  const files = filesOf(name, job);
  const keys = Object.values(files).map(foldedName);
  const met = keys.map(key => taken.placeOf(key)).find(place => place !== undefined);
  if (met === undefined) {
    for (const key of keys) taken.add(key, job.place ?? '');
    return { name, files };
  }
  if (!must) return undefined;
  throw new InputError({
    op: 'jobs',
    problem: 'two lines write the same file',
    received: job.output,
    path: `${met} and ${job.place ?? ''}`,
    fix: 'Give each line an output of its own.',
  });
}

function filesOf(path: string, { count, mask }: Unnamed): ResultFiles {
  const [extension = '.png'] = KINDS.exec(path) ?? [];
  const stem = path.slice(0, path.length - extension.length);
  const many = Array.from({ length: count }, (_, i) => [`image${i + 1}`, `${stem}.${i + 1}${extension}`]);
  const images = count === 1 ? { image: path } : Object.fromEntries(many);
  return { ...images, ...(mask ? { mask: `${stem}.mask.png` } : {}) };
}

/** With the line that a name stands in. */
function safeIn(output: string, place: string): string {
  try {
    return safeRelativeName('jobs', output);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const { problem, fix = '' } = error;
    throw new InputError({ op: 'jobs', problem, value: output, path: place, fix });
  }
}

function checked(output: string, place: string): string {
  const name = safeIn(output, place);
  if (KINDS.test(name)) return name;
  throw new InputError({
    op: 'jobs',
    problem: 'the name does not say how to write the file',
    received: output,
    path: place,
    fix: 'Let output end in .png or .jpg or .jpeg.',
  });
}

function stemOf(name: string): string {
  return name.replace(/(?<=[^/])\.[^./]+$/, '');
}
