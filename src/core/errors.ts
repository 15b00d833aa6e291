/**
 * Every error that this library throws on purpose. One base class, one subclass a theme; the text is always
 * `op: what is wrong: expected …, got … (path). Fix.`
 */

/** What an error says, in parts, so that a program can read it too. */
export interface ErrorDetails {
  /** The function, kernel, layer or file that noticed. */
  op: string;
  /** What is wrong, without a full stop. */
  problem: string;
  /** What would have been right: a value, a shape, a range in words. */
  expected?: unknown;
  /** What was there instead: in words, or a value that is no string. */
  received?: unknown;
  /**
   * In place of `received`: a value of the caller's or of a file, whatever it is. Strings are shown in quotes, so that "false"
   * is not taken for false; undefined is shown too.
   */
  value?: unknown;
  /** Where: a tensor key, a file, a parameter name. */
  path?: string;
  /** What the caller can do about it, a whole sentence. */
  fix?: string;
  /** The error that led to this one. */
  cause?: unknown;
}

/** The parts of an error that hold the library's words. */
export type ErrorPart = 'op' | 'problem' | 'expected' | 'path' | 'fix';

/** What JSON can hold. */
export type PlainValue =
  | string
  | number
  | boolean
  | null
  | readonly PlainValue[]
  | { readonly [name: string]: PlainValue | undefined };

/** Where memory or storage ran out, in bytes. */
export interface MemoryShortage {
  /** Asked for at once. */
  readonly asked: number;
  /** What the library's buffers held on this device then; of storage, what the page's origin holds. */
  readonly held: number;
  /** What the machine, or the browser, could still give; undefined where it was the device that refused, or nobody tells. */
  readonly available?: number | undefined;
}

/** An error as plain data, for a worker's message or a log: passes structuredClone and JSON unchanged. */
export interface ErrorJson {
  /** Such as 'InputError'. */
  readonly class: string;
  /** Such as 'input'; absent for errors of others. */
  readonly code?: string;
  /** The whole text, made of op, problem, expected, received, path and fix. */
  readonly message: string;
  /** The function, kernel, layer or file that noticed. */
  readonly op?: string;
  /** What is wrong, without a full stop. */
  readonly problem?: string;
  /** What would have been right; shapes as lists. */
  readonly expected?: PlainValue;
  /** What there was instead. */
  readonly received?: PlainValue;
  /** Where: a tensor key, a file, a parameter name. */
  readonly path?: string;
  /** What the caller can do about it, a whole sentence. */
  readonly fix?: string;
  /** Of an OutOfMemoryError, or a StorageFullError. */
  readonly bytes?: MemoryShortage;
  /** Of a DeviceLostError: WebGPU's reason and message, and how many devices were lost one after another. */
  readonly loss?: {
    /** 'destroyed' or 'unknown', as WebGPU tells. */
    readonly reason: string;
    /** What WebGPU says of it. */
    readonly message: string;
    /** Devices lost one after another. */
    readonly losses: number;
  };
  /** An error's own JSON, anything else as a plain value. */
  readonly cause?: PlainValue | ErrorJson;
}

/** Base class: `instanceof PentimentoError` catches all of them. */
export class PentimentoError extends Error {
  /** The theme as a word that never changes: 'shape', 'dtype', 'device', 'weights', 'numerics', 'shader', 'input' or 'load'. */
  readonly code: string;
  /** The function, kernel, layer or file that noticed. */
  readonly op: string;
  /** What is wrong, without a full stop. */
  readonly problem: string;
  /** What would have been right; undefined where there is no such value. */
  readonly expected: unknown;
  /** What was there instead; undefined where there is no such value. */
  readonly received: unknown;
  /** Where: a tensor key, a file, a parameter name; undefined where it is plain. */
  readonly path: string | undefined;
  /** What the caller can do about it, a whole sentence; undefined where nothing helps. */
  readonly fix: string | undefined;
  readonly #details: ErrorDetails;

  constructor(code: string, details: ErrorDetails) {
    super(describe(details), details.cause === undefined ? undefined : details);
    this.code = code;
    this.#details = details;
    this.op = details.op;
    this.problem = details.problem;
    this.expected = details.expected;
    this.received = 'value' in details ? details.value : details.received;
    this.path = details.path;
    this.fix = details.fix;
  }

  /**
   * The message in the words of the program that shows it, such as a command line's options for the names of arguments.
   * @param say gives each part that the library worded in other words; '' leaves a place or a remedy out
   */
  reworded(say: (text: string, part: ErrorPart) => string): string {
    const { expected, path, fix, ...rest } = this.#details;
    return describe({
      ...rest,
      ...{ op: say(rest.op, 'op'), problem: say(rest.problem, 'problem') },
      ...{ expected: typeof expected === 'string' ? say(expected, 'expected') : expected },
      ...{ path: path && say(path, 'path'), fix: fix && say(fix, 'fix') },
    });
  }

