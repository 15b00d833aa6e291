/** A file of jobs: a picture a line, with prompts and options of its own. */
import { readFile } from 'node:fs/promises';
import { dirname, extname, isAbsolute, join } from 'node:path';
import { Command, InvalidArgumentError, type Option } from 'commander';
import { CsvError, parse } from 'csv-parse/sync';
import { InputError } from '../core/errors.ts';
import { nearestName } from '../core/known-names.ts';
import { isAddress } from '../io/sources.ts';
import { reason } from '../node/files.ts';
import { ARGUMENTS, type Argument } from '../pipeline/diffedit/arguments.ts';
import { addPictureOptions } from './edit-options.ts';
import { addModelOptions, argumentOption } from './options.ts';

/** A line of a jobs file, checked. */
export interface JobLine {
  /** For messages: the file, and which line. */
  readonly place: string;
  /** A path, or an address. */
  readonly picture: string;
  readonly mask?: string | undefined;
  /** Name of the result in the folder. */
  readonly output?: string | undefined;
  /** Options by their names in a parsed command. */
  readonly options: Readonly<Record<string, unknown>>;
}

type Row = Readonly<Record<string, unknown>>;

/** A row as it stands in the file, and where. */
interface Placed {
  readonly row: Row;
  readonly place: string;
}

const OP = 'jobs';
const FILES: Readonly<Record<string, 'picture' | 'mask' | 'output'>> = {
  ...{ image: 'picture', picture: 'picture', mask: 'mask', output: 'output' },
};

/**
 * Reads the jobs of a file.
 * @param path ends in .jsonl, .ndjson or .csv; paths in it are relative to its folder
 * @throws InputError naming file, line and key of whatever is wrong
 */
export async function readJobs(path: string): Promise<JobLine[]> {
  const kind = extname(path).toLowerCase();
  if (!['.jsonl', '.ndjson', '.csv'].includes(kind)) {
    const problem = 'the name does not say how to read the file';
    const fix = 'Let it end in .jsonl or .csv.';
    throw new InputError({ op: OP, problem, received: kind || 'no extension', path, fix });
  }
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const problem = 'the file cannot be read';
    throw new InputError({ op: OP, problem, received: reason(cause), path, fix: 'Check the path.', cause });
  });
  const rows = kind === '.csv' ? csvRows(text, path) : jsonRows(text, path);
  if (rows.length === 0)
    throw new InputError({ op: OP, problem: 'no job in the file', path, fix: 'Write one a line.' });
  const keys = keysOfOptions();
  return rows.map(placed => jobOf(placed, keys, dirname(path)));
}

function jsonRows(text: string, path: string): Placed[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const placed = lines.map((line, i) => ({ line, place: `${path}, line ${i + 1}` })).filter(({ line }) => line.trim());
  return placed.map(({ line, place }) => {
    const row = parsedJson(line, place);
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return { row: row as Row, place };
    const fix = 'Write { "image": "a.png", "source": "a bowl", "target": "a basket" }, one a line.';
    throw new InputError({ op: OP, problem: 'a line that is no object', value: row, path: place, fix });
  });
}

function parsedJson(line: string, place: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    const fix = 'Write one object a line.';
    throw new InputError({
      op: OP,
      problem: 'a line that is no JSON',
      received: reason(cause),
      path: place,
      fix,
      cause,
    });
  }
}

function csvRows(text: string, path: string): Placed[] {
  const columns = (names: string[]): string[] => {
    const trimmed = names.map(name => name.trim());
    const twice = trimmed.find((name, i) => trimmed.indexOf(name) < i);
    if (twice === undefined) return trimmed;
    throw new InputError({ op: OP, problem: 'a column that is there twice', value: twice, path: `${path}, line 1` });
  };
  try {
    const rows: readonly { record: Record<string, string>; info: { lines: number } }[] = parse(text, {
      ...{ bom: true, columns, info: true, skip_empty_lines: true, record_delimiter: ['\r\n', '\n', '\r'] },
    });
    return rows.map(({ record, info }) => ({
      row: Object.fromEntries(Object.entries(record).filter(([, cell]) => cell !== '')),
      place: `${path}, line ${info.lines}`,
    }));
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const fix = 'Give each line a cell for every column, and put texts with commas in quotes.';
    throw new InputError({ op: OP, problem: 'no CSV', received: cause.message, path, fix, cause });
  }
}

/** Options of a picture by the keys that name them, and those that only a whole command has. */
interface Keys {
  readonly options: ReadonlyMap<string, Option>;
  readonly ofCommand: ReadonlySet<string>;
}

