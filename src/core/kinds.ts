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
