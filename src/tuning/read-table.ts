/** Tables that somebody has stored: every field is looked at, so that what is damaged or hostile is refused by name before anything goes by it. */
import { InputError } from '../core/errors.ts';
import { HALVES, type HalfStorage } from '../gpu/caps.ts';
import { checkTuning } from '../kernels/registry.ts';
import { CLOCKS, type Clock } from './clock.ts';
import {
  type AdapterNames,
  type ChoiceFigures,
  type DeviceFacts,
  type MeasuredChoice,
  REMEASURE,
  type TuningTable,
  tuningOf,
} from './table.ts';

/** Versions of tables that this library reads. */
const VERSION = 1;
const NO_TABLE = 'this is no table of measured choices';
const HASH = /^[0-9a-f]{64}$/;
/** A line, as terminals show it. */
const LINE = /^\P{C}{1,64}$/u;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a table that somebody has stored.
 *
 * @param stored text of JSON, or what it holds
 * @returns a copy, of the fields that a table has
 * @throws InputError for what is no table, is of another version, or speaks of ops and variants that there are not
 */
export function parseTuningTable(stored: unknown): TuningTable {
  const table = typeof stored === 'string' ? parsed(stored) : stored;
  if (!isRecord(table)) refuse('this is no table', 'an object', table);
  if (table['version'] !== VERSION) refuse('a table of another version', VERSION, table['version'], 'version');
  const [kernels, made, clock] = ['kernels', 'made', 'clock'].map(name => textIn(table, name)) as [
    string,
    string,
    Clock,
  ];
  if (!HASH.test(kernels)) refuse(NO_TABLE, 'a SHA-256 in 64 digits', kernels, 'kernels');
  if (!LINE.test(made)) refuse(NO_TABLE, 'a date', made, 'made');
  if (!CLOCKS.includes(clock)) refuse(NO_TABLE, CLOCKS, clock, 'clock');
  const choices = table['choices'];
  if (!Array.isArray(choices)) refuse(NO_TABLE, 'a list', choices, 'choices');
  const read: TuningTable = {
    version: VERSION,
    library: textIn(table, 'library'),
    adapter: adapterIn(recordIn(table, 'adapter')),
    device: factsIn(recordIn(table, 'device')),
    ...{ kernels, made, clock },
    choices: choices.map((choice, i) => choiceIn(choice, `choices[${i}]`)),
  };
  checkTuning(tuningOf(read));
  return { ...read, choices: structuredClone(read.choices) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError({ op: 'parseTuningTable', problem: 'this is no JSON', fix: REMEASURE, cause });
  }
}

function adapterIn(adapter: Fields): AdapterNames {
  const text = (name: string): string => textIn(adapter, name, 'adapter.');
  const [vendor, architecture, device, description] = ['vendor', 'architecture', 'device', 'description'].map(text);
  return { vendor, architecture, device, description } as AdapterNames;
}

/** Facts that this library does not know stay, to be named where devices are compared. */
function factsIn(device: Fields): DeviceFacts {
  const check = (name: string, expected: unknown, isRight: boolean): void => {
    if (!isRight) refuse(NO_TABLE, expected, device[name], `device.${name}`);
  };
  check('half', HALVES, HALVES.includes(device['half'] as HalfStorage));
  check('software', 'true or false', typeof device['software'] === 'boolean');
  for (const name of ['subgroupSize', 'maxWorkgroupBytes', 'maxInvocations'])
    check(name, 'a number from 0 on', isFigure(device[name]));
  check('matrix', 'a text', ['undefined', 'string'].includes(typeof device['matrix']));
  for (const name of Object.keys(device))
    check(name, 'a text or a number', ['undefined', 'string', 'number', 'boolean'].includes(typeof device[name]));
  return { ...device } as unknown as DeviceFacts;
}

/** Fields of choices that nobody knows stay, to be refused by name. */
function choiceIn(choice: unknown, path: string): MeasuredChoice {
  if (!isRecord(choice)) refuse(NO_TABLE, 'an object', choice, path);
  const { figures, ...said } = choice;
  if (figures === undefined) return said as unknown as MeasuredChoice;
  if (!isRecord(figures)) refuse(NO_TABLE, 'an object', figures, `${path}.figures`);
  return { ...said, figures: figuresIn(figures, `${path}.figures`) } as unknown as MeasuredChoice;
}

function figuresIn(figures: Fields, path: string): ChoiceFigures {
  for (const name of ['ms', 'defaultMs', 'candidates']) {
    if (!isFigure(figures[name])) refuse(NO_TABLE, 'a number from 0 on', figures[name], `${path}.${name}`);
  }
  const { ms, defaultMs, candidates, refused } = figures as unknown as ChoiceFigures;
  if (refused === undefined) return { ms, defaultMs, candidates };
  if (!isRecord(refused)) refuse(NO_TABLE, 'an object', refused, `${path}.refused`);
  for (const [name, reason] of Object.entries(refused as Fields)) {
    if (typeof reason !== 'string') refuse(NO_TABLE, 'a text', reason, `${path}.refused.${name}`);
  }
  return { ms, defaultMs, candidates, refused: { ...refused } };
}

function isFigure(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value);
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function recordIn(fields: Fields, name: string): Fields {
  const value = fields[name];
  if (!isRecord(value)) refuse(NO_TABLE, 'an object', value, name);
  return value;
}

function textIn(fields: Fields, name: string, before = ''): string {
  const value = fields[name];
  if (typeof value !== 'string') refuse(NO_TABLE, 'a text', value, `${before}${name}`);
  return value;
}

function refuse(problem: string, expected: unknown, value: unknown, path = ''): never {
  throw new InputError({ op: 'parseTuningTable', problem, expected, value, ...(path && { path }), fix: REMEASURE });
}