function keysOfOptions(): Keys {
  const ofPicture = [...addPictureOptions(new Command()).options, argumentOption('seed')];
  const options = new Map<string, Option>();
  for (const option of ofPicture.filter(({ negate }) => !negate)) {
    for (const key of [option.attributeName(), ...flagsOf(option)]) options.set(key, option);
  }
  const model = addModelOptions(new Command()).options.flatMap(flagsOf);
  const ofCommand = [...model, 'json', 'force', 'contactSheet'].filter(key => !options.has(key));
  return { options, ofCommand: new Set(ofCommand) };
}

/** The long names of an option, in camelCase. */
function flagsOf({ flags }: Option): string[] {
  return (flags.match(/--[a-z\d-]+/g) ?? []).map(flag => camel(flag.slice(2)));
}

function camel(key: string): string {
  return key.trim().replaceAll(/-([a-z\d])/g, (_, letter: string) => letter.toUpperCase());
}

function kebab(key: string): string {
  return key.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
}

function jobOf({ row, place }: Placed, keys: Keys, folder: string): JobLine {
  const options: Record<string, unknown> = {};
  const files: { picture?: string; mask?: string; output?: string } = {};
  const written = new Map<string, string>();
  for (const [key, value] of Object.entries(row)) {
    if (value === null) continue;
    const name = camel(key);
    const option = keys.options.get(name);
    const file = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
    const own = file ?? option?.attributeName();
    if (own === undefined) throw unknownKey(key, value, keys, place);
    const before = written.get(own);
    if (before !== undefined) {
      const fix = `Leave ${kebab(camel(before))} or ${kebab(name)} out.`;
      throw new InputError({ op: OP, problem: 'two keys of one meaning', received: [before, key], path: place, fix });
    }
    written.set(own, key);
    if (file) files[file] = file === 'output' ? textOf(value, key, place) : pathOf(textOf(value, key, place), folder);
    else if (option) options[own] = parsedValue(option, name, value, `${place}, ${key}`);
  }
  const { picture, ...rest } = files;
  if (picture === undefined)
    throw new InputError({ op: OP, problem: 'a line without a picture', path: place, fix: 'Give it an image.' });
  if (options['size'] !== undefined && options['keepSize'] === true)
    throw new InputError({ op: OP, problem: 'both size and keep-size', path: place, fix: 'Leave one of them out.' });
  return { place, picture, ...rest, options };
}

function unknownKey(key: string, value: unknown, { options, ofCommand }: Keys, place: string): InputError {
  if (ofCommand.has(camel(key))) {
    const fix = `Give --${kebab(camel(key))} on the command line, for all lines.`;
    const problem = 'an option of the whole command';
    return new InputError({ op: OP, problem, value, path: `${place}, ${key}`, fix });
  }
  const known = [...Object.keys(FILES), ...options.keys()];
  const near = nearestName(key, known);
  const fix = near === undefined ? `Known are ${known.map(kebab).join(', ')}.` : `Write ${kebab(near)}.`;
  return new InputError({ op: OP, problem: 'there is no such key', value, path: `${place}, ${key}`, fix });
}

function textOf(value: unknown, key: string, place: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new InputError({ op: OP, problem: 'no name of a file', value, path: `${place}, ${key}` });
}

/** Where a file lies that a line names. */
function pathOf(name: string, folder: string): string {
  return isAddress(name) || /^file:/i.test(name) || isAbsolute(name) ? name : join(folder, name);
}

/** A value as the command line would have parsed it. */
function parsedValue(option: Option, key: string, value: unknown, path: string): unknown {
  const fail = (fix: string): never => {
    throw new InputError({ op: OP, problem: 'a wrong value', value, path, fix });
  };
  const row: Argument | undefined = Object.entries<Argument>(ARGUMENTS).find(
    ([n]) => n === option.attributeName(),
  )?.[1];
  if (option.isBoolean()) {
    const { switch: named } = row ?? {};
    // A switch that stands for a value also goes by the value's own name.
    if (named && key === option.attributeName()) {
      return value === named[1] || value === row?.default ? value : fail(`Give ${named[1]} or ${row?.default}.`);
    }
    if (!['true', 'false', true, false].includes(value as string)) fail('Give true or false.');
    const on = String(value) === 'true';
    return named ? (on ? named[1] : row?.default) : on;
  }
  const text = typedText(value);
  if (text === undefined) return fail('Give what the option takes.');
  if (!option.parseArg) return typeof value === 'string' ? value : fail('Give a text.');
  try {
    return option.parseArg(text, undefined);
  } catch (error) {
    if (error instanceof InvalidArgumentError) return fail(error.message);
    throw error;
  }
}

/** As it would be typed: `0.1,0.8` for [0.1, 0.8], `768x512` for { width: 768, height: 512 }. */
function typedText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return value.join(',');
  const { width, height } = Object(value) as { readonly width?: unknown; readonly height?: unknown };
  return typeof width === 'number' && typeof height === 'number' ? `${width}x${height}` : undefined;
}
