/**
 * Arguments and results over messages. Numbers, texts, arrays and Blobs pass as they are; what a message cannot hold is replaced by a
 * note: functions by numbers under which they are called, signals, random streams, schedulers and folders by what makes them again.
 */
import { InputError } from '../core/errors.ts';
import { kindOf } from '../core/kinds.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { recipeOf } from '../io/folder-recipe.ts';
import { fullAddress } from '../io/sources.ts';

/** What the two ends of a connection keep for each other. */
export interface Packer {
  /** Remembers a function. @returns its number */
  keep(work: (...args: never) => unknown): number;
  /** Remembers a listener: what it throws ends the call. @returns its number */
  listen(work: (...args: never) => unknown): number;
  /** Remembers a callback that is waited for and answers: what it throws ends the call. @returns its number */
  ask(work: (...args: never) => unknown): number;
  /** Remembers a signal, and tells the other end when it fires. */
  watch(signal: AbortSignalLike): number;
  /** Remembers a random stream, which the call moves on. */
  stream(generator: StreamLike): number;
}

/** torch's random stream: `Generator`, which this side does not load. */
export interface StreamLike {
  getState(): unknown;
  setState(state: unknown): void;
}

/** A note in place of what no message holds. */
export type Note =
  | { readonly $: 'function'; readonly id: number; readonly tells?: true }
  | { readonly $: 'signal'; readonly id: number }
  | { readonly $: 'generator'; readonly id: number; readonly state: unknown }
  | { readonly $: 'scheduler'; readonly config: unknown }
  | { readonly $: 'folder'; readonly recipe: unknown }
  | { readonly $: 'files'; readonly label: string; readonly calls: unknown }
  | { readonly $: 'bytes'; readonly label: string; readonly byteLength: number; readonly calls: unknown }
  | { readonly $: 'map'; readonly entries: unknown };

/** Functions that tell something and return nothing: they may be called from afar. */
const LISTENERS = ['onProgress', 'onWarning', 'onDeviceLoss', 'onToken', 'callback', 'onWholeRead'];

/** Functions that the work waits for: they may answer with plain data. */
const CALLBACKS = ['callbackOnStepEnd'];

/**
 * Makes a value ready for a message.
 * @param op the method that was called, for messages
 * @param trusted whether functions of any name pass: those of this library
 * @throws InputError for functions that would have to answer at once, and for devices
 */
export function pack(op: string, value: unknown, packer: Packer, trusted = false, name = ''): unknown {
  try {
    return packed(op, value, packer, trusted, name);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new InputError({ op, problem: 'an argument holds itself, or lies too deep', cause });
  }
}

function packed(op: string, value: unknown, packer: Packer, trusted: boolean, name: string): unknown {
  if (typeof value === 'function') {
    const work = value as () => unknown;
    if (trusted) return note({ $: 'function', id: packer.keep(work) });
    if (LISTENERS.includes(name)) return note({ $: 'function', id: packer.listen(work), tells: true });
    if (CALLBACKS.includes(name)) return note({ $: 'function', id: packer.ask(work) });
    const fix = 'What must answer at once runs in the page: open the model without a worker.';
    throw new InputError({ op, problem: 'a function cannot be passed to a worker', path: name, fix });
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(item => packed(op, item, packer, trusted, name));
  const special = packSpecial(op, value, packer);
  if (special) return special;
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [key, packed(op, item, packer, trusted, String(key))]);
    return note({ $: 'map', entries });
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return checked(op, name, value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [key, packed(op, item, packer, trusted, key)]));
}

function note(value: Note): Note {
  return value;
}

function packSpecial(op: string, value: object, packer: Packer): Note | undefined {
  const has = (...names: string[]): boolean => names.every(name => typeof Reflect.get(value, name) === 'function');
  if (has('throwIfAborted', 'addEventListener'))
    return note({ $: 'signal', id: packer.watch(value as AbortSignalLike) });
  if (has('getState', 'setState', 'randn')) {
    const stream = value as StreamLike;
    return note({ $: 'generator', id: packer.stream(stream), state: stream.getState() });
  }
  if (has('setTimesteps', 'toJSON')) return note({ $: 'scheduler', config: (value as { toJSON(): unknown }).toJSON() });
  if (has('has', 'text', 'bytes')) return packFolder(op, value as FolderSource, packer);
  if (has('read') && 'byteLength' in value) return packBytes(value as ByteSource, packer);
  return undefined;
}

function packFolder(op: string, folder: FolderSource, packer: Packer): Note {
  const recipe = recipeOf(folder);
  if (recipe) return note({ $: 'folder', recipe: pack(op, absolute(op, recipe), packer) });
  const { label, list } = folder;
  const calls = {
    has: (path: string) => folder.has(path),
    text: (path: string) => folder.text(path),
    bytes: (path: string) => folder.bytes(path),
    ...(list && { list: (path: string) => list.call(folder, path) }),
  };
  return note({ $: 'files', label, calls: keptCalls(calls, packer) });
}

function packBytes(source: ByteSource, packer: Packer): Note {
  const { label, byteLength } = source;
  const calls = {
    async read(offset: number, length: number): Promise<Uint8Array> {
      const into = new Uint8Array(length);
      await source.read(offset, into);
      return into;
    },
    close: async () => source.close?.(),
  };
  return note({ $: 'bytes', label, byteLength, calls: keptCalls(calls, packer) });
}

function keptCalls(calls: Readonly<Record<string, (...args: never) => unknown>>, packer: Packer): object {
  const notes = Object.entries(calls).map(([name, work]) => [name, note({ $: 'function', id: packer.keep(work) })]);
  return Object.fromEntries(notes);
}

/** A worker's script lies elsewhere: addresses relative to the page would lead elsewhere too. */
function absolute(op: string, recipe: object): object {
  const { kind, base, folder, options = {} } = recipe as Readonly<Record<string, unknown>>;
  if ('fetch' in Object(options) || 'fetch' in Object(Reflect.get(Object(Reflect.get(recipe, 'hub')), 'options')))
    throw new InputError({ op, problem: 'a fetch of your own cannot be passed to a worker', path: 'fetch' });
  if (kind === 'kept') return { ...recipe, folder: absolute(op, folder as object) };
  if (kind !== 'url') return recipe;
  return { ...recipe, base: fullAddress(String(base)) };
}

function checked(op: string, name: string, value: object): object {
  const device = typeof Reflect.get(value, 'guarded') === 'function' || 'createShaderModule' in value;
  if (!device) return value;
  const fix = 'Leave it out: the worker opens its own (gpuOptions).';
  throw new InputError({
    ...{ op, problem: 'a device cannot be passed to a worker', received: kindOf(value), path: name, fix },
  });
}

/** Buffers that a message may take along: those that an array fills. Others may be shared by several arrays. */
export function buffersOf(value: unknown, found: Set<ArrayBuffer> = new Set()): Set<ArrayBuffer> {
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteLength } = value;
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength > 0) found.add(buffer);
  } else if (Array.isArray(value)) for (const item of value) buffersOf(item, found);
  else if (typeof value === 'object' && value !== null && !(value instanceof Blob))
    for (const item of Object.values(value)) buffersOf(item, found);
  return found;
}
