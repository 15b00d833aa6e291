/** Fields of a JSON file as data: each says its type and its meaning, checks a value and names the place of a wrong one. */
import { InputError } from '../src/core/errors.ts';

/** What a place of the file may hold. */
export interface Field<T> {
  /** In words, as the documentation's table shows it. */
  readonly type: string;
  /** What the value means, with its unit. */
  readonly doc: string;
  /** Whether it may be left out. */
  readonly optional: boolean;
  /** What lies below: fields of an object by their names, or of each element of a list by theirs. */
  readonly below: Readonly<Record<string, Field<unknown>>>;
  /** @throws InputError with the place and what it expects */
  check(value: unknown, path: string): asserts value is T;
}

/** A field for each key of a type, optional ones as `optional`. */
export type FieldsOf<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/** A row of the documentation's table. */
export interface DescribedField {
  /** Such as `rows[].medianMs`. */
  readonly path: string;
  readonly type: string;
  readonly doc: string;
}

const NOTHING = {};

function refuse(expected: string, value: unknown, path: string): never {
  const problem = 'not a file of the benchmark';
  const fix = 'docs/benchmark.md says what each field holds; write the file anew with `pentimento bench --json FILE`.';
  throw new InputError({ op: 'bench', problem, expected, value, path, fix });
}

function simple<T>(type: string, doc: string, holds: (value: unknown) => boolean): Field<T> {
  const check = (value: unknown, path: string): void => {
    if (!holds(value)) refuse(type, value, path);
  };
  return { type, doc, optional: false, below: NOTHING, check };
}

/** A text. */
export function text(doc: string): Field<string> {
  return simple('text', doc, value => typeof value === 'string');
}

/** A finite number. */
export function number(doc: string): Field<number> {
  return simple('number', doc, value => Number.isFinite(value));
}

/** A whole number from 0 on. */
export function count(doc: string): Field<number> {
  return simple('whole number', doc, value => Number.isSafeInteger(value) && (value as number) >= 0);
}

/** One of some texts or numbers. */
export function oneOf<const T extends string | number | boolean>(doc: string, ...values: readonly T[]): Field<T> {
  const type = values.map(value => JSON.stringify(value)).join(', ');
  return simple(type, doc, value => values.includes(value as T));
}

/** Names with texts, numbers, booleans or null, or lists and objects of these. */
export function plain<T extends object>(doc: string): Field<T> {
  return simple('object', doc, value => typeof value === 'object' && value !== null && !Array.isArray(value));
}

/** The same or null. */
export function orNull<T>(field: Field<T>): Field<T | null> {
  const check: Field<T | null>['check'] = (value, path) => {
    if (value !== null) checked(field, value, path);
  };
  return { ...field, type: `${field.type} or null`, check };
}

/** The same, or left out. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  const check: Field<T | undefined>['check'] = (value, path) => {
    if (value !== undefined) checked(field, value, path);
  };
  return { ...field, type: `${field.type}, may be left out`, optional: true, check };
}

/** A list of the same. */
export function list<T>(doc: string, of: Field<T>): Field<readonly T[]> {
  const check: Field<readonly T[]>['check'] = (value, path) => {
    if (!Array.isArray(value)) refuse('a list', value, path);
    for (const [i, one] of value.entries()) checked(of, one, `${path}[${i}]`);
  };
  const below = Object.fromEntries(Object.entries(of.below).map(([name, field]) => [`[].${name}`, field]));
  return { type: Object.keys(of.below).length > 0 ? 'list' : `list of ${of.type}`, doc, optional: false, below, check };
}

/** An object of these fields, and of no others. */
export function object<T extends object>(doc: string, fields: FieldsOf<T>): Field<T> {
  const all = Object.entries<Field<unknown>>(fields);
  const check: Field<T>['check'] = (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse('an object', value, path);
    const given = value as Readonly<Record<string, unknown>>;
    const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
    const unknown = Object.keys(given).find(name => !(name in fields));
    if (unknown !== undefined) refuse(`one of ${all.map(([name]) => name).join(', ')}`, unknown, at(unknown));
    for (const [name, field] of all) {
      if (!field.optional && !(name in given)) refuse(field.type, undefined, at(name));
      checked(field, given[name], at(name));
    }
  };
  return { type: 'object', doc, optional: false, below: Object.fromEntries(all), check };
}

function checked(field: Field<unknown>, value: unknown, path: string): void {
  field.check(value, path);
}

/** Every field below one, in the order of the file. */
export function described(field: Field<unknown>, path = ''): DescribedField[] {
  return Object.entries(field.below).flatMap(([name, below]) => {
    const at = name.startsWith('[') || path === '' ? `${path}${name}` : `${path}.${name}`;
    return [{ path: at, type: below.type, doc: below.doc }, ...described(below, at)];
  });
}