  /** All fields as plain data: shapes stay lists, numbers that JSON lacks and objects with a class become text. */
  toJSON(): ErrorJson {
    const { name, code, message, op, problem, expected, received, path, fix, cause } = this;
    const json = {
      ...{ class: name, code, message, op, problem },
      ...{ expected: expected === undefined ? expected : plain(expected) },
      ...{ received: received === undefined ? received : plain(received) },
      ...{ path, fix, cause: causeOf(cause) },
    };
    return withoutUndefined(json) as ErrorJson;
  }
}

/** Shapes, ranks or sizes that do not fit together. */
export class ShapeError extends PentimentoError {
  /** As in stack traces; `code` is 'shape'. */
  override readonly name = 'ShapeError';
  constructor(details: ErrorDetails) {
    super('shape', details);
  }
}

/** An element type that the operation or the file reader does not take. */
export class DTypeError extends PentimentoError {
  /** As in stack traces; `code` is 'dtype'. */
  override readonly name = 'DTypeError';
  constructor(details: ErrorDetails) {
    super('dtype', details);
  }
}

/** No adapter, a missing feature or limit, a lost or disposed device, two callers at once. */
export class DeviceError extends PentimentoError {
  /** As in stack traces; `code` is 'device'. */
  override readonly name: string = 'DeviceError';
  constructor(details: ErrorDetails) {
    super('device', details);
  }
}

/** Checkpoints: damaged files, missing, unused or misshapen tensors. */
export class WeightsError extends PentimentoError {
  /** As in stack traces; `code` is 'weights'. */
  override readonly name: string = 'WeightsError';
  constructor(details: ErrorDetails) {
    super('weights', details);
  }
}

/** Results that are not finite: weights that hold such values, or numbers too large for the dtype. */
export class NumericsError extends PentimentoError {
  /** As in stack traces; `code` is 'numerics'. */
  override readonly name = 'NumericsError';
  constructor(details: ErrorDetails) {
    super('numerics', details);
  }
}

/** A WGSL module or pipeline that the device refused. */
export class ShaderError extends PentimentoError {
  /** As in stack traces; `code` is 'shader'. */
  override readonly name = 'ShaderError';
  constructor(details: ErrorDetails) {
    super('shader', details);
  }
}

/** Arguments, pictures, prompts, configs or files that make no sense. */
export class InputError extends PentimentoError {
  /** As in stack traces; `code` is 'input'. */
  override readonly name = 'InputError';
  constructor(details: ErrorDetails) {
    super('input', details);
  }
}

/** A file of the library itself that was to be loaded when it was used, and did not come. */
export class LoadError extends PentimentoError {
  /** As in stack traces; `code` is 'load'. */
  override readonly name = 'LoadError';
  constructor(details: ErrorDetails) {
    super('load', details);
  }
}

function describe(d: { readonly [K in keyof ErrorDetails]: ErrorDetails[K] | undefined }): string {
  const values = [
    d.expected === undefined ? '' : `expected ${show(d.expected)}`,
    'value' in d ? `got ${showValue(d.value)}` : d.received === undefined ? '' : `got ${show(d.received)}`,
  ].filter(Boolean);
  const head = `${d.op}: ${d.problem}${values.length ? `: ${values.join(', ')}` : ''}${d.path ? ` (${d.path})` : ''}`;
  return d.fix ? `${head}. ${d.fix}` : head;
}

/** Lists and objects in more of them than this are left out of messages. */
const DEEPEST = 32;

/** A short, readable form of any value: shapes as [1, 4], strings as they are, the rest as JSON. */
export function show(value: unknown, depth = 0): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return listed(value, show, depth);
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return JSON.stringify(plain(value)); // it holds itself, whole numbers that JSON lacks, or is too deep
  }
}

/** Longer strings and lists are cut in messages. */
const SHOWN = 120;

/** A value as code would write it: strings in quotes, long ones cut. */
function showValue(value: unknown, depth = 0): string {
  if (typeof value === 'string') return JSON.stringify(cut(value, SHOWN));
  if (typeof value === 'function') return 'a function';
  return Array.isArray(value) ? listed(value, showValue, depth) : cut(show(value), 5 * SHOWN);
}

function listed(values: readonly unknown[], item: typeof show, depth: number): string {
  if (depth > DEEPEST) return '…';
  const shown = values.slice(0, SHOWN).map(value => item(value, depth + 1));
  return `[${shown.join(', ')}${values.length > SHOWN ? `, … ${values.length} in all` : ''}]`;
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function causeOf(cause: unknown): PlainValue | ErrorJson | undefined {
  if (cause === undefined) return undefined;
  if (cause instanceof PentimentoError) return cause.toJSON();
  if (!(cause instanceof Error)) return plain(cause);
  return withoutUndefined({ class: cause.name, message: cause.message, cause: causeOf(cause.cause) }) as ErrorJson;
}

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}

/** `above`: the objects around it, for those that hold themselves. */
function plain(value: unknown, above: readonly unknown[] = []): PlainValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object') return String(value);
  if (above.includes(value)) return 'itself';
  if (above.length >= DEEPEST) return '…';
  const inside = [...above, value];
  if (Array.isArray(value)) return value.map(item => plain(item, inside));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return value.constructor.name;
  const entries = Object.entries(withoutUndefined(value));
  return Object.fromEntries(entries.map(([name, item]) => [name, plain(item, inside)]));
}
