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
  /** What was there instead. */
  received?: unknown;
  /** Where: a tensor key, a file, a parameter name. */
  path?: string;
  /** What the caller can do about it, a whole sentence. */
  fix?: string;
  /** The error that led to this one. */
  cause?: unknown;
}

/** Base class: `instanceof PentimentoError` catches all of them. */
export class PentimentoError extends Error {
  /** The theme as a word that never changes: 'shape', 'dtype', 'device', 'weights', 'shader' or 'input'. */
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

  constructor(code: string, details: ErrorDetails) {
    super(describe(details), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.op = details.op;
    this.problem = details.problem;
    this.expected = details.expected;
    this.received = details.received;
    this.path = details.path;
    this.fix = details.fix;
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
  override readonly name = 'DeviceError';
  constructor(details: ErrorDetails) {
    super('device', details);
  }
}

/** Checkpoints: damaged files, missing, unused or misshapen tensors. */
export class WeightsError extends PentimentoError {
  /** As in stack traces; `code` is 'weights'. */
  override readonly name = 'WeightsError';
  constructor(details: ErrorDetails) {
    super('weights', details);
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

function describe(d: ErrorDetails): string {
  const values = [
    d.expected === undefined ? '' : `expected ${show(d.expected)}`,
    d.received === undefined ? '' : `got ${show(d.received)}`,
  ].filter(Boolean);
  const head = `${d.op}: ${d.problem}${values.length ? `: ${values.join(', ')}` : ''}${d.path ? ` (${d.path})` : ''}`;
  return d.fix ? `${head}. ${d.fix}` : head;
}

/** A short, readable form of any value: shapes as [1, 4], strings as they are, the rest as JSON. */
export function show(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return JSON.stringify(value) ?? String(value);
  return String(value);
}
