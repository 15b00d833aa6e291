/** Values of the wrong kind, as programs without types pass them: named in a word, and refused before anything fails on them. */
import { InputError } from './errors.ts';
import type { ByteSource } from './tensor-source.ts';

/** What a value is, in a word for messages: 'null', 'a list', 'a promise', the name of its class, or its type. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value !== 'object') return typeof value;
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (tag === 'Promise') return 'a promise';
  if (tag !== 'Object') return tag;
  const made: unknown = value.constructor;
  return typeof made === 'function' && made !== Object ? made.name : 'an object';
}

/**
 * Refuses what is no Uint8Array, of whatever realm.
 * @param op the function that was called, for the message
 * @throws InputError
 */
export function checkUint8(op: string, value: unknown): void {
  if (Object.prototype.toString.call(value) === '[object Uint8Array]') return;
  const fix = 'Pass new Uint8Array(buffer).';
  throw new InputError({ op, problem: 'these are no bytes', expected: 'a Uint8Array', received: kindOf(value), fix });
}

/**
 * Refuses what cannot be read from.
 * @param op the function that was called, for the message
 * @throws InputError
 */
export function checkByteSource(op: string, value: unknown): void {
  const { read, byteLength } = Object(value) as Partial<ByteSource>;
  if (typeof read === 'function' && typeof byteLength === 'number') return;
  const fix =
    kindOf(value) === 'a promise'
      ? 'Await it.'
      : "Make one with memorySource(bytes), blobSource(file), await urlSource(url), or await fileSource(path) of 'pentimento/node'.";
  throw new InputError({ op, problem: 'nothing to read from', expected: 'a ByteSource', received: kindOf(value), fix });
}

/**
 * Refuses what is no array with its shape, such as bare values or a picture.
 * @param op the function that was called, for the message
 * @param path which argument, where there are several
 * @throws InputError
 */
export function checkArray(op: string, value: unknown, path?: string): void {
  const { data, shape } = Object(value) as { readonly data?: { readonly length?: unknown }; readonly shape?: unknown };
  if (typeof data?.length === 'number' && Array.isArray(shape)) return;
  const [problem, expected] = ['no array of values with their shape', '{ data, shape }'];
  throw new InputError({ op, problem, expected, received: kindOf(value), ...(path === undefined ? {} : { path }) });
}

/**
 * Refuses what lacks a member that the call is about to use.
 * @param op the function that was called, for the message
 * @param is what the member is: 'function' for a method, 'number', or 'list'
 * @param expected what would have been right, such as 'a VaeConfig'
 * @throws InputError
 */
export function checkMember(
  op: string,
  value: unknown,
  name: string,
  is: 'function' | 'number' | 'list',
  expected: string,
): void {
  const member: unknown = (Object(value) as Readonly<Record<string, unknown>>)[name];
  if (is === 'list' ? Array.isArray(member) : typeof member === is) return;
  throw new InputError({ op, problem: 'an argument of another kind', expected, received: kindOf(value) });
}

/**
 * Refuses what is no list of numbers.
 * @param op the function that was called, for the message
 * @throws InputError
 */
export function checkNumbers(op: string, value: unknown): void {
  if (/ (Float|Uint8Clamped|U?[Ii]nt(8|16|32))\w*Array\]$/.test(Object.prototype.toString.call(value))) return;
  if (Array.isArray(value) && value.every(item => typeof item === 'number')) return;
  const received = Array.isArray(value) ? 'a list of something else' : kindOf(value);
  throw new InputError({ op, problem: 'these are no numbers', expected: 'a list of numbers', received });
}

/**
 * Refuses what programs without types pass for a folder: paths, Hub ids, promises that nobody awaited.
 * @param op who asks, for messages
 * @throws InputError
 */
export function checkFolder(folder: unknown, op: string): void {
  if (typeof (Object(folder) as { readonly has?: unknown }).has === 'function') return;
  throw new InputError({
    op,
    problem: 'no model folder',
    expected: 'a FolderSource',
    received: kindOf(folder),
    fix:
      kindOf(folder) === 'a promise'
        ? 'Await it.'
        : "Make one with await directory(path) of 'pentimento/node', mapFolder() or urlFolder().",
  });
}
