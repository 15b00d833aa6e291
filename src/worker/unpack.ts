/** The other half of `pack.ts`: notes become functions, signals and folders again. */
import type { Note } from './pack.ts';

/** Makes what a note stands for. */
export interface Unpacker {
  /** A function that asks the other end. */
  call(id: number): (...args: unknown[]) => Promise<unknown>;
  /** The same, told of something: once it has thrown, so does the next call here. */
  tell(id: number): (...args: unknown[]) => Promise<unknown>;
  /** A signal that fires when the other end's does. */
  signal(id: number): AbortSignal;
  /** Schedulers, random streams and folders: the worker alone makes them. */
  make?(note: Note, unpacked: Readonly<Record<string, unknown>>): unknown;
}

/** A value as it was packed. */
export function unpack(value: unknown, unpacker: Unpacker): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(item => unpack(item, unpacker));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return value;
  const kind: unknown = Reflect.get(value, '$');
  if (kind === 'function') {
    const { id, tells } = value as Note & { $: 'function' };
    return tells ? unpacker.tell(id) : unpacker.call(id);
  }
  if (kind === 'signal') return unpacker.signal((value as Note & { $: 'signal' }).id);
  const fields = Object.entries(value).map(([key, item]): [string, unknown] => [key, unpack(item, unpacker)]);
  const plain = Object.fromEntries(fields);
  if (kind === 'map') return new Map(plain['entries'] as [unknown, unknown][]);
  return typeof kind === 'string' && unpacker.make ? unpacker.make(value as Note, plain) : plain;
}
